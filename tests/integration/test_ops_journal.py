"""The log in the journal's own protocol: fields that can be asked for, and a daemon that never waits for journald."""

import json
import os
import re
import socket
import tempfile

import pytest
from ctl_support import ROOT, wait_until
from journal_help import REAL_PREFIX, Journal, afterwards, can, journalctl
from session_client import run
from slotbelld import Trouble

pytest_plugins = ["fixtures_daemon"]
pytestmark = pytest.mark.skipif(not can(), reason="a /run of the daemon's own takes root")

ADA = "ada@example.com"
IDS = dict(re.findall(r'X\("([^"]+)", "([0-9a-f]{32})"\)', (ROOT / "daemon/ops/log_events.h").read_text()))


@pytest.fixture
def journal():
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        made = Journal(folder)
        yield made
        made.close()


def start(house, journal, **settings):
    daemon = house.daemon(start=False, prefix=journal.prefix, **settings)
    daemon.start()
    return daemon


def test_entries_have_the_fields_that_one_asks_for(house, journal):
    with journal:
        daemon = start(house, journal)
        ready = journal.wait("ready")
        assert ready["MESSAGE"] == f"ready: version=0.2.0 port={daemon.port} admin_port=0"
        assert (ready["PRIORITY"], ready["SYSLOG_IDENTIFIER"], ready["SLOTBELL_PORT"]) == ("5", "slotbelld", str(daemon.port))
        assert ready["MESSAGE_ID"] == IDS["ready"]
        journal.wait("database up")
        token = house.enrol(ADA)

        async def story():
            async with house.client(daemon, token) as client:
                welcome = await client.welcome()
                await client.receive("live")
                return welcome["session"]

        session = run(story())
        ended = journal.wait("session ended")
        assert (ended["SLOTBELL_SESSION"], ended["SLOTBELL_REASON"], ended["SLOTBELL_DEVICE"]) == (session, "bye", str(house.device_of(token)))
        assert "MESSAGE_ID" not in ended and ended["PRIORITY"] == "6"
        assert daemon.stop() == 0
        journal.wait("ended")
        assert daemon.log_text() == "", "it is in the journal, and nowhere else"
        for entry in journal.entries:
            assert entry.get("MESSAGE_ID") == IDS.get(entry["SLOTBELL_EVENT"])
            assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) for name in entry)


real = pytest.mark.skipif(not os.path.exists("/lib/systemd/systemd-journald"), reason="systemd's journald is not there")


@real
def test_the_last_words_of_a_short_life_are_known_to_be_its(house, tmp_path):
    """journald looks a process up when it takes its entry: of one that is gone by then it would not know the unit."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon = house.daemon(start=False, prefix=afterwards(tmp_path / "journal"),
                              listen__address=f"127.0.0.1:{taken.getsockname()[1]}")  # fmt: skip
        with pytest.raises(Trouble):
            daemon.start()
    entries = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()]
    (last,) = [entry for entry in entries if entry.get("MESSAGE_ID") == IDS["cannot start"]]
    assert last["SLOTBELL_KEY"] == "listen.address" and last["_EXE"].endswith("/slotbelld")


@real
def test_the_real_journald_takes_it_and_journalctl_finds_it(house):
    daemon = house.daemon(start=False, prefix=REAL_PREFIX)
    daemon.start()
    wait_until(lambda: journalctl(daemon, f"MESSAGE_ID={IDS['database up']}"), "the journal has it")
    token = house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            return (await client.welcome())["session"]

    session = run(story())
    wait_until(lambda: len(journalctl(daemon, f"SLOTBELL_SESSION={session}")) == 2, "began and ended")
    began, ended = journalctl(daemon, f"SLOTBELL_DEVICE={house.device_of(token)}")
    assert (began["SLOTBELL_EVENT"], ended["SLOTBELL_EVENT"], ended["SLOTBELL_REASON"]) == ("session began", "session ended", "bye")
    # What journald itself adds tells whose it is: nobody else can have written it.
    assert began["_PID"] == str(daemon.pid) and began["_TRANSPORT"] == "journal" and began["SYSLOG_IDENTIFIER"] == "slotbelld"
    assert journalctl(daemon, "-p", "warning", "-t", "slotbelld") == []


def test_a_format_that_was_asked_for_goes_to_standard_error(house, journal):
    with journal:
        daemon = start(house, journal, log__format="text")
        daemon.wait_log('event="database up"')
        daemon.configure(log__format="auto")
        daemon.process.send_signal(1)
        journal.wait("reloaded")
        assert 'event="reloaded"' not in daemon.log_text() and "time=" in daemon.log_text()


def test_without_journald_lines_go_to_its_stream_with_their_priority(house, journal):
    daemon = start(house, journal)
    daemon.wait_log('<5>event="database up"')
    # And when it is there again, to it.
    with journal:
        daemon.process.send_signal(1)
        journal.wait("reloaded")
    daemon.process.send_signal(1)
    daemon.wait_log('<5>event="reloaded"')


def test_a_journald_that_does_not_read_holds_nothing_up_and_is_told_what_it_missed(house, journal):
    journal.listen()
    daemon = start(house, journal, sessions__unauthenticated_per_address=0)
    token = house.enrol(ADA)

    async def sessions():
        for _ in range(30):
            async with house.client(daemon, token) as client:
                await client.welcome()

    run(sessions())  # two lines each: more than any queue of datagrams has by default
    journal.read()
    daemon.process.send_signal(1)
    lost = journal.wait("log lines lost")
    assert int(lost["SLOTBELL_COUNT"]) > 0 and lost["PRIORITY"] == "4" and lost["MESSAGE_ID"] == IDS["log lines lost"]
    journal.wait("reloaded")
    assert len(journal.of("log lines lost")) == 1


def test_a_variable_that_means_another_stream_is_not_believed(house):
    daemon = house.daemon(prefix=("env", "JOURNAL_STREAM=1:1"))
    assert daemon.log_text().startswith("time=")


def test_one_kind_of_line_cannot_flood_the_log(house):
    """Three thousand problems in one configuration, and what happens beside them."""
    daemon = house.daemon()
    daemon.config.write_text(daemon.config.read_text() + "\n[nonsense]\n" + "".join(f"key{i} = 1\n" for i in range(3000)))
    daemon.process.send_signal(1)
    daemon.wait_log('event="log lines suppressed" kind="reload problem"')
    told = re.search(r'level=warning event="log lines suppressed" kind="reload problem" count=(\d+) seconds=5', daemon.log_text())
    assert int(told[1]) + daemon.log_text().count('event="reload problem"') == 3000
    assert daemon.log_text().count('event="reload problem"') == 1000
    daemon.configure()
    daemon.process.send_signal(1)
    daemon.wait_log('event="reloaded"')
    assert daemon.log_text().count("log lines suppressed") == 1, "it is told once"
