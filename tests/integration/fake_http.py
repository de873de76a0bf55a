"""A scripted server of Slotbell over plain HTTP for tests of clients: it answers as the test says, or not at all.

    with FakeHttp(context, stream=script, acks=script) as server: …

A script is a coroutine function (request). What has none: /v1/reconnect is ready, acks are taken, all else is 404.
"""

import asyncio
import json

from ctl_support import wait_until
from fake_server import SECONDS, Loop, booking, cursor

EPOCH_START = {"state": "ready", "retry_after_ms": 0, "epoch": "k3f9q2", "head": 5, "acked": 5, "pending": 0,
               "transports": ["websocket", "stream", "poll"]}  # fmt: skip


class Request:
    def __init__(self, server, reader, writer, number):
        self.server, self.reader, self.writer = server, reader, writer
        self.number = number  # of those for the same path
        self.method = self.path = self.query = self.body = None
        self.headers = {}

    async def read(self):
        first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip("\r\n").split("\r\n")
        self.method, target, _version = first.split()
        self.path, _, self.query = target.partition("?")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        self.body = await self.reader.readexactly(int(self.headers.get("content-length", 0)))

    def json(self):
        return json.loads(self.body)

    def write(self, text):
        self.writer.write(text.encode())

    def answer(self, status, body, **headers):
        """The whole of it. body: text, or what becomes JSON."""
        text = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
        lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(text.encode())}", "Connection: close"]
        given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        lines += [f"{name}: {value}" for name, value in given.items()]
        self.write("\r\n".join([*lines, "", text]))

    def problem(self, status, reason, **headers):
        self.answer(status, {"type": "about:blank", "title": "Words", "status": status, "detail": "words", "reason": reason},
                    Content_Type="application/problem+json", **headers)  # fmt: skip

    def begin_stream(self):
        self.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    def event(self, message):
        lines = [f"event: {message['type']}"]
        if message["type"] in ("booking", "reset", "live"):
            lines.append(f"id: {message['cursor']}")
        self.write("\n".join([*lines, f"data: {json.dumps(message, separators=(',', ':'))}", "", ""]))

    def welcome(self, seq=5, heartbeat_seconds=25):
        """Begins a stream whose client has nothing to catch up with."""
        self.begin_stream()
        self.event({"type": "welcome", "session": "s", "mailbox": "ada@example.com", "cursor": cursor(seq), "head": seq,
                    "window": 32, "heartbeat_seconds": heartbeat_seconds, "server_time": "2026-11-23T09:12:44.123456Z",
                    "reconnect": {"min_ms": 1, "max_ms": 20}, "features": []})  # fmt: skip
        self.event({"type": "live", "cursor": cursor(seq)})

    async def gone(self):
        """Until the client goes: what is asked is never answered."""
        try:
            await self.reader.read()
        except OSError:
            pass


# ---- scripts that many tests have ----


async def takes(request):
    """An ack: it is saved."""
    request.answer(200, {"type": "acked", "cursor": request.json()["cursor"]})


async def streams(request):
    """A stream that says hello, and is quiet from then on."""
    request.welcome()
    await request.gone()


async def polls(request):
    """A poll that finds nothing: at once where that is asked for, else it waits as it was told to."""
    if "wait=0" in request.query:
        request.answer(200, {"messages": [{"type": "live", "cursor": cursor(5)}]})
    else:
        await request.gone()


async def streams_one(request):
    """A stream with one booking."""
    request.welcome()
    request.event(booking(6, "one"))
    await request.gone()


async def finds_one(request):
    """A poll that finds one booking, and no more."""
    request.answer(200, {"messages": [booking(6, "one"), {"type": "live", "cursor": cursor(6)}]})


async def refuses(request):
    """Whatever it is: no, and no word of why, as a proxy that lets no upgrade through."""
    request.problem(403, None)


class FakeHttp(Loop):
    def __init__(self, context, **scripts):
        super().__init__()
        self.context, self.scripts = context, scripts
        self.requests = []
        self.server = self.port = None
        self._tasks = set()

    @property
    def url(self):
        return f"wss://localhost:{self.port}"

    def of(self, path):
        """The requests for /v1/PATH so far."""
        return [request for request in self.requests if request.path == f"/v1/{path}"]

    def wait(self, condition):
        """Until requests came that make it true."""
        wait_until(condition, "the requests come")

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        request = Request(self, reader, writer, 0)
        try:
            await request.read()
            word = request.path.removeprefix("/v1/")
            request.number = len(self.of(word))
            self.requests.append(request)
            await self._answer(request, word)
            await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, request, word):
        if word in self.scripts:
            await self.scripts[word](request)
        elif word == "reconnect":
            request.answer(200, EPOCH_START)
        elif word == "acks":
            await takes(request)
        else:
            request.problem(404, None)

    async def start(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.wait_for(self.server.wait_closed(), SECONDS)
