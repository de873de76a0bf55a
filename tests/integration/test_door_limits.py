"""The limits of the door with real sockets: from several addresses, below, at and above."""

import asyncio
import contextlib
import subprocess
import tempfile

import pytest
import websockets
from door_support import (ADA, OTHERS, SHOP, assert_a_plug_in_gets_in, client_from, connect, connect_at_once, door, get, is_closed,
                          leave, needs_ipv6, proxy_header, refused, tls, wait_alone, wait_closed)
from session_client import Client, Closed, run

pytest_plugins = ["fixtures_daemon"]


def quick(house, **settings):
    """A daemon that does not wait for silent connections when it ends."""
    return house.daemon(drain__seconds=1, **settings)


def check(daemon, setting):
    done = subprocess.run([daemon.program, "--config", daemon.config, "--set", setting, "--check-config"],
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("silent", [2, 3, 4, 12])
def test_handshakes_are_paced_and_silent_ones_give_their_place_up(house, silent):
    # Without giving up, four silent ones would keep everybody else out for five minutes.
    daemon, token = quick(house, sessions__handshakes=4, sessions__hello_seconds=300), house.enrol(ADA)
    wait_alone(daemon)
    held = connect_at_once(daemon, silent)
    assert_a_plug_in_gets_in(daemon, token)
    assert not any(is_closed(one) for one in held)
    assert min(silent, 4) <= door(daemon)["handshakes_peak"] <= 4


def test_one_that_floods_the_door_does_not_block_it(house):
    # Five hundred silent ones, four at a time, would keep all others out for half a minute and more.
    daemon, token = quick(house, sessions__handshakes=4, sessions__unauthenticated_per_address=4,
                          sessions__hello_seconds=300), house.enrol(ADA)
    flood = connect_at_once(daemon, 500, SHOP)
    for _ in range(3):
        assert_a_plug_in_gets_in(daemon, token, OTHERS)
    assert not any(is_closed(one) for one in flood)  # they wait, or are let in to be told
    counted = door(daemon)
    assert counted["handshakes_peak"] == 4


def test_strangers_of_one_address_below_at_and_above_the_limit(house):
    daemon, token = house.daemon(sessions__unauthenticated_per_address=3), house.enrol(ADA)

    async def story():
        strangers = [await client_from(SHOP, daemon).open() for _ in range(2)]
        known = await client_from(SHOP, daemon, token).open()  # at the limit
        await refused(client_from(SHOP, daemon, token))
        assert get(daemon, connect(daemon, SHOP))[0] == 429
        # Who is somewhere else, or becomes known, or leaves, makes no trouble.
        async with client_from(OTHERS, daemon):
            await known.welcome()
        third = await client_from(SHOP, daemon).open()
        status, headers, body = get(daemon, connect(daemon, SHOP))
        assert status == 429 and body["status"] == 429 and 1 <= int(headers["retry-after"]) <= 600
        assert headers["content-type"] == "application/problem+json"
        await leave(daemon, third)
        assert get(daemon, connect(daemon, SHOP))[0] == 404
        for client in (*strangers, known):
            await client.close()

    run(story())
    assert door(daemon)["unauthenticated"] == 3


def test_a_company_that_comes_back_through_one_address_gets_in_whole(house):
    daemon = house.daemon(sessions__unauthenticated_per_address=4)
    tokens = [house.enrol(f"plugin{n}@example.com") for n in range(40)]

    async def come_in(token):
        """Does as it is told, if it is told to come back."""
        while True:
            client = client_from(SHOP, daemon, token)
            await client.open()
            with contextlib.suppress(websockets.ConnectionClosed):
                await client.hello()
            try:
                await client.until("welcome")
                return client
            except Closed as end:
                assert end.code == 4429
                await asyncio.sleep(end.goodbye["reconnect_after_ms"] / 1000)

    async def story():
        clients = await asyncio.gather(*[come_in(token) for token in tokens])
        async with client_from(OTHERS, daemon, tokens[0]) as other:
            await other.welcome()
        for client in clients:
            client.drop()

    run(story())


def test_connections_of_one_address_have_a_limit_where_one_is_set(house):
    daemon = house.daemon(sessions__per_address=2)
    tokens = [house.enrol(f"{name}@example.com") for name in ("ada", "grace", "alan", "edsger")]

    async def story():
        first, second = [client_from(SHOP, daemon, token) for token in tokens[:2]]
        for client in (first, second):
            await client.open()
            await client.welcome()
        await refused(client_from(SHOP, daemon, tokens[2]))
        async with client_from(OTHERS, daemon, tokens[2]) as elsewhere:
            await elsewhere.welcome()
        await leave(daemon, first)
        async with client_from(SHOP, daemon, tokens[3]) as third:
            await third.welcome()
        await second.close()

    run(story())
    assert door(daemon)["per_address"] == 1


def test_of_all_sessions_the_one_too_many_is_told_when_to_come_back(house):
    daemon = house.daemon(sessions__max=2)
    tokens = [house.enrol(f"{name}@example.com") for name in ("ada", "grace", "alan")]

    async def story():
        held = [house.client(daemon, token) for token in tokens[:2]]
        for client in held:
            await client.open()
            await client.welcome()
        third = await house.client(daemon, tokens[2]).open()
        assert await third.closed() == 1013
        assert third.goodbye["reason"] == "busy" and third.goodbye["reconnect_after_ms"] >= 500
        await leave(daemon, held.pop())
        async with house.client(daemon, tokens[2]) as fourth:
            await fourth.welcome()
        await held.pop().close()

    run(story())


def test_far_over_all_sessions_connections_are_closed_without_a_word(house):
    daemon = quick(house, sessions__max=4, sessions__hello_seconds=300)
    most = 4 + 4 // 4 + 64
    wait_alone(daemon)
    held = [connect(daemon, f"127.0.1.{i}") for i in range(1, most + 1)]
    more = [connect(daemon, OTHERS) for _ in range(3)]
    assert wait_closed(more) == []
    assert not any(is_closed(one) for one in held)
    held.pop().close()
    assert door(daemon)["full"] == 3


def test_a_full_table_of_addresses_turns_away_new_ones_only(house):
    daemon, token = house.daemon(sessions__addresses=2, sessions__hello_seconds=300), house.enrol(ADA)
    wait_alone(daemon)

    async def story():
        async with client_from("127.0.0.2", daemon) as first:
            async with client_from("127.0.0.3", daemon):
                wait_closed([connect(daemon, "127.0.0.4")])
                async with client_from("127.0.0.2", daemon, token) as again:
                    await again.welcome()
            await leave(daemon, first)
            async with client_from("127.0.0.4", daemon, token) as late:
                await late.welcome()

    run(story())
    assert door(daemon)["addresses"] == 1


@needs_ipv6
def test_ipv6_is_one_address_per_64_and_ipv4_one_each_on_the_same_socket(house):
    daemon = house.daemon(start=False, sessions__unauthenticated_per_address=1)
    daemon.settings["listen.address"] = f"[::]:{daemon.port}"
    daemon.start()

    async def story():
        six = await Client(daemon, host="::1", local_addr=("::1", 0)).open()
        await refused(Client(daemon, host="::1", local_addr=("::1", 0)))
        four = [await client_from(source, daemon).open() for source in (SHOP, OTHERS)]
        await refused(client_from(SHOP, daemon))
        for client in (six, *four):
            await client.close()

    run(story())
    assert door(daemon)["unauthenticated"] == 2


def test_who_says_nothing_is_closed_in_time(house):
    daemon = house.daemon(sessions__hello_seconds=1)

    async def story():
        before_tls = connect(daemon)
        within_tls = tls(daemon, connect(daemon))
        async with house.client(daemon, None) as client:
            assert await client.closed() == 4408
            assert client.error["code"] == "no-hello"
        wait_closed([before_tls])
        within_tls.settimeout(20)
        try:
            assert within_tls.recv(1) == b""
        except OSError:
            pass  # an end without TLS' own is an end too

    run(story())
    assert door(daemon)["slow"] == 2


def test_refused_tokens_are_counted_and_the_company_goes_on(house):
    daemon, token = house.daemon(sessions__bad_tokens_per_minute=2), house.enrol(ADA)
    wrong = token[:-4] + "AAAA"

    async def story():
        for _ in range(3):
            async with client_from(SHOP, daemon, wrong) as client:
                await client.hello()
                assert await client.closed() == 4401
            async with client_from(SHOP, daemon, token) as good:
                await good.welcome()

    run(story())
    counted = door(daemon)
    assert counted["tokens_refused"] == 3 and counted["tokens_held"] == 1


def test_limits_and_trusted_proxies_follow_a_reload(house):
    daemon = house.daemon(sessions__unauthenticated_per_address=1)

    async def story():
        first = await client_from(SHOP, daemon).open()
        await refused(client_from(SHOP, daemon))
        daemon.reload(sessions__unauthenticated_per_address=2, sessions__per_address=2, listen__trusted_proxies=OTHERS)
        second = await client_from(SHOP, daemon).open()
        await refused(client_from(SHOP, daemon))
        with connect(daemon, OTHERS) as proxy:
            proxy.sendall(proxy_header("192.0.2.1"))
            assert get(daemon, proxy)[0] == 404
        daemon.reload(listen__trusted_proxies="", sessions__per_address=0)
        assert get(daemon, connect(daemon, OTHERS))[0] == 404
        for client in (first, second):
            await client.close()

    run(story())


def test_status_tells_whom_the_door_turned_away(house):
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:  # the path of a socket must be short
        path = f"{folder}/control"
        daemon, token = house.daemon(control__socket=path, sessions__unauthenticated_per_address=1), house.enrol(ADA)

        async def story():
            async with client_from(SHOP, daemon, token[:-4] + "AAAA") as client:
                await client.hello()
                assert await client.closed() == 4401
            async with client_from(OTHERS, daemon):
                await refused(client_from(OTHERS, daemon))

        run(story())
        (status,) = house.ctl.json("--socket", path, "status")
        assert status["door"]["turned_away"]["unauthenticated"] == 1
        assert set(status["door"]["turned_away"].values()) == {0, 1}
        assert status["door"]["tokens_refused"] == 1 and status["door"]["accepted"] >= 3
        text = house.ctl.run("--socket", path, "status").stdout
        assert "1 unauthenticated" in text and "waiting to come in" in text


def test_limits_out_of_range_and_networks_that_are_none_are_told(house):
    daemon = house.daemon(start=False)
    for key, value, words in (
            ("listen.trusted_proxies", "10.0.0.1/8", "[listen] trusted_proxies = 10.0.0.1/8 is an address within"),
            ("sessions.unauthenticated_per_address", "1000001", "from 0 to 1000000 connections (default 64)"),
            ("sessions.per_address", "-1", "from 0 to 1000000 connections (default 0)"),
            ("sessions.addresses", "0", "from 1 to 10000000 addresses (default 65536)"),
            ("sessions.bad_tokens_per_minute", "x", "from 0 to 1000000 tokens (default 30)"),
            ("sessions.return_per_second", "0", "from 1 to 100000 sessions (default 500)")):
        daemon.configure()
        checked = check(daemon, f"{key}={value}")
        assert checked[0] == 3 and words in checked[1], checked
    assert check(daemon, "listen.trusted_proxies=10.0.0.0/8, ::1")[0] == 0
