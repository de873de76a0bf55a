"""Ten thousand hellos without a token: each gets its close code, memory stays where it was, a session notices nothing."""

import asyncio
import json
import os

from session_client import run
from slotbelld import ENVIRONMENT, built
from witness import Witness

pytest_plugins = ["fixtures_daemon"]

MIB = 1 << 20
# AddressSanitizer keeps what was freed, up to 256 MiB of it; here memory is measured.
LEAN = ("env", f"ASAN_OPTIONS={os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=4:malloc_context_size=1")
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


def test_ten_thousand_hellos_without_a_token(house):
    daemon = house.daemon(prefix=LEAN, **ANY)

    async def story():
        async with Witness(house, daemon) as witness:
            assert await knock(daemon, 400) == {"4401": 400}
            before = daemon.rss_bytes()
            knocking = asyncio.ensure_future(knock(daemon, 9600))
            while not knocking.done():
                await witness.rung()
            assert await knocking == {"4401": 9600}
            assert daemon.rss_bytes() - before < 16 * MIB
            await witness.rung()
            return len(witness.seconds)

    assert run(story(), 240) > 5
