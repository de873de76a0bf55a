"""slotbelld and its service manager, played by the test: readiness, status, watchdog, reload, the end, the password."""

import contextlib
import os
import re
import signal
import socket
import time

import pytest
from session_client import Closed, run
from slotbelld import Trouble

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
LOGIN = "slotbelld_login"  # as fixtures_daemon makes it
SECONDS = 30


class Manager:
    """What systemd is to a service of Type=notify."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.heard = []

    def next(self):
        """One message, as its variables."""
        self.socket.settimeout(SECONDS)
        message = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))
        self.heard.append(message)
        return message

    def until(self, name, pattern=""):
        """The next message with this variable, and a value in which the pattern is found."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self.next()
            if name in message and re.search(pattern, message[name]):
                return message
        raise AssertionError(f"no {name}={pattern}: {self.heard}")

    def statuses(self):
        return [message["STATUS"] for message in self.heard if "STATUS" in message]


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path)
    with contextlib.closing(made.socket):
        yield made


def managed(house, manager, *variables, start=True, **settings):
    daemon = house.daemon(start=False, **settings)
    daemon.prefix = ("env", f"NOTIFY_SOCKET={manager.path}", *variables)
    if start:
        daemon.start()
    return daemon


def test_it_is_told_of_readiness_reloads_and_the_end(house, manager):
    daemon = managed(house, manager, drain__seconds=7)
    assert manager.next() == {"READY": "1", "STATUS": f"Listening on port {daemon.port}"}
    daemon.reload()
    assert int(manager.until("RELOADING")["MONOTONIC_USEC"]) > 0
    assert manager.until("READY") == {"READY": "1", "STATUS": "Reloaded"}
    daemon.reload(listen__admin="127.0.0.1:1")
    assert manager.until("READY")["STATUS"] == "Reloaded; some keys need a restart"
    daemon.reload("reload refused", sessions__max=0)
    assert manager.until("READY")["STATUS"] == "Reload refused; see the log"
    daemon.configure(sessions__max=10)
    assert daemon.stop() == 0
    # However short TimeoutStopSec= is, the drain has its time, and the end ten seconds.
    stopping = manager.until("STOPPING")
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) == pytest.approx(17_000_000, abs=2000)


def test_the_status_has_the_figures_and_changes_only_with_them(house, manager):
    daemon, token = managed(house, manager), house.enrol(ADA)
    manager.until("STATUS", r"^Sessions: 0; database up; loop's lag (under 10|[1-9]0{1,3}) ms$")
    daemon.reload("reload refused", sessions__max=0)  # is remembered in every line, for it waits for somebody

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            manager.until("STATUS", r"^Sessions: 1; database up; .*; last reload refused, see the log$")

    run(story())
    house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS false")
    house.cluster.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{house.name}'")
    away = manager.until("STATUS", "database away")["STATUS"]
    assert "is not currently accepting connections" in away
    house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS true")
    manager.until("STATUS", "database up")
    statuses = manager.statuses()
    assert all(earlier != later for earlier, later in zip(statuses, statuses[1:])), statuses
    daemon.configure(sessions__max=10)


@pytest.mark.parametrize("folder", ["/" + "\u00e4" * 300, "/x" + "\u00e4" * 300, "/a%0aWATCHDOG%3dtrigger"],
                         ids=["cut", "cut-elsewhere", "line"])
def test_what_is_said_of_the_database_makes_no_other_variable_and_no_status_that_is_not_shown(house, manager, folder):
    """Text that is cut in the middle of a character, and a line's end."""
    managed(house, manager, f"SLOTBELL_DATABASE_URL=postgresql:///x?host={folder}")
    message = manager.until("STATUS", "database away: ")  # which is decoded, strictly
    assert set(message) == {"STATUS"} and len(message["STATUS"]) < 512 and message["STATUS"].isascii()


