"""Every limit of the door by its list: in the file, in the metrics, at its bounds, and other after a reload."""

import asyncio
import contextlib
import subprocess
import time

import pytest
import websockets
from admin_client import metrics, value
from door_support import (ADA, OTHERS, SHOP, assert_a_plug_in_gets_in, client_from, connect, connect_at_once, door, get, is_closed,
                          leave, refused, tls, wait_alone, wait_closed)
from session_client import Client, run

pytest_plugins = ["fixtures_daemon"]

# key -> least, most, another value than the default. sessions.window and heartbeat_seconds need a restart.
LIMITS = {
    "listen.keep_alive_seconds": (0, 300, 9),
    "sessions.hello_seconds": (1, 300, 7),
    "sessions.stalled_seconds": (5, 86400, 77),
    "sessions.max": (1, 1000000, 777),
    "sessions.handshakes": (1, 100000, 17),
    "sessions.unauthenticated_per_address": (0, 1000000, 27),
    "sessions.per_address": (0, 1000000, 37),
    "sessions.addresses": (1, 10000000, 4711),
    "sessions.bad_tokens_per_minute": (0, 1000000, 47),
    "sessions.return_per_second": (1, 100000, 57),
}
OTHER_NUMBERS = {"sessions.window", "sessions.heartbeat_seconds"}


def printed(daemon):
    """The numbers of [listen] and [sessions], as --print-config has them."""
    daemon.configure()
    done = subprocess.run([daemon.program, "--config", daemon.config, "--print-config"], capture_output=True, text=True, check=True)
    found, section = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section in ("listen", "sessions") and "=" in line:
            key, _, text = line.partition("=")
            if text.strip().isdecimal():
                found[f"{section}.{key.strip(' #')}"] = int(text)
    return found


def limits_of(daemon):
    found = metrics(daemon)
    return {key: value(found, "slotbell_limit", key=key) for key in {*LIMITS, "sessions.window"}}


def under(settings):
    return {key.replace(".", "__"): number for key, number in settings.items()}


def test_every_limit_is_in_the_metrics_and_follows_a_reload(house):
    daemon = house.daemon(listen__admin="127.0.0.1:0")
    defaults = printed(daemon)
    assert defaults.keys() == LIMITS.keys() | OTHER_NUMBERS, "a limit is missing in this test"
    before = limits_of(daemon)
    assert before == {key: defaults[key] for key in before}

    changed = {key: other for key, (_, _, other) in LIMITS.items()}
    said = daemon.reload(**under(changed))
    assert f'changed="{" ".join(key for key in defaults if key in changed)}"' in said
    assert limits_of(daemon) == {**before, **changed}
    # In force is what is in force: this one needs a restart, and what is refused changes nothing.
    daemon.reload("needs a restart", sessions__window=7)
    daemon.reload("reload refused", **under({key: 0 for key in changed}))
    assert limits_of(daemon) == {**before, **changed}


