"""The three ways to a daemon, alike for the one who goes by them: websocket, server-sent events, long poll.

Each is one session of one device: open(), hello(), next(), ack(), close(); Closed is raised where it ends, with the
code that a websocket would have had. What the plain HTTP ways do not have (a pong, a welcome of a poll's) is made here.
"""

import asyncio
import contextlib
import json
import os
import ssl

import http_client
from session_client import Client, Closed, seq_of

CODES = {"bad-message": 4400, "bad-token": 4401, "revoked": 4403, "expired": 4403, "no-hello": 4408, "replaced": 4409,
         "too-big": 1009, "too-many": 4429, "busy": 1013, "degraded": 1013, "stalled": 1013, "draining": 1012}  # fmt: skip
PONG = {"type": "pong"}
WAIT_SECONDS = 2  # of a poll: less than a heartbeat of the daemons'
ANSWER_SECONDS = 8  # longer than a daemon lets one wait for its database
ELSEWHERE = 0.3  # the share of requests that a balancer brings to any of the daemons
KEEPS = 0.9  # the share of connections that the daemon kept and that are used again


class Websocket(Client):
    def is_open(self):
        return self.socket is not None

    def break_off(self, how):
        if how == "in a frame":
            # A masked text frame of 40 bytes, of which 11 come.
            self.socket.transport.write(b"\x81\xa8" + os.urandom(11))
        self.socket.transport.abort()

    def end(self):
        """Whatever its state is."""
        if not self.socket.closed:
            self.drop()


class Http:
    """What the stream and the poll share: a task that reads, one that acks, and a queue of what they got."""

    def __init__(self, daemon, token, random, daemons, contexts):
        self.daemon, self.token, self.random = daemon, token, random
        self.places = list(zip(daemons, contexts))
        self.goodbye = None
        self._news = asyncio.Queue()  # messages, or an exception that is the end
        self._acks = asyncio.Queue()
        self._tasks, self._writers = set(), set()
        self._kept = []  # (reader, writer) of connections that wait for the next request
        self._delivered, self._settled = None, asyncio.Event()
        self._settled.set()

    async def open(self):
        """There is nothing to open before the first request; a daemon that is not there is found out now all the same."""
        _, writer = await asyncio.wait_for(self._connect(home=True), ANSWER_SECONDS / 2)
        writer.close()
        return self

    async def hello(self, cursor):
        self._start(self._go(cursor))
        self._start(self._post())

    async def next(self, seconds):
        message = await asyncio.wait_for(self._news.get(), seconds)
        if isinstance(message, Exception):
            self._news.put_nowait(message)
            raise message
        return message

    async def send(self, message):
        """Only a ping: the daemon's own signs of life have to do, and so has the silence."""
        assert message["type"] == "ping", message

    async def ack(self, cursor, failed=None):
        self._acks.put_nowait((cursor, failed))

    def is_open(self):
        return bool(self._tasks)

    def break_off(self, how):
        if how == "in a frame":
            for writer in self._writers:
                writer.write(b"POST /v1/acks HTTP/1.1\r\nContent-Length: 40\r\n\r\n" + os.urandom(11))
        for writer in self._writers:
            writer.transport.abort()
        self._news.put_nowait(ConnectionResetError("broken off by us"))

    def end(self):
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def close(self):
        self.end()

    # ---- requests ----

    def _start(self, coroutine):
        async def guarded():
            try:
                await coroutine
            except Exception as error:  # pylint: disable=broad-except
                self._news.put_nowait(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, home=False):
        daemon, context = next(place for place in self.places if place[0] is self.daemon)
        if not home and self.random.random() < ELSEWHERE:
            daemon, context = self.random.choice(self.places)
        return await asyncio.open_connection(daemon.address, daemon.port, ssl=context, server_hostname=daemon.address)

    @contextlib.asynccontextmanager
    async def _asked(self, connection, method, path, headers=None, body=None):
        """A request and the head of its answer: (reader, status, headers). Who leaves without an error may have it kept."""
        reader, writer = connection
        self._writers.add(writer)
        keeps = False
        try:
            writer.write(http_client.head(method, path, {**http_client.bearer(self.token), **(headers or {})}, body))
            status, found = await http_client.read_head(reader)
            yield reader, status, found
            keeps = found["connection"] == "keep-alive" and self.random.random() < KEEPS
        finally:
            if keeps:
                self._kept.append(connection)
            else:
                self._writers.discard(writer)
                writer.transport.abort()

    async def _ask(self, connection, method, path, body):
        async with self._asked(connection, method, path, body=body) as (reader, status, found):
            return status, json.loads(await reader.readexactly(int(found["content-length"])))

    async def _request(self, method, path, body=None, seconds=ANSWER_SECONDS):
        """The status and JSON of an answer that is one of the good ones; Closed for the others."""
        async with asyncio.timeout(seconds):
            answered = None
            if self._kept:  # it may have ended just now: then by a new one (RFC 9112 section 9.3.1)
                with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
                    answered = await self._ask(self._kept.pop(), method, path, body)
            status, answer = answered or await self._ask(await self._connect(), method, path, body)
        self._refuse(status, answer)
        return status, answer

    def _refuse(self, status, answer):
        if status == 200 or (status == 409 and answer.get("type") == "reset"):
            return
        if "retry_after_ms" in answer:
            self.goodbye = {"reconnect_after_ms": answer["retry_after_ms"]}
        raise Closed(CODES.get(answer.get("reason"), 1000 + status), self.goodbye, answer)

    def _bring(self, message):
        if message["type"] in ("booking", "reset"):
            self._delivered = message["cursor"]
            self._settled.clear()
        self._news.put_nowait(message)

    async def _post(self):
        """One ack after the other."""
        while True:
            cursor, failed = await self._acks.get()
            body = {"type": "ack", "cursor": cursor, **({"failed": failed} if failed else {})}
            _, answer = await self._request("POST", "/v1/acks", json.dumps(body).encode())
            self._bring(answer)
            if answer["type"] == "acked" and self._delivered and seq_of(answer["cursor"]) >= seq_of(self._delivered):
                self._settled.set()


