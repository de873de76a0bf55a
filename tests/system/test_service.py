"""slotbelld.service in a booted systemd: start, reload, restart, trouble, end."""

import asyncio
import socket

import pytest
import websockets
from host import BoxError, serial_of
from session_client import Closed
from slotbelld import certificate

UNIT = "slotbelld.service"

# A loop that is stuck for real: a signal handler that never returns, in the loop's thread, brought in from outside.
STUCK = """
#include <signal.h>
#include <unistd.h>
static void stay(int number) { (void)number; for (;;) pause(); }
__attribute__((constructor)) static void begin(void) { signal(SIGUSR2, stay); }
"""


def test_the_units_are_in_order(host):
    names = sorted(path.name for path in host.box.path("/usr/lib/systemd/system").glob("slotbelld*"))
    assert len(names) == 7
    words = host.box.run(["systemd-analyze", "verify", *(name.replace("@.", "@1.") for name in names)])
    assert words == "", words


def test_a_start_is_over_when_it_listens(host):
    after = host.box.cursor()
    host.box.run(f"systemctl start {UNIT}")
    host.box.inside(socket.create_connection, ("127.0.0.1", 8443), 10).close()
    host.wait_database()
    host.box.wait(lambda: host.box.show(UNIT, "StatusText").startswith("Sessions: 0; database up; loop's lag "),
                  "the status has its figures")
    assert host.status()["state"] == "ready"  # slotbellctl finds it without being told where
    assert host.box.run("stat -c '%U:%G %a' /run/slotbell /run/slotbell/control.sock") == (
        "slotbell:slotbell-admin 750\nslotbell:slotbell-admin 660\n")
    assert "19006" in host.box.run(f"grep 'open files' /proc/{host.pid()}/limits")
    assert "too few descriptors" not in [entry["SLOTBELL_EVENT"] for entry in host.events(UNIT, after)]


def test_the_journal_has_what_happens_in_fields(host):
    """As slotbelld says it, from within the sandbox, and as systemd knows whose it is."""
    after = host.box.cursor()
    host.start()
    entry = host.wait_event("ready", UNIT, after)
    assert (entry["_SYSTEMD_UNIT"], entry["SYSLOG_IDENTIFIER"], entry["SLOTBELL_PORT"]) == (UNIT, "slotbelld", "8443")
    assert "ready: version=" in host.box.run(["journalctl", "-q", "-o", "cat", f"_SYSTEMD_UNIT={UNIT}", "SLOTBELL_EVENT=ready"])