@pytest.mark.parametrize("key", LIMITS)
def test_bounds_are_what_the_file_says(house, key):
    least, most, _ = LIMITS[key]
    daemon = house.daemon(start=False)
    daemon.configure()
    for number, good in ((least - 1, False), (least, True), (most, True), (most + 1, False)):
        done = subprocess.run([daemon.program, "--config", daemon.config, "--set", f"{key}={number}", "--check-config"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == (0 if good else 3), (number, done.stderr)
        assert good or f"from {least} to {most}" in done.stderr


def test_a_reload_changes_how_many_shake_hands_at_once(house):
    daemon, token = house.daemon(drain__seconds=1, sessions__handshakes=9, sessions__hello_seconds=300), house.enrol(ADA)
    daemon.reload(sessions__handshakes=3)
    wait_alone(daemon)
    held = connect_at_once(daemon, 12)
    assert_a_plug_in_gets_in(daemon, token)
    assert not any(is_closed(one) for one in held)
    assert door(daemon)["handshakes_peak"] == 3


@pytest.mark.parametrize("first", ["before TLS", "within TLS", "websocket"])
def test_a_shorter_time_for_hello_counts_for_all_also_behind_one_who_came_before(house, first):
    daemon = house.daemon(sessions__hello_seconds=300)
    wait_alone(daemon)

    names = [first, "before TLS", "within TLS", "websocket"]

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            ends = [await come(first, stack)]
            daemon.reload(sessions__hello_seconds=1)
            ends += [await come(name, stack) for name in names[1:]]
            for end in ends:
                await asyncio.wait_for(end(), 20)

    async def come(name, stack):
        """Says nothing, in this way. What is returned waits for its end."""
        if name == "websocket":
            client = await stack.enter_async_context(house.client(daemon, None))

            async def told():
                assert await client.closed() == 4408

            return told
        plain = stack.enter_context(connect(daemon) if name == "before TLS" else tls(daemon, connect(daemon)))

        async def cut():
            await asyncio.to_thread(wait_ended, plain)

        return cut

    run(story())
    assert door(daemon)["slow"] == len(names) - names.count("websocket")


def wait_ended(plain):
    plain.settimeout(20)
    with contextlib.suppress(ConnectionError):  # an end without TLS' own is an end too
        assert plain.recv(1) == b""


def test_a_longer_time_for_hello_counts_for_who_comes_then(house):
    daemon, token = house.daemon(sessions__hello_seconds=1), house.enrol(ADA)
    daemon.reload(sessions__hello_seconds=300)

    async def story():
        async with house.client(daemon, token) as late:
            await asyncio.sleep(2.5)  # time passing is what this is about
            await late.welcome()

    run(story())


def test_a_reload_changes_how_many_of_one_address_there_may_be(house):
    daemon = house.daemon()
    tokens = [house.enrol(f"plugin{n}@example.com") for n in range(3)]

    async def story():
        held = [await client_from(SHOP, daemon, token).open() for token in tokens[:2]]
        for client in held:
            await client.welcome()
        daemon.reload(sessions__per_address=2)
        await refused(client_from(SHOP, daemon, tokens[2]))
        daemon.reload(sessions__per_address=3)
        async with client_from(SHOP, daemon, tokens[2]) as third:
            await third.welcome()
        daemon.reload(sessions__per_address=1)  # below what is there: nobody goes, and nobody comes
        house.publish("plugin0@example.com")
        await held[0].until("booking")
        await refused(client_from(SHOP, daemon, tokens[2]))
        daemon.reload(sessions__per_address=0)
        async with client_from(SHOP, daemon, tokens[2]) as third:
            await third.welcome()
        for client in held:
            await client.close()

    run(story())


def test_a_reload_changes_how_many_addresses_there_may_be(house):
    daemon, token = house.daemon(sessions__addresses=1, sessions__hello_seconds=300), house.enrol(ADA)
    wait_alone(daemon)

    async def story():
        async with client_from(SHOP, daemon):
            wait_closed([connect(daemon, OTHERS)])
            daemon.reload(sessions__addresses=2)
            async with client_from(OTHERS, daemon, token) as other:
                await other.welcome()
            daemon.reload(sessions__addresses=1)
            wait_closed([connect(daemon, "127.0.0.4")])
            async with client_from(SHOP, daemon, token) as again:  # one that is there already
                await again.welcome()

    run(story())
    assert door(daemon)["addresses"] == 2


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_reload_changes_how_many_tokens_may_be_refused_at_once(house, allowed):
    daemon, token = house.daemon(sessions__bad_tokens_per_minute=1000), house.enrol(ADA)
    daemon.reload(sessions__bad_tokens_per_minute=allowed)
    wrong = token[:-4] + "AAAA"

    async def story():
        for _ in range(2):
            async with client_from(SHOP, daemon, wrong) as client:
                await client.hello()
                assert await client.closed() == 4401

    run(story())
    counted = door(daemon)
    assert counted["tokens_refused"] == 2
    assert counted["tokens_held"] == {0: 0, 1: 1, 2: 0}[allowed]  # 0: any number


@pytest.mark.parametrize("limit", [0, 2])
def test_a_reload_changes_how_many_strangers_there_may_be(house, limit):
    daemon = house.daemon(sessions__unauthenticated_per_address=1)

    async def story():
        first = await client_from(SHOP, daemon).open()
        await refused(client_from(SHOP, daemon))
        daemon.reload(sessions__unauthenticated_per_address=limit)
        second = await client_from(SHOP, daemon).open()
        if limit:
            await refused(client_from(SHOP, daemon))
            await leave(daemon, second)
        third = await client_from(SHOP, daemon).open()
        assert get(daemon, connect(daemon, SHOP))[0] == (429 if limit else 404)
        for client in (first, second, third):
            await client.close()

    run(story())


@pytest.mark.parametrize("rate", [2, 1000])
def test_a_reload_changes_how_many_return_each_second(house, rate):
    daemon, token = house.daemon(sessions__max=1, sessions__return_per_second=50), house.enrol(ADA)
    daemon.reload(sessions__return_per_second=rate)

    async def story():
        told, slots = [], []
        async with house.client(daemon, token) as client:
            await client.welcome()
            for _ in range(9):
                async with Client(daemon) as other:
                    assert await other.closed() == 1013
                    told.append(other.goodbye["reconnect_after_ms"])
                    slots.append(1000 * time.monotonic() + told[-1])
        return told, slots[-1] - slots[0]

    told, spread = run(story())
    # Each has a slot of its own, at least half a second from now; nine at two a second are four seconds.
    if rate == 2:
        assert spread > 2000, told
    else:
        assert max(told) < 2000, told


def test_stalled_seconds_follow_a_reload(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    daemon.reload(sessions__stalled_seconds=5)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.until("live")
            house.publish(ADA)
            await client.until("booking")
            assert await client.closed(40) == 1013
            assert client.goodbye["reason"] == "stalled"

    run(story())


def test_max_below_at_and_above_after_a_reload(house):
    daemon = house.daemon(sessions__max=1)
    tokens = [house.enrol(f"plugin{n}@example.com") for n in range(3)]

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            async def comes(token):
                client = await stack.enter_async_context(house.client(daemon, token))
                with contextlib.suppress(websockets.ConnectionClosed):
                    await client.hello()
                return client

            await (await comes(tokens[0])).until("welcome")
            assert await (await comes(tokens[1])).closed() == 1013
            daemon.reload(sessions__max=2)
            await (await comes(tokens[1])).until("welcome")
            assert await (await comes(tokens[2])).closed() == 1013

    run(story())
