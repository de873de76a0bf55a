"""What the benches share: tokens by the thousand, a private PostgreSQL with the schema, a process' CPU time, a floor."""

import base64
import contextlib
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

from pgcluster import PgCluster  # noqa: E402
from slotbelld import ENVIRONMENT, certificate  # noqa: E402

BUILD = ROOT / "build"
LOGIN = "slotbelld_login"


def cpu_ns(pid):
    """Time on a processor, of all its threads."""
    return sum(int(path.read_text().split()[0]) for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def enrol(url, count):
    """So many devices, each with a mailbox of its own; their tokens."""
    salt, tokens = bytes(16), []
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, count, 500):  # each takes a lock, and there are only so many for a transaction
            secrets = [os.urandom(32) for _ in range(first, min(first + 500, count))]
            hashes = [hashlib.sha256(salt + hashlib.sha256(secret).digest()).digest() for secret in secrets]
            ids = connection.execute(
                "SELECT slotbell.enrol('m' || %s + n || '@bench.example', 'bench', NULL, %s, hash)"
                " FROM unnest(%s::bytea[]) WITH ORDINALITY AS given(hash, n) ORDER BY n", (first, salt, hashes)).fetchall()
            tokens += [f"sbd_{number}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"
                       for (number,), secret in zip(ids, secrets)]
    return tokens


@contextlib.contextmanager
def house(devices):
    """A folder, a cluster with database `bench`, a certificate's folder, and a file of that many tokens."""
    with tempfile.TemporaryDirectory(prefix="sbbench-") as name, PgCluster() as cluster:
        folder = pathlib.Path(name)
        url = cluster.create_database("bench")
        subprocess.run([BUILD / "slotbellctl", "--database", url, "db", "init"], check=True, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        cluster.psql(f"CREATE ROLE {LOGIN} LOGIN; GRANT slotbell_daemon TO {LOGIN}")
        tokens = enrol(url, devices)
        (folder / "tokens").write_text("\n".join(tokens) + "\n")
        yield folder, cluster, certificate(folder / "certificates"), tokens


@contextlib.contextmanager
def bare_server(certificates, ping_seconds=0):
    """bare_server.c, which figures are held against: its process and port."""
    process = subprocess.Popen(
        [str(BUILD / "bare-server"), str(certificates / "server.pem"), str(certificates / "server.key"), str(ping_seconds)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
