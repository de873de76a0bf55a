"""Websocket, stream and poll tell the same: byte for byte the same events for the same history, resets and failures too."""

import asyncio
import contextlib
import json
import re

import http_client as http
import pytest
import websockets
from ctl_support import wait_until
from session_client import run, seq_of

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
TOLD = ("reset", "booking", "live")


async def by_websocket(house, daemon, token, cursor=None, failed=()):
    """Catches up and acks everything: the texts of what came. failed: {seq: reason} of what could not be written."""
    texts = []
    async with house.client(daemon, token) as client:
        await client.hello(cursor=cursor)
        while True:
            text = await asyncio.wait_for(client.socket.recv(), 20)
            message = json.loads(text)
            if message["type"] in TOLD:
                texts.append(text)
            if message["type"] in ("booking", "reset"):
                await client.ack(message["cursor"], failures(message, failed))
            if message["type"] == "live":
                await client.ack(message["cursor"])
                await client.acked(message["cursor"])
                return texts


async def by_stream(_house, daemon, token, cursor=None, failed=()):
    texts = []
    async with http.Stream(daemon, token, last_event_id=cursor) as stream:
        while True:
            event, identity, text = await stream.next()
            if event not in TOLD:
                continue
            texts.append(text)
            message = json.loads(text)
            assert (event, identity) == (message["type"], message["cursor"])
            answer = await http.ack(daemon, token, identity, failures(message, failed))
            assert answer.status == 200, answer.body
            if event == "live":
                return texts


async def by_poll(_house, daemon, token, cursor=None, failed=()):
    texts = []
    while True:
        found = (await http.poll(daemon, token, after=cursor)).texts()
        texts += found
        messages = [json.loads(text) for text in found]
        cursor = messages[-1]["cursor"]
        failures_of_all = [failure for message in messages for failure in failures(message, failed) or ()]
        assert (await http.ack(daemon, token, cursor, failures_of_all)).status == 200
        if messages[-1]["type"] == "live":
            return texts


WAYS = (by_websocket, by_stream, by_poll)


def failures(message, failed):
    """For the ack of this one."""
    return [{"seq": message["seq"], "reason": failed[message["seq"]]}] if message.get("seq") in failed else None


def same(house, daemon, tokens, cursor=None, failed=()):
    """By all three: what each was told, which must be the same bytes."""
    async def story():
        return [await way(house, daemon, token, cursor, failed) for way, token in zip(WAYS, tokens, strict=True)]

    first, *others = run(story())
    assert others == [first, first]
    return first


def words(texts):
    """ "reset epoch 3", "booking 4", "live 4"."""
    found = []
    for message in map(json.loads, texts):
        reason = message.get("reason", "")
        found.append(" ".join(filter(None, (message["type"], reason, str(seq_of(message["cursor"]))))))
    return found


def booked(house, count):
    """Three devices and so many events: their tokens, and the epoch."""
    tokens = [house.enrol(ADA) for _ in WAYS]
    for _ in range(count):
        house.publish(ADA)
    return tokens, house.ctl.query("SELECT epoch FROM slotbell.mailbox")[0]


# ---- events ----


def test_events_of_every_kind_with_text_in_many_scripts_across_epochs(house):
    daemon, (tokens, _) = house.daemon(), booked(house, 0)
    uid = house.publish(ADA, subject="Grüße, 世界 \"quoted\" \\ and\ttab \u202e \U0001f514", attendees='[{"name": "Ŝ", "email": "s@example.com"}]')
    house.publish(ADA, uid=uid, change="updated", starts_at="2027-03-02 09:00+00")
    house.publish(ADA, uid=uid, change="cancelled")
    for _ in range(60):  # more than the window holds
        house.publish(ADA, details=json.dumps({"description": "x" * 3000}))
    house.ctl.run("db", "new-epoch")
    house.publish(ADA, subject="in the new epoch")
    told = words(same(house, daemon, tokens))
    assert told == [*(f"booking {seq}" for seq in range(1, 64)), "booking 1000064", "live 1000064"]
    house.publish(ADA)
    assert words(same(house, daemon, tokens)) == ["booking 1000065", "live 1000065"]
    assert words(same(house, daemon, tokens)) == ["live 1000065"]


