"""slotbellctl doctor, as root on a host where slotbelld runs in its sandbox: green, and red in the right line for ten things
that are broken on purpose. (tests/integration has each check at length.)"""

import json
import re
import socket

import pytest
from authority import issued
from box import ROOT
from doctor_checks import CHECKS
from slotbelld import certificate

UNIT = "slotbelld.service"
ETC = "/etc/slotbell"

# As far as slotbellctl can tell this machine's clock is an hour ahead; the real one is not ours to set.
AHEAD = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    now->tv_sec += clock == CLOCK_REALTIME ? 3600 : 0;
    return result;
}
"""


@pytest.fixture
def doctor(host):
    """What doctor finds, by check: all must be there, and nothing but `red` may have failed."""
    host.let_root_operate()
    host.configure(sessions__max=1000)
    host.box.write("/root/ca.pem", host.ca.read_text())

    def look(*red, ca="/root/ca.pem", options=(), perhaps=()):
        words = ["slotbellctl", "--json", "doctor", "--name", "localhost", "--ca", ca, "--database", "postgresql:///slotbell",
                 *options]  # fmt: skip
        done = host.box.result(words)
        found = {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}
        assert list(found) == CHECKS, done.stdout + done.stderr
        failed = {name for name, line in found.items() if line["result"] == "fail"}
        assert set(red) <= failed <= {*red, *perhaps}, done.stdout
        assert done.returncode == (1 if red else 0)
        return {name: line["seen"] for name, line in found.items()} if red else found

    return look


def test_all_is_well(host, doctor):
    host.start()
    found = doctor()
    assert {line["result"] for line in found.values()} == {"ok"}, found
    assert found["configuration"]["seen"] == "/etc/slotbell/slotbelld.conf; files are looked at as the daemon's user slotbell"
    assert f"process {host.pid()}, " in found["daemon"]["seen"] and ", as slotbell" in found["database"]["seen"]
    assert host.sql("SELECT count(*) FROM slotbell.mailbox WHERE address LIKE 'canary%'") == "0"


def test_the_transcript_in_the_documentation_is_what_is_printed(host, doctor, tmp_path):
    host.install_certificate(certificate(tmp_path / "bell", "bell.example.com"))
    host.box.write("/root/ca.pem", host.ca.read_text())
    host.start()
    page = (ROOT / "docs/operating.md").read_text()
    told = re.search(r"^```\n# (slotbellctl doctor .*)\n([^`]*)```", page, re.M)
    done = host.box.run(told[1].split())
    # Numbers are of the day.
    assert re.sub(r"\d+", "1", done) == re.sub(r"\d+", "1", told[2]), done


def test_what_a_client_of_the_service_manager_sees_is_what_doctor_sees(host, doctor):
    """Sockets that systemd made, the admin listener among them."""
    host.box.run("systemctl start slotbelld.socket slotbelld-admin.socket")
    host.start()
    assert {line["result"] for line in doctor().values()} == {"ok"}


def test_an_expired_certificate_and_a_wrong_key(host, doctor, tmp_path):
    host.start()
    own = issued(tmp_path / "own", start="20200101000000Z", end="20200201000000Z")
    host.box.write("/root/own.pem", (own / "ca.pem").read_text())
    host.install_certificate(own)
    assert "expired 2020-02-01" in doctor("certificate", ca="/root/own.pem")["certificate"]
    host.install_certificate(host.certificates)
    host.box.write(f"{ETC}/tls/server.key", (own / "server.key").read_text(), 0o640, "root:slotbell")
    assert "does not belong to the certificate" in doctor("key")["key"]


def test_a_key_and_a_credential_that_cannot_be_read(host, doctor):
    host.start()
    host.box.run(f"chown root:root {ETC}/tls/server.key")
    assert "the daemon's user slotbell cannot read it: Permission denied" in doctor("key")["key"]
    host.box.run(f"chown root:slotbell {ETC}/tls/server.key")
    host.box.write("/etc/credstore/slotbell.database-password", "two\nlines\n", 0o600)
    host.box.result(f"systemctl restart {UNIT}")
    host.box.wait(lambda: host.box.show(UNIT, "NRestarts") != "0", "it does not start with that")
    host.box.run(f"systemctl stop {UNIT}")
    assert "not one line of text" in doctor("password", "port", "daemon", "ready")["password"]


# Asked for its status it says that it is slotbelld, which nobody could tell from the real one.
TAKEN_OVER = """
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    with server.accept()[0] as client:
        client.recv(65536)
        client.sendall(json.dumps({"ok": True, "pid": os.getpid(), "state": "ready", "version": "0"}).encode() + b"\\n")
