#!/usr/bin/python3
"""Ten thousand plug-ins lose their daemon and come back: storm.py [--sessions 10000] [--processes 4] [--rounds 3]

Each round, on this machine and its loopback: all sessions are live; the daemon
is killed; a booking for each of them is published; the daemon is started again.
Measured is the time from when it listens until the last one is back, has its
booking and is live, and the daemon's own CPU time for that. Beside it, in the
same round and by the same client, as many TLS handshakes and upgrades with
a bare server (bare_server.c), which does nothing else. Both with full
handshakes and with resumed ones. The table is for docs/measurements.md.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time

import psycopg

from bench_house import BUILD, ENVIRONMENT, LOGIN, bare_server, cpu_ns, house
from slotbelld import Daemon, spawn

PATIENCE = 120


class Crowd:
    """Several processes of slotbell-bench, each with its part of the tokens."""

    def __init__(self, command, url, ca, sessions, processes, folder=None, tokens=(), resume=False):
        self.processes, part = [], sessions // processes
        for n in range(processes):
            words = [BUILD / "slotbell-bench", command, "--url", url, "--ca", ca, "--sessions", part,
                     "--connecting", max(1, 128 // processes), *(["--resume"] if resume else [])]
            if tokens:
                path = folder / f"tokens-{n}"
                path.write_text("\n".join(tokens[n * part:(n + 1) * part]) + "\n")
                words += ["--tokens", path]
            self.processes.append(subprocess.Popen(
                list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT))

    def read(self, event):
        """The next line of each of them, which is of this event."""
        lines = [json.loads(process.stdout.readline() or "{}") for process in self.processes]
        for line in lines:
            assert line.get("event") == event, (event, line)
        return lines

    def end(self):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.stdout.read()
            process.wait(PATIENCE)


def bare(certificates, sessions, processes, resume):
    """Seconds until as many clients are through TLS and upgrade, and the server's CPU time for one."""
    with bare_server(certificates) as (server, port):
        begun, cpu = time.monotonic(), cpu_ns(server.pid)
        crowd = Crowd("shake", f"wss://127.0.0.1:{port}", certificates / "ca.pem", sessions, processes, resume=resume)
        lines = crowd.read("live")
        seconds = time.monotonic() - begun
        cpu = cpu_ns(server.pid) - cpu
        crowd.end()
    assert sum(line["live"] for line in lines) == sessions, lines
    return {"seconds": seconds, "cpu_us": cpu / sessions / 1000, "resumed": sum(line["resumed"] for line in lines)}


def publish_one_each(url):
    """A booking for every mailbox, while nobody listens."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = [name for (name,) in connection.execute("SELECT address FROM slotbell.mailbox ORDER BY id").fetchall()]
        for first in range(0, len(names), 200):
            connection.execute(
                "SELECT slotbell.publish(name, gen_random_uuid()::text, now() + interval '1 day', 30, 'Europe/Berlin', 'Intro call',"
                " '[{\"name\": \"Grace Hopper\", \"email\": \"grace@example.com\"}]') FROM unnest(%s::text[]) AS given(name)",
                (names[first:first + 200],))
    return len(names)


def wait_until(true, what):
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)  # nobody tells


def settled_rss(daemon):
    """Resident memory once it stands still: what handshakes left goes back at the daemon's next tick."""
    last, since = daemon.rss_bytes(), time.monotonic()
    while time.monotonic() - since < 1.5:
        time.sleep(0.05)  # nobody tells
        now = daemon.rss_bytes()
        if now != last:
            last, since = now, time.monotonic()
    return last


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def storm(made, daemon, sessions, processes, resume):
    folder, cluster, _, tokens = made
    daemon.start()
    crowd = Crowd("storm", daemon.url, daemon.ca, sessions, processes, folder, tokens, resume)
    try:
        crowd.read("live")
        rss = settled_rss(daemon)
        daemon.kill()
        expected = publish_one_each(cluster.url("bench"))
        daemon.process = spawn([daemon.program, "--config", daemon.config], daemon.log)
        wait_until(lambda: listens(daemon.port), "slotbelld does not listen")
        begun = time.monotonic()
        lines = crowd.read("back")
        seconds = time.monotonic() - begun
        cpu = cpu_ns(daemon.pid)
        bookings = sum(line["bookings"] for line in lines)
        assert bookings == expected == sessions, (expected, bookings)
        wait_until(lambda: all_acked(cluster), "acks are missing")
        rss_after = settled_rss(daemon)
    finally:
        crowd.end()
        daemon.stop()
    return {
        "seconds": seconds, "cpu_us": cpu / sessions / 1000, "resumed": sum(line["resumed"] for line in lines),
        "rss": rss_after / rss, "p50": statistics.median(line["took_p50"] for line in lines),
        "max": max(line["took_max"] for line in lines), "calls": max(line["calls_max"] for line in lines),
        "told": sum(line["told"] for line in lines), "rss_kib": rss_after / sessions / 1024,
    }


def all_acked(cluster):
    return cluster.psql("SELECT count(*) FROM slotbell.device d JOIN slotbell.mailbox m ON m.id = d.mailbox_id"
                        " WHERE d.acked < m.head", "bench").strip() == "0"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--processes", type=int, default=4, help="of clients")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    options = parser.parse_args()
    rows = {}
    with house(options.sessions) as made:
        folder, cluster, certificates, _ = made
        (folder / "tickets").write_bytes(os.urandom(80))
        (folder / "tickets").chmod(0o600)
        for number in range(options.rounds):
            for resume in (False, True):
                daemon = Daemon(folder / f"{number}-{resume}", certificates, cluster.url("bench", LOGIN), BUILD / "slotbelld", {
                    "log.level": "warning", "sessions.max": options.sessions + 100, "tls.ticket_keys": folder / "tickets",
                    "sessions.unauthenticated_per_address": 0})
                floor = bare(certificates, options.sessions, options.processes, resume)
                row = storm(made, daemon, options.sessions, options.processes, resume)
                row["floor"], row["ratio"] = floor, row["seconds"] / floor["seconds"]
                row["cpu_ratio"] = row["cpu_us"] / floor["cpu_us"]
                rows.setdefault(resume, []).append(row)
                print(json.dumps(row), file=sys.stderr)
    print("| handshakes | bare server | slotbelld, all caught up | ratio | CPU each, bare | slotbelld | ratio |"
          " slowest client | most calls of one | memory after, beside before |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for resume, found in rows.items():
        def middle(pick):
            return statistics.median(pick(row) for row in found)
        print(f"| {'resumed' if resume else 'full'} | {middle(lambda r: r['floor']['seconds']):.2f} s | {middle(lambda r: r['seconds']):.2f} s"
              f" | {middle(lambda r: r['ratio']):.2f} | {middle(lambda r: r['floor']['cpu_us']):.0f} µs | {middle(lambda r: r['cpu_us']):.0f} µs"
              f" | {middle(lambda r: r['cpu_ratio']):.2f} | {max(r['max'] for r in found):.2f} s | {max(r['calls'] for r in found)}"
              f" | {middle(lambda r: r['rss']):.3f} |")


if __name__ == "__main__":
    main()
