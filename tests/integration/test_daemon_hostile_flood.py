"""Ten thousand hellos without a token: each gets its close code, memory stays where it was, a session notices nothing."""

import asyncio
import json

import pytest
from session_client import run
from slotbelld import ENVIRONMENT, ROOT, built
from witness import Witness

pytest_plugins = ["fixtures_daemon"]

# Measured: 0.2 to 0.8 MiB, of what libc keeps. 250 bytes that were not given back would be more with 9600 strangers.
GROWTH = 1 << 20  # 218 bytes for each of 4,800
# All strangers here come from one address, which would be slowed down.
ANY = {"sessions__unauthenticated_per_address": 0, "sessions__bad_tokens_per_minute": 0}


async def knock(daemon, count):
    """So many connections, each with a hello and no token: how they were closed, code -> number."""
    process = await asyncio.create_subprocess_exec(
        built("slotbell-bench"), "knock", "--url", daemon.url, "--ca", daemon.ca, "--sessions", str(count),
        env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE)
    line, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(line)["closes"]


def shipped(program):
    """As it is built for users, so that ten thousand take seconds, and memory is what it is. Sanitizers saw those of the test before."""
    return ROOT / "build" / program


async def warm_up(house, daemon):
    async with Witness(house, daemon) as witness:
        assert await knock(daemon, 400) == {"4401": 400}
        await witness.rung()


def test_hundreds_of_hellos_without_a_token_under_sanitizers(house):
    run(warm_up(house, house.daemon(**ANY)))


def test_ten_thousand_hellos_without_a_token(house):
    if not shipped("slotbelld").exists():
        pytest.skip("preset release has not been built")
    daemon = house.daemon(program=shipped("slotbelld"), **ANY)

    async def story():
        await warm_up(house, daemon)
        async with Witness(house, daemon) as witness:
            peaks = []
            for _ in range(2):
                knocking = asyncio.ensure_future(knock(daemon, 4800))
                while not knocking.done():
                    await witness.rung()
                assert await knocking == {"4401": 4800}
                peaks.append(daemon.peak_bytes())
            # A crowd takes memory that goes back later. What a second one of the same size takes beyond it does not.
            assert peaks[1] - peaks[0] < GROWTH
            await witness.rung()
            return len(witness.seconds)

    assert run(story(), 600) > 5