"""


def test_a_daemon_that_was_taken_over_gets_nothing_that_is_roots_by_what_it_says(host, doctor):
    """Its environment is its own to write: a folder of credentials that only root reads, and who is to be logged in as."""
    host.start()
    host.box.run("install -d -m 700 /root/secrets")
    host.box.write("/root/secrets/database-password", "sesame\n", 0o600)
    host.box.write("/run/slotbell/taken-over.py", TAKEN_OVER)
    host.box.run(["systemd-run", "--quiet", "--unit=taken-over", "--uid=slotbell", "--setenv=CREDENTIALS_DIRECTORY=/root/secrets",
                  "--setenv=PGUSER=nobody", "/usr/bin/python3", "/run/slotbell/taken-over.py", "/run/slotbell/taken-over.sock"])
    try:
        host.box.wait(lambda: host.box.path("/run/slotbell/taken-over.sock").exists(), "it listens")
        seen = doctor("password", options=["--socket", "/run/slotbell/taken-over.sock"], perhaps=("descriptors",))
        assert seen["password"] == "the credential database-password: Permission denied"
        assert seen["session"].startswith("a canary's booking arrived"), "root logged in as root"
    finally:
        host.box.run("systemctl stop taken-over; rm -rf /run/slotbell/taken-over.* /root/secrets")


def test_a_stranger_at_another_socket_is_not_given_the_daemons_password(host, doctor):
    """Only a daemon that is not there is looked at with the credential that it would get."""
    host.start()
    host.box.write("/etc/credstore/slotbell.database-password", "sesame\n", 0o600)
    host.box.run("install -d -m 777 /run/stranger")
    host.box.write("/run/stranger/stranger.py", TAKEN_OVER, 0o644)
    host.box.run(["systemd-run", "--quiet", "--unit=stranger", "--uid=nobody", "/usr/bin/python3", "/run/stranger/stranger.py", "/run/stranger/socket"])
    try:
        host.box.wait(lambda: host.box.path("/run/stranger/socket").exists(), "it listens")
        options = ["--socket", "/run/stranger/socket"]
        seen = doctor("configuration", options=options, perhaps=("descriptors", "key", "password", "database", "certificate"))
        assert "cannot be read: Permission denied" in seen["configuration"], "it is not the stranger's to read"
        host.box.run("chmod o=r /etc/slotbell/slotbelld.conf")
        seen = doctor("key", options=options, perhaps=("descriptors", "database", "certificate"))
        assert seen["configuration"].endswith("files are looked at as the daemon's user nobody")
        assert "neither file nor credential is named" in seen["password"]
    finally:
        host.box.run("systemctl stop stranger; rm -rf /run/stranger; chmod o= /etc/slotbell/slotbelld.conf", check=False)


def test_no_rights_and_an_old_schema(host, doctor):
    host.start()
    noticed = ["daemon", "ready"]  # by the daemon itself, if it came to it meanwhile
    host.sql("REVOKE slotbell_daemon FROM slotbell")
    try:
        assert "the role slotbell may not use" in doctor("rights", perhaps=noticed)["rights"]
    finally:
        host.sql("GRANT slotbell_daemon TO slotbell")
    host.wait_database()
    host.sql("CREATE TABLE kept AS SELECT * FROM slotbell.migration WHERE version = (SELECT max(version) FROM slotbell.migration);"
             " DELETE FROM slotbell.migration WHERE version = (SELECT max(version) FROM slotbell.migration)")  # fmt: skip
    try:
        assert ", and this program is for " in doctor("schema", perhaps=noticed)["schema"]
    finally:
        host.sql("INSERT INTO slotbell.migration SELECT * FROM kept; DROP TABLE kept")


def test_the_database_down(host, doctor):
    host.start()
    cluster = f"postgresql@{host.cluster}-main"
    host.box.run(f"systemctl stop {cluster}")
    try:
        host.box.wait(lambda: not host.status()["database"]["up"], "the daemon has noticed")
        seen = doctor("database", "daemon", "ready")
        assert "No such file or directory" in seen["database"] and seen["daemon"].startswith("degraded: ")
    finally:
        host.box.run(f"systemctl start {cluster}")
    host.wait_database()


def test_the_port_taken(host, doctor):
    with host.box.inside(socket.create_server, ("127.0.0.1", 8443)) as other:
        other.settimeout(0.1)
        seen = doctor("port", "daemon", "ready")
    assert "something answers, but not as slotbelld" in seen["port"] and "cannot reach slotbelld" in seen["daemon"]


def test_the_limit_of_files_low(host, doctor):
    host.drop_in(UNIT, "[Service]\nLimitNOFILE=500:500\n")
    host.start()
    assert "it may open 500, and sessions.max wants 1506" in doctor("descriptors")["descriptors"]


def test_the_clock_off(host, doctor):
    host.start()
    host.box.write("/root/ahead.c", AHEAD)
    host.box.run("gcc -shared -fPIC -o /root/ahead.so /root/ahead.c")
    # A variable would not do: the process that looks is given none of root's.
    host.box.write("/etc/ld.so.preload", "/root/ahead.so\n", 0o644)
    try:
        assert "behind this machine's" in doctor("clock")["clock"]
    finally:
        host.box.path("/etc/ld.so.preload").unlink()


def test_the_queue_of_notifications_full(host, doctor):
    """As near as can be made: a listener that sits in a transaction, a thousandth of the queue, and that as the limit."""
    host.start()
    script = r"""LISTEN anything; BEGIN; SELECT 1;
\! touch /tmp/idles; until test -e /tmp/done; do sleep 0.1; done
"""
    host.box.write("/tmp/idle.sql", script, 0o644)
    host.box.run("systemd-run --unit=idle --uid=postgres psql -qX -f /tmp/idle.sql slotbell")
    try:
        host.box.wait(lambda: host.box.path("/tmp/idles").exists(), "somebody sits in a transaction")
        host.sql("SELECT count(pg_notify('slotbell_test', repeat('x', 7900) || n)) FROM generate_series(1, 2000) n")
        assert "% full" in doctor("queue", options=["--queue-limit", "0.1"])["queue"]
    finally:
        host.box.run("touch /tmp/done; systemctl stop idle.service; rm -f /tmp/done /tmp/idles /tmp/idle.sql", check=False)
