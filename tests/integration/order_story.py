"""A story for the order tests: writers that book, clients that vanish, and what must hold at its end.

The writers keep a ledger of their own of what they committed. The clients are
as bad as networks make them (RST, FIN, half a frame, mute for ever), but
honest: each knows what it acked and what `acked` confirmed, and insists at
every welcome and every booking that nothing is skipped, and that nothing comes
again but what was not confirmed. Everything random comes from one seed.
"""

import asyncio
import collections
import concurrent.futures
import random
import socket
import struct
import threading

import websockets
from session_client import Closed, seq_of

MAILBOXES, BOOKINGS, WRITERS = 20, 50, 8
AHEAD = 120  # events that are booked and that nobody has seen yet, at most: booking and dropping go on side by side
LAST = "the last one"
NEVER = "rolled back"
SECONDS = 60


class Ledger:
    """What the writers committed, by their own account: a list per mailbox and writer, in its order."""

    def __init__(self):
        self.committed = collections.defaultdict(list)
        self.rolled_back = 0
        self.in_two = 0
        self.tickets = threading.Semaphore(AHEAD)
        self.over = False
        self._lock = threading.Lock()

    def take(self, events):
        for _ in range(events):
            assert self.tickets.acquire(timeout=SECONDS), "the clients see nothing of what is booked"
            assert not self.over, "the story has failed elsewhere"

    def give_up(self):
        """Writers that wait for clients wait no longer."""
        self.over = True
        self.tickets.release(WRITERS * AHEAD)

    def enter(self, writer, events):
        with self._lock:
            self.in_two += len({mailbox for mailbox, _ in events}) > 1
            for mailbox, event in events:
                self.committed[mailbox, writer].append(event)

    def of(self, mailbox):
        """Each writer's events of this mailbox, in the order that it committed them."""
        return [events for (name, _), events in sorted(self.committed.items()) if name == mailbox]


class Writer:
    """Books its share: in one mailbox or two at a time, with changes, cancellations, rollbacks and savepoints."""

    def __init__(self, house, ledger, number, seed):
        self.house, self.ledger, self.number = house, ledger, number
        self.random = random.Random(f"{seed} writer {number}")
        self.alive = []  # (mailbox, uid) that can still be changed

    def run(self):
        mine = [(mailbox, f"{mailbox}/{n}") for mailbox in range(MAILBOXES) for n in range(BOOKINGS)
                if (mailbox * BOOKINGS + n) % WRITERS == self.number]  # fmt: skip
        self.random.shuffle(mine)
        with self.house.connect(autocommit=False) as connection:
            while mine:
                events = [self.created(*mine.pop())]
                if mine and self.random.random() < 0.4:
                    events.append(self.created(*mine.pop()))
                if self.alive and self.random.random() < 0.3:
                    events.insert(self.random.randrange(2), self.changed())
                self.transaction(connection, events)

    def created(self, mailbox, uid):
        return mailbox, ("created", uid, f"new {self.random.random()}")

    def changed(self):
        mailbox, uid = self.random.choice(self.alive)
        if self.random.random() < 0.3:
            self.alive.remove((mailbox, uid))
            return mailbox, ("cancelled", uid, None)
        return mailbox, ("updated", uid, f"moved {self.random.random()}")

    def transaction(self, connection, events):
        if self.random.random() < 0.2:
            for mailbox, (_, uid, _) in events:
                self.publish(connection, mailbox, ("updated", uid, NEVER))
            connection.rollback()
            self.ledger.rolled_back += 1
        self.ledger.take(len(events))
        for mailbox, event in events:
            if self.random.random() < 0.1:
                connection.execute("SAVEPOINT here")
                self.publish(connection, mailbox, ("updated", event[1], NEVER))
                connection.execute("ROLLBACK TO here")
            self.publish(connection, mailbox, event)
        connection.commit()
        self.ledger.enter(self.number, events)
        self.alive += [(mailbox, uid) for mailbox, (change, uid, _) in events if change == "created"]

    def publish(self, connection, mailbox, event):
        change, uid, subject = event
        self.house.publish(address(mailbox), uid, connection, change=change, subject=subject)


