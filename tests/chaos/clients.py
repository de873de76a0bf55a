"""Good clients: plug-ins that do as docs/protocol.md says, each for one device, and write down what they see.

Good means: write the appointment, save the cursor and what failed, then ack; come back with full jitter or when the
server said; notice silence; go by websocket, by stream or by poll (ways.py), another time another way; keep failures until an acked says that they are kept. That they break off
in the middle of a frame, or forget what they had not saved, is what happens to the good, too.
"""

import asyncio
import collections
import contextlib
import ssl
import zlib

import websockets
from session_client import Closed, seq_of
from ways import Poll, Stream, Websocket

BACKOFF_MIN, BACKOFF_MAX = 0.2, 3.0  # a short life wants short waits: the protocol's own maximum is a minute
OPEN_SECONDS = 4
REASONS = ("conflict", "rejected", "unsupported")
# One in so many bookings cannot be written; always the same ones, for a repeat meets the same calendar.
FAILS_ONE_IN = 29
UNREACHABLE = (OSError, asyncio.TimeoutError, ssl.SSLError, websockets.InvalidHandshake, websockets.InvalidMessage,
               websockets.ConnectionClosed, EOFError)  # fmt: skip


def failure_of(device, mark):
    """Why this device cannot write this booking, or None."""
    number = zlib.crc32(f"{device} {mark}".encode())
    return REASONS[number % 3] if number % FAILS_ONE_IN == 0 else None


