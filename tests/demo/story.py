"""The demo's story: what is booked, moved and cancelled, and what one sees of it."""

import datetime
import queue
import time
import uuid
import zoneinfo

import psycopg
from psycopg.types.json import Jsonb

from ledger import Ledger, Meeting
from screen import YELLOW, milliseconds
from slotbelld import Trouble

ARRIVES_SECONDS = 10  # long enough for a busy machine; a lost event never comes
RETURNS_SECONDS = 90  # a plug-in may wait up to a minute before it tries again

WORDS = {"created": "booked", "updated": "moved", "cancelled": "cancelled"}

PUBLISH = """SELECT slotbell.publish(mailbox => %(mailbox)s, uid => %(uid)s, starts_at => %(starts_at)s,
    duration_minutes => %(minutes)s, time_zone => %(zone)s, subject => %(subject)s,
    attendees => %(attendees)s, change => %(change)s)"""

SHOWN = """\
    BEGIN;
    INSERT INTO appointments (id, host, subject, starts_at) VALUES (…);
    SELECT slotbell.publish(
        mailbox          => '{mailbox}',
        uid              => '{uid}',
        starts_at        => '{starts_at}',
        duration_minutes => {minutes},
        time_zone        => '{zone}',
        subject          => '{subject}',
        attendees        => '[{{"name": "{name}",
                               "email": "{email}"}}]');
    COMMIT;                                      -- and the bell rings"""

ATTACH = """\
    SELECT slotbell.attach('lessons',
        mailbox => 'teacher', uid => 'id', subject => 'topic',
        starts_at => 'begins', time_zone => 'zone',
        duration_minutes => 'minutes',
        attendees => 'jsonb_build_array(
                          jsonb_build_object(''email'', student))',
        cancelled_when => 'dropped');"""

BERLIN, NEW_YORK = zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("America/New_York")
GUESTS = {
    "Alan Turing": "alan@example.net",
    "Barbara Liskov": "barbara@example.net",
    "Edsger Dijkstra": "edsger@example.net",
    "Katherine Johnson": "katherine@example.net",
    "Leslie Lamport": "leslie@example.net",
    "Margaret Hamilton": "margaret@example.net",
}


def workday(after, hour, minute=0, zone=BERLIN):
    """A time of day, so many working days from now."""
    day = datetime.datetime.now(zone)
    while after > 0:
        day += datetime.timedelta(days=1)
        after -= day.weekday() < 5
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0)


