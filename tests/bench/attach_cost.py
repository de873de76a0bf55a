#!/usr/bin/python3
"""What an attached table costs whoever writes to it: CPU time of the backend per transaction of one statement.

CPU time and not wall time, and the best of several rounds, so that a busy machine matters little. A private PostgreSQL as the
tests have it, without fsync.
"""

import argparse
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/integration")]

from fixtures_sql import Database, PgCluster, apply_schema  # noqa: E402

OWNER = """
CREATE ROLE shopkeeper LOGIN;
GRANT slotbell_publisher TO shopkeeper;
CREATE SCHEMA shop AUTHORIZATION shopkeeper;
"""
TABLES = """
CREATE TABLE shop.appointments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, host_email text, starts_at timestamptz NOT NULL, minutes int NOT NULL DEFAULT 30,
    title text NOT NULL DEFAULT 'Intro call', guest text NOT NULL DEFAULT 'grace@example.com', status text NOT NULL DEFAULT 'booked', notes text);
CREATE TABLE shop.plain (LIKE shop.appointments INCLUDING ALL);
SELECT slotbell.attach('shop.appointments', mailbox => 'host_email', uid => '''a-'' || id', starts_at => 'starts_at',
    duration_minutes => 'minutes', time_zone => 'Europe/Berlin', subject => 'title',
    attendees => 'jsonb_build_array(jsonb_build_object(''email'', guest))', cancelled_when => 'status = ''cancelled''');
"""
INSERT = "INSERT INTO shop.{} (host_email, starts_at) VALUES ('{}@example.com', now() + interval '{} days')"
UPDATE = "UPDATE shop.{} SET {} WHERE id = 1"
PUBLISH = ("SELECT slotbell.publish('ada@example.com', 'p-' || %s, now() + interval '1 day', 30, 'Europe/Berlin', 'Intro call',"
           " '[{{\"email\": \"grace@example.com\"}}]')").replace("{{", "{").replace("}}", "}")  # fmt: skip
CASES = [
    ("insert, not attached", INSERT.format("plain", "ada", 1)),
    ("insert, quiet", INSERT.format("appointments", "ada", 1)),
    ("insert, in the past", INSERT.format("appointments", "ada", -9)),
    ("insert, nobody has a plug-in", INSERT.format("appointments", "nobody", 1)),
    ("insert, rings", INSERT.format("appointments", "ada", 1)),
    ("insert and publish by hand", INSERT.format("plain", "ada", 1)),
    ("update, not attached", UPDATE.format("plain", "notes = %s")),
    ("update, nothing mapped", UPDATE.format("appointments", "notes = %s")),
    ("update, rings", UPDATE.format("appointments", "title = %s")),
]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="statements of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--schema", type=int, metavar="VERSION", help="as it was at this version")
    options = parser.parse_args()
    with PgCluster() as cluster:
        url = cluster.create_database("cost")
        apply_schema(url, options.schema)
        database = Database(url, cluster, "cost")
        connection = database.connect()
        connection.execute(OWNER)
        database.connect("shopkeeper").execute(TABLES)
        database.enrol("ada@example.com")
        for table in ("plain", "appointments"):
            connection.execute(INSERT.format(table, "ada", 1))
        pid = connection.info.backend_pid
        best = {}
        for turn in range(options.rounds):
            for name, sql in CASES:
                connection.execute(f"SET slotbell.quiet = {'on' if 'quiet' in name else 'off'}")
                begun = cpu_seconds(pid)
                for i in range(options.count):
                    with connection.transaction():
                        connection.execute(sql, (f"{turn}-{i}",) if "%s" in sql else None)
                        if "by hand" in name:
                            connection.execute(PUBLISH, (f"{turn}-{i}",))
                best[name] = min(best.get(name, 1), (cpu_seconds(pid) - begun) / options.count)
        for name, seconds in best.items():
            print(f"{name:30} {seconds * 1e6:6.0f} µs")
        database.close()


if __name__ == "__main__":
    main()
