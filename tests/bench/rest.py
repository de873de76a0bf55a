#!/usr/bin/python3
"""What sessions cost a daemon at rest, and what it cost to let them in: rest.py [--sessions 1000,5000] [--seconds 75]

Starts a private PostgreSQL, the daemon that `make` built and slotbell-bench,
all on this machine and its loopback, and prints a table for docs/measurements.md. Beside each row is what a bare server
(bare_server.c) takes for as many connections and pings.
Memory is resident memory, CPU the process' own time in user and system mode
(the kernel's schedstat, in nanoseconds), both as differences: what is there
before the first session, and what the daemon does without any, is told apart.
"""

import argparse
import json
import pathlib
import subprocess
import time

from bench_house import BUILD, ENVIRONMENT, LOGIN, bare_server, cpu_ns, house
from slotbelld import Daemon


HEARTBEAT_SECONDS = 25  # sessions.heartbeat_seconds' default


class Crowd:
    """slotbell-bench idle: its sessions are live inside of the `with`."""

    def __init__(self, daemon, tokens, count, resume):
        command = [BUILD / "slotbell-bench", "idle", "--url", daemon.url, "--ca", daemon.ca, "--tokens", tokens,
                   "--sessions", count, *(["--resume"] if resume else [])]
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=ENVIRONMENT)

    def __enter__(self):
        self.live = json.loads(self.process.stdout.readline())
        assert self.live["lost"] == 0, self.live
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.stayed = json.loads(self.process.stdout.readline())
        self.process.wait()


def measure(daemon, tokens, count, seconds, resume=False):
    """A row of figures."""
    before_rss, before_cpu = daemon.rss_bytes(), cpu_ns(daemon.pid)
    with Crowd(daemon, tokens, count, resume) as crowd:
        in_cpu = cpu_ns(daemon.pid) - before_cpu
        begun, rest_cpu = time.monotonic(), cpu_ns(daemon.pid)
        time.sleep(seconds)  # the thing itself: to be at rest for so long
        rest_cpu, rested = cpu_ns(daemon.pid) - rest_cpu, time.monotonic() - begun
        rss = daemon.rss_bytes() - before_rss
    assert crowd.stayed["lost"] == 0, crowd.stayed
    return {
        "sessions": count, "rss_bytes": rss / count, "connect_us": in_cpu / count / 1000, "connect_seconds": crowd.live["seconds"],
        "rest_us": rest_cpu / count / rested / 1000, "rested": rested, "pings": crowd.stayed["pings"],
        "resumed": crowd.live["resumed"],
    }


def measure_floor(certificates, count, seconds, resume):
    """A bare server that lets as many connections in, pings as often, and reads the answers: the two figures of the daemon's row."""
    with bare_server(certificates, HEARTBEAT_SECONDS) as (server, port):
        command = [BUILD / "slotbell-bench", "shake", "--url", f"wss://127.0.0.1:{port}", "--ca", certificates / "ca.pem",
                   "--sessions", count, *(["--resume"] if resume else [])]
        before = cpu_ns(server.pid)
        with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as crowd:
            assert json.loads(crowd.stdout.readline())["lost"] == 0
            begun, cpu = time.monotonic(), cpu_ns(server.pid)
            time.sleep(seconds)  # the thing itself
            return {"floor_connect_us": (cpu - before) / count / 1000,
                    "floor_rest_us": (cpu_ns(server.pid) - cpu) / (time.monotonic() - begun) / count / 1000}


def idle_us(daemon, seconds):
    """The daemon without sessions: microseconds per second."""
    begun, cpu = time.monotonic(), cpu_ns(daemon.pid)
    time.sleep(seconds)  # the thing itself
    return (cpu_ns(daemon.pid) - cpu) / (time.monotonic() - begun) / 1000


def table(rows):
    print("| sessions | RSS per session | CPU per connection | bare server | ratio | all live after | CPU at rest, per second and session"
          " | bare server | pings |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        how = " (resumed)" if row["resumed"] else ""
        print(f"| {row['sessions']}{how} | {row['rss_bytes'] / 1024:.2f} KiB | {row['connect_us']:.0f} µs"
              f" | {row['floor_connect_us']:.0f} µs | {row['connect_us'] / row['floor_connect_us']:.2f}"
              f" | {row['connect_seconds']:.2f} s | {row['rest_us']:.2f} µs"
              f" | {row['floor_rest_us']:.2f} µs | {row['pings']} in {row['rested']:.0f} s |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", default="1000,5000", help="one row for each")
    parser.add_argument("--seconds", type=float, default=75, help="at rest, for each row; three heartbeats")
    parser.add_argument("--resume", action="store_true", help="resume TLS sessions")
    parser.add_argument("--json", action="store_true", help="figures for a machine")
    parser.add_argument("--program", default=BUILD / "slotbelld", type=pathlib.Path)
    options = parser.parse_args()
    counts = [int(word) for word in options.sessions.split(",")]

    with house(max(counts)) as (folder, cluster, certificates, _):
        rows, nobody = [], 0
        for number, count in enumerate(counts):
            daemon = Daemon(folder / str(number), certificates, cluster.url("bench", LOGIN), options.program,
                            {"log.level": "warning", "sessions.max": max(counts) + 100})
            daemon.start()
            try:
                if not nobody:
                    nobody = idle_us(daemon, 12)
                rows.append(measure(daemon, folder / "tokens", count, options.seconds, options.resume))
            finally:
                daemon.stop()
            rows[-1].update(measure_floor(certificates, count, options.seconds, options.resume))
    if options.json:
        print(json.dumps({"nobody_us": nobody, "rows": rows}))
    else:
        table(rows)
        print(f"\nWithout sessions the daemon takes {nobody:.0f} µs of CPU per second.")


if __name__ == "__main__":
    main()
