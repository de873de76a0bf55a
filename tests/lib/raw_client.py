"""A client of bytes: TLS, HTTP and websocket frames as a test dictates them, right or wrong.

For what python3-websockets is too polite to send. Whole sessions are
session_client's.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import ssl
import struct

SECONDS = 20  # for anything that is waited for; an error, never a delay
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", fin=True, masked=True, rsv=0, announced=None):
    """One frame of RFC 6455 section 5.2. announced: a length that is said, whatever the payload's is."""
    payload = payload.encode() if isinstance(payload, str) else payload
    length = len(payload) if announced is None else announced
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if length < 126:
        head += bytes([mask_bit | length])
    elif length < 65536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def text(message):
    """A text frame with this message: an object, or what is to stand there instead."""
    return frame(TEXT, message if isinstance(message, (str, bytes)) else json.dumps(message))


def request(path="/v1/session", method="GET", version="HTTP/1.1", without=(), more=(), **headers):
    """An upgrade request. Headers by name with _ for -; without: names of usual ones to leave out; more: raw lines."""
    usual = {
        "Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "slotbell.v1",
    }
    usual.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"{name}: {value}" for name, value in usual.items() if name not in without]
    return "\r\n".join([f"{method} {path} {version}", *lines, *more, "", ""]).encode()


class Response:
    """An HTTP answer: status, headers (names in lower case) and, where the server closed, the body."""

    def __init__(self, head, body):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body

    def problem(self):
        """The body as a problem document (RFC 9457), which it must be."""
        assert self.headers["content-type"] == "application/problem+json", self.headers
        found = json.loads(self.body)
        assert found["status"] == self.status and found["title"] and found["detail"], found
        return found


class Raw:
    """One connection. `async with Raw(daemon) as raw`.

    tls      False: plain TCP; a context of the test's own; None: the daemon's usual one
    receive  bytes of the kernel's receive buffer, for one that is slow to read
    source   the address to come from, instead of 127.0.0.1
    """

    def __init__(self, daemon, tls=None, receive=None, source=None):
        self.daemon = daemon
        self.context = daemon.tls() if tls is None else tls
        self.receive = receive
        self.source = source
        self.reader = self.writer = None

    async def __aenter__(self):
        plain = socket.socket()
        if self.receive:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive)
        if self.source:
            plain.bind((self.source, 0))
        plain.setblocking(False)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(plain, (self.daemon.address, self.daemon.port)), SECONDS)
        options = {"ssl": self.context, "server_hostname": self.daemon.address} if self.context else {}
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(sock=plain, **options), SECONDS)
        return self

    async def __aexit__(self, *_):
        self.drop()

    def drop(self):
        """Gone, in whatever state it was."""
        self.writer.transport.abort()

    async def send(self, *parts):
        """Sends, in one piece, unless the other side is gone already: what became of it is read, not written."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.writer.write(b"".join(parts))
            await asyncio.wait_for(self.writer.drain(), SECONDS)

    async def read_to_end(self):
        """All that comes before the connection ends, however it ends."""
        found = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while part := await asyncio.wait_for(self.reader.read(65536), SECONDS):
                found += part
        return found

    async def response(self):
        """The answer to a request, read to the end of the connection unless it is 101. None: there was none."""
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SECONDS)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None
        found = Response(head[:-4], b"")
        if found.status != 101:
            found.body = await self.read_to_end()
        return found

    async def upgrade(self, *first, **options):
        """The upgrade, which must succeed. first: frames that go out with it, in one piece."""
        await self.send(request(**options) + b"".join(first))
        response = await self.response()
        assert response and response.status == 101, response and (response.status, response.body)
        return response

    async def frame(self):
        """The next frame: (opcode, payload). A server's are whole and not masked; None at the end of the connection."""
        try:
            return await asyncio.wait_for(self._frame(), SECONDS)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None

    async def _frame(self):
        first, second = await self.reader.readexactly(2)
        assert first & 0x70 == 0 and second & 0x80 == 0, (first, second)
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first, await self.reader.readexactly(length)

    async def message(self):
        """The next message, or None at the end. Pings are passed over."""
        while found := await self.frame():
            opcode, payload = found
            if opcode & 0xF == TEXT:
                return json.loads(payload)
            assert opcode & 0xF == PING, found
        return None

    async def end(self):
        """Reads to the end: how it ended, as an End."""
        messages, others, code, word = [], [], None, ""
        while found := await self.frame():
            opcode, payload = found
            if code is not None:  # a ping may still be answered, RFC 6455 section 5.5.2
                assert opcode & 0xF == PONG, f"{found} after the close"
            elif opcode & 0xF == TEXT:
                messages.append(json.loads(payload))
            elif opcode & 0xF == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else 1005
                word = payload[2:].decode(errors="backslashreplace")
                await self.send(frame(CLOSE, payload[:2]))
            else:
                others.append(found)
        return End(code, word, messages, others)


class End:
    """How a connection ended: the close frame's code (None: there was none) and word, and what came before it."""

    def __init__(self, code, word, messages, others):
        self.code, self.word, self.messages, self.others = code, word, messages, others
        errors = [message for message in messages if message["type"] == "error"]
        self.error = errors[-1] if errors else None
        self.detail = self.error["detail"] if self.error else ""

    def __repr__(self):
        return f"End({self.code}, {self.word!r}, {self.messages}, {self.others})"
