"""A crowd: thousands of sessions in one thread, for what shows only when there are many.

Each is a TLS socket with hand-made frames and as little Python as can be; whoever wants a client with manners
takes session_client. The crowd does two things: it says hello, and it acks what comes.
"""

import base64
import hashlib
import json
import os
import resource
import secrets
import selectors
import socket
import ssl
import struct
import time

SECONDS = 120  # for anything that is waited for; an error, never a delay
PER_ADDRESS = 50  # sessions from one address of 127.0.0.0/8: a daemon may limit those of one address


def enrol(connection, mailboxes):
    """A device for each mailbox, in one statement: their tokens. (slotbellctl is the way for people; it takes one at a time.)"""
    words = [secrets.token_bytes(32) for _ in mailboxes]
    salts = [secrets.token_bytes(16) for _ in mailboxes]
    hashes = [hashlib.sha256(salt + hashlib.sha256(word).digest()).digest() for salt, word in zip(salts, words)]
    rows = connection.execute(
        "SELECT slotbell.enrol(mailbox, 'crowd', NULL, salt, hash) FROM unnest(%s::text[], %s::bytea[], %s::bytea[])"
        " WITH ORDINALITY AS new(mailbox, salt, hash, nth) ORDER BY nth", [mailboxes, salts, hashes]).fetchall()
    return [f"sbd_{row[0]}_{base64.urlsafe_b64encode(word).decode().rstrip('=')}" for row, word in zip(rows, words)]


def _frame(message):
    """A masked text frame; the mask is zero, which a peer cannot tell from another one."""
    payload = json.dumps(message).encode()
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    return b"\x81" + length + bytes(4) + payload


class Member:
    """One session. `seen` has how many messages of each type came."""

    def __init__(self, number, token, wire):
        self.number, self.token, self.wire = number, token, wire
        self.seen = {}
        self.events = 0
        self._buffer = bytearray()

    def send(self, message):
        data = _frame(message)
        sent = self.wire.send(data)
        assert sent == len(data), "a socket buffer is full: the daemon does not read"

    def read(self):
        """Every whole message that is there."""
        found = []
        while True:
            try:
                data = self.wire.recv(65536)
            except (ssl.SSLWantReadError, BlockingIOError):
                return found
            assert data, f"session {self.number} was closed; it saw {self.seen}"
            self._buffer += data
            found += self._messages()

    def _messages(self):
        buffer = self._buffer
        while len(buffer) >= 2:
            start, length = 2, buffer[1]
            if length == 126:
                start, length = 4, int.from_bytes(buffer[2:4], "big")
            elif length == 127:
                start, length = 10, int.from_bytes(buffer[2:10], "big")
            if len(buffer) < start + length:
                return
            opcode, payload = buffer[0] & 15, bytes(buffer[start : start + length])
            del buffer[: start + length]
            if opcode == 1:
                message = json.loads(payload)
                self.seen[message["type"]] = self.seen.get(message["type"], 0) + 1
                yield message
            elif opcode == 9:
                self.wire.send(b"\x8a" + bytes([0x80 | len(payload)]) + bytes(4) + payload)


class Crowd:
    """Connections to one daemon, one for each token. `with` closes them."""

    def __init__(self, daemon, tokens):
        self.daemon = daemon
        self.members = []
        self.acked = 0  # acks that were confirmed
        self._selector = selectors.DefaultSelector()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < len(tokens) + 100:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, len(tokens) + 100), hard))
        context = daemon.tls()
        for number, token in enumerate(tokens):
            wire = self._connect(context, f"127.0.{number // PER_ADDRESS // 250}.{number // PER_ADDRESS % 250 + 1}")
            member = Member(number, token, wire)
            self.members.append(member)
            self._selector.register(wire, selectors.EVENT_READ, member)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._selector.close()
        for member in self.members:
            member.wire.close()

    def _connect(self, context, source):
        plain = socket.create_connection((self.daemon.address, self.daemon.port), SECONDS, source_address=(source, 0))
        wire = context.wrap_socket(plain, server_hostname=self.daemon.address)
        key = base64.b64encode(os.urandom(16)).decode()
        wire.sendall((f"GET /v1/session HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: slotbell.v1\r\n\r\n").encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            part = wire.recv(4096)
            assert part, f"no upgrade: {answer!r}"
            answer += part
        assert answer.startswith(b"HTTP/1.1 101"), answer
        wire.setblocking(False)
        return wire

    def hello(self):
        """All of them, in one go."""
        for member in self.members:
            member.send({"type": "hello", "token": member.token})

    def until(self, condition):
        """Reads, and acks what comes, until it is so."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, "the crowd waits in vain"
            self.turn()

    def turn(self, seconds=0.1):
        for key, _ in self._selector.select(seconds):
            member, newest = key.data, None
            for message in member.read():
                if message["type"] == "booking":
                    member.events += 1
                    newest = message["cursor"]
                elif message["type"] == "acked":
                    self.acked += 1
            if newest:
                member.send({"type": "ack", "cursor": newest})

    def all_live(self):
        return all(member.seen.get("live") for member in self.members)

    def events(self):
        return sum(member.events for member in self.members)