def test_more_sessions_want_nothing_of_the_unit(host):
    """Below what this machine allows at all, which may be little more."""
    host.configure(sessions__max=15400)
    host.start()
    assert str(15400 + 15400 // 4 + 256) in host.box.run(f"grep 'open files' /proc/{host.pid()}/limits")


SECRETS = ["/etc/slotbell/tls/server.key", "/etc/slotbell/tls/tickets", "/etc/slotbell/slotbelld.conf"]


@pytest.mark.parametrize("unit", [UNIT, "slotbelld@1.service"])
def test_an_administrator_may_use_slotbellctl_and_read_no_secret(host, unit):
    """The daemon itself reads them, by the group that its unit adds."""
    host.box.run("openssl rand -out /etc/slotbell/tls/tickets 80 && cd /etc/slotbell/tls && chown root:slotbell tickets && chmod 640 tickets")
    host.configure(tls__ticket_keys="/etc/slotbell/tls/tickets", drain__seconds=0)
    options = ["--instance", "1"] if "@" in unit else []
    host.start(unit, *options)
    someone = ["setpriv", "--reuid=nobody", "--clear-groups"]
    member = [*someone, "--regid=slotbell-admin"]
    assert "sessions" in host.box.run([*member, "slotbellctl", *options, "status"])
    assert "reloaded" in host.box.run([*member, "slotbellctl", *options, "reload"])
    for secret in SECRETS:
        assert "Permission denied" in host.box.run([*member, "cat", secret], check=False)
        assert "Permission denied" not in host.box.run([*someone, "--regid=slotbell", "cat", secret])
    for group in ("nogroup", "slotbell"):
        assert "Permission denied; it is for root and for the group" in host.box.run(
            [*someone, f"--regid={group}", "slotbellctl", *options, "status"], check=False)
    assert "it drains" in host.box.run([*member, "slotbellctl", *options, "drain"])
    host.box.wait_state(unit, "inactive")
    host.box.run("rm /etc/slotbell/tls/tickets")


def test_a_start_that_cannot_listen_fails_with_the_reason(host):
    after = host.box.cursor()
    with host.box.inside(socket.create_server, ("127.0.0.1", 8443)):
        with pytest.raises(BoxError):
            host.box.run(f"systemctl start {UNIT}")
        entry = host.wait_event("cannot start", UNIT, after)
        assert entry["SLOTBELL_KEY"] == "listen.address"
        assert "Address already in use" in entry["MESSAGE"]
    host.wait_restarted(0)  # by itself, once the port is free


def test_a_wrong_configuration_is_told_and_tried_again_when_it_is_mended(host):
    host.configure(sessions__max=0)
    after = host.box.cursor()
    with pytest.raises(BoxError):
        host.box.run(f"systemctl start {UNIT}")
    host.box.wait_journal("[sessions] max = 0: must be a whole number from 1 to 1000000", UNIT, after)
    assert host.box.show(UNIT, "ExecMainStatus") == "3"
    host.configure(sessions__max=10)
    host.wait_restarted(0)


def test_a_booking_rings(host):
    mailbox, token = host.enrol()
    host.start()
    booking = host.ring(mailbox, token)
    assert booking["booking"]["subject"] == "Intro call"


def test_a_new_certificate_by_reload_with_sessions_going_on(host, tmp_path):
    mailbox, token = host.enrol()
    host.start()
    renewed = certificate(tmp_path / "renewed")

    async def story():
        async with host.client(token) as client:
            await client.welcome()
            await client.receive("live")
            assert await host.off_the_loop(host.serial) == serial_of(host.certificates)
            host.install_certificate(renewed)
            await host.off_the_loop(host.box.run, f"systemctl reload {UNIT}")
            await host.off_the_loop(wait_status, "Reloaded")
            assert await host.off_the_loop(host.serial) == serial_of(renewed)
            # A key of another certificate: nothing changes, and the status says so.
            host.box.write("/etc/slotbell/tls/server.key", (host.certificates / "server.key").read_text(), 0o640,
                           "root:slotbell")
            refused = await host.off_the_loop(host.box.result, f"systemctl reload {UNIT}")
            assert refused.returncode == 1 and f"Job for {UNIT} failed" in refused.stdout
            await host.off_the_loop(wait_status, "Reloaded")
            await host.off_the_loop(host.box.run, f"systemctl kill -s HUP {UNIT}")
            await host.off_the_loop(wait_status, "Reload refused; see the log")
            assert await host.off_the_loop(host.serial) == serial_of(renewed)
            await host.off_the_loop(host.publish, mailbox)
            await client.receive("booking")

    def wait_status(words):
        host.box.wait(lambda: host.box.show(UNIT, "StatusText") == words, f"the status is {words!r}")

    pid = host.pid()
    host.play(story())
    assert host.pid() == pid


def test_who_connects_during_a_restart_is_served_by_the_socket_unit(host):
    """Nobody is refused: a client that comes at any time of it has its welcome, if late."""
    count = 30  # and as many more as the restart takes
    devices = [host.enrol() for _ in range(8)]
    host.box.run("systemctl enable --now slotbelld.socket")
    host.start()
    before = host.pid()

    async def story():
        async with host.client(devices[0][1]) as client:
            await client.welcome()
            restart = asyncio.ensure_future(host.off_the_loop(host.box.run, f"systemctl restart {UNIT}"))
            connected = []
            while not restart.done() or len(connected) < count:
                connected.append(await connect(devices[1 + len(connected) % 7][1]))
            await restart
            with pytest.raises(Closed) as closed:
                while True:
                    await client.next()
            assert closed.value.goodbye
            return connected

    async def connect(token):
        client = host.client(token)
        try:
            async with client:
                await client.hello()
                return (await client.next())["type"]
        except (Closed, websockets.ConnectionClosed):  # it came in before, and left with the others
            return client.socket.close_code
        except websockets.InvalidStatusCode as refused:  # the same, before it was a websocket
            return refused.status_code

    outcomes = host.play(story())
    assert set(outcomes) <= {"welcome", 1012, 503}, outcomes
    assert outcomes[-1] == "welcome"
    assert host.pid() != before


def test_a_loop_that_is_stuck_is_killed_and_started_anew(host):
    host.box.write("/root/stuck.c", STUCK)
    host.box.run("gcc -shared -fPIC -o /usr/lib/slotbelld-stuck.so /root/stuck.c")
    host.drop_in(UNIT, "[Service]\nWatchdogSec=2s\nEnvironment=LD_PRELOAD=/usr/lib/slotbelld-stuck.so\n")
    host.start()
    before, after = host.pid(), host.box.cursor()
    host.box.run(f"systemctl kill --signal=USR2 {UNIT}")
    host.box.wait_journal("Watchdog timeout", UNIT, after)
    host.wait_restarted(before)
    assert int(host.box.show(UNIT, "NRestarts")) == 1
    assert not list(host.box.path("/var/lib/systemd").glob("coredump/*slotbelld*"))


def test_the_watchdog_does_not_mind_the_database(host):
    """Away for longer than the watchdog has patience."""
    host.drop_in(UNIT, "[Service]\nWatchdogSec=2s\n")
    host.start()
    pid, cluster = host.pid(), f"postgresql@{host.cluster}-main"
    host.box.run(f"systemctl stop {cluster}")
    try:
        host.box.wait(lambda: "database away" in host.box.show(UNIT, "StatusText"), "the status says so")
        fed = int(host.box.show(UNIT, "WatchdogTimestampMonotonic"))
        host.box.wait(lambda: int(host.box.show(UNIT, "WatchdogTimestampMonotonic")) > fed + 4_000_000, "it is fed on")
    finally:
        host.box.run(f"systemctl start {cluster}")
    host.wait_database()
    assert host.pid() == pid


def test_killed_it_comes_back_and_nothing_is_lost(host):
    mailbox, token = host.enrol()
    host.start()
    before = host.pid()

    async def first():
        async with host.client(token) as client:
            await client.welcome()
            await client.receive("live")
            await host.off_the_loop(host.publish, mailbox)
            await client.receive("booking")  # and not acked
            await host.off_the_loop(host.box.run, f"systemctl kill --signal=KILL {UNIT}")
            with pytest.raises(Closed):
                await client.next()

    async def second():
        async with host.client(token) as client:
            await client.welcome()
            booking = await client.receive("booking")
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])

    host.play(first())
    host.publish(mailbox)
    host.wait_restarted(before)
    host.wait_database()
    host.play(second())


