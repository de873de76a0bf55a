#!/usr/bin/python3
"""What a rolling restart of two instances on one port does, drained and killed: rolling_restart.py [--sessions 600]

Starts a private PostgreSQL, two slotbelld of `make` on one port and as many
plug-ins as asked for, all on this machine, and books all the while. Each
instance is restarted in turn: once by SIGTERM, then all over by SIGKILL. Prints
a table for docs/measurements.md: the most new connections (TLS and upgrade done)
within one second, and how long until everybody was back. The plug-ins are
Python's: how fast they can come back at all bounds what a kill shows.
"""

import argparse
import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

from fleet import Fleet, Pair, publish_until  # noqa: E402
from pgcluster import PgCluster  # noqa: E402
from slotbelld import ENVIRONMENT, Daemon, certificate  # noqa: E402

BUILD = ROOT / "build"
LOGIN = "slotbelld_login"


def ctl(url, *words):
    return subprocess.run([BUILD / "slotbellctl", "--database", url, *words], check=True, env=ENVIRONMENT, text=True,
                          capture_output=True).stdout.strip()


async def restart_all(pair, fleet, mailboxes, url, options, kill):
    """A row of figures."""
    stop = asyncio.Event()
    peaks, back, begun_all = [], [], time.monotonic()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        published = asyncio.create_task(publish_until(connection, mailboxes, stop, options.bookings))
        for daemon in pair.both:
            begun = time.monotonic()
            await asyncio.to_thread(pair.restart, daemon, kill)
            # The last connection is that of the one who had to wait longest.
            await fleet.until(lambda: all(plugin.live for plugin in fleet.plugins))
            peaks.append(fleet.peak(begun))
            back.append(fleet.connections_since(begun)[-1] - begun)
        stop.set()
        counts = await published
    return {"how": "killed" if kill else "drained", "peak": max(peaks), "back_seconds": max(back), "counts": counts,
            "bookings": sum(counts.values()), "seconds": time.monotonic() - begun_all,
            "connections": len(fleet.connections_since(begun_all))}


async def measure(pair, tokens, mailboxes, url, options):
    rows, total = [], dict.fromkeys(mailboxes, 0)
    async with Fleet(pair.both[0], tokens) as fleet:
        for kill in (False, True):
            repeats = sum(plugin.repeats for plugin in fleet.plugins)
            row = await restart_all(pair, fleet, mailboxes, url, options, kill)
            for mailbox, count in row.pop("counts").items():
                total[mailbox] += count
            await fleet.until(lambda: all(len(plugin.seqs) == total[mailbox] for plugin, mailbox in zip(fleet.plugins, mailboxes)))
            row["repeats"] = sum(plugin.repeats for plugin in fleet.plugins) - repeats
            row["lost"] = sum(total.values()) - sum(len(plugin.seqs) for plugin in fleet.plugins)
            rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=600)
    parser.add_argument("--rate", type=int, default=50, help="sessions.return_per_second")
    parser.add_argument("--bookings", type=int, default=100, help="a second")
    parser.add_argument("--json", action="store_true", help="figures for a machine")
    options = parser.parse_args()
    mailboxes = [f"host{i}@bench.example" for i in range(options.sessions)]

    with tempfile.TemporaryDirectory(prefix="sbroll-") as folder, PgCluster() as cluster:
        folder = pathlib.Path(folder)
        url = cluster.create_database("bench")
        ctl(url, "db", "init")
        cluster.psql(f"CREATE ROLE {LOGIN} LOGIN; GRANT slotbell_daemon TO {LOGIN}")
        tokens = [ctl(url, "device", "enrol", mailbox) for mailbox in mailboxes]
        certificates = certificate(folder / "certificates")
        pair = Pair(*(Daemon(folder / name, certificates, cluster.url("bench", LOGIN), BUILD / "slotbelld",
                             {"log.level": "notice", "sessions.return_per_second": options.rate}) for name in ("a", "b")))
        try:
            for daemon in pair.both:
                pair.start(daemon)
            rows = asyncio.run(measure(pair, tokens, mailboxes, url, options))
        finally:
            for daemon in pair.both:
                daemon.stop()
    if options.json:
        print(json.dumps(rows))
        return
    print("| restarted | peak of new connections | last one back after | bookings meanwhile | lost | read twice |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['how']} | {row['peak']} a second | {row['back_seconds']:.1f} s | {row['bookings']} | {row['lost']} | {row['repeats']} |")


if __name__ == "__main__":
    main()