def address(mailbox):
    return f"m{mailbox}@example.com"


class Plugin:
    """A client of one mailbox: comes back for ever, leaves in every bad way, and keeps what it must."""

    WAYS = ("close", "fin", "rst", "half a frame", "mute")

    def __init__(self, story, mailbox, token):
        self.story, self.mailbox, self.token = story, mailbox, token
        self.random = random.Random(f"{story.seed} client {mailbox}")
        self.log = {}  # seq -> event, as it came first
        self.versions = {}  # uid -> the newest
        self.epoch = None
        self.acked = self.confirmed = 0  # the last seq that it acked, and that `acked` told
        self.mute = None  # a connection left open and never read again
        self.has_all = False  # the last event came; from here on it stays
        self.through = False  # and its ack is confirmed

    async def run(self):
        while not self.through:
            client = self.story.house.client(self.story.daemon, self.token, header=self.random.random() < 0.3)
            try:
                await client.open()
                await self.session(client)
                self.leave(client, "close" if self.through else self.random.choice(self.WAYS))
            except TimeoutError as error:
                raise AssertionError(f"{self}: nothing came any more") from error
            except Closed as end:
                assert end.code in (1006, 1012, 1013), f"{self}: {end}"
                self.story.ends[end.code] += 1
            except (OSError, websockets.WebSocketException):
                await asyncio.sleep(self.random.random() / 20)  # a client's own back-off: the daemon is away
        self.unmute()

    def __repr__(self):
        return f"client of {address(self.mailbox)}, seed {self.story.seed}"

    async def session(self, client):
        """From hello until it has had enough, was closed, or has everything: then it is through."""
        if self.random.random() < 0.05:
            return  # before hello
        cursor = f"{self.epoch}.{self.acked}" if self.epoch and self.random.random() < 0.5 else None
        await client.hello(cursor)
        if self.random.random() < 0.05:
            return  # its authentication is on the way
        welcome = await client.next()
        if welcome["type"] == "goodbye":
            self.story.ends[await client.closed()] += 1
            if welcome["reason"] == "too-many":  # it was mute too often: its sessions look like two machines' quarrel
                await asyncio.sleep(welcome["reconnect_after_ms"] / 1000)
            return
        last = seq_of(welcome["cursor"])
        assert self.confirmed <= last <= self.acked, f"{self}: starts at {last}, acked {self.acked}, confirmed {self.confirmed}"
        assert cursor is None or last == self.acked, f"{self}: said {cursor}, starts at {last}"
        self.epoch = welcome["cursor"].partition(".")[0]
        messages = self.random.choice((1, 2, 5, 10, 30, 60))
        while messages or self.has_all:
            messages -= messages > 0
            message = await client.next()
            if message["type"] == "booking":
                last = self.received(message, last)
                if last - self.acked >= self.random.choice((1, 1, 5, welcome["window"])):
                    await self.ack(client, last - (self.random.random() < 0.2))
            elif message["type"] == "acked":
                self.confirmed = max(self.confirmed, seq_of(message["cursor"]))
            else:
                assert message["type"] in ("live", "goodbye"), f"{self}: {message}"
            if self.has_all and last == max(self.log):
                if self.confirmed == last:
                    self.through = True
                    return
                await self.ack(client, last)

    def received(self, message, last):
        seq, booking = message["seq"], message["booking"]
        assert seq == last + 1, f"{self}: {seq} came after {last}"
        assert message["cursor"] == f"{self.epoch}.{seq}"
        event = (message["change"], booking["uid"], booking.get("subject"))
        if seq in self.log:
            assert seq > self.confirmed, f"{self}: {seq} came again, and {self.confirmed} was confirmed"
            assert event == self.log[seq], f"{self}: {seq} was {self.log[seq]} and is {event}"
            self.story.repeats += 1
        else:
            self.log[seq] = event
            assert booking["version"] > self.versions.get(booking["uid"], 0), f"{self}: the version of {seq} is not a newer one"
            self.versions[booking["uid"]] = booking["version"]
            self.has_all = event[1] == LAST
            self.story.saw_one()
        return seq

    async def ack(self, client, seq):
        self.acked = max(self.acked, seq)
        await client.ack(f"{self.epoch}.{seq}")

    def leave(self, client, way):
        """Every way of going: the daemon sees it, or does not."""
        self.story.ways[way] += 1
        transport = client.socket.transport
        if way == "close":
            self.story.tasks.add(asyncio.ensure_future(client.close()))
            return
        if way == "mute":
            self.unmute()
            transport.pause_reading()
            self.mute = client
            return
        if way == "half a frame":
            transport.write(struct.pack("!BBH", 0x81, 0x80 | 126, 300) + b"mask" + b"half of it")
        plain = transport.get_extra_info("socket")  # None: the daemon was quicker
        if plain and way != "fin":
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def unmute(self):
        if self.mute:
            mute, self.mute = self.mute, None
            self.leave(mute, "rst")


