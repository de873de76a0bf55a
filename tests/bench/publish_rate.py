#!/usr/bin/python3
"""How many bookings a PostgreSQL commits per second, with and without the notification, beside a bare INSERT of the same size.

pgbench writes, 8 connections, a transaction per booking, to 1,000 mailboxes that each have a device. A private PostgreSQL, with
fsync and synchronous commit as in real life unless --no-sync. Rounds alternate; the medians are compared. With --beside, the same
also for the schema as it was at an older version.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/integration")]

from fixtures_sql import HASH, SALT, Database, apply_schema  # noqa: E402
from pgcluster import PgCluster  # noqa: E402

MAILBOXES = 1000
PUBLISH = r"""\set n random(1, 1000)
\set u random(1, 1000000000)
SELECT slotbell.publish('m' || :n || '@example.com', 'u-' || :u, now() + interval '1 day', 30, 'Europe/Berlin', 'Intro call',
    '[{"name": "Grace Hopper", "email": "grace@example.com"}]');
"""
STRANGER = PUBLISH.replace("'m' ||", "'nobody' ||")
INSERT = r"""\set n random(1, 1000)
\set u random(1, 1000000000)
INSERT INTO plain (mailbox, uid, starts_at, minutes, zone, subject, attendees) VALUES (:n, 'u-' || :u, now() + interval '1 day', 30,
    'Europe/Berlin', 'Intro call', '[{"name": "Grace Hopper", "email": "grace@example.com"}]');
"""
NOTIFY = INSERT.replace("INSERT", "BEGIN; INSERT").rstrip() + "\nSELECT pg_notify('slotbell_wake', (:n)::text); COMMIT;\n"
PLAIN = """CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mailbox int, uid text, starts_at timestamptz, minutes int,
    zone text, subject text, attendees jsonb)"""


def rate(cluster, name, script, seconds, folder):
    path = folder / "script.sql"
    path.write_text(script)
    done = subprocess.run(
        [f"{cluster.bin}/pgbench", "-n", "-c", "8", "-j", "2", "-T", str(seconds), "-f", str(path), cluster.url(name)],
        check=True, capture_output=True, text=True)
    return float(re.search(r"tps = ([\d.]+)", done.stdout)[1])


def database(cluster, name, quiet=False, version=None):
    url = cluster.create_database(name)
    apply_schema(url, version)
    made = Database(url, cluster, name)
    connection = made.connect()
    connection.execute(PLAIN)
    for n in range(1, MAILBOXES + 1):
        connection.execute("SELECT slotbell.enrol(%s, 'bench', NULL, %s, %s)", (f"m{n}@example.com", SALT, HASH))
    if quiet:
        made.cripple("number_events", ("noted := pg_notify('slotbell_wake', to_mailbox::text);", "NULL;"))
    made.close()
    return name


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each round (5)")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind (5)")
    parser.add_argument("--no-sync", action="store_true", help="synchronous_commit = off, for comparing with bars that are")
    parser.add_argument("--beside", type=int, metavar="VERSION", help="compare with the schema of this version")
    options = parser.parse_args()
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"synchronous_commit": "off"} if options.no_sync else {}
    with PgCluster(fsync=True, settings=settings) as cluster:
        loud, silent = database(cluster, "loud"), database(cluster, "silent", quiet=True)
        kinds = [("bare INSERT", loud, INSERT), ("bare INSERT with NOTIFY", loud, NOTIFY), ("publish()", loud, PUBLISH),
                 ("publish() without its NOTIFY", silent, PUBLISH), ("publish(), nobody has a plug-in", loud, STRANGER)]
        if options.beside:
            before = database(cluster, "before", version=options.beside)
            kinds += [(f"version {options.beside}: publish()", before, PUBLISH), (f"version {options.beside}: nobody has a plug-in", before, STRANGER)]
        found = {kind: [] for kind, _, _ in kinds}
        for n in range(options.rounds):
            for kind, name, script in kinds:
                found[kind].append(rate(cluster, name, script, options.seconds, folder))
                print(f"round {n + 1}: {kind}: {found[kind][-1]:.0f}/s", file=sys.stderr)
    base = statistics.median(found["bare INSERT with NOTIFY"])
    print("| what commits | per second, median | least to most | beside INSERT with NOTIFY |\n|---|---|---|---|")
    for kind, rates in found.items():
        print(f"| {kind} | {statistics.median(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} | {statistics.median(rates) / base:.2f} |")


if __name__ == "__main__":
    main()
