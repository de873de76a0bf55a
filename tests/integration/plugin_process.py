"""Runs slotbell-plugin --json in a folder of the test's and reads what it says."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import threading

SECONDS = 30  # for anything that a test waits for; an error, never a delay
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = pathlib.Path(os.environ.get("SLOTBELL_BUILD", ROOT / "build/dev")) / "slotbell-plugin"
TOKEN = "sbd_7_" + "A" * 43


class Plugin:
    """One device: its token, calendar and state. `run` starts its process, as often as the test likes."""

    def __init__(self, folder, url, ca, *options, token=TOKEN):
        self.folder = pathlib.Path(folder)
        self.calendar = self.folder / "calendar"
        self.state = self.folder / "state.json"
        self.url, self.ca, self.options = url, ca, options
        self.program = PROGRAM
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "token").write_text(token + "\n")

    def run(self, *options, limit=None, **environment):
        """`limit`: how many bytes a file of its may have."""
        command = [str(self.program), "--json", "--url", self.url, "--token-file", str(self.folder / "token"),
                   "--calendar", str(self.calendar), "--state", str(self.state)]
        if self.ca:
            command += ["--ca", str(self.ca)]
        if limit:
            command = ["prlimit", f"--fsize={limit}:unlimited", "--", *command]
        return Running([*command, *self.options, *options], environment)

    def files(self):
        """{file name: text} of the appointments, lines unfolded; folder entries that are none are not looked at."""
        found = {}
        for path in self.calendar.glob("*.ics"):
            found[path.name] = path.read_bytes().replace(b"\r\n ", b"").decode().replace("\r\n", "\n")
        return found

    def saved(self):
        return json.loads(self.state.read_text())


class Running:
    """A process whose lines can be waited for. As a context it is killed at the end, if it still runs."""

    def __init__(self, command, environment):
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**kept, **environment})
        self.lines = []  # all that came so far
        self.words = ""  # standard error, whole once the process has ended
        self._queue = queue.Queue()
        self._readers = [threading.Thread(target=self._read_lines), threading.Thread(target=self._read_words)]
        for reader in self._readers:
            reader.start()

    def _read_lines(self):
        for line in self.process.stdout:
            if line.endswith("\n"):  # else it was killed in the middle of it
                self._queue.put(json.loads(line))
        self._queue.put(None)

    def _read_words(self):
        for line in self.process.stderr:
            self.words += line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def wait_for(self, what):
        """The next line of this kind."""
        while True:
            line = self._queue.get(timeout=SECONDS)
            assert line is not None, f"ended before it said {what}: {self.lines}\n{self.words}"
            self.lines.append(line)
            if line["what"] == what:
                return line

    def end(self):
        """Waits for the process to end by itself. Its exit code."""
        while (line := self._queue.get(timeout=SECONDS)) is not None:
            self.lines.append(line)
        code = self.process.wait(SECONDS)
        for reader in self._readers:
            reader.join()
        return code

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.end()

    def kill(self):
        """SIGKILL; all that it said before is in `lines`."""
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL

    def said(self, what):
        return [line for line in self.lines if line["what"] == what]
