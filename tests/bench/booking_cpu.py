#!/usr/bin/python3
"""PostgreSQL's CPU time for one booking, from BEGIN to its receipt, beside BEGIN, INSERT, NOTIFY, COMMIT of the same size.

A publisher, a connection that listens, and one that fetches and acks each booking as slotbelld does: by prepared statements. Counted is
the time on a processor of every process of a private PostgreSQL, with fsync. Rounds alternate; the medians are compared. With --beside,
the same also for the schema as it was at an older version.
"""

import argparse
import pathlib
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/integration"), str(ROOT / "tests/bench")]

from bench_house import cpu_ns  # noqa: E402
from fixtures_sql import Database, apply_schema  # noqa: E402
from pgcluster import PgCluster  # noqa: E402
from publish_rate import PLAIN  # noqa: E402

PEOPLE = '[{"name": "Grace Hopper", "email": "grace@example.com"}]'
PUBLISH = "SELECT slotbell.publish(%s, %s, now() + interval '1 day', 30, 'Europe/Berlin', 'Intro call', %s)"
INSERT = ("INSERT INTO plain (mailbox, uid, starts_at, minutes, zone, subject, attendees)"
          " VALUES (%s, %s, now() + interval '1 day', 30, 'Europe/Berlin', 'Intro call', %s)")  # fmt: skip
FETCH = "SELECT * FROM slotbell.{}(%s::bigint[], %s::bigint[], 32, 1000000)"
ACK = "SELECT * FROM slotbell.ack(%s::bigint[], %s::text[], %s::bigint[], '{{}}', '{{}}', '{{}}', '{{}}', %s::bigint[], '{{1}}', %s::bigint[], '{{1}}')"


class Booker:
    """One schema in a database of its own, and its connections."""

    def __init__(self, cluster, name, version, mailboxes):
        self.cluster = cluster
        url = cluster.create_database(name)
        apply_schema(url, version)
        self.database = Database(url, cluster, name)
        self.publisher, self.listener, self.query = (self.database.connect() for _ in range(3))
        self.publisher.execute(PLAIN)
        self.devices = [self.database.enrol(f"m{n}@example.com") for n in range(mailboxes)]
        self.publisher.execute("UPDATE slotbell.device SET session_no = 1")
        self.epochs = self.database.query("SELECT epoch FROM slotbell.mailbox ORDER BY id")
        self.heads = [0] * mailboxes
        self.listener.execute("LISTEN slotbell_wake")
        self.fetch = FETCH.format("fetch" if version and version < 9 else "next_events")
        self.count = 0

    def spent(self):
        """CPU time of PostgreSQL, by kind of process."""
        pid = lambda connection: cpu_ns(connection.info.backend_pid)  # noqa: E731
        children = pathlib.Path(f"/proc/{self.cluster.pid}/task/{self.cluster.pid}/children").read_text().split()
        return pid(self.publisher), pid(self.listener) + pid(self.query), sum(cpu_ns(int(child)) for child in children)

    def book(self, plain):
        n = self.count % len(self.devices)
        self.count += 1
        values = (n if plain else f"m{n}@example.com", f"u-{self.count}", PEOPLE)
        with self.publisher.transaction():
            self.publisher.execute(INSERT if plain else PUBLISH, values, prepare=True)
            if plain:
                self.publisher.execute("SELECT pg_notify('slotbell_wake', %s::text)", (n,), prepare=True)
        next(self.listener.notifies())
        if plain:
            return
        rows = self.query.execute(self.fetch, ([n + 1], [self.heads[n]]), prepare=True).fetchall()
        seq = rows[0][7]
        done = self.query.execute(ACK.format(), ([self.devices[n]], [self.epochs[n]], [seq], [seq], [1700000000000000]), prepare=True).fetchone()
        assert len(rows) == 1 and done[1] == "saved", (rows, done)
        self.heads[n] = seq

    def round(self, plain, count):
        for _ in range(20):
            self.book(plain)
        before = self.spent()
        for _ in range(count):
            self.book(plain)
        return [(after - then) / count / 1000 for after, then in zip(self.spent(), before)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="bookings in a round (2000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind (5)")
    parser.add_argument("--mailboxes", type=int, default=100)
    parser.add_argument("--beside", type=int, metavar="VERSION", help="compare with the schema of this version")
    options = parser.parse_args()
    with PgCluster(fsync=True) as cluster:
        now = Booker(cluster, "now", None, options.mailboxes)
        kinds = [("BEGIN, INSERT, NOTIFY, COMMIT", now, True), ("publish(), fetch, ack", now, False)]
        if options.beside:
            kinds.append((f"version {options.beside}", Booker(cluster, "before", options.beside, options.mailboxes), False))
        found = {kind: [] for kind, _, _ in kinds}
        for n in range(options.rounds):
            for kind, booker, plain in kinds:
                found[kind].append(booker.round(plain, options.count))
                print(f"round {n + 1}: {kind}: {found[kind][-1][2]:.0f} µs", file=sys.stderr)
        for kind, booker, _ in kinds:
            booker.database.close()
    medians = {kind: [statistics.median(column) for column in zip(*rounds)] for kind, rounds in found.items()}
    floor = medians["BEGIN, INSERT, NOTIFY, COMMIT"][2]
    print("| per booking, µs of CPU, median | publisher | daemon's connections | all of PostgreSQL | beside the first |\n|---|---|---|---|---|")
    for kind, (publisher, daemon, total) in medians.items():
        print(f"| {kind} | {publisher:.0f} | {daemon:.0f} | {total:.0f} | {total / floor:.2f} |")


if __name__ == "__main__":
    main()
