"""Attached tables against a model: random transactions, and then every calendar is what the tables say.

Three tables of one backend share hosts, and a booking may move between them: one names its host by a subquery, one is
partitioned by time, and one has no primary key and goes with its host. A calendar is what a plug-in has that applied all
events of its mailbox, by version. SLOTBELL_SEED=N does a story again.
"""

import os
import random

import psycopg
import pytest
from fixtures_attach import ADA, BOB

pytest_plugins = ["fixtures_attach"]

NOBODY = "nobody@example.com"
MAILBOXES = [ADA, BOB, ADA, BOB, NOBODY]
UIDS = [f"u{i}" for i in range(12)]
TIMES = ["2031-05-06 09:00+00", "2031-05-07 10:30+00", "2031-06-01 08:00+00", "2031-06-30 23:00+00"]
TABLES = """
CREATE TABLE shop.hosts (id int PRIMARY KEY, email text);
INSERT INTO shop.hosts VALUES (1, 'ada@example.com'), (2, 'bob@example.com'), (3, 'nobody@example.com'), (4, 'ada@example.com'), (5, NULL);
CREATE TABLE shop.calls (id int PRIMARY KEY, host int NOT NULL, uid text NOT NULL, starts_at timestamptz NOT NULL, title text NOT NULL, off boolean NOT NULL DEFAULT false, notes int);
CREATE TABLE shop.visits (id int, host int NOT NULL, uid text NOT NULL, starts_at timestamptz NOT NULL, title text NOT NULL, off boolean NOT NULL DEFAULT false, notes int,
    PRIMARY KEY (starts_at, id)) PARTITION BY RANGE (starts_at);
CREATE TABLE shop.visits_may PARTITION OF shop.visits FOR VALUES FROM ('2031-05-01') TO ('2031-06-01');
CREATE TABLE shop.visits_late PARTITION OF shop.visits DEFAULT;
CREATE TABLE shop.lessons (id text NOT NULL UNIQUE, host int NOT NULL REFERENCES shop.hosts ON DELETE CASCADE ON UPDATE CASCADE, uid text NOT NULL,
    starts_at timestamptz NOT NULL, title text NOT NULL, off boolean NOT NULL DEFAULT false, notes int);
GRANT ALL ON ALL TABLES IN SCHEMA shop TO web;
"""
NAMES = ["calls", "visits", "lessons"]
ATTACH = """SELECT slotbell.attach('shop.{0}', mailbox => '(SELECT h.email FROM shop.hosts h WHERE h.id = {0}.host)', uid => 'uid', starts_at => 'starts_at',
    duration_minutes => '30', time_zone => 'UTC', subject => 'title', cancelled_when => 'off')"""
BAD = "x" * 256


