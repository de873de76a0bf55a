"""Connections of plain HTTP that are kept for the next request: when, for how long, and what may not follow."""

import asyncio
import json
import time

import http_client as http
import pytest
from admin_client import metrics, value
from ctl_support import wait_until
from raw_client import request
from session_client import run
from witness import beside_a_witness

pytest_plugins = ["fixtures_daemon"]

ADA, GRACE = "ada@example.com", "grace@example.com"
ASK = "/v1/reconnect"


def kept(daemon):
    """How many connections wait for their next request."""
    return value(metrics(daemon), "slotbell_connections_kept")


def count(daemon, name):
    return value(metrics(daemon), name)


@pytest.fixture(scope="module")
def daemon(shared_house):
    return shared_house.daemon(listen__admin="127.0.0.1:0")


@pytest.fixture
def token(shared_house):
    return shared_house.enrol(ADA)


def assert_stays(answer):
    assert answer.headers["connection"] == "keep-alive" and answer.headers["keep-alive"] == "timeout=15", answer.headers


def assert_goes(answer, rest):
    assert answer.headers["connection"] == "close" and "keep-alive" not in answer.headers and rest == b"", (answer.headers, rest)


# ---- what it is for ----


def test_polls_acks_and_questions_come_by_one_connection(house):
    daemon, token = house.daemon(listen__admin="127.0.0.1:0"), house.enrol(ADA)
    accepted = count(daemon, "slotbell_accepted_total")

    async def story():
        async with http.Kept(daemon, token) as one:
            empty = await one.ask("GET", "/v1/bookings")
            assert_stays(empty)
            for _ in range(3):
                house.publish(ADA)
            backlog = await one.ask("GET", "/v1/bookings?limit=2")
            assert [m.get("seq") for m in backlog.messages()] == [1, 2]
            cursor = backlog.messages()[-1]["cursor"]
            acked = await one.ask("POST", "/v1/acks", json.dumps({"type": "ack", "cursor": cursor}).encode())
            assert_stays(acked)
            assert acked.json() == {"type": "acked", "cursor": cursor}
            standing = await one.ask("GET", ASK)
            assert_stays(standing)
            assert (standing.json()["acked"], standing.json()["pending"]) == (2, 1)
            # What is told as a reset is an answer like others.
            future = await one.ask("POST", "/v1/acks", json.dumps({"type": "ack", "cursor": cursor.replace(".2", ".9")}).encode())
            assert future.status == 409 and future.json()["type"] == "reset"
            assert_stays(future)
            waiting = asyncio.ensure_future(one.ask("GET", f"/v1/bookings?after={cursor}&wait=20"))
            assert [m.get("seq") for m in (await waiting).messages()] == [3, None]
            await asyncio.to_thread(wait_until, lambda: kept(daemon) == 1, "kept")
            assert count(daemon, "slotbell_accepted_total") == accepted + 1 and count(daemon, "slotbell_requests_kept_total") == 5
        await asyncio.to_thread(wait_until, lambda: kept(daemon) == 0 and count(daemon, "slotbell_connections") == 0, "gone with its client")

    run(story())


