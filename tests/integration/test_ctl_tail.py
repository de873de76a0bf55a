"""slotbellctl tail: every commit is seen, and nothing else, whatever becomes of the connection."""

import json
import re
import signal
import subprocess

import psycopg
import pytest
from ctl_support import ADA, SECONDS, program, read_line, wait_until

pytest_plugins = ["fixtures_ctl"]

PUBLISH = (
    "SELECT slotbell.publish(mailbox => 'ada@example.com', uid => %(uid)s, starts_at => '2026-11-24 09:00+00',"
    " duration_minutes => 30, time_zone => 'Europe/Berlin', subject => %(subject)s,"
    """ attendees => '[{"name": "Grace Hopper", "email": "grace@example.com"}]')"""
)


def publish(connection, uid, subject="Intro call"):
    connection.execute(PUBLISH, {"uid": uid, "subject": subject})


def subjects(lines):
    return [json.loads(line)["booking"]["subject"] for line in lines]


def is_waiting(ctl):
    """It has looked, and waits for a notification."""
    return ctl.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slotbellctl' AND state = 'idle'"
        " AND query LIKE '%%slotbell.events%%' AND datname = current_database()"
    ) == [1]


@pytest.fixture
def tail(ctl):
    """Starts `tail`, and returns when it waits for what comes."""
    started = []

    def start(*arguments):
        process = ctl.start("tail", ADA, *arguments, text=False, bufsize=0)
        started.append(process)
        wait_until(lambda: is_waiting(ctl) or process.poll() is not None, "tail waits")
        assert process.poll() is None, process.stderr.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_backlog_is_the_last_lines_in_order(ctl):
    ctl.enrol()
    for i in range(1, 13):
        ctl.publish(subject=f"call {i}")
    ask = ["--json", "tail", ADA, "--no-follow"]
    assert subjects(ctl.run(*ask, "--lines", 3).stdout.splitlines()) == ["call 10", "call 11", "call 12"]
    assert len(ctl.run(*ask).stdout.splitlines()) == 10
    assert len(ctl.run(*ask, "--lines", 99).stdout.splitlines()) == 12
    assert ctl.run(*ask, "--lines", 0).stdout == ""


def test_a_line_says_when_what_and_who(ctl):
    ctl.enrol()
    with ctl.connect() as connection:
        publish(connection, "42@shop")
    ctl.run("publish", ADA, "--uid", "42@shop", "--change", "cancelled")
    first, second = ctl.run("tail", "Ada@Example.com", "--no-follow").stdout.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ      1  created    2026-11-24 10:00  Europe/Berlin  30 min  Intro call"
        r"  Grace Hopper <grace@example.com>  uid=42@shop",
        first,
    )
    assert re.fullmatch(r"\S+ \S+      2  cancelled  uid=42@shop", second)


def test_json_is_the_message_that_a_plug_in_gets(ctl):
    ctl.enrol()
    ctl.publish(ADA, "--uid", "42@shop", "--time-zone", "Europe/Berlin", "--location", "Room 1")
    (message,) = ctl.json("tail", ADA, "--no-follow")
    (epoch,) = ctl.query("SELECT epoch FROM slotbell.mailbox")
    published_at = message.pop("published_at")
    (version,) = ctl.query("SELECT version FROM slotbell.event")
    assert version > 10**12
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", published_at)
    assert message == {
        "type": "booking", "seq": 1, "cursor": f"{epoch}.1", "change": "created",
        "booking": {
            "uid": "42@shop", "version": version, "starts_at": "2026-11-24T09:00:00Z",
            "starts_local": "2026-11-24T10:00:00", "time_zone": "Europe/Berlin", "duration_minutes": 30,
            "subject": "Intro call", "attendees": [], "location": "Room 1",
        },
    }  # fmt: skip


def test_a_commit_is_seen_and_a_rollback_is_not(ctl, tail):
    ctl.enrol()
    process = tail("--json", "--lines", "0")
    with ctl.connect(autocommit=False) as connection:
        publish(connection, "1", "rolled back")
        connection.rollback()
        publish(connection, "2", "committed")
        connection.commit()
        publish(connection, "3", "committed too")
        connection.commit()
    # Sooner than it would look without being woken, which is after 10 seconds.
    lines = [read_line(process.stdout, seconds=7) for _ in range(2)]
    assert subjects(lines) == ["committed", "committed too"]


def test_more_than_a_page_at_once_comes_whole(ctl, tail):
    ctl.enrol()
    process = tail("--json", "--lines", "0")
    with ctl.connect(autocommit=False) as connection:
        for i in range(1, 1102):
            publish(connection, str(i), f"call {i}")
    lines = [read_line(process.stdout) for _ in range(1101)]
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 1102))