class Story:
    """end: what is done to the daemon, twice: a function that ends it, called in a thread."""

    def __init__(self, house, seed, end):
        self.house, self.seed, self.end = house, seed, end
        self.daemon = house.daemon()
        self.ledger = Ledger()
        self.plugins = [Plugin(self, n, house.enrol(address(n))) for n in range(MAILBOXES)]
        self.seen = self.repeats = 0
        self.ends, self.ways = collections.Counter(), collections.Counter()
        self.tasks = set()
        self.moments = []  # (events seen, then): when the operator acts

    def saw_one(self):
        self.seen += 1
        self.ledger.tickets.release()
        while self.moments and self.seen >= self.moments[0][0]:
            self.moments.pop(0)[1].set()

    async def write(self):
        writers = [Writer(self.house, self.ledger, n, self.seed) for n in range(WRITERS)]
        await asyncio.gather(*(asyncio.to_thread(writer.run) for writer in writers))
        for n in range(MAILBOXES):
            await asyncio.to_thread(self.house.publish, address(n), LAST, subject=LAST)
            self.ledger.enter(WRITERS, [(n, ("created", LAST, LAST))])

    async def operate(self):
        """Ends the daemon twice in the middle of it all, and starts it again."""
        for moment in [moment for _, moment in self.moments]:
            await moment.wait()
            await asyncio.to_thread(self.end, self.daemon)
            await asyncio.to_thread(self.daemon.start)

    async def run(self):
        events = MAILBOXES * BOOKINGS
        chance = random.Random(f"{self.seed} operator")
        self.moments = [(int(events * share), asyncio.Event())
                        for share in (chance.uniform(0.15, 0.45), chance.uniform(0.55, 0.85))]  # fmt: skip
        # The writers hold their threads for all of the story, and the operator needs one.
        asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(WRITERS + 4))
        try:
            await asyncio.gather(self.write(), self.operate(), *(plugin.run() for plugin in self.plugins))
        except BaseException:
            self.ledger.give_up()
            raise
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def judge(self):
        """Every client has exactly 1..n, and that is what was committed, in the order of the commits."""
        for plugin in self.plugins:
            writers = self.ledger.of(plugin.mailbox)
            n = sum(map(len, writers))
            assert sorted(plugin.log) == list(range(1, n + 1)), f"{plugin}: not 1..{n}"
            events = [plugin.log[seq] for seq in range(1, n + 1)]
            for committed in writers:
                mine = set(committed)
                assert [event for event in events if event in mine] == committed, f"{plugin}: not in a writer's order"
            acked = self.house.ctl.query("SELECT acked FROM slotbell.devices WHERE mailbox = %s", address(plugin.mailbox))
            assert acked == [n], f"{plugin}: {acked} acked of {n}"

    def told(self):
        events = sum(map(len, self.ledger.committed.values()))
        return (f"seed {self.seed}: {events} events, {self.ledger.in_two} transactions over two mailboxes, "
                f"{self.ledger.rolled_back} rolled back; {self.repeats} repeats; left by {dict(self.ways)}; ends {dict(self.ends)}")  # fmt: skip
