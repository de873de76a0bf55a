"""Writers: booking backends that publish in transactions of their own, and know afterwards what was committed.

A connection that is lost during COMMIT leaves its writer in doubt; it then asks the database what became
of the transaction: waits until it is over (pg_xact_status), then looks for its rows. Each booking that is
published is also written into chaos.booked, in the same transaction: that is the judge's measure.
"""

import contextlib
import os
import socket
import struct
import threading
import time

import psycopg

TABLE = """CREATE SCHEMA chaos;
    CREATE TABLE chaos.booked (mark text PRIMARY KEY, mailbox text NOT NULL, rings boolean NOT NULL);
    GRANT USAGE ON SCHEMA chaos TO slotbell_publisher;
    GRANT INSERT ON chaos.booked TO slotbell_publisher"""
BOOK = """INSERT INTO chaos.booked SELECT %(mark)s, %(mailbox)s, slotbell.publish(
    mailbox => %(mailbox)s, uid => %(uid)s, starts_at => %(starts_at)s, duration_minutes => 30, time_zone => 'Europe/Berlin',
    subject => %(mark)s, change => %(change)s) IS NOT NULL"""
STARTS_AT = "2027-03-01 09:00+00"
# A network that swallows packets is noticed in some seconds, for a short life.
OPTIONS = {"connect_timeout": 3, "tcp_user_timeout": 3000, "keepalives_idle": 1, "keepalives_interval": 1,
           "keepalives_count": 3, "sslmode": "disable", "application_name": "chaos writer"}  # fmt: skip
# What the trouble explains: connections that fail, servers that stop, start, crash.
EXPLAINED = ("08", "57P", "25P03")