class Stream(Http):
    async def _go(self, cursor):
        headers = {"Last-Event-ID": cursor} if cursor else {}
        async with self._asked(await self._connect(home=True), "GET", "/v1/stream", headers) as (reader, status, found):
            if status != 200:
                self._refuse(status, json.loads(await reader.readexactly(int(found["content-length"]))))
            text = b""
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                text += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
                *blocks, text = text.split(b"\n\n")
                for block in blocks:
                    self._take(block.decode())
                if size == 0:
                    raise Closed(CODES[self.goodbye["reason"]] if self.goodbye else 1006, self.goodbye, None)

    def _take(self, block):
        if block.startswith(":"):
            self._news.put_nowait(PONG)
            return
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        message = json.loads(fields["data"])
        assert message["type"] == fields["event"] and fields.get("id") in (None, message.get("cursor"))
        if message["type"] == "goodbye":
            self.goodbye = message
        if message["type"] != "acked":  # that is for the answers to say, in whose order they are
            self._bring(message)


class Poll(Http):
    async def _go(self, cursor):
        _, standing = await self._request("GET", "/v1/reconnect")
        if standing["state"] != "ready" or "epoch" not in standing:
            self.goodbye = {"reconnect_after_ms": standing["retry_after_ms"]}
            raise Closed(1013, self.goodbye, None)
        self._bring(welcome(standing, cursor))
        query, live = f"?after={cursor}" if cursor else "", False
        while True:
            # A poll goes on where the acks reach, so they come first.
            await self._settled.wait()
            _, answer = await self._request("GET", f"/v1/bookings{query}", seconds=ANSWER_SECONDS + WAIT_SECONDS)
            for message in answer["messages"]:
                if message["type"] == "live" and live and self._settled.is_set():
                    message = PONG
                live = live or message["type"] == "live"
                self._bring(message)
            query = f"?wait={WAIT_SECONDS}" if live else ""


def welcome(standing, cursor):
    """Where the poll starts (docs/protocol.md, hello): the later of the client's cursor and the stored one."""
    start = standing["acked"]
    if cursor and start < seq_of(cursor) <= standing["head"]:
        start = seq_of(cursor)
    return {"type": "welcome", "cursor": f"{standing['epoch']}.{start}", "head": standing["head"], "heartbeat_seconds": 3}
