"""Who plays in the demo beside the daemon: the plug-ins, and commands that are called once."""

import json
import pathlib
import subprocess
import threading
import time

from slotbelld import ENVIRONMENT, Trouble, spawn, stop


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