def test_control_characters_of_a_subject_do_not_reach_the_terminal(ctl):
    ctl.enrol()
    with ctl.connect() as connection:
        publish(connection, "1", "a\x1b]0;owned\x07b\r\nc\x9b2J")
    done = ctl.run("tail", ADA, "--no-follow")
    assert r"  a\x1b]0;owned\x07b\x0d\nc\u009b2J  " in done.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stdout)


HARMFUL = "\x7f\x80\x85\x9b\xad\u061c\u200b\u200e\u2028\u202e\u2066\ufeff\U000e0041"


def test_json_steers_no_terminal_that_reads_it_through_a_pipe(ctl):
    ctl.enrol()
    with ctl.connect() as connection:
        publish(connection, "1", f"a{HARMFUL}é")
    done = ctl.run("tail", ADA, "--no-follow", "--json")
    assert json.loads(done.stdout)["booking"]["subject"] == f"a{HARMFUL}é"
    assert not re.search(f"[{HARMFUL}]", done.stdout) and "é" in done.stdout
    words = ctl.run("tail", ADA, "--no-follow").stdout
    assert not re.search(f"[{HARMFUL}]", words) and r"\u202e" in words and r"\U000e0041" in words


def test_json_on_a_terminal_is_ascii(ctl, tmp_path):
    """script(1) gives it a terminal."""
    ctl.enrol()
    with ctl.connect() as connection:
        publish(connection, "1", "a\x9bé")
    shown = tmp_path / "shown"
    done = subprocess.run(
        ["script", "-qec", 'exec "$PROGRAM" --json tail ada@example.com --no-follow', str(shown)],
        env=ctl.environment(PROGRAM=program()), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert b"a\\u009B\\u00E9" in shown.read_bytes()


def test_a_lost_connection_is_mended_and_nothing_is_missed(ctl, tail):
    ctl.enrol()
    process = tail("--json", "--lines", "0")
    with ctl.connect() as connection, psycopg.connect(ctl.cluster.url(), autocommit=True) as other:
        other.execute(f"ALTER DATABASE {ctl.name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'slotbellctl' AND datname = current_database()"
        )
        while "is lost" not in read_line(process.stderr):
            pass  # PostgreSQL's own words come first
        publish(connection, "1", "while away")
        other.execute(f"ALTER DATABASE {ctl.name} ALLOW_CONNECTIONS true")
        assert "connected again" in read_line(process.stderr)
        assert subjects([read_line(process.stdout)]) == ["while away"]
        publish(connection, "2", "afterwards")
        assert subjects([read_line(process.stdout)]) == ["afterwards"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(tail, number):
    process = tail()
    process.send_signal(number)
    assert process.wait(SECONDS) == 0


def test_it_ends_when_nobody_reads_any_more(tail):
    process = tail()
    process.stdout.close()
    assert process.wait(SECONDS) == 0


def test_a_mailbox_that_rings_nowhere_is_said(ctl):
    assert "no plug-in is enrolled for nobody@example.com" in ctl.run(
        "tail", "nobody@example.com", "--no-follow"
    ).stderr
    ctl.enrol()
    assert ctl.run("tail", "ADA@example.com", "--no-follow").stderr == ""


def test_a_new_epoch_is_said(ctl, tail):
    ctl.enrol()
    ctl.publish(subject="before")
    process = tail("--json")
    ctl.run("db", "new-epoch")
    ctl.publish(subject="after")
    assert [json.loads(read_line(process.stdout))["seq"] for _ in range(2)] == [1, 1_000_002]
    assert "new epoch" in read_line(process.stderr)


def test_a_restored_copy_is_noticed_and_followed(ctl, tail):
    """Its numbers are lower than those that were shown already."""
    ctl.enrol()
    for i in range(3):
        ctl.publish(subject=f"call {i}")
    process = tail("--json", "--lines", "0")
    with ctl.connect(autocommit=False) as connection:
        connection.execute("DELETE FROM slotbell.event WHERE seq > 1")
        connection.execute("UPDATE slotbell.mailbox SET head = 1")
        connection.execute("NOTIFY slotbell_wake, '1'")
    assert "went back from 3 to 1" in read_line(process.stderr)
    ctl.publish(subject="after the restore")
    assert subjects([read_line(process.stdout)]) == ["after the restore"]


@pytest.mark.parametrize("arguments", [[], [ADA, "x"], [ADA, "--lines", "few"], [ADA, "--lines", "-1"], [ADA, "--all"]])
def test_what_cannot_be_meant_is_a_usage_error(ctl, arguments):
    assert "Try: slotbellctl tail --help" in ctl.run("tail", *arguments, expect=2).stderr


def test_a_first_connection_that_fails_is_a_failure(ctl):
    done = ctl.run("--database", "postgresql:///x?host=/nonexistent", "tail", ADA, expect=1)
    assert done.stderr.startswith("slotbellctl: ")