def test_events_that_are_made_while_they_listen(house):
    daemon, (tokens, _) = house.daemon(), booked(house, 1)

    async def story():
        async with house.client(daemon, tokens[0]) as client, http.Stream(daemon, tokens[1]) as stream:
            await client.welcome()
            await client.until("live")
            await stream.until("live")
            cursor = (await http.poll(daemon, tokens[2])).messages()[-1]["cursor"]
            for change in ("created", "updated", "cancelled"):
                held = asyncio.create_task(http.poll(daemon, tokens[2], after=cursor, wait=20))
                await asyncio.sleep(0)
                house.publish(ADA, uid="one", change=change, subject=f"Ünï {change}")
                texts = [await client.socket.recv(), (await stream.until("booking"))[2]]
                texts.append([text for text in (await held).texts() if '"booking"' in text][0])
                assert len(set(texts)) == 1 and json.loads(texts[0])["change"] == change, texts
                cursor = json.loads(texts[0])["cursor"]

    run(story())


def test_what_could_not_be_written_is_kept_the_same(house):
    daemon, (tokens, _) = house.daemon(), booked(house, 40)
    failed = {1: "conflict", 17: "unsupported", 40: "rejected"}
    assert len(same(house, daemon, tokens, failed=failed)) == 41
    kept = {token: house.ctl.query("SELECT seq, reason FROM slotbell.receipt WHERE device_id = %s AND reason IS NOT NULL ORDER BY seq",
                                   house.device_of(token)) for token in tokens}  # fmt: skip
    assert list(kept.values()) == [sorted(failed.items())] * 3
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [40] * 3


# ---- resets ----


@pytest.mark.parametrize("cursor,told", [
    ("zzzzzz.7", ["reset epoch 0", "booking 1", "booking 2", "booking 3", "live 3"]),
    ("{epoch}.4", ["reset unknown-cursor 0", "booking 1", "booking 2", "booking 3", "live 3"]),
    ("{epoch}.9223372036854775807", ["reset unknown-cursor 0", "booking 1", "booking 2", "booking 3", "live 3"]),
    ("{epoch}.3", ["live 3"]),
    ("{epoch}.0", ["booking 1", "booking 2", "booking 3", "live 3"]),
], ids=["foreign epoch", "beyond head", "far beyond head", "at head", "before the first"])  # fmt: skip
def test_a_cursor_that_is_not_of_this_history(house, cursor, told):
    daemon, (tokens, epoch) = house.daemon(), booked(house, 3)
    assert words(same(house, daemon, tokens, cursor.format(epoch=epoch))) == told
    house.publish(ADA)
    assert words(same(house, daemon, tokens)) == ["booking 4", "live 4"]  # the reset is acked: it does not come again


@pytest.mark.parametrize("seq,told", [(None, ["reset expired 3"]), (2, ["reset expired 3"]), (3, []), (4, [])])
def test_a_cursor_that_is_too_old(house, seq, told):
    daemon, (tokens, epoch) = house.daemon(), booked(house, 5)
    # As the sweep leaves it: floor first, then the events up to it.
    house.ctl.query("UPDATE slotbell.mailbox SET floor = 3")
    house.ctl.query("DELETE FROM slotbell.event WHERE seq <= 3")
    rest = [f"booking {n}" for n in range(max(seq or 0, 3) + 1, 6)]
    assert words(same(house, daemon, tokens, seq and f"{epoch}.{seq}")) == [*told, *rest, "live 5"]


@pytest.mark.parametrize("seq,told", [
    (2, ["booking 1000003", "live 1000003"]),  # all that there was: it goes on
    (1, ["booking 2", "booking 1000003", "live 1000003"]),
    (3, ["reset epoch 0", "booking 1", "booking 2", "booking 1000003", "live 1000003"]),
])  # fmt: skip
def test_a_cursor_of_the_epoch_before(house, seq, told):
    daemon, (tokens, epoch) = house.daemon(), booked(house, 2)
    house.ctl.run("db", "new-epoch")
    house.publish(ADA)
    assert words(same(house, daemon, tokens, f"{epoch}.{seq}")) == told


