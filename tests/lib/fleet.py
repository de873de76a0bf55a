"""Plug-ins that come back as docs/protocol.md says, many in one process, and two instances on one port to come back to.

Every plug-in insists on the order of what it gets, and keeps when it came
through the handshake. For the test of a rolling restart, and for its measurement.
"""

import asyncio
import bisect
import itertools
import random
import time

import websockets
from session_client import Client, Closed

MIN_SECONDS, MAX_SECONDS = 0.5, 60  # welcome's reconnect.min_ms and max_ms


class Plugin:
    """One device, from its first connection until `stop()`."""

    def __init__(self, daemon, token):
        self.daemon, self.token = daemon, token
        self.seqs = []  # what it got, each once
        self.repeats = 0  # what came again, for its ack was lost
        self.connected = []  # when, by the monotonic clock
        self.told = []  # milliseconds of every goodbye
        self.live = False
        self.task = asyncio.create_task(self._run())

    async def _session(self):
        async with Client(self.daemon, self.token) as client:
            self.connected.append(time.monotonic())
            await client.welcome()
            self.live = True
            while True:
                message = await client.next(3600)
                if message["type"] == "booking":
                    self._take(message["seq"])
                    await client.ack(message["cursor"])

    def _take(self, seq):
        last = self.seqs[-1] if self.seqs else 0
        assert seq <= last + 1, f"{seq} came after {last}: a booking is missing"
        if seq <= last:
            self.repeats += 1
        else:
            self.seqs.append(seq)

    async def _run(self):
        failures = 0
        while True:
            wait = None
            try:
                await self._session()
            except Closed as end:
                if self.live:
                    failures = 0
                if end.goodbye:
                    wait = end.goodbye["reconnect_after_ms"] / 1000
                    self.told.append(end.goodbye["reconnect_after_ms"])
            except (OSError, EOFError, asyncio.TimeoutError, websockets.WebSocketException):
                pass  # nobody there, or gone in the middle of it
            self.live = False
            if wait is None:
                wait = random.uniform(0, min(MAX_SECONDS, MIN_SECONDS * 2 ** failures))
                failures += 1
            await asyncio.sleep(wait)  # as it was told, or full jitter

    async def stop(self):
        while not self.task.done():  # wait_for() of Python 3.11 forgets a cancellation that comes together with a message
            self.task.cancel()
            await asyncio.wait([self.task], timeout=1)


class Fleet:
    """A plug-in for each token; connected in the end, not all at once."""

    def __init__(self, daemon, tokens):
        self.daemon, self.tokens, self.plugins = daemon, tokens, []

    async def __aenter__(self):
        for batch in range(0, len(self.tokens), 20):
            self.plugins += [Plugin(self.daemon, token) for token in self.tokens[batch:batch + 20]]
            await self.until(lambda: all(plugin.live for plugin in self.plugins))
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(*(plugin.stop() for plugin in self.plugins))

    async def until(self, true, seconds=120):
        """Until it is true. A plug-in that failed, for it missed something, fails here."""
        end = time.monotonic() + seconds
        while not true():
            for plugin in self.plugins:
                if plugin.task.done():
                    plugin.task.result()
            assert time.monotonic() < end, f"in vain; {sum(not plugin.live for plugin in self.plugins)} plug-ins are away"
            await asyncio.sleep(0.02)

    def connections_since(self, begun):
        return sorted(at for plugin in self.plugins for at in plugin.connected if at >= begun)

    def peak(self, begun, seconds=1.0):
        """The most that came through the handshake within a second, from `begun` on."""
        times = self.connections_since(begun)
        return max((bisect.bisect_right(times, at + seconds) - i for i, at in enumerate(times)), default=0)


class Pair:
    """Two instances on one port (SO_REUSEPORT)."""

    def __init__(self, first, second):
        self.both = (first, second)
        second.port, second.url = first.port, first.url
        second.settings["listen.address"] = first.settings["listen.address"]

    def start(self, daemon):
        """Returns when this very one listens, whoever else does."""
        before = len(daemon.log_text())
        daemon.start()
        daemon.wait_log('event="ready"', before)
        daemon.wait_log('event="database up"', before)

    def restart(self, daemon, kill=False):
        """Ends it in good order, or not, and starts it again."""
        if kill:
            daemon.kill()
        else:
            assert daemon.stop() == 0, daemon.log_text()[-2000:]
        self.start(daemon)


numbers = itertools.count(1)


async def publish_until(connection, mailboxes, stop, per_second):
    """One booking after the other, evenly over the mailboxes, until `stop` is set: how many each got."""
    counts = dict.fromkeys(mailboxes, 0)
    for mailbox in itertools.cycle(mailboxes):
        if stop.is_set():
            return counts
        await connection.execute(
            "SELECT slotbell.publish(mailbox => %s, uid => %s, starts_at => '2027-03-01 09:00+00', duration_minutes => 30,"
            " time_zone => 'UTC', subject => 'Intro call')", (mailbox, f"fleet-{next(numbers)}@test"))
        counts[mailbox] += 1
        await asyncio.sleep(1 / per_second)
