"""A daemon that was taken over, for the tests of what slotbellctl does with what it says.

It is a process of an ordinary user, which answers at a control socket and has the environment that it likes.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

from ctl_support import program

SECRET = "administrators-secret"
SOMEBODY = 54321  # who has no entry in any database of users

# Run as that user. argv: the socket (or "fd:N", a listening one), the file of answers, where to note who asked.
DAEMON = """
import os, socket, struct, sys, time
where, answers, log = sys.argv[1:]
if where.startswith("fd:"):
    server = socket.socket(fileno=int(where[3:]))
else:
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
    server.listen()
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
print("up", flush=True)
while True:
    client = server.accept()[0]
    if os.fork():
        client.close()
        continue
    try:
        while True:
            text, told, _, _ = client.recvmsg(65536, 128)
            if not text:
                break
            for _, kind, data in told:
                with open(log, "a") as file:
                    print(*struct.unpack("3i", data[:12]), file=file)
            answer = open(answers, "rb").read().replace(b'"@"', b"%d" % os.getpid())
            if answer == b"trickle":
                while True:
                    client.sendall(b" ")
                    time.sleep(0.2)
            client.sendall(answer)
            if not answer.endswith(b"\\n"):
                break
    except OSError:
        pass
    os._exit(0)
"""


def answer(**more):
    """Its own number is where "@" stands."""
    return json.dumps({"ok": True, "pid": "@", "state": "ready", "version": "0", **more}).encode() + b"\n"


class TakenOver:
    """folder    where everybody may write, with `engine.so` and its report, and the configuration
    path         its control socket"""

    def __init__(self, folder, certificates):
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o777)
        self.path = self.folder / "control.sock"
        self.answers, self.log, self.report = self.folder / "answers", self.folder / "log", self.folder / "report"
        self.say(answer())
        self.process = None
        for name in ("server.pem", "server.key", "ca.pem"):
            shutil.copy(certificates / name, self.folder)
            (self.folder / name).chmod(0o644)
        self.config = self.folder / "slotbelld.conf"
        self.config.write_text(f"[tls]\ncertificate = {folder}/server.pem\nkey = {folder}/server.key\n[control]\nsocket = {self.path}\n"
                               "[listen]\naddress = 127.0.0.1:1\nadmin =\n[database]\nurl = postgresql://x@127.0.0.1:1/x\n")
        self.config.chmod(0o644)

    def say(self, text):
        self.answers.write_bytes(text)

    def build_engine(self, mode=""):
        shutil.copy(pathlib.Path(program()).parent / "tests/libtaken_over_engine.so", self.folder / "engine.so")
        (self.folder / "mode").write_text(mode)
        return self.folder / "engine.so"

    def start(self, user=SOMEBODY, environment=None, listening=None, answering_child=False):
        where = str(self.path) if listening is None else f"fd:{listening.fileno()}"
        # The process that listens is the one that answers, unless that is what is tried.
        program = DAEMON if answering_child else DAEMON.replace("if os.fork():", "if False:").replace("os._exit(0)", "client.close()")
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", "/usr/bin/python3", "-c", program, where,
                 str(self.answers), str(self.log)]  # fmt: skip
        self.process = subprocess.Popen(words, env={"PATH": os.environ["PATH"], **(environment or {})}, stdout=subprocess.PIPE, text=True,
                                        pass_fds=[listening.fileno()] if listening else [])  # fmt: skip
        assert self.process.stdout.readline() == "up\n"
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def reported(self):
        """What the engine saw, by its first word; {} if it was never loaded."""
        lines = [line.split(None, 1) for line in self.report.read_text().splitlines()] if self.report.exists() else []
        found = {}
        for word, *rest in lines:
            found.setdefault(word.rstrip(":"), []).append(" ".join(rest).strip())
        return found

    def askers(self):
        """The uids of whoever asked it something."""
        return {int(line.split()[1]) for line in self.log.read_text().splitlines()}


@contextlib.contextmanager
def taken_over(certificates):
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        daemon = TakenOver(folder, certificates)
        try:
            yield daemon
        finally:
            daemon.stop()


@contextlib.contextmanager
def server_that_speaks_tls():
    """As far as libpq needs to go until it loads keys; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            while True:
                try:
                    client = server.accept()[0]
                except OSError:
                    return
                with client:
                    client.settimeout(10)
                    with contextlib.suppress(OSError):
                        client.recv(8)
                        client.sendall(b"S")
                        client.recv(100)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


def engine_url(daemon, port):
    return (f"postgresql://x@127.0.0.1:{port}/x?sslmode=require&sslcert={daemon.folder}/server.pem&sslkey={daemon.folder}/engine.so:key"
            .replace("engine.so:key", "engine.so%3Akey"))