# ---- failures ----


async def refusal_by_websocket(house, daemon, token):
    """Close code, the close's word, and its last words but for the time: error or goodbye."""
    last = None
    async with house.client(daemon, token, header=True) as client:
        with contextlib.suppress(websockets.ConnectionClosed):
            await client.hello()
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                last = await asyncio.wait_for(client.socket.recv(), 20)
        return client.socket.close_code, client.socket.close_reason, without_time(last)


def without_time(text):
    assert '"reconnect_after_ms":0' not in text
    return re.sub(r'"(reconnect_after_ms|retry_after_ms)":\d+', r'"\1":N', text)


async def refusals_by_http(daemon, token, cursor):
    """Of a stream, a poll, and an ack: status and body, but for the time. Retry-After is where the body has a time."""
    found = []
    for method, path, body in (("GET", "/v1/stream", None), ("GET", "/v1/bookings", None),
                               ("POST", "/v1/acks", {"type": "ack", "cursor": cursor})):  # fmt: skip
        answer = await http.request(daemon, method, path, token, body=body)
        problem = answer.json()
        assert ("retry-after" in answer.headers) == ("retry_after_ms" in problem), problem
        if "retry_after_ms" in problem:
            assert int(answer.headers["retry-after"]) == -(-problem["retry_after_ms"] // 1000)
        found.append((answer.status, without_time(answer.body.decode())))
    return found


def assert_same_refusal(house, daemon, token, cursor, status, code, word):
    async def story():
        return await refusal_by_websocket(house, daemon, token), await refusals_by_http(daemon, token, cursor)

    websocket, answers = run(story())
    assert websocket[:2] == (code, word)
    assert set(answers) == {answers[0]} and answers[0][0] == status, answers
    problem, last = json.loads(answers[0][1].replace(":N", ":0")), json.loads(websocket[2].replace(":N", ":0"))
    assert problem["reason"] == word
    if last["type"] == "error":  # the same words, byte for byte
        assert last == {"type": "error", "code": problem["reason"], "detail": problem["detail"]}
    else:
        assert last == {"type": "goodbye", "reason": problem["reason"], "reconnect_after_ms": 0}
        assert problem["retry_after_ms"] == 0


def wrong_secret(_house, token):
    return token[:-4] + "AAAA"


def unknown_device(_house, token):
    return "sbd_999999_" + token.split("_", 2)[2]


def malformed(_house, _token):
    return "sbd_1_x"


def revoked(house, token):
    house.ctl.run("device", "revoke", house.device_of(token))
    return token


def over(house, token):
    house.ctl.query("UPDATE slotbell.device SET expires_at = now() - interval '1 s' WHERE id = %s", house.device_of(token))
    return token


@pytest.mark.parametrize("change,status,code,word", [
    (wrong_secret, 401, 4401, "bad-token"), (unknown_device, 401, 4401, "bad-token"), (malformed, 401, 4401, "bad-token"),
    (revoked, 403, 4403, "revoked"), (over, 403, 4403, "expired"),
])  # fmt: skip
def test_a_token_that_is_not_good(house, change, status, code, word):
    daemon, (tokens, epoch) = house.daemon(), booked(house, 1)
    assert_same_refusal(house, daemon, change(house, tokens[0]), f"{epoch}.1", status, code, word)


def test_a_daemon_that_is_full(house):
    daemon, (tokens, epoch) = house.daemon(sessions__max=1), booked(house, 1)

    async def story():
        async with house.client(daemon, tokens[0]) as client:
            await client.welcome()
            await asyncio.to_thread(assert_same_refusal, house, daemon, tokens[1], f"{epoch}.1", 503, 1013, "busy")

    run(story(), 90)


def test_a_database_that_is_away(house):
    daemon, (tokens, epoch) = house.daemon(), booked(house, 1)

    def let_in(may):
        with house.connect() as connection:
            connection.execute(f"ALTER ROLE slotbelld_login {'LOGIN' if may else 'NOLOGIN'}")
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'slotbelld_login'")

    let_in(False)
    try:
        wait_until(lambda: run(http.request(daemon, "GET", "/v1/reconnect")).json()["state"] == "degraded", "it notices")
        assert_same_refusal(house, daemon, tokens[0], f"{epoch}.1", 503, 1013, "degraded")
    finally:
        let_in(True)
    wait_until(lambda: run(http.request(daemon, "GET", "/v1/reconnect")).json()["state"] == "ready", "it is back")


# ---- in the midst ----


async def listening(house, daemon, tokens, stack):
    """All three caught up, with a poll held."""
    client = await stack.enter_async_context(house.client(daemon, tokens[0]))
    await client.welcome()
    await client.until("live")
    stream = await stack.enter_async_context(http.Stream(daemon, tokens[1]))
    await stream.until("live")
    cursor = (await http.poll(daemon, tokens[2])).messages()[-1]["cursor"]
    before = daemon.log_text().count('event="session began"')
    held = asyncio.create_task(http.poll(daemon, tokens[2], after=cursor, wait=50, seconds=40))
    await asyncio.to_thread(wait_until, lambda: daemon.log_text().count('event="session began"') > before, "the poll is held")
    return client, stream, held


async def last_words(client, stream, held):
    """Of the websocket and the stream their last message, but for the time, or None; and the poll's answer."""
    by_websocket_ = by_stream_ = None
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            by_websocket_ = await asyncio.wait_for(client.socket.recv(), 40)
    while found := await stream.next(40):
        if found[0] != "comment":
            by_stream_ = found
    assert not by_stream_ or by_stream_[0] == json.loads(by_stream_[2])["type"]
    return by_websocket_ and without_time(by_websocket_), by_stream_ and without_time(by_stream_[2]), await held


def test_a_revocation_in_the_midst(house):
    daemon, (tokens, _) = house.daemon(log__level="debug"), booked(house, 0)

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            all_three = await listening(house, daemon, tokens, stack)
            for token in tokens:
                house.ctl.run("device", "revoke", house.device_of(token))
            websocket, stream, answer = await last_words(*all_three)
            # A session that is up has no last words for it: the close says it, or, of a stream, the next question.
            assert websocket is None and stream is None
            assert (all_three[0].socket.close_code, all_three[0].socket.close_reason) == (4403, "revoked")
            asked = await http.request(daemon, "GET", "/v1/reconnect", tokens[1])
            for found in (answer, asked):
                assert found.status == 403 and found.json()["reason"] == "revoked", found.body

    run(story(), 90)


def test_a_drain_in_the_midst(house):
    daemon, (tokens, _) = house.daemon(log__level="debug"), booked(house, 0)

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            all_three = await listening(house, daemon, tokens, stack)
            daemon.process.terminate()
            websocket, stream, answer = await last_words(*all_three)
            assert websocket == stream == '{"type":"goodbye","reason":"draining","reconnect_after_ms":N}'
            assert answer.status == 503 and answer.json()["reason"] == "draining"
            assert 500 <= answer.json()["retry_after_ms"] <= 600000

    run(story(), 90)
    assert daemon.process.wait(30) == 0


def test_a_client_that_acks_nothing(house):
    daemon, (tokens, _) = house.daemon(sessions__stalled_seconds=5), booked(house, 1)

    async def story():
        async with house.client(daemon, tokens[0]) as client, http.Stream(daemon, tokens[1]) as stream:
            await client.welcome()
            held = asyncio.create_task(http.poll(daemon, tokens[2]))
            websocket, by_stream_, answer = await last_words(client, stream, held)
            assert websocket == by_stream_ == '{"type":"goodbye","reason":"stalled","reconnect_after_ms":N}'
            assert answer.status == 200  # what a poll brought and nobody acked it brings again

    run(story(), 90)
