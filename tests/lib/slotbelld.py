"""slotbelld as a process: for the demo, the integration tests and the chaos checker alike.

Every process dies with its maker (pdeathsig), and sooner by stop(). Each has a
log of its own.
"""

import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Clients honour a proxy in the environment, and libpq what begins with PG; all is on loopback here.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.lower().endswith("_proxy") and not name.startswith(("PG", "SLOTBELL_"))}


class Trouble(Exception):
    """It cannot go on; the text says why, and where to look."""


def built(program):
    """Where a program of ours was built: by the stage's preset, else by preset dev."""
    return pathlib.Path(os.environ.get("SLOTBELL_BUILD", ROOT / "build/dev")) / program


def spawn(command, log, stdout=None, prefix=(), pass_fds=()):
    """A process that the kernel ends when we end, in a session of its own, so that Ctrl-C is ours alone."""
    # What the kernel waits for is the end of the thread that asked: one that a test borrowed ends sooner than we do.
    with_us = ["setpriv", "--pdeathsig", "KILL", "--"] if threading.current_thread() is threading.main_thread() else []
    with open(log, "ab") as file:
        return subprocess.Popen(
            [*prefix, *with_us, *map(str, command)], stdin=subprocess.DEVNULL,
            stdout=stdout or file, stderr=file, env=ENVIRONMENT, start_new_session=True, pass_fds=pass_fds)


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
    text = str(value)
    return text if len(text) <= width else re.sub(rf"(.{{1,{width}}}\S)(?=\S)", r"\1\n\t", text)


def certificate(folder, *names):
    """A throwaway authority and server certificate in `folder`, which is returned. names: beside loopback's."""
    subprocess.run([str(ROOT / "config/dev-ca.sh"), str(folder), *names], check=True, capture_output=True)
    return pathlib.Path(folder)


class Daemon:
    """slotbelld on a port of its own, which it has again after a restart.

    settings  "section.key" -> value, beside address, certificate and database
    prefix    words before the command: ("ip", "netns", "exec", NAME)
    """

    def __init__(self, folder, certificates, database_url, program=None, settings=None, address="127.0.0.1", prefix=()):
        folder.mkdir(parents=True, exist_ok=True)
        self.program = program or built("slotbelld")
        self.log = folder / "slotbelld.log"
        self.ca = certificates / "ca.pem"
        self.address = address
        self.port = free_port()
        self.url = f"wss://{address}:{self.port}"
        self.config = folder / "slotbelld.conf"
        self.prefix, self.pass_fds = prefix, ()
        self.settings = {
            "listen.address": f"{address}:{self.port}",
            "listen.admin": "",
            "tls.certificate": certificates / "server.pem",
            "tls.key": certificates / "server.key",
            "database.url": database_url,
            **(settings or {}),
        }
        self.process = None

    def configure(self, **settings):
        """Writes the file; section__key=value changes it first."""
        self.settings.update({name.replace("__", "."): value for name, value in settings.items()})
        sections = {}
        for name, value in self.settings.items():
            section, key = name.split(".")
            sections.setdefault(section, []).append(f"{key} = {folded(value)}\n")
        new = self.config.with_suffix(".new")
        new.write_text("\n".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items()))
        new.replace(self.config)  # a reload reads the old file or the new one, never half of one

    def tls(self):
        return ssl.create_default_context(cafile=self.ca)

    @property
    def pid(self):
        return self.process.pid

    def start(self, seconds=30):
        """Returns when it takes TLS connections: how long that took, in seconds."""
        begun = time.monotonic()
        self.configure()
        self.process = spawn([self.program, "--config", self.config], self.log, prefix=self.prefix,
                             pass_fds=self.pass_fds)
        context = self.tls()
        while True:
            try:
                with socket.create_connection((self.address, self.port), 5) as plain:
                    with context.wrap_socket(plain, server_hostname=self.address):
                        return time.monotonic() - begun
            except OSError as error:
                if self.process.poll() is not None:
                    raise Trouble(f"slotbelld ended with {self.process.returncode}; see {self.log}") from None
                if time.monotonic() - begun > seconds:
                    raise Trouble(f"slotbelld does not take connections ({error}); see {self.log}") from None
            time.sleep(0.01)  # a refused connection says nothing of when to try again

    def kill(self):
        """SIGKILL, as the out-of-memory killer would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM and the wait for it: the exit code, None if it had to be killed."""
        return stop(self.process, 30) if self.process else 0

    def reload(self, expect="reloaded", **settings):
        """SIGHUP, after section__key=value changed the file: what the log says from then until the event `expect`."""
        self.configure(**settings)
        before = len(self.log_text())
        self.process.send_signal(signal.SIGHUP)
        self.wait_log(f'event="{expect}"', before)
        return self.log_text()[before:]

    def wait_log(self, words, after=0, seconds=30):
        """Until the log, from position `after` on, has these words."""
        deadline = time.monotonic() + seconds
        while words not in self.log_text()[after:]:
            if self.process.poll() is not None:
                raise Trouble(f"slotbelld ended with {self.process.returncode}; see {self.log}")
            if time.monotonic() > deadline:
                raise Trouble(f"no {words!r} within {seconds} s in {self.log}")
            time.sleep(0.01)  # nobody tells of a line in a file

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def rss_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak_bytes(self):
        """The most memory that was resident at a time."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))

    def cpu_seconds(self):
        """User and system time since its start."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