def test_the_drain_is_counted_down(house, manager):
    daemon, token = managed(house, manager, drain__seconds=20), house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            daemon.process.send_signal(signal.SIGTERM)
            manager.until("STOPPING")
            manager.until("STATUS", "^Draining; connections left: 1$")
            with pytest.raises(Closed):
                while True:
                    await client.next()

    run(story())
    assert daemon.process.wait(SECONDS) == 0


def test_the_watchdog_is_fed_by_the_loop_whatever_the_database_does(house, manager):
    """And nothing comes of a loop that stands still."""
    daemon = managed(house, manager, "WATCHDOG_USEC=3000000", database__url="postgresql:///nowhere?host=/nowhere")
    manager.until("STATUS", "database away")
    for _ in range(3):
        manager.until("WATCHDOG", "^1$")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
        manager.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # what was on its way
                manager.socket.recv(4096)
        manager.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            manager.socket.recv(4096)
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    manager.until("WATCHDOG")


def test_without_a_watchdog_nothing_is_fed(house, manager):
    daemon = managed(house, manager, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=1")  # another process'
    manager.until("STATUS", "database up")
    assert daemon.stop() == 0
    manager.until("STOPPING")
    assert not [message for message in manager.heard if "WATCHDOG" in message]


# ---- the database's password ----


@pytest.fixture
def locked(house, tmp_path):
    """A daemon whose database wants a password, and the credential that has it."""
    house.cluster.psql(f"ALTER ROLE {LOGIN} PASSWORD 'open sesame'")
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "database-password").write_text("open sesame\n")
    host = f"{house.cluster.address}:{house.cluster.port}"
    daemon = house.daemon(start=False, database__url=f"postgresql://{LOGIN}@{host}/{house.name}")
    daemon.prefix = ("env", f"CREDENTIALS_DIRECTORY={folder}")
    yield daemon, folder / "database-password", f"postgresql://{LOGIN}:%s@{host}/{house.name}"
    house.cluster.psql(f"ALTER ROLE {LOGIN} PASSWORD NULL")


def test_the_password_comes_by_credential(locked):
    daemon, credential, _ = locked
    daemon.start()
    daemon.wait_log('event="database up"')
    assert "sesame" not in daemon.log_text()
    daemon.stop()
    credential.unlink()  # none is no error: a database may want none
    daemon.start()
    daemon.wait_log("no password supplied")


def test_a_password_in_the_url_wins(locked):
    daemon, credential, url = locked
    credential.write_text("wrong")
    daemon.configure(database__url=url % "open%20sesame")
    daemon.start()
    daemon.wait_log('event="database up"')
    daemon.stop()
    before = len(daemon.log_text())
    daemon.configure(database__url=url % "wrong")
    credential.write_text("open sesame")
    daemon.start()
    daemon.wait_log("password authentication failed", before)


@pytest.mark.parametrize(("text", "problem"), [
    ("", "is empty, or not one line of text"), ("\n", "is empty, or not one line of text"), ("two\nlines\n", "is empty, or not one line of text"),
    ("nul\0", "is empty, or not one line of text"), ("x" * 1025, "is too long for a password"),
    ("x" * 1025 + "\n", "is too long for a password"), ("x" * 1024 + "\n\n", "is too long for a password")])
def test_a_credential_that_is_no_password_is_refused(locked, text, problem):
    daemon, credential, _ = locked
    credential.write_text(text)
    with pytest.raises(Trouble, match="ended with 1"):
        daemon.start()
    assert f"the credential database-password, passed by the service manager: it {problem}" in daemon.log_text()


def test_the_longest_password(house, locked):
    daemon, credential, _ = locked
    credential.write_text("x" * 1024 + "\n")
    daemon.start()
    daemon.wait_log("password authentication failed")  # asked for, and sent
    credential.unlink()
    credential.mkdir()
    daemon.stop()
    with pytest.raises(Trouble, match="ended with 1"):
        daemon.start()
    assert "passed by the service manager: Is a directory" in daemon.log_text()