def test_a_poll_that_waits_is_answered_by_a_connection_that_was_kept(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with http.Kept(daemon, token) as one:
            cursor = (await one.ask("GET", "/v1/bookings")).messages()[-1]["cursor"]
            for seq in range(1, 6):
                waiting = asyncio.ensure_future(one.ask("GET", f"/v1/bookings?after={cursor}&wait=20"))
                await asyncio.to_thread(wait_until, lambda: daemon.log_text().count('event="session began"') > seq, "it waits")
                await asyncio.to_thread(house.publish, ADA)
                messages = (await waiting).messages()
                assert [m["seq"] for m in messages if m["type"] == "booking"] == [seq]
                cursor = messages[-1]["cursor"]

    daemon.reload(log__level="debug")
    run(story())


@pytest.mark.parametrize("requests", [2, 50])
def test_requests_that_come_at_once_are_answered_in_turn(shared_house, daemon, requests):
    mailboxes = [f"turn{number}-of-{requests}@example.com" for number in range(2)]
    tokens = [shared_house.enrol(mailbox) for mailbox in mailboxes]
    shared_house.publish(mailboxes[1])

    async def story():
        async with http.Kept(daemon) as one:
            one.writer.write(b"".join(http.head("GET", ASK, http.bearer(tokens[number % 2]), None) for number in range(requests)))
            return [(await one.answer()).json()["head"] for _ in range(requests)]

    assert run(story()) == [number % 2 for number in range(requests)]


def test_a_request_may_come_in_pieces_of_a_byte(daemon, token):
    async def story():
        async with http.Kept(daemon, token) as one:
            for _ in range(2):
                for byte in http.head("GET", ASK, http.bearer(token), None):
                    one.writer.write(bytes([byte]))
                    await one.writer.drain()
                assert_stays(await one.answer())

    run(story())


# ---- each request for itself ----


def test_every_request_shows_its_own_token(shared_house, daemon, token):
    other = shared_house.enrol(GRACE)
    shared_house.publish(GRACE)

    async def story():
        async with http.Kept(daemon, token) as one:
            mine = (await one.ask("GET", "/v1/bookings")).messages()
            one.token = other
            hers = (await one.ask("GET", "/v1/bookings")).messages()
            one.token = None
            nobodys = await one.ask("GET", "/v1/bookings")
            return mine, hers, nobodys, await one.rest()

    mine, hers, nobodys, rest = run(story())
    assert {m["type"] for m in mine} == {"live"} and hers[0]["type"] == "booking"
    assert nobodys.status == 401
    assert_goes(nobodys, rest)


def test_guesses_by_kept_connections_are_counted_and_held_like_others(house):
    daemon, token = house.daemon(listen__admin="127.0.0.1:0", sessions__bad_tokens_per_minute=2), house.enrol(ADA)
    bad = "sbd_1_" + "A" * 43

    async def story():
        for guess in range(4):
            async with http.Kept(daemon, token) as one:
                assert_stays(await one.ask("GET", ASK))
                one.token = bad
                answer = await one.ask("GET", ASK)
                assert answer.status == 401
                assert_goes(answer, await one.rest())
                assert count(daemon, "slotbell_tokens_held_total") == max(0, guess - 1)
        assert count(daemon, "slotbell_tokens_refused_total") == 4

    run(story())


def test_a_full_house_of_strangers_does_not_stop_one_who_is_known(house):
    """It has its place, whatever others of its address do meanwhile; a new connection waits."""
    daemon, token = house.daemon(sessions__unauthenticated_per_address=1, sessions__hello_seconds=60), house.enrol(ADA)

    async def story():
        async with http.Kept(daemon, token) as one:
            assert_stays(await one.ask("GET", ASK))
            async with http.Kept(daemon):  # shakes hands and says nothing
                for _ in range(3):
                    assert_stays(await one.ask("GET", ASK))

    run(story())


# ---- when it is not ----

GET = "GET {path} {version}\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
NOT_KEPT = {  # what -> (path, version, further headers, status)
    "an old client": (ASK, "HTTP/1.0", "", 200),
    "an old client that would like it": (ASK, "HTTP/1.0", "Connection: keep-alive\r\n", 200),
    "one that goes": (ASK, "HTTP/1.1", "Connection: close\r\n", 200),
    "one that says it twice": (ASK, "HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", 200),
    "a body where none belongs": (ASK, "HTTP/1.1", "Content-Length: 5\r\n", 200),
    "chunks": (ASK, "HTTP/1.1", "Transfer-Encoding: chunked\r\n", 411),
    "chunks that are hidden": (ASK, "HTTP/1.1", "Transfer-Encoding: identity, chunked\r\n", 501),
    "no such path": ("/v1/nothing", "HTTP/1.1", "", 404),
    "a bad query": ("/v1/bookings?limit=0", "HTTP/1.1", "", 400),
    "a stream": ("/v1/stream?mode=once", "HTTP/1.1", "", 200),
}


@pytest.mark.parametrize("path, version, more, status", NOT_KEPT.values(), ids=list(NOT_KEPT))
def test_what_leaves_a_doubt_is_answered_and_closed(daemon, token, path, version, more, status):
    follower = http.head("GET", ASK, http.bearer(token), None)

    async def story():
        async with http.Kept(daemon, token) as one:
            assert_stays(await one.ask("GET", ASK))  # also not when it was kept before
            one.writer.write(GET.format(path=path, version=version, token=token, more=more).encode() + follower)
            found, headers = await http.read_head(one.reader)
            rest = await one.rest()
            assert found == status and headers["connection"] == "close"
            assert b"HTTP/1." not in rest, "what came after it was answered"

    run(story())


ACK = b'{"type":"ack","cursor":"zzzzzz.0"}'
FRAMINGS = {  # what -> (headers of a POST, statuses that are right)
    "twice the same": ("Content-Length: %d\r\nContent-Length: %d\r\n" % (len(ACK), len(ACK)), {400}),
    "twice, and others": ("Content-Length: %d\r\nContent-Length: 5\r\n" % len(ACK), {400}),
    "a list": ("Content-Length: %d, %d\r\n" % (len(ACK), len(ACK)), {400}),
    "a sign": ("Content-Length: +%d\r\n" % len(ACK), {400}),
    "a negative one": ("Content-Length: -1\r\n", {400}),
    "hexadecimal": ("Content-Length: 0x22\r\n", {400}),
    "nothing": ("Content-Length: 0\r\n", {400}),
    "far too much": ("Content-Length: 99999999999\r\n", {413}),
    "more digits than any": ("Content-Length: %s%d\r\n" % ("0" * 30, len(ACK)), {400}),
    "chunks as well": ("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % len(ACK), {400}),
    "chunks": ("Transfer-Encoding: chunked\r\n", {411}),
}


@pytest.mark.parametrize("lengths, statuses", FRAMINGS.values(), ids=list(FRAMINGS))
def test_a_body_whose_end_is_in_doubt_ends_the_connection(daemon, token, lengths, statuses):
    follower = http.head("GET", ASK, http.bearer(token), None)
    head = f"POST /v1/acks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{lengths}\r\n".encode()

    async def story():
        async with http.Kept(daemon, token) as one:
            assert_stays(await one.ask("GET", ASK))
            one.writer.write(head + ACK + follower)
            found, headers = await http.read_head(one.reader)
            assert found in statuses and headers["connection"] == "close"
            assert b"HTTP/1." not in await one.rest()

    run(story())


def test_a_stranger_is_not_kept(daemon):
    async def story():
        async with http.Kept(daemon) as one:
            assert_goes(await one.ask("GET", ASK), await one.rest())

    run(story())


TEAPOT = {"Upgrade": "teapot", "Connection": "Upgrade, keep-alive"}


@pytest.mark.parametrize("how", ["in one piece", "after the answer"])
@pytest.mark.parametrize("upgrade, status", [(request(), 101), (request(**TEAPOT), 426)], ids=["a websocket", "an unknown one"])
def test_an_upgrade_may_follow_another_request(shared_house, daemon, token, upgrade, status, how):
    first = http.head("GET", ASK, http.bearer(token), None)

    async def story():
        async with http.Kept(daemon, token) as one:
            if how == "after the answer":
                assert_stays(await one.ask("GET", ASK))
                one.writer.write(upgrade)
            else:
                one.writer.write(first + upgrade)
                assert_stays(await one.answer())
            return (await http.read_head(one.reader))[0]

    assert beside_a_witness(shared_house, daemon, story) == status


@pytest.mark.parametrize("data", [b"\x00" * 1000, b"GET", b"\r\n" * 500, b"GET / HTTP/9.9\r\n\r\n", b"x" * 100000],
                         ids=["zeros", "half a word", "empty lines", "another version", "no end"])
def test_rubbish_after_an_answer_ends_the_connection(house, data):
    daemon, token = house.daemon(listen__admin="127.0.0.1:0", listen__keep_alive_seconds=1), house.enrol(ADA)

    async def attack():
        async with http.Kept(daemon, token) as one:
            await one.ask("GET", ASK)
            one.writer.write(data)
            return await one.rest()

    assert b" 200 " not in beside_a_witness(house, daemon, attack)
    wait_until(lambda: kept(daemon) == 0, "gone")


# ---- for how long ----


def test_it_waits_as_long_as_was_said_and_not_for_ever(house):
    daemon, token = house.daemon(listen__keep_alive_seconds=1), house.enrol(ADA)

    async def story():
        async with http.Kept(daemon, token) as idle, http.Kept(daemon, token) as slow:
            answer = await idle.ask("GET", ASK)
            assert answer.headers["keep-alive"] == "timeout=1"
            began = time.monotonic()
            await slow.ask("GET", ASK)
            slow.writer.write(b"GET /v1/reconnect HTTP/1.1\r\n")  # and no more of it
            assert await idle.rest() == b"" and time.monotonic() - began >= 1
            assert await slow.rest() == b""

    run(story())


def test_a_reload_that_keeps_no_more_ends_those_that_wait(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with http.Kept(daemon, token) as waits, http.Kept(daemon, token) as other:
            assert_stays(await waits.ask("GET", ASK))
            assert 'changed="listen.keep_alive_seconds"' in await asyncio.to_thread(daemon.reload, listen__keep_alive_seconds=0)
            assert await waits.rest() == b""
            assert_goes(await other.ask("GET", ASK), await other.rest())

    run(story())


def test_a_drain_does_not_wait_for_them(house):
    daemon, token = house.daemon(listen__keep_alive_seconds=300, drain__seconds=300), house.enrol(ADA)

    async def story():
        async with http.Kept(daemon, token) as waits, http.Kept(daemon, token) as polls:
            await waits.ask("GET", ASK)
            cursor = (await polls.ask("GET", "/v1/bookings")).messages()[-1]["cursor"]
            polling = asyncio.ensure_future(polls.ask("GET", f"/v1/bookings?after={cursor}&wait=50"))
            await asyncio.to_thread(wait_until, lambda: daemon.log_text().count('event="session began"') == 2, "it waits")
            daemon.process.terminate()
            assert await waits.rest() == b""
            assert_goes(await polling, await polls.rest())
        await asyncio.to_thread(daemon.process.wait, 60)

    daemon.reload(log__level="debug")
    run(story())
    assert daemon.process.returncode == 0


def test_where_there_is_no_room_to_spare_nobody_is_kept(house):
    """sessions.max connections in all: at it, above it, and below again."""
    daemon, tokens = house.daemon(listen__admin="127.0.0.1:0", sessions__max=2), [house.enrol(ADA) for _ in range(3)]

    async def ask(token):
        async with http.Kept(daemon, token) as one:
            answer = await one.ask("GET", ASK)
            return answer.headers["connection"]

    async def story():
        async with house.client(daemon, tokens[0]) as first:
            await first.welcome()
            assert await ask(tokens[2]) == "keep-alive"
            async with house.client(daemon, tokens[1]) as second:
                await second.welcome()
                assert await ask(tokens[2]) == "close"
            await asyncio.to_thread(wait_until, lambda: count(daemon, "slotbell_connections") == 1, "gone")
            assert await ask(tokens[2]) == "keep-alive"

    run(story())
