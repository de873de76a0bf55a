"""What the store's tests share: the driver as an object, a private PostgreSQL with the stand-in schema, a proxy."""

import contextlib
import os
import pathlib
import queue
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lib"))
import pgcluster  # noqa: E402

VERSION = re.search(r"#define SB_SCHEMA_VERSION (\d+)", (TESTS.parent / "daemon/store/schema_version.h").read_text())[1]
SCHEMA = (TESTS / "integration" / "store_schema.sql").read_text(encoding="utf-8").replace("{version}", VERSION)
# SLOTBELL_BUILD is where the driver was built; with sanitizers is best.
DRIVER = pathlib.Path(os.environ.get("SLOTBELL_BUILD", TESTS.parent / "build" / "dev")) / "tests" / "store_driver"
QUICK = {"connect_ms": 1000, "ping_every_ms": 300, "ping_deadline_ms": 600}


class Store:
    """One store_driver: `ask` says lines to it, `wait` reads on until a line begins so."""

    def __init__(self, url, **settings):
        words = [f"{name}={value}" for name, value in ({"url": url} | QUICK | settings).items()]
        # The environment must not lead libpq elsewhere.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        self.process = subprocess.Popen(
            [DRIVER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        self.lines = []  # all that was read
        self.log = []  # standard error
        self._queue = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, self._queue.put), daemon=True).start()
        self._log_reader = threading.Thread(target=self._read, args=(self.process.stderr, self.log.append), daemon=True)
        self._log_reader.start()

    @staticmethod
    def _read(stream, take):
        for line in stream:
            take(line.rstrip("\n"))
        take("")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._log_reader.join(5)
        assert "Sanitizer" not in "\n".join(self.log), "\n".join(self.log)
        if kind is None:
            assert status == 0, self.log

    def ask(self, *lines):
        """All in one write, so that the driver reads them in one turn of its loop."""
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def wait(self, start, count=1, seconds=20):
        """Read on until `count` more lines begin with `start`; returns the last of them."""
        end = time.monotonic() + seconds
        while count:
            try:
                line = self._queue.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {start!r} (x{count}) in time; last: {self.lines[-5:]}; log: {self.log}") from None
            self.lines.append(line)
            count -= line.startswith(start)
        return line

    def settle(self):
        """Every line that was said before this is in `lines` after."""
        self.ask("echo here")
        self.wait("echo here")

    def up(self):
        self.wait("database up")
        return self

    def count(self, start):
        return sum(line.startswith(start) for line in self.lines)

    def answers(self, word):
        """The ids that `word` lines carried, sorted: one entry per answer."""
        return sorted(int(line.split()[1]) for line in self.lines if line.startswith(f"{word} "))

    def counters(self):
        self.ask("counters")
        self.wait("counters ")
        found = {}
        for line in self.lines[-7:]:
            words = line.split()
            name = words[1] if words[0] == "kind" else "all"
            found[name] = {k: int(v) for k, v in (word.split("=") for word in words if "=" in word)}
        return found


class Proxy:
    """TCP from 127.0.0.1:port to a server; connections can be frozen one by one, or have replies edited."""

    def __init__(self, port, edit=None):
        self.target = port
        self.edit = edit
        self.frozen = set()  # ports of our ends towards the server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    client.close()
                    continue
                self._ends += [client, server]
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client, server):
        name = server.getsockname()[1]
        reply = self.edit() if self.edit else lambda data: data
        with contextlib.suppress(OSError), client, server:
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if name in self.frozen:
                        continue  # swallowed: both ends see a healthy, silent peer
                    if end is client:
                        server.sendall(data)
                    else:
                        client.sendall(reply(data))


def edit_messages(change):
    """An editor of the server's messages: `change(kind, body)` returns the new body, or None to drop it."""

    def new():
        pending = bytearray()

        def reply(data):
            pending.extend(data)
            out = bytearray()
            while len(pending) >= 5:
                (length,) = struct.unpack("!I", pending[1:5])
                if len(pending) < length + 1:
                    break
                kind, body = bytes(pending[:1]), bytes(pending[5 : length + 1])
                del pending[: length + 1]
                body = change(kind, body)
                if body is not None:
                    out += kind + struct.pack("!I", len(body) + 4) + body
            return bytes(out)

        return reply

    return new


def until(condition, seconds=20):
    """Poll what cannot be waited for: a condition inside PostgreSQL."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "condition did not come true in time"
        time.sleep(0.01)
    return found


def cluster(**settings):
    return pgcluster.PgCluster(tcp=True, settings=settings)