class Story:
    """Random transactions by one seed."""

    def __init__(self, shop, seed):
        self.shop, self.seed, self.random, self.log = shop, seed, random.Random(seed), []
        shop.owner.execute(TABLES)
        for name in NAMES:
            shop.owner.execute(ATTACH.format(name))
        self.web = shop.connect("web", autocommit=False)

    def run(self, sql, *values):
        self.log.append(f"{sql} {values or ''}")
        self.web.execute("SAVEPOINT op")
        try:
            self.web.execute(sql, values or None)
        except psycopg.IntegrityError:
            self.web.execute("ROLLBACK TO op")

    def some_id(self, table):
        number = self.random.randint(1, 5)
        return f"'{number}'" if table == "lessons" else str(number)

    def row(self, table, uid=None):
        r = self.random
        return (f"({self.some_id(table)}, {r.randint(1, 5)}, '{uid or r.choice(UIDS)}', '{r.choice(TIMES)}', 'T{r.randint(1, 9)}',"
                f" {r.random() < 0.1}, 0)")  # fmt: skip

    # ---- what a transaction does ----

    def insert(self):
        table = self.random.choice(NAMES)
        self.run(f"INSERT INTO shop.{table} VALUES {self.row(table)}")

    def upsert(self):
        table = self.random.choice(["calls", "lessons"])
        self.run(f"INSERT INTO shop.{table} VALUES {self.row(table)} ON CONFLICT (id) DO UPDATE SET title = excluded.title, host = excluded.host")

    def copy(self):
        table, fields = "calls", self.row("calls").strip("()").replace("'", "").split(", ")
        self.log.append(f"COPY {fields}")
        self.web.execute("SAVEPOINT op")
        try:
            with self.web.cursor().copy(f"COPY shop.{table} FROM STDIN") as copy:
                copy.write_row(fields)
        except psycopg.IntegrityError:
            self.web.execute("ROLLBACK TO op")

    def update(self):
        r, table = self.random, self.random.choice(NAMES)
        change = r.choice([f"title = 'T{r.randint(1, 9)}'", f"uid = '{r.choice(UIDS)}'", f"host = {r.randint(1, 5)}", f"starts_at = '{r.choice(TIMES)}'",
                           "off = NOT off", "notes = notes + 1", f"id = {self.some_id(table)}", f"title = '{BAD}'", "title = 'good'"])  # fmt: skip
        self.run(f"UPDATE shop.{table} SET {change} WHERE id = {self.some_id(table)}")

    def change_and_back(self):
        table = self.random.choice(NAMES)
        self.run(f"UPDATE shop.{table} SET title = 'M' || title, uid = 'm' || uid WHERE id = {self.some_id(table)}")
        self.run(f"UPDATE shop.{table} SET title = substr(title, 2), uid = substr(uid, 2) WHERE uid ~ '^m'")

    def swap(self):
        """Two rows have each other's uid, by one statement or two."""
        table, one, two = self.random.choice(NAMES), *self.random.sample(["1", "2", "3", "4", "5"], 2)
        pair = f"('{one}', '{two}')" if table == "lessons" else f"({one}, {two})"
        if self.random.random() < 0.5:
            self.run(f"UPDATE shop.{table} t SET uid = o.uid FROM shop.{table} o WHERE t.id IN {pair} AND o.id IN {pair} AND o.id <> t.id")
        else:
            self.run(f"UPDATE shop.{table} t SET uid = o.uid FROM shop.{table} o WHERE t.id::text = '{one}' AND o.id::text = '{two}'")

    def delete(self):
        table = self.random.choice(NAMES)
        self.run(f"DELETE FROM shop.{table} WHERE id = {self.some_id(table)}")

    def replace(self):
        """Another row takes the uid over: written before the old one goes, or after."""
        (old, new), uid = self.random.choices(NAMES, k=2), self.random.choice(UIDS)
        statements = [f"DELETE FROM shop.{old} WHERE uid = '{uid}'", f"INSERT INTO shop.{new} VALUES {self.row(new, uid)}"]
        if self.random.random() < 0.5:
            old_rows = self.web.execute(f"SELECT id::text FROM shop.{old} WHERE uid = '{uid}'").fetchall()
            statements = [statements[1], *(f"DELETE FROM shop.{old} WHERE id::text = '{key}' AND uid = '{uid}'" for (key,) in old_rows)]
        for statement in statements:
            self.run(statement)

    def move(self):
        table = self.random.choice(NAMES)
        other = self.random.choice(NAMES)
        self.run(f"WITH gone AS (DELETE FROM shop.{table} WHERE id = {self.some_id(table)} RETURNING *)"
                 f" INSERT INTO shop.{other} SELECT {self.some_id(other)}, host, uid, starts_at, title, off, notes FROM gone")  # fmt: skip

    def host(self):
        """A host has another address, or goes. The same transaction touches the appointments, which do not change themselves."""
        number = self.random.randint(1, 5)
        new = f"INSERT INTO shop.hosts VALUES ({number}, '{self.random.choice(MAILBOXES)}') ON CONFLICT (id) DO UPDATE SET email = excluded.email"
        self.run(self.random.choice([new, new, new, f"DELETE FROM shop.hosts WHERE id = {number}"]))
        for table in NAMES:
            self.run(f"UPDATE shop.{table} SET host = host WHERE host = {number}")

    def savepoint(self):
        self.web.execute("SAVEPOINT here")
        self.log.append("SAVEPOINT")
        for _ in range(self.random.randint(1, 3)):
            self.random.choice([self.insert, self.update, self.delete, self.swap, self.host])()
        if self.random.random() < 0.6:
            self.web.execute("ROLLBACK TO here")
            self.log.append("ROLLBACK TO")

    def constraints(self):
        """What is judged before the end is judged again if it changes again."""
        places = [b[:2] for b in self.bookings(self.web) if b[0] is not None]
        if len(set(places)) < len(places):
            return
        self.run("SET CONSTRAINTS ALL IMMEDIATE")
        self.run("SET CONSTRAINTS ALL DEFERRED")

    def transaction(self):
        self.log.append("BEGIN")
        kinds = [self.insert, self.insert, self.upsert, self.copy, self.update, self.update, self.update, self.change_and_back, self.swap, self.delete,
                 self.replace, self.move, self.host, self.savepoint, self.constraints, self.insert, self.insert]  # fmt: skip
        for _ in range(self.random.randint(1, 5)):
            self.random.choice(kinds)()
        # Two rows with one uid would be one booking: of those that are left, one goes, or has another uid.
        taken = set()
        for mailbox, uid, _, at, table, key in sorted(self.bookings(self.web), key=lambda row: self.random.random()):
            if mailbox and (mailbox, uid) in taken:
                self.run(self.random.choice([f"DELETE FROM shop.{table}", f"UPDATE shop.{table} SET uid = 'x{len(self.log)}'"])
                         + f" WHERE id::text = '{key}' AND starts_at = '{at}'")
            taken.add((mailbox, uid))
        if self.random.random() < 0.05:
            self.web.rollback()
            self.log.append("ROLLBACK")
            return
        if self.random.random() < 0.2:
            self.constraints()
        self.web.commit()
        self.log.append("COMMIT")

    # ---- what came of it ----

    def bookings(self, connection):
        """[(mailbox, uid, title, starts_at, table, id)] of every row; no mailbox: it is no booking."""
        one = " UNION ALL ".join(f"SELECT CASE WHEN NOT r.off THEN h.email END, r.uid, r.title, r.starts_at, '{name}', r.id::text"
                                 f" FROM shop.{name} r LEFT JOIN shop.hosts h ON h.id = r.host" for name in NAMES)  # fmt: skip
        return connection.execute(one).fetchall()

    def calendar(self, mailbox):
        rows = self.shop.db.query("SELECT DISTINCT ON (e.uid) e.uid, e.change, e.subject, e.starts_at FROM slotbell.event e JOIN slotbell.mailbox m ON m.id = e.mailbox_id"
                                  " WHERE m.address = %s AND e.seq IS NOT NULL ORDER BY e.uid, coalesce(e.version, e.seq) DESC", mailbox)  # fmt: skip
        return {uid: (title, at) for uid, change, title, at in rows if change != "cancelled"}

    def check(self):
        rows = self.bookings(self.shop.db.connect())
        bad = {(table, key) for _, _, title, _, table, key in rows if title == BAD}
        for mailbox in (ADA, BOB):
            calendar = self.calendar(mailbox)
            said = {uid: (title, at) for at_mailbox, uid, title, at, _, _ in rows if at_mailbox == mailbox and title != BAD}
            if bad:
                # What a row that cannot ring had before stays as it is.
                assert said.items() <= calendar.items(), self.told()
            else:
                assert said == calendar, self.told()
        left = self.shop.db.query("SELECT (SELECT count(*) FROM slotbell.released) + (SELECT count(*) FROM slotbell.postponed)"
                                  " + (SELECT count(*) FROM shop.slotbell_keys_calls) + (SELECT count(*) FROM shop.slotbell_keys_visits)"
                                  " + (SELECT count(*) FROM shop.slotbell_keys_lessons) + (SELECT count(*) FROM slotbell.event WHERE seq IS NULL)")  # fmt: skip
        assert left == [0], self.told()

    def told(self):
        return "\n".join([f"SLOTBELL_SEED={self.seed}", *self.log[-60:]])


STORIES = 60 if "SLOTBELL_LONG" in os.environ else 6


@pytest.mark.parametrize("number", range(STORIES))
def test_calendars_are_what_the_tables_say(shop, number):
    """The seed and the last statements are in the failure."""
    story = Story(shop, int(os.environ.get("SLOTBELL_SEED", random.SystemRandom().randrange(1_000_000))))
    for _ in range(80):
        story.transaction()
        story.check()
    assert shop.db.one("SELECT count(*) FROM slotbell.event") > 20


def test_the_model_notices_what_is_wrong(shop):
    """Cancelled without looking who claims it, some booking is missing soon."""
    shop.db.cripple("cancel_released", ("IF NOT EXISTS", "IF true OR NOT EXISTS"))
    story = Story(shop, 0)
    with pytest.raises(AssertionError):
        for _ in range(200):
            story.transaction()
            story.check()
