"""Several slotbelld on one port: slotbelld@1 and slotbelld@2, with a socket, an admin listener and a control socket each."""

import contextlib
import json

import pytest
from host import BoxError

ONE, TWO = "slotbelld@1.service", "slotbelld@2.service"


@pytest.fixture
def both(host):
    host.configure(drain__seconds=10)  # who does not listen is cut at the end of it, or after five seconds
    host.box.run("systemctl enable --now slotbelld@1 slotbelld@2")
    for number in "12":
        host.wait_database("--instance", number)
    return host


def sessions(host, number):
    return host.status("--instance", number)["sessions"]


def test_each_has_its_own_and_they_share_the_port(both):
    devices = [both.enrol() for _ in range(16)]

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            for _, token in devices:
                await (await stack.enter_async_context(both.client(token))).welcome()
            return [await both.off_the_loop(sessions, both, number) for number in "12"]

    shares = both.play(story())
    assert sum(shares) == len(devices) and all(shares), f"the kernel shares connections out: {shares}"
    pids = [both.status("--instance", number)["pid"] for number in "12"]
    assert pids == [both.status("--socket", f"/run/slotbell/{number}/control.sock")["pid"] for number in "12"]
    assert pids[0] != pids[1]
    for number in "12":
        assert "\nslotbell_database_up 1" in both.monitoring("metrics", f"946{number}")
    assert both.box.run("stat -c '%U:%G %a' /run/slotbell/1/control.sock") == "slotbell:slotbell-admin 660\n"


def test_bookings_ring_at_either(both):
    devices = [both.enrol() for _ in range(6)]

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            for mailbox, token in devices:
                client = await stack.enter_async_context(both.client(token))
                await client.welcome()
                await client.receive("live")
                await both.off_the_loop(both.publish, mailbox)
                await client.receive("booking")

    both.play(story())


def test_a_restart_with_its_socket_stopped_first_makes_nobody_wait(both):
    """Whoever comes while the one drains is served by the other at once; then the one is back, with its socket."""
    devices = [both.enrol() for _ in range(24)]

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            early, late = devices[:12], devices[12:]
            for _, token in early:  # some of them at the one, so that its drain takes a while: they do not listen
                client = await both.client(token).open()
                stack.callback(client.drop)
                await client.welcome()
                client.socket.transport.pause_reading()
            after = await both.off_the_loop(both.box.cursor)
            before = await both.off_the_loop(sessions, both, "2")
            await both.off_the_loop(both.box.run, "systemctl stop slotbelld@1.socket && systemctl restart --no-block slotbelld@1")
            await both.off_the_loop(both.wait_event, "draining", ONE, after)
            for _, token in late:
                await (await stack.enter_async_context(both.client(token))).welcome()
            assert await both.off_the_loop(sessions, both, "2") == before + len(late)
            assert "ended" not in [entry["SLOTBELL_EVENT"] for entry in both.events(ONE, after)], "it was to drain all the while"

    before = both.pid(ONE)
    both.play(story())
    both.wait_restarted(before, ONE)
    both.box.wait_state("slotbelld@1.socket", "active")
    both.wait_database("--instance", "1")


def test_the_target_is_all_of_them(both):
    both.box.run("systemctl stop slotbelld.target")
    for unit in (ONE, TWO, "slotbelld@1.socket", "slotbelld@2.socket"):
        both.box.wait_state(unit, "inactive")
    both.box.run("systemctl start slotbelld.target")
    for unit in (ONE, TWO):
        both.box.wait_state(unit, "active")
    before = [both.pid(unit) for unit in (ONE, TWO)]
    both.box.run("systemctl restart slotbelld.target")
    for unit, pid in zip((ONE, TWO), before):
        both.wait_restarted(pid, unit)


def test_one_that_is_disabled_leaves_the_other(both):
    both.box.run("systemctl disable --now slotbelld@1")
    words = both.box.run("systemctl is-enabled slotbelld@1 slotbelld@1.socket slotbelld@2 slotbelld@2.socket", check=False)
    assert words.split() == ["disabled", "disabled", "enabled", "enabled"]
    assert both.box.show(TWO, "ActiveState") == "active"
    assert both.status("--instance", "2")["state"] == "ready"


def test_an_instance_without_its_socket_says_what_is_in_its_way(both):
    """The port belongs to the other's socket, which is root's."""
    after = both.box.cursor()
    both.box.run("systemctl disable --now slotbelld@1; systemctl mask --runtime slotbelld@1.socket")
    with contextlib.suppress(BoxError):
        both.box.run("systemctl start --no-block slotbelld@1")
    entry = both.wait_event("cannot start", ONE, after)
    both.box.run("systemctl stop slotbelld@1; systemctl unmask --runtime slotbelld@1.socket")
    assert "Address already in use" in entry["MESSAGE"]


def test_slotbellctl_takes_names_of_instances_alone(both):
    for words, problem in (("--instance ../1 status", "an instance is"), ("--instance '' status", "an instance is"),
                           ("--instance 1 --socket /x status", "either --instance or --socket"),
                           (f"--instance {'x' * 65} status", "an instance is")):
        done = both.box.result(f"slotbellctl {words}")
        assert done.returncode == 2 and problem in done.stdout, done.stdout
    assert json.loads(both.box.run("SLOTBELL_CONTROL_SOCKET=/nowhere slotbellctl --json --instance 1 status"))["pid"]