class Plugin:
    def __init__(self, history, random, device, mailbox, token, daemons, contexts, ways=(Websocket, Stream, Poll)):
        """daemons: any of them will do. contexts: theirs for TLS, made once for all. ways: one of them for each session."""
        self.history, self.random, self.device, self.mailbox, self.token = history, random, device, mailbox, token
        self.daemons, self.contexts, self.ways = daemons, contexts, ways
        self.saved = None  # the cursor on its disk
        self.unconfirmed = {}  # seq -> reason, on its disk too
        self.told = 0  # the newest acked
        self.progress = asyncio.Event()  # an acked came; the one who waits clears it
        self.client = None  # while there is a connection
        self.laziness = random.choice((0.02, 0.02, 0.1, 1.0))  # how long it waits for more before it acks
        self.sessions = 0
        self.by_way = collections.Counter()  # sessions
        self._stopping = False
        self._attempts = 0
        self._forget()

    def _forget(self):
        """A crash: what was not saved is gone."""
        self._pending = None  # the newest cursor that was written and not yet acked
        self._failed = {}  # of what is not yet acked

    # ---- life ----

    async def run(self):
        while not self._stopping:
            delay = await self._session()
            if self._stopping:
                return
            if delay is None:
                delay = self.random.uniform(0, min(BACKOFF_MAX, BACKOFF_MIN * 2**self._attempts))
                self._attempts += 1
            await asyncio.sleep(delay)  # as it was told, or full jitter: what a plug-in does

    def give_up(self):
        """At the next message, or when cancelled. (wait_for of Python 3.11 loses a cancellation that meets a message.)"""
        self._stopping = True

    async def stop(self):
        self.give_up()
        if self.client and self.client.is_open():
            with contextlib.suppress(*UNREACHABLE):
                await self.client.close()

    def break_off(self, how):
        """Now, whatever goes on: `dropped`, or `in a frame` of which the rest never comes. False: not connected."""
        if not (self.client and self.client.is_open()):
            return False
        self.client.break_off(how)
        return True

    # ---- one session ----

    def _new_client(self):
        which = self.random.randrange(len(self.daemons))
        # The first by its number, so that in a short run too some go each way.
        way = self.random.choice(self.ways) if self.sessions else self.ways[self.device % len(self.ways)]
        if way is Websocket:
            return Websocket(self.daemons[which], self.token, ssl=self.contexts[which], open_timeout=OPEN_SECONDS, close_timeout=1)
        return way(self.daemons[which], self.token, self.random, self.daemons, self.contexts)

    async def _session(self):
        """From connection to its end. Returns how long to wait, if the server said so."""
        client = self._new_client()
        try:
            await client.open()
        except UNREACHABLE:
            return None
        if self._stopping:
            await client.close()
            return None
        self.client = client
        self.sessions += 1
        self.by_way[type(client).__name__] += 1
        how, code = "broken off", None
        try:
            await self._talk(client)
        except Closed as end:
            # Nobody closed whose code is 1006: that is what a library says when there is no close frame.
            how, code = ("closed", end.code) if end.code != 1006 else ("broken off", None)
        except asyncio.TimeoutError:
            how = "silent"
        except UNREACHABLE:
            pass
        finally:
            self.client = None
            self._forget()
            self.history.add("ended", device=self.device, n=self.sessions, how=how, code=code)
            client.end()
        goodbye = client.goodbye
        return goodbye["reconnect_after_ms"] / 1000 if goodbye else None

    async def _talk(self, client):
        cursor = self.saved if self.random.random() < 0.7 else None  # who has lost its cursor relies on the server's
        self.history.add("session", device=self.device, mailbox=self.mailbox, n=self.sessions, cursor=cursor,
                         daemon=client.daemon.port, way=type(client).__name__)  # fmt: skip
        await client.hello(cursor=cursor)
        patience = 6.0  # until welcome: longer than a daemon lets one wait for its database
        while not self._stopping:
            message = await self._next(client, patience)
            handler = getattr(self, "_on_" + message["type"], None)
            if handler:
                await handler(client, message)
            if message["type"] == "welcome":
                patience = message["heartbeat_seconds"]
                self._attempts = 0

    async def _next(self, client, patience):
        """The next message. Silence is broken by a ping, and is the end when that is not answered either."""
        if self._pending:
            with contextlib.suppress(asyncio.TimeoutError):
                return await client.next(self.random.uniform(0.0, self.laziness))
            await self._ack(client)
        with contextlib.suppress(asyncio.TimeoutError):
            return await client.next(patience)
        await client.send({"type": "ping"})
        return await client.next(patience)

    async def _on_welcome(self, client, message):
        self.history.add("welcome", device=self.device, n=self.sessions, cursor=message["cursor"], head=message["head"])
        if self.unconfirmed:
            # Of which the server may know nothing, though it knows the ack that they came with.
            await self._send_ack(client, message["cursor"], {})

    async def _on_booking(self, client, message):
        booking = message["booking"]
        mark = booking["subject"]
        self.history.add("booking", device=self.device, n=self.sessions, seq=message["seq"],
                         epoch=message["cursor"].rpartition(".")[0], uid=booking["uid"], version=booking["version"],
                         change=message["change"], mark=mark)  # fmt: skip
        reason = failure_of(self.device, mark)
        if reason:
            self._failed[message["seq"]] = reason
        self._pending = message["cursor"]
        if self.random.random() < 0.2:
            await self._ack(client)

    async def _on_reset(self, client, message):
        self.history.add("reset", device=self.device, n=self.sessions, cursor=message["cursor"], reason=message["reason"])
        self._forget()
        self.saved = self._pending = message["cursor"]
        self.unconfirmed.clear()
        self.told = min(self.told, seq_of(message["cursor"]))

    async def _on_live(self, client, message):
        self.history.add("live", device=self.device, n=self.sessions, cursor=message["cursor"])
        if self.told < seq_of(message["cursor"]) and not self._pending and self.saved == message["cursor"]:
            # Acked, saved and not told so: its acked was lost. Said again, it is answered again.
            await self._send_ack(client, message["cursor"], {})

    async def _on_acked(self, _client, message):
        self.history.add("acked", device=self.device, n=self.sessions, cursor=message["cursor"])
        self.told = seq_of(message["cursor"])
        self.unconfirmed = {seq: reason for seq, reason in self.unconfirmed.items() if seq > self.told}
        self.progress.set()

    async def _ack(self, client):
        """Saved, then said."""
        cursor, failed = self._pending, self._failed
        self._forget()
        self.saved = cursor
        self.unconfirmed.update(failed)
        await self._send_ack(client, cursor, failed)

    async def _send_ack(self, client, cursor, failed):
        limit = seq_of(cursor)
        failed = {seq: reason for seq, reason in {**self.unconfirmed, **failed}.items() if seq <= limit}
        self.history.add("acks", device=self.device, n=self.sessions, cursor=cursor, failed=failed)
        await client.ack(cursor, [{"seq": seq, "reason": reason} for seq, reason in failed.items()])