class Story:
    def __init__(self, stage, screen, pace):
        self.stage, self.screen, self.pace = stage, screen, pace
        self.ledger = Ledger()
        self.arrived = {}  # (uid, change, how often) -> (message, read at)
        self.closed = set()  # plug-ins whose connection is gone
        self.caught_up = 0.0  # seconds from the daemon's start to the last of what had waited

    # ---- what the plug-ins say ----

    def hear(self, seconds):
        """One word of a plug-in, if any comes in time."""
        try:
            plugin, message, at = self.stage.words.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        what = message["what"]
        if what == "written" and not message["repeat"]:
            self.arrived[message["uid"], message["version"]] = (message, at)
        elif what == "closed":
            self.closed.add(plugin)
        elif what == "live":
            self.closed.discard(plugin)
        elif what == "ended":
            raise Trouble(f"the plug-in of {plugin.name} ended; see {plugin.log}")
        elif what == "nonsense":
            raise Trouble(f"the plug-in of {plugin.name} printed what is no JSON: {message['line']}")
        return plugin, message, at

    def until(self, condition, seconds, what):
        """Listens until the condition holds; Trouble when it never does."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.hear(deadline - time.monotonic()) is None and time.monotonic() > deadline:
                raise Trouble(f"{what}, after {seconds} s")

    def pause(self, share=1.0):
        """Time to read, while listening."""
        deadline = time.monotonic() + self.pace * share
        while time.monotonic() < deadline:
            self.hear(deadline - time.monotonic())

    # ---- what the backend does ----

    def publish(self, meeting, change):
        mailbox = meeting.host.address
        self.backend.execute(PUBLISH, {
            "mailbox": mailbox, "uid": meeting.uid, "starts_at": meeting.starts_at, "minutes": meeting.minutes,
            "zone": meeting.starts_at.tzinfo.key, "subject": meeting.subject, "attendees": Jsonb(meeting.attendees),
            "change": change})

    def write_down(self, meeting, change):
        """The change in the backend's own table: what publish rides along with, or what rings by itself."""
        if meeting.attached and change == "created":
            self.school.execute(
                "INSERT INTO lessons (id, teacher, topic, begins, zone, minutes, student) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (meeting.uid, meeting.host.address, meeting.subject, meeting.starts_at, meeting.starts_at.tzinfo.key, meeting.minutes,
                 meeting.attendees[0]["email"]))
        elif meeting.attached:
            self.school.execute("UPDATE lessons SET begins = %s, dropped = %s WHERE id = %s",
                                (meeting.starts_at, change == "cancelled", meeting.uid))
        elif change == "created":
            self.backend.execute("INSERT INTO appointments (id, host, subject, starts_at) VALUES (%s, %s, %s, %s)",
                                 (meeting.uid, meeting.host.address, meeting.subject, meeting.starts_at))
        else:
            self.backend.execute("UPDATE appointments SET starts_at = %s, cancelled = %s WHERE id = %s",
                                 (meeting.starts_at, change == "cancelled", meeting.uid))

    def change(self, meeting, change="created"):
        """Book, reschedule or cancel, in one transaction. Returns when its COMMIT was asked for."""
        self.write_down(meeting, change)
        if not meeting.attached:
            self.publish(meeting, change)
        asked = time.time()
        (self.school if meeting.attached else self.backend).commit()
        self.ledger.commit(meeting, change)
        return asked

    def row(self, meeting, change, rest=None, when=None, **more):
        self.screen.row(meeting.host.name, meeting.subject, f"{when or meeting.starts_at:%a %d %H:%M}", WORDS[change], rest, **more)

    def arrival(self, meeting, count):
        """The plug-in's word on this meeting's change number `count`, if it has come: (message, read at)."""
        found = [word for (uid, _), word in self.arrived.items() if uid == meeting.uid]
        return found[count - 1] if len(found) >= count else None

    def await_arrival(self, meeting, change, count, when, asked, seconds):
        """Waits for a change in the calendar and completes its row. Returns (ms as told, ms as seen)."""
        self.until(lambda: self.arrival(meeting, count), seconds, f"{meeting.subject} is not in Outlook")
        message, at = self.arrival(meeting, count)
        self.row(meeting, change, f"in Outlook {milliseconds(message['latency_ms']):>7}", when)
        return message["latency_ms"], (at - asked) * 1000

    def show(self, meeting, change="created"):
        """A change, and its arrival, as one watches it."""
        asked = self.change(meeting, change)
        self.row(meeting, change)
        self.ledger.live.append(self.await_arrival(meeting, change, meeting.changes, meeting.starts_at, asked,
                                                    ARRIVES_SECONDS))
        self.pause()

    # ---- the acts ----

    def meeting(self, host, subject, starts_at, minutes, *guests):
        people = [{"name": guest, "email": GUESTS[guest]} for guest in guests]
        return Meeting(f"{uuid.uuid4()}@shop.example", host, subject, starts_at, minutes, people)

    def tell(self):
        try:
            url = self.stage.cluster.url
            with psycopg.connect(url("shop", "booking")) as self.backend, psycopg.connect(url("shop", "school")) as self.school:
                self.live_bookings()
                self.lessons()
                self.crash()
        except psycopg.Error as error:
            raise Trouble(f"PostgreSQL refused the backend: {error}") from error

    def live_bookings(self):
        ada, grace = self.stage.plugins
        intro = self.meeting(ada, "Intro call", workday(1, 10), 30, "Alan Turing")
        self.screen.heading("What the booking backend does, in a transaction of its own:")
        self.screen.say()
        for line in SHOWN.format(
                mailbox=ada.address, uid=intro.uid.partition("-")[0] + "…", starts_at=f"{intro.starts_at:%Y-%m-%d %H:%M%z}",
                minutes=intro.minutes, zone=intro.starts_at.tzinfo.key, subject=intro.subject,
                name="Alan Turing", email=GUESTS["Alan Turing"]).splitlines():
            self.screen.raw(line.replace("…", self.screen.dots))
        self.pause(3)

        self.screen.heading("Bookings, as they happen")
        demo = self.meeting(grace, "Product demo", workday(1, 15, 30, NEW_YORK), 45, "Barbara Liskov", "Leslie Lamport")
        review = self.meeting(ada, "Review; part 2, with \\ and “quotes”", workday(2, 9, 15), 60, "Edsger Dijkstra")
        self.show(intro)
        self.show(demo)
        self.show(review)
        self.show(self.meeting(grace, "Onboarding", workday(2, 11, 0, NEW_YORK), 60, "Katherine Johnson"))
        self.roll_back(self.meeting(ada, "Second thoughts", workday(3, 16), 30, "Leslie Lamport"))
        self.show(self.meeting(ada, "Budget talk", workday(3, 13), 25, "Margaret Hamilton", "Alan Turing"))
        intro.starts_at = workday(1, 14)
        self.show(intro, "updated")
        self.show(demo, "cancelled")

    def lessons(self):
        """Another backend, which is not changed at all: its table is attached."""
        ada, grace = self.stage.plugins
        self.screen.heading("No call at all: another backend's table, attached once by its owner")
        self.screen.say()
        for line in ATTACH.splitlines():
            self.screen.raw(line)
        with psycopg.connect(self.stage.cluster.url("shop", "studio")) as studio:
            studio.execute(ATTACH)
        self.pause(2)
        self.screen.say()
        self.screen.say("From here on its own INSERT and UPDATE ring:")
        piano = self.meeting(ada, "Piano lesson", workday(2, 15, 30), 45, "Katherine Johnson")
        chess = self.meeting(grace, "Chess lesson", workday(3, 17, 0, NEW_YORK), 60, "Leslie Lamport")
        piano.attached = chess.attached = True
        self.show(piano)
        self.show(chess)
        piano.starts_at = workday(2, 16, 30)
        self.show(piano, "updated")
        self.show(chess, "cancelled")

    def roll_back(self, meeting):
        self.write_down(meeting, "created")
        self.publish(meeting, "created")
        self.backend.rollback()
        self.ledger.never.append(meeting.uid)
        # That it rings nothing shows when the next booking of the same calendar has come.
        self.row(meeting, "created", "never: rolled back", colour=YELLOW)
        self.pause()

    def crash(self):
        ada, grace = self.stage.plugins
        self.screen.heading(f"kill -9 {self.stage.daemon.process.pid}   (slotbelld)")
        self.stage.daemon.kill()
        self.until(lambda: len(self.closed) == len(self.stage.plugins), ARRIVES_SECONDS, "no plug-in noticed")
        self.screen.say("The daemon is gone, both plug-ins noticed. The backend books on:")
        missed = []
        support = self.meeting(ada, "Support call", workday(1, 16, 30), 15, "Leslie Lamport")
        lunch = self.meeting(grace, "Lunch", workday(4, 12, 0, NEW_YORK), 60, "Margaret Hamilton")
        trial = self.meeting(ada, "Trial lesson", workday(4, 17), 45, "Katherine Johnson")
        for meeting, change in (
                (support, "created"), (lunch, "created"), (trial, "created"), (lunch, "updated"), (trial, "cancelled")):
            if change == "updated":
                meeting.starts_at = workday(4, 13, 30, NEW_YORK)
            asked = self.change(meeting, change)
            missed.append((meeting, change, meeting.changes, meeting.starts_at, asked))
            self.row(meeting, change, "waits: no daemon", colour=YELLOW)
            self.pause(0.7)

        self.screen.say()
        begun = time.monotonic()
        self.stage.daemon.start()
        self.screen.say("slotbelld is started again. Each plug-in comes back after a pause of its own, a random one, so that "
                        "ten thousand would not come at once:")
        for meeting, change, count, when, asked in missed:
            self.ledger.late.append(self.await_arrival(meeting, change, count, when, asked, RETURNS_SECONDS))
        self.caught_up = time.monotonic() - begun
        self.pause()
        # And it is business as usual.
        self.show(self.meeting(grace, "Back to normal", workday(5, 9, 0, NEW_YORK), 30, "Edsger Dijkstra"))

    def checks(self):
        """[(name, held, words)], after the last of the plug-ins' words has been heard."""
        receipts = self.stage.receipts()
        while self.hear(0):
            pass
        yield from self.ledger.checks(self.stage.plugins)
        count = len(self.stage.plugins)
        yield ("receipts", receipts == f"{count} of {count}",
               f"the database has every receipt: {receipts} devices have confirmed their newest change")

    def watch(self):
        """For ever: a row for whatever is booked by hand."""
        while True:
            word = self.hear(3600)
            if word and word[1]["what"] == "written":
                plugin, message, _ = word
                self.screen.row(plugin.name, message.get("subject") or message["uid"], "", WORDS[message["change"]],
                                f"in Outlook {milliseconds(message['latency_ms']):>7}")
            elif word and word[1]["what"] == "closed":
                self.screen.say(f"  {word[0].name}'s connection is gone: {word[1].get('reason', '')}")
