"""An independent client of slotbell.v1 for tests: python3-websockets, and nothing of ours in C.

It does what it is told and no more: it neither acks nor comes back by itself,
so that a test can be as good or as bad a client as it wants to be.
"""

import asyncio
import json

import websockets

SUBPROTOCOL = "slotbell.v1"
SECONDS = 20  # for anything that is waited for; an error, never a delay


def seq_of(cursor):
    return int(cursor.rpartition(".")[2])


def run(coroutine, seconds=60):
    """A test's own story on a loop of its own, within bounds."""
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


class Closed(Exception):
    """The server closed: `code`, and the `goodbye` and `error` messages that came before, if any."""

    def __init__(self, code, goodbye, error):
        super().__init__(f"closed with {code}; goodbye {goodbye}, error {error}")
        self.code, self.goodbye, self.error = code, goodbye, error


class Client:
    """One connection. `async with Client(daemon) as client`, or open() and close()."""

    def __init__(self, daemon, token=None, header=False, **options):
        """header: the token goes into Authorization instead of hello. options: websockets.connect's."""
        self.daemon, self.token, self.header = daemon, token, header
        self.options = options
        self.socket = None
        self.received = []  # every message, in order
        self.goodbye = self.error = None

    async def open(self):
        headers = {"Authorization": f"Bearer {self.token}"} if self.header else {}
        options = {"subprotocols": [SUBPROTOCOL], "ssl": self.daemon.tls(), "ping_interval": None, "compression": None,
                   "open_timeout": SECONDS, "close_timeout": 5, "max_size": None, "extra_headers": headers, **self.options}
        self.socket = await websockets.connect(f"{self.daemon.url}/v1/session", **options)
        return self

    async def __aenter__(self):
        return await self.open()

    async def __aexit__(self, *_):
        await self.close()

    async def close(self, code=1000):
        if self.socket:
            await self.socket.close(code)

    def drop(self):
        """Gone without a word, as when a lid is shut: RST, no close frame."""
        self.socket.transport.abort()

    async def send(self, message):
        await self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def hello(self, cursor=None, mode=None, **fields):
        message = {"type": "hello", **fields}
        if self.token and not self.header:
            message["token"] = self.token
        if cursor:
            message["cursor"] = cursor
        if mode:
            message["mode"] = mode
        await self.send(message)

    async def welcome(self, **fields):
        """Hello, and its welcome."""
        await self.hello(**fields)
        return await self.receive("welcome")

    async def ack(self, cursor, failed=None):
        await self.send({"type": "ack", "cursor": cursor, **({"failed": failed} if failed else {})})

    async def next(self, seconds=SECONDS):
        """The next message, whatever it is. Closed when the server closed instead."""
        try:
            message = json.loads(await asyncio.wait_for(self.socket.recv(), seconds))
        except websockets.ConnectionClosed:
            raise Closed(self.socket.close_code, self.goodbye, self.error) from None
        self.received.append(message)
        if message["type"] == "goodbye":
            self.goodbye = message
        elif message["type"] == "error":
            self.error = message
        return message

    async def receive(self, kind, seconds=SECONDS):
        """The next message, which must be of this type."""
        message = await self.next(seconds)
        assert message["type"] == kind, f"{kind} was due, this came: {message}"
        return message

    async def until(self, kind, seconds=SECONDS):
        """Reads on to the next message of this type; all before it are in `received`."""
        while True:
            message = await self.next(seconds)
            if message["type"] == kind:
                return message

    async def bookings(self, count, seconds=SECONDS):
        """The next `count` bookings, with nothing of another type between but acked and live."""
        found = []
        while len(found) < count:
            message = await self.next(seconds)
            if message["type"] == "booking":
                found.append(message)
            else:
                assert message["type"] in ("acked", "live"), message
        return found

    async def acked(self, cursor, seconds=SECONDS):
        """Reads on until the server confirmed this cursor or a later one."""
        while True:
            message = await self.until("acked", seconds)
            if seq_of(message["cursor"]) >= seq_of(cursor):
                return message

    async def closed(self, seconds=SECONDS):
        """Reads to the end: the close code. What came before it is in `received`, `goodbye` and `error`."""
        try:
            while True:
                await self.next(seconds)
        except Closed as end:
            return end.code