def test_killed_over_and_over_the_socket_unit_goes_on(host):
    """More often than systemd would let pass by itself (five starts in ten seconds), with somebody at the door all the time."""
    _, token = host.enrol()
    host.drop_in(UNIT, "[Service]\nRestartSec=50ms\n")
    host.box.run("systemctl start slotbelld.socket")
    host.start()
    for _ in range(8):
        before = host.pid()
        host.box.run(f"systemctl kill --signal=KILL {UNIT}")
        with host.box.inside(socket.create_connection, ("127.0.0.1", 8443), 10):
            host.wait_restarted(before)
    host.wait_database()

    async def story():
        async with host.client(token) as client:
            await client.welcome()

    host.play(story())


def stop_with_a_mute_client(host):
    """What was said of it, with a client that neither answers nor leaves: it is cut after five seconds."""
    after = host.box.cursor()
    _, token = host.enrol()
    host.start()

    async def story():
        client = await host.client(token).open()
        await client.welcome()
        client.socket.transport.pause_reading()
        await host.off_the_loop(host.box.run, f"systemctl stop {UNIT}")
        client.drop()

    host.play(story())
    assert host.box.show(UNIT, "ActiveState") == "inactive"
    messages = [entry["MESSAGE"] for entry in host.box.journal(UNIT, after)]
    assert "draining: connections=1 seconds=" in "\n".join(messages), messages
    return messages


def ended_well(messages):
    """Not "Failed with result 'timeout'", nor 'exit-code'."""
    return any(message.startswith("ended: ") for message in messages) and f"{UNIT}: Deactivated successfully." in messages


def test_a_drain_ends_within_its_time(host):
    assert ended_well(stop_with_a_mute_client(host))


def test_a_drain_that_is_longer_than_the_units_patience_gets_its_time(host):
    host.configure(drain__seconds=8)
    host.drop_in(UNIT, "[Service]\nTimeoutStopSec=1s\n")
    assert ended_well(stop_with_a_mute_client(host))


def test_slotbellctl_drain_ends_it_for_good(host):
    host.start()
    after = host.box.cursor()
    host.box.run("slotbellctl drain")
    host.box.wait_state(UNIT, "inactive")
    messages = [entry["MESSAGE"] for entry in host.box.journal(UNIT, after)]
    assert ended_well(messages) and not any("restart" in message for message in messages), messages
