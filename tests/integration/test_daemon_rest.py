"""At rest the daemon sleeps: what is counted is how often it wakes, which no other load on the machine changes."""

import asyncio
import re
import sys
import time

import pytest
from ctl_support import wait_until
from session_client import run
from slotbelld import ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))

import bench_house  # noqa: E402
import rest  # noqa: E402
from storm import settled_rss  # noqa: E402

pytest_plugins = ["fixtures_daemon"]


def wakes(daemon):
    """How often it went to sleep so far."""
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as file:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(), re.MULTILINE).group(1))


def wakes_per_second(daemon, seconds):
    before, begun = wakes(daemon), time.monotonic()
    time.sleep(seconds)  # the thing itself: to be left alone for so long
    return (wakes(daemon) - before) / (time.monotonic() - begun)


def test_without_sessions_it_wakes_about_once_a_second(house):
    daemon = house.daemon()
    # Once for its own clock; PostgreSQL is asked for a sign of life every twelve seconds.
    assert wakes_per_second(daemon, 5) < 4


def test_sessions_at_rest_wake_it_for_heartbeats_and_for_nothing_else(house):
    daemon = house.daemon(sessions__heartbeat_seconds=2)
    tokens = [house.enrol(f"resting{i}@example.com") for i in range(10)]

    async def story():
        clients = [house.client(daemon, token) for token in tokens]
        for client in clients:
            await client.open()
            await client.welcome()
            await client.until("live")
        # Every session is pinged once in two seconds and answers: two wakes for each at the very most, if nothing
        # went together, and those of the daemon itself.
        found = await asyncio.to_thread(wakes_per_second, daemon, 6)
        for client in clients:
            assert client.socket.open
            await client.close()
        return found

    assert run(story()) < 10 + 4


@pytest.fixture
def shipped(house):
    """What is shipped: AddressSanitizer has an allocator of its own, which gives nothing back."""
    if not (bench_house.BUILD / "slotbelld").exists():
        pytest.skip("preset release has not been built")
    daemon = house.daemon(start=False, sessions__unauthenticated_per_address=0)
    daemon.program = bench_house.BUILD / "slotbelld"
    daemon.start()
    return daemon


def crowd_of(house, folder, count):
    """A file of tokens for so many."""
    path = folder / f"tokens-{count}"
    path.write_text("\n".join(bench_house.enrol(house.ctl.url, count)) + "\n")
    return path


def test_memory_goes_back_when_a_crowd_has_left(house, shipped, tmp_path):
    tokens = crowd_of(house, tmp_path, 600)
    before = shipped.rss_bytes()
    with rest.Crowd(shipped, tokens, 600, False):
        held = shipped.rss_bytes() - before
    assert held > 600 * 12 * 1024
    wait_until(lambda: shipped.rss_bytes() - before < held / 2, f"{held} bytes came back")


@pytest.mark.parametrize("first", [200, 100], ids=["a half", "a quarter"])
def test_memory_goes_back_also_when_the_last_ones_leave_later(house, shipped, tmp_path, first):
    """Fewer than the 256 that are worth a look by themselves, and whatever part of all they are."""
    tokens = crowd_of(house, tmp_path, 400)
    late = tmp_path / "late"
    late.write_text("".join(tokens.read_text().splitlines(keepends=True)[first:]))
    early = tmp_path / "early"
    early.write_text("".join(tokens.read_text().splitlines(keepends=True)[:first]))
    before = shipped.rss_bytes()
    with rest.Crowd(shipped, late, 400 - first, False):
        with rest.Crowd(shipped, early, first, False):
            held = settled_rss(shipped) - before  # what handshakes left is gone, and gives no occasion any more
        wait_until(lambda: shipped.rss_bytes() - before < (1 - first / 800) * held, f"half of what they had of {held} bytes came back")
    wait_until(lambda: shipped.rss_bytes() - before < 0.4 * held, f"{held} bytes came back")
