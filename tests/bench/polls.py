#!/usr/bin/python3
"""What clients that ask for the reconnect state cost, and whether bookings suffer: polls.py [--rate 1000] [--seconds 10] [--rounds 3]

Each round: bookings are published at an even rate to one live session, first
with nobody else there, then with slotbell-bench asking GET /v1/reconnect so many
times a second, by resumed connections, with tokens in turn. Latency is told
twice: from before publish() is sent until the message is read, by a client in
Python that has to share the processors with all the others; and from the start
of COMMIT until the daemon wrote the message, by its own histogram, which is the
daemon's part (and PostgreSQL's). The CPU of one question is the daemon's over
the round, less what it took while nobody asked.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request

import psycopg
from bench_house import BUILD, ENVIRONMENT, LOGIN, cpu_ns, house
from session_client import Client
from slotbelld import Daemon, free_port

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


def sent_histogram(port):
    """{upper bound in seconds: bookings sent within it}, since the start."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {float(bound): float(count) for bound, count in
            re.findall(r'slotbell_commit_to_sent_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)', text)}


def within(before, after, share):
    """The bound that so many of the bookings between the two kept, in ms."""
    counts = {bound: after[bound] - before[bound] for bound in after}
    return next(bound * 1000 for bound in sorted(counts) if counts[bound] >= share * max(counts.values()))


def ask(daemon, folder, options):
    return subprocess.Popen(
        [str(word) for word in (BUILD / "slotbell-bench", "ask", "--url", daemon.url, "--ca", daemon.ca, "--tokens", folder / "tokens",
                                "--sessions", 512, "--rate", options.rate, "--seconds", options.seconds, "--resume")],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


async def measure(daemon, admin, folder, url, token, mailbox, options):
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, Client(daemon, token) as client:
        await client.welcome()
        await client.until("live")
        at_first = await asyncio.to_thread(sent_histogram, admin)
        cpu = cpu_ns(daemon.pid)
        calm = await deliver(client, connection, mailbox, options.bookings, options.seconds)
        calm_cpu = cpu_ns(daemon.pid) - cpu
        between = await asyncio.to_thread(sent_histogram, admin)
        process = ask(daemon, folder, options)
        cpu = cpu_ns(daemon.pid)
        busy = await deliver(client, connection, mailbox, options.bookings, options.seconds)
        out, _ = await asyncio.to_thread(process.communicate)
        busy_cpu = cpu_ns(daemon.pid) - cpu
        at_last = await asyncio.to_thread(sent_histogram, admin)
    asked = json.loads(out)
    assert asked["lost"] == 0 and asked["ok"] == asked["answers"], asked
    return {
        "answers": asked["answers"], "per_second": asked["answers"] / asked["seconds"], "resumed": asked["resumed"],
        "answer_p50_ms": asked["took_p50"] * 1000, "answer_p99_ms": asked["took_p99"] * 1000,
        "cpu_us": (busy_cpu - calm_cpu) / asked["answers"] / 1000,
        **{f"{name}_sent_{share:.0%}": within(*pair, share) for name, pair in
           (("calm", (at_first, between)), ("busy", (between, at_last))) for share in (0.5, 0.99)},
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
        admin = free_port()
        daemon = Daemon(folder / "daemon", certificates, cluster.url("bench", LOGIN), BUILD / "slotbelld", {
            "log.level": "warning", "listen.admin": f"127.0.0.1:{admin}", "tls.ticket_keys": folder / "tickets", "sessions.unauthenticated_per_address": 0})
        daemon.start()
        try:
            for _ in range(options.rounds):
                rows.append(asyncio.run(measure(daemon, admin, folder, cluster.url("bench"), tokens[0], mailbox, options)))
                print(json.dumps(rows[-1]), file=sys.stderr)
        finally:
            daemon.stop()

    def middle(name):
        return statistics.median(row[name] for row in rows)
    print(f"{middle('per_second'):.0f} questions a second, {middle('resumed') / middle('answers'):.0%} of them resumed:"
          f" {middle('cpu_us'):.0f} µs of CPU each; answered after {middle('answer_p50_ms'):.1f} ms, 99 % within {middle('answer_p99_ms'):.1f} ms\n")
    print("| bookings | COMMIT to sent, 50 % / 99 % within | publish() to read in Python, 50 % / 99 % within |\n|---|---|---|")
    for name, words in (("calm", "alone"), ("busy", "beside the questions")):
        print(f"| {words} | {middle(name + '_sent_50%'):g} / {middle(name + '_sent_99%'):g} ms"
              f" | {middle(name + '_p50_ms'):.1f} / {middle(name + '_p99_ms'):.1f} ms |")


if __name__ == "__main__":
    main()