class Writer(threading.Thread):
    """One backend with one connection at a time. stop() and join() end it."""

    def __init__(self, history, random, number, url, sure_url, mailboxes, pace=0.04):
        """url: the way that may be cut. sure_url: the way to ask what became of a transaction."""
        super().__init__(daemon=True)
        self.history, self.random, self.number = history, random, number
        self.url, self.sure_url, self.mailboxes, self.pace = url, sure_url, mailboxes, pace
        self.count = 0
        self._bookings = {}  # uid -> mailbox: those that can be updated or cancelled
        self._connection = None
        self._ended = threading.Event()

    def run(self):
        try:
            while not self._ended.wait(self.random.expovariate(1 / self.pace)):
                self._transaction(self._plan())
        except Exception as error:  # a writer that dies silently would leave nothing to judge
            self._surprise(f"{type(error).__name__} {error}")
            raise
        finally:
            self._hang_up()

    def stop(self):
        self._ended.set()

    def book_everywhere(self):
        """One booking in every mailbox, in one transaction each, until each is committed. Not while run() runs."""
        for mailbox in self.mailboxes:
            while not self._transaction([(mailbox, self._uid(), "created")], plain=True):
                time.sleep(0.1)  # the server is not back yet, and nothing tells when it is
        self._hang_up()

    # ---- plans ----

    def _uid(self):
        return f"w{self.number}-{self.count}"

    def _plan(self):
        """[(mailbox, uid, change)] of one transaction: one mailbox or two, and now and then several bookings."""
        random = self.random
        mailboxes = random.sample(self.mailboxes, 2 if random.random() < 0.3 else 1)
        plan = [(mailbox, f"{self._uid()}-{n}", "created") for n, mailbox in enumerate(mailboxes)]
        if random.random() < 0.1:
            plan += [(mailboxes[0], f"{self._uid()}-{n}", "created") for n in range(2, 6)]
        if self._bookings and random.random() < 0.4:
            uid = random.choice(list(self._bookings))
            plan.append((self._bookings[uid], uid, random.choice(("updated", "updated", "cancelled"))))
        random.shuffle(plan)
        return plan

    # ---- one transaction ----

    def _transaction(self, plan, plain=False):
        """Returns whether it was committed."""
        self.count += 1
        begun, xid, commit = self.history.now(), None, None
        marks, how, outcome = {}, "told", "rolled back"
        try:
            connection = self._connected()
            xid = connection.execute("SELECT pg_current_xact_id()::text, pg_backend_pid()").fetchone()
            for nth, (mailbox, uid, change) in enumerate(plan):
                mark = f"w{self.number} {self.count}.{nth}"
                marks[mark] = mailbox
                connection.execute(BOOK, {"mark": mark, "mailbox": mailbox, "uid": uid, "change": change,
                                          "starts_at": STARTS_AT})  # fmt: skip
            commit = self.history.now()
            fate = 1.0 if plain else self.random.random()
            if fate < 0.08:
                connection.rollback()
            elif fate < 0.13:
                self._commit_and_vanish()
            else:
                connection.commit()
                outcome = "committed"
        except psycopg.Error as error:
            self._explain(error)
            self._hang_up()
        if outcome != "committed" and commit is not None and self._connection is None:
            how, outcome = "looked up", self._look_up(*xid, list(marks))
        if commit is None:
            return False  # it never came to its COMMIT
        self.history.add("published", writer=self.number, n=self.count, begun=begun, commit=commit,
                         ended=self.history.now(), outcome=outcome, how=how, marks=marks)  # fmt: skip
        if outcome == "committed":
            self._remember(plan)
        return outcome == "committed"

    def _remember(self, plan):
        for mailbox, uid, change in plan:
            self._bookings.pop(uid, None)
            if change != "cancelled":
                self._bookings[uid] = mailbox
        while len(self._bookings) > 50:
            del self._bookings[next(iter(self._bookings))]

    def _connected(self):
        if not self._connection:
            self._connection = psycopg.connect(self.url, **OPTIONS)
        return self._connection

    def _hang_up(self):
        if self._connection:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _commit_and_vanish(self):
        """Sends COMMIT, or a part of it, and is gone, before or after the server read it: nobody here can know."""
        message = b"Q" + struct.pack("!I", 11) + b"COMMIT\0"
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.pgconn.socket)) as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.send(message[: self.random.choice((8, len(message), len(message)))])
            time.sleep(self.random.choice((0, 0, 0.0005, 0.002)))
            wire.shutdown(socket.SHUT_RDWR)
        self._hang_up()

    def _look_up(self, xid, pid, marks):
        """What became of it? Asks until the database is there and the transaction is over."""
        while True:
            try:
                with psycopg.connect(self.sure_url, autocommit=True, connect_timeout=3) as sure:
                    while self._goes_on(sure, xid, pid):
                        time.sleep(0.05)
                    # The rows, not the transaction's number: a crash may give an unwritten number to another one.
                    found = sure.execute("SELECT count(*) FROM chaos.booked WHERE mark = ANY (%s)", [marks]).fetchone()[0]
                if found not in (0, len(marks)):
                    self._surprise(f"half a transaction: {found} of {marks}")
                return "committed" if found else "rolled back"
            except psycopg.Error as error:
                self._explain(error)
                time.sleep(0.2)  # the server is not back yet, and nothing tells when it is

    @staticmethod
    def _goes_on(sure, xid, pid):
        try:
            status = sure.execute("SELECT pg_xact_status(%s::xid8)", [xid]).fetchone()[0]
        except psycopg.errors.InvalidParameterValue:
            return False  # a number of the future: a crash took it back
        if status == "in progress":
            # Its backend waits for a client that is no more: it need not.
            sure.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s"
                         " AND backend_xid = %s::xid8::xid AND state LIKE 'idle in transaction%%'", [pid, xid])  # fmt: skip
        return status == "in progress"

    # ---- trouble ----

    def _explain(self, error):
        if error.sqlstate and not error.sqlstate.startswith(EXPLAINED):
            self._surprise(f"{error.sqlstate} {error}")

    def _surprise(self, text):
        self.history.add("surprise", who=f"writer {self.number}", text=text)
