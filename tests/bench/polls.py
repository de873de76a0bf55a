#!/usr/bin/python3
"""What clients that ask for the reconnect state cost, and whether bookings suffer: polls.py [--rate 1000] [--seconds 10] [--rounds 3]

Each round: bookings are published at an even rate to one live session, first
with nobody else there, then with slotbell-bench asking GET /v1/reconnect so many
times a second, with tokens in turn: by a resumed connection each, then by 512
connections that are kept. Latency is told
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


def ask(daemon, folder, options, how):
    return subprocess.Popen(
        [str(word) for word in (BUILD / "slotbell-bench", "ask", "--url", daemon.url, "--ca", daemon.ca, "--tokens", folder / "tokens",
                                "--sessions", 512, "--rate", options.rate, "--seconds", options.seconds, "--resume",
                                *(["--keep"] if how == "kept" else []))],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


async def measure(daemon, admin, folder, url, token, mailbox, options):
    """{"calm", "own", "kept": what was seen}: nobody asks; each by a connection of its own; by some that are kept."""
    found = {}
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, Client(daemon, token) as client:
        await client.welcome()
        await client.until("live")
        for how in ("calm", "own", "kept"):
            before, cpu = await asyncio.to_thread(sent_histogram, admin), cpu_ns(daemon.pid)
            asking = ask(daemon, folder, options, how) if how != "calm" else None
            took = await deliver(client, connection, mailbox, options.bookings, options.seconds)
            out, _ = await asyncio.to_thread(asking.communicate) if asking else ("{}", None)
            found[how] = {
                **json.loads(out), "cpu_ns": cpu_ns(daemon.pid) - cpu,
                "p50_ms": statistics.median(took) * 1000, "p99_ms": statistics.quantiles(took, n=100)[98] * 1000}
            after = await asyncio.to_thread(sent_histogram, admin)
            found[how].update({f"sent_{share:.0%}": within(before, after, share) for share in (0.5, 0.99)})
    for how in ("own", "kept"):
        asked = found[how]
        assert asked["lost"] == 0 and asked["ok"] == asked["answers"], asked
        asked["cpu_us"] = (asked["cpu_ns"] - found["calm"]["cpu_ns"]) / asked["answers"] / 1000
        asked["per_second"] = asked["answers"] / asked["seconds"]
    return found


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

    def middle(how, name):
        return statistics.median(row[how][name] for row in rows)
    print("| questions | a second | connections | CPU of the daemon each | answered, 50 % / 99 % within"
          " | bookings: COMMIT to sent, 50 % / 99 % within | publish() to read in Python, 50 % / 99 % within |\n|---|---|---|---|---|---|---|")
    for how, words in (("calm", "none"), ("own", "by a connection each, resumed"), ("kept", "by connections that are kept")):
        asked = "| | |" if how == "calm" else (
            f"{middle(how, 'per_second'):.0f} | {middle(how, 'connections'):.0f} | {middle(how, 'cpu_us'):.0f} µs"
            f" | {middle(how, 'took_p50') * 1000:.1f} / {middle(how, 'took_p99') * 1000:.1f} ms")
        print(f"| {words} | {asked} | {middle(how, 'sent_50%'):g} / {middle(how, 'sent_99%'):g} ms"
              f" | {middle(how, 'p50_ms'):.1f} / {middle(how, 'p99_ms'):.1f} ms |")


if __name__ == "__main__":
    main()
