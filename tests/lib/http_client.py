"""slotbell.v1 over plain HTTP for tests, independent of ours: asyncio, and bytes that one can see.

Each request has a connection of its own, unless it is made by a Kept one.
"""

import asyncio
import json
import ssl

SECONDS = 20


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def messages(self):
        """Of GET /v1/bookings: each message's own text."""
        return [json.loads(text) for text in self.texts()]

    def texts(self):
        """The same as they stand in the body, byte for byte."""
        text = self.body.decode()
        assert text.startswith('{"messages":[') and text.endswith("]}\n"), text
        found, decoder, at, end = [], json.JSONDecoder(), len('{"messages":['), len(text) - len("]}\n")
        while at < end:
            _, stop = decoder.raw_decode(text, at)
            found.append(text[at:stop])
            at = stop + 1
        return found


def head(method, path, headers, body):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def read_head(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *rest = head.rstrip("\r\n").split("\r\n")
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}


def bearer(token):
    return {"Authorization": f"Bearer {token}"} if token else {}


async def connect(daemon):
    return await asyncio.open_connection(daemon.address, daemon.port, ssl=daemon.tls(), server_hostname=daemon.address)


async def request(daemon, method, path, token=None, headers=None, body=None, seconds=SECONDS):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()

    async def go():
        reader, writer = await connect(daemon)
        try:
            writer.write(head(method, path, {**bearer(token), **(headers or {})}, body))
            status, found = await read_head(reader)
            rest = await reader.readexactly(int(found["content-length"])) if "content-length" in found else b""
            return Response(status, found, rest)
        finally:
            writer.close()

    return await asyncio.wait_for(go(), seconds)


async def poll(daemon, token, after=None, limit=None, wait=None, **options):
    query = "&".join(f"{name}={value}" for name, value in (("after", after), ("limit", limit), ("wait", wait)) if value is not None)
    return await request(daemon, "GET", "/v1/bookings" + (f"?{query}" if query else ""), token, **options)


async def ack(daemon, token, cursor, failed=None):
    return await request(daemon, "POST", "/v1/acks", token,
                         body={"type": "ack", "cursor": cursor, **({"failed": failed} if failed else {})})


class Kept:
    """One connection for requests one after the other. `async with Kept(daemon) as kept`."""

    def __init__(self, daemon, token=None):
        self.daemon, self.token = daemon, token

    async def __aenter__(self):
        self.reader, self.writer = await connect(self.daemon)
        return self

    async def __aexit__(self, *_):
        self.writer.transport.abort()

    async def answer(self, seconds=SECONDS):
        async def go():
            status, found = await read_head(self.reader)
            return Response(status, found, await self.reader.readexactly(int(found["content-length"])))

        return await asyncio.wait_for(go(), seconds)

    async def ask(self, method, path, body=None, headers=None):
        self.writer.write(head(method, path, {**bearer(self.token), **(headers or {})}, body))
        return await self.answer()

    async def rest(self, seconds=SECONDS):
        """What comes before the connection ends, and that it does."""
        try:
            return await asyncio.wait_for(self.reader.read(), seconds)
        except (ConnectionError, ssl.SSLError):
            return b""


class Stream:
    """GET /v1/stream. Events come as (event, id, data text); comments as ("comment", None, text)."""

    def __init__(self, daemon, token, last_event_id=None, query="", headers=None):
        self.daemon, self.query = daemon, query
        self.headers = {**bearer(token), **(headers or {})}
        if last_event_id:
            self.headers["Last-Event-ID"] = last_event_id
        self.status = self.found = None
        self._lines = b""

    async def __aenter__(self):
        self.reader, self.writer = await connect(self.daemon)
        self.writer.write(head("GET", f"/v1/stream{self.query}", self.headers, None))
        self.status, self.found = await asyncio.wait_for(read_head(self.reader), SECONDS)
        return self

    async def __aexit__(self, *_):
        self.writer.transport.abort()

    async def body(self):
        """Of an answer that is no stream."""
        return json.loads(await self.reader.readexactly(int(self.found["content-length"])))

    async def _chunk(self):
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def next(self, seconds=SECONDS):
        """The next event; None at the stream's end."""

        async def go():
            while b"\n\n" not in self._lines:
                data = await self._chunk()
                if not data:
                    return None
                self._lines += data
            block, self._lines = self._lines.split(b"\n\n", 1)
            if block.startswith(b":"):
                return "comment", None, block[1:].decode().strip()
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            return fields["event"], fields.get("id"), fields["data"]

        return await asyncio.wait_for(go(), seconds)

    async def until(self, event, seconds=SECONDS):
        """Reads on to the next event of this name: (id, message, its text). All before it are passed over."""
        while True:
            found = await self.next(seconds)
            assert found, f"the stream ended before {event}"
            if found[0] == event:
                return found[1], json.loads(found[2]), found[2]
