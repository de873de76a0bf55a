"""Who plays in the demo: the daemon, the plug-ins, the database they share.

Every process dies with the demo (pdeathsig), and sooner by stop(). Each has a
log of its own. Nothing here knows the story.
"""

import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

# The library of a plug-in's client honours a proxy in the environment; all is on loopback here.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


class Trouble(Exception):
    """The demo cannot go on; the text says why, and where to look."""


def spawn(command, log, stdout=None):
    """A process that the kernel ends when we end, in a session of its own, so that Ctrl-C is ours alone."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], stdin=subprocess.DEVNULL,
            stdout=stdout or file, stderr=file, env=ENVIRONMENT, start_new_session=True)


def call(command, log):
    """A command's standard output. Trouble if it fails."""
    with open(log, "a+b") as file:
        position = file.tell()
        try:
            done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file,
                                  env=ENVIRONMENT, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            raise Trouble(f"{pathlib.Path(command[0]).name} did not end within a minute") from None
        if done.returncode:
            file.seek(position)
            words = file.read().decode("utf-8", "replace").strip()
            raise Trouble(f"{' '.join(map(str, command[:1]))} failed with {done.returncode}: {words}")
    return done.stdout.decode()


def stop(process, patience=10):
    """SIGTERM, then SIGKILL. The exit code, or None if it had to be killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
    return process.returncode


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def folded(value, width=120):
    """A value of slotbelld.conf, whose lines hold 198 characters: the rest goes on in lines that are indented.

    White space at a fold would be lost, so folds are elsewhere.
    """
    return re.sub(rf"(.{{1,{width}}}\S)(?=\S)", r"\1\n\t", str(value))


class Daemon:
    """slotbelld on a port of its own, which it has again after a restart."""

    def __init__(self, programs, folder, log, certificates, database_url):
        self.program = programs / "slotbelld"
        self.log = log / "slotbelld.log"
        self.ca = certificates / "ca.pem"
        self.port = free_port()
        self.url = f"wss://127.0.0.1:{self.port}"
        self.config = folder / "slotbelld.conf"
        self.config.write_text(
            f"[listen]\naddress = 127.0.0.1:{self.port}\n\n"
            f"[tls]\ncertificate = {folded(certificates / 'server.pem')}\nkey = {folded(certificates / 'server.key')}\n\n"
            f"[database]\nurl = {folded(database_url)}\n")
        self.process = None

    def start(self, seconds=20):
        """Returns when it takes TLS connections: how long that took, in seconds."""
        begun = time.monotonic()
        self.process = spawn([self.program, "--config", self.config], self.log)
        context = ssl.create_default_context(cafile=self.ca)
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as plain:
                    with context.wrap_socket(plain, server_hostname="127.0.0.1"):
                        return time.monotonic() - begun
            except OSError as error:
                if self.process.poll() is not None:
                    raise Trouble(f"slotbelld ended with {self.process.returncode}; see {self.log}") from None
                if time.monotonic() - begun > seconds:
                    raise Trouble(f"slotbelld does not take connections ({error}); see {self.log}") from None
            time.sleep(0.01)  # a refused connection says nothing of when to try again

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        return stop(self.process, 30) if self.process else 0


class Plugin:
    """One slotbell-plugin, its calendar, and what it says.

    Its words arrive in `words`, a queue.Queue that all plug-ins share, as (plugin, message, when it was read).
    """

    def __init__(self, name, address, programs, folder, log, daemon, token, words):
        self.name, self.address = name, address
        self.calendar = folder / "calendars" / address
        self.calendar.mkdir(parents=True)
        private = folder / "plug-ins" / name.lower()
        private.mkdir(parents=True)
        token_file = private / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(token + "\n")
        self.log = log / f"plug-in-{name.lower()}.log"
        self.command = [programs / "slotbell-plugin", "--url", daemon.url, "--ca", daemon.ca, "--token-file", token_file,
                        "--calendar", self.calendar, "--state", private / "state.json", "--json"]
        self.words = words
        self.written = []  # every "written", in order
        self.process = None

    def start(self):
        self.process = spawn(self.command, self.log, subprocess.PIPE)
        self.thread = threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
        self.thread.start()

    def _listen(self, pipe):
        with open(self.log.with_suffix(".jsonl"), "ab") as copy:
            for line in pipe:
                at = time.time()
                copy.write(line)
                copy.flush()
                try:
                    message = json.loads(line)
                except ValueError:
                    message = {"what": "nonsense", "line": line.decode("utf-8", "replace")}
                if message["what"] == "written":
                    self.written.append(message)
                self.words.put((self, message, at))
        self.words.put((self, {"what": "ended"}, time.time()))

    def stop(self):
        """The exit code, when the last word has been read."""
        if not self.process:
            return 0
        code = stop(self.process)
        self.thread.join(10)
        return code
