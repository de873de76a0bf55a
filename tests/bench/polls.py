#!/usr/bin/python3
"""What clients that ask for the reconnect state cost, and whether bookings suffer: polls.py [--rate 1000] [--seconds 10] [--rounds 3]

Each round: bookings are published at an even rate to one live session, first
with nobody else there, then with slotbell-bench asking GET /v1/reconnect so many
times a second, by resumed connections, with tokens in turn. The latency of a
booking is from before its publish() is sent until its message is read, by a
client in Python, whose own time is in both. The CPU of one question is the
daemon's over the round, less what it took while nobody asked.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time

import psycopg
from bench_house import BUILD, ENVIRONMENT, LOGIN, cpu_ns, house
from session_client import Client
from slotbelld import Daemon

PUBLISH = ("SELECT slotbell.publish(%s, gen_random_uuid()::text, now() + interval '1 day', 30, 'Europe/Berlin', 'Intro call',"
           " '[{\"name\": \"Grace Hopper\", \"email\": \"grace@example.com\"}]')")


async def deliver(client, connection, mailbox, rate, seconds):
    """Publishes for so long: seconds from publish() to the message, for each booking."""
    found, begun = [], time.monotonic()
    for n in range(int(rate * seconds)):
        await asyncio.sleep(max(0, begun + n / rate - time.monotonic()))  # the rate itself
        before = time.monotonic()
        await asyncio.gather(connection.execute(PUBLISH, (mailbox,)), client.until("booking"))
        found.append(time.monotonic() - before)
        await client.ack(client.received[-1]["cursor"])
    return found


def ask(daemon, folder, options):
    return subprocess.Popen(
        [str(word) for word in (BUILD / "slotbell-bench", "ask", "--url", daemon.url, "--ca", daemon.ca, "--tokens", folder / "tokens",
                                "--sessions", 512, "--rate", options.rate, "--seconds", options.seconds, "--resume")],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


async def measure(daemon, folder, url, token, mailbox, options):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, Client(daemon, token) as client:
        await client.welcome()
        await client.until("live")
        cpu = cpu_ns(daemon.pid)
        calm = await deliver(client, connection, mailbox, options.bookings, options.seconds)
        calm_cpu = cpu_ns(daemon.pid) - cpu
        process = ask(daemon, folder, options)
        cpu = cpu_ns(daemon.pid)
        busy = await deliver(client, connection, mailbox, options.bookings, options.seconds)
        out, _ = await asyncio.to_thread(process.communicate)
        busy_cpu = cpu_ns(daemon.pid) - cpu
    asked = json.loads(out)
    assert asked["lost"] == 0 and asked["ok"] == asked["answers"], asked
    return {
        "answers": asked["answers"], "per_second": asked["answers"] / asked["seconds"], "resumed": asked["resumed"],
        "answer_p50_ms": asked["took_p50"] * 1000, "answer_p99_ms": asked["took_p99"] * 1000,
        "cpu_us": (busy_cpu - calm_cpu) / asked["answers"] / 1000,
        **{f"{name}_{word}_ms": value * 1000 for name, found in (("calm", calm), ("busy", busy))
           for word, value in (("p50", statistics.median(found)), ("p99", statistics.quantiles(found, n=100)[98]))},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1000, help="questions per second")
    parser.add_argument("--bookings", type=int, default=20, help="bookings per second")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    options = parser.parse_args()
    rows = []
    with house(1000) as (folder, cluster, certificates, tokens):
        (folder / "tickets").write_bytes(os.urandom(80))
        (folder / "tickets").chmod(0o600)
        mailbox = cluster.psql("SELECT address FROM slotbell.mailbox ORDER BY id LIMIT 1", "bench").strip()
        daemon = Daemon(folder / "daemon", certificates, cluster.url("bench", LOGIN), BUILD / "slotbelld", {
            "log.level": "warning", "tls.ticket_keys": folder / "tickets", "sessions.unauthenticated_per_address": 0})
        daemon.start()
        try:
            for _ in range(options.rounds):
                rows.append(asyncio.run(measure(daemon, folder, cluster.url("bench"), tokens[0], mailbox, options)))
                print(json.dumps(rows[-1]), file=sys.stderr)
        finally:
            daemon.stop()

    def middle(name):
        return statistics.median(row[name] for row in rows)
    print("| questions per second | resumed | CPU of one | its answer after, p50 / p99 | a booking's latency, p50 / p99 | without questions |")
    print("|---|---|---|---|---|---|")
    print(f"| {middle('per_second'):.0f} | {middle('resumed') / middle('answers'):.0%} | {middle('cpu_us'):.0f} µs"
          f" | {middle('answer_p50_ms'):.1f} / {middle('answer_p99_ms'):.1f} ms"
          f" | {middle('busy_p50_ms'):.2f} / {middle('busy_p99_ms'):.2f} ms | {middle('calm_p50_ms'):.2f} / {middle('calm_p99_ms'):.2f} ms |")


if __name__ == "__main__":
    main()
