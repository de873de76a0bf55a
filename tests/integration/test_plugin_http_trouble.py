"""slotbell-plugin over plain HTTP at a server that does not answer, sends it away, or knows another history."""

import pytest
from fake_http import EPOCH_START, FakeHttp, finds_one, polls, streams, streams_one, takes
from fake_server import cursor

pytest_plugins = ["fixtures_plugin"]

WAYS = pytest.mark.parametrize("way", ["stream", "poll"])


async def mute(request):
    await request.gone()


def then(first, *others):
    """A script for each request in turn, the last for all further ones."""
    scripts = (first, *others)

    async def script(request):
        await scripts[min(request.number, len(scripts) - 1)](request)

    return script


def answers(status, reason, body=None, **headers):
    async def script(request):
        if body is None:
            request.problem(status, reason, **headers)
        else:
            request.answer(status, body, **headers)

    return script


def entrance(way):
    """The first request of a session."""
    return "stream" if way == "stream" else "reconnect"


# ---- nothing comes ----


def test_a_stream_whose_first_byte_never_comes_is_given_up(start, context):
    with FakeHttp(context, stream=then(mute, streams)) as server:
        with start(server, "--transport", "stream").run() as running:
            assert running.wait_for("closed")["code"] == 1006
            running.wait_for("live")
            assert running.stop() == 0
        assert len(server.of("stream")) == 2
    assert "No welcome within 20 s" in running.words


def test_a_stream_that_brings_headers_and_nothing_more_is_given_up(start, context):
    async def headers_only(request):
        request.begin_stream()
        await request.gone()

    with FakeHttp(context, stream=then(headers_only, streams)) as server:
        with start(server, "--transport", "stream").run() as running:
            assert running.wait_for("closed")["code"] == 1006
            running.wait_for("live")
            assert running.stop() == 0


def test_a_stream_that_ended_and_of_which_nobody_says_why_is_made_anew(start, context):
    async def ends(request):
        request.welcome()

    with FakeHttp(context, stream=then(ends, streams), reconnect=mute) as server:
        with start(server, "--transport", "stream").run() as running:
            closed = running.wait_for("closed")
            assert closed["code"] == 1006 and closed["reason"] == "the stream ended, and the server did not say why"
            running.wait_for("live")
            assert running.stop() == 0
        assert len(server.of("reconnect")) == 1 and len(server.of("stream")) == 2


@pytest.mark.parametrize("silent", ["reconnect", "bookings"])
def test_a_poll_that_is_never_answered_is_given_up(start, context, silent):
    scripts = {"bookings": polls}
    scripts[silent] = then(mute, scripts.get(silent, answers(200, None, EPOCH_START)))
    with FakeHttp(context, **scripts) as server:
        with start(server, "--transport", "poll").run() as running:
            assert running.wait_for("closed")["code"] == 1006
            running.wait_for("live")
            assert running.stop() == 0


@WAYS
def test_an_ack_that_is_never_answered_ends_the_session_and_is_said_again(start, context, way):
    """The session itself looks well all the while: nothing but the ack shows that something is wrong."""
    scripts = {"acks": then(mute, takes)}
    if way == "stream":
        scripts["stream"] = streams_one
    else:
        scripts["bookings"] = then(finds_one, finds_one, polls)
    with FakeHttp(context, **scripts) as server:
        with start(server, "--transport", way).run() as running:
            assert running.wait_for("written")["uid"] == "one"
            closed = running.wait_for("closed")
            assert closed["code"] == 1006 and closed["reason"] == "the server did not answer an ack"
            assert running.wait_for("acked")["cursor"] == cursor(6)
            assert running.stop() == 0
        assert [request.json()["cursor"] for request in server.of("acks")] == [cursor(6)] * 2


# ---- it is sent away ----


@WAYS
@pytest.mark.parametrize("status,reason,body,header,ms", [
    (429, "too-many", None, 7, 7000),
    (503, "busy", None, 3600, 3600000),
    (503, "draining", {"reason": "draining", "retry_after_ms": 2210, "detail": "words"}, 3, 2210),
    (429, None, "<html>slow down</html>", 9, 9000),  # of somebody in between
    (503, None, "", 1, 1000),
])
def test_429_and_503_say_when_to_come_back(start, context, way, status, reason, body, header, ms):
    away = answers(status, reason, body, Retry_After=header)
    with FakeHttp(context, **{entrance(way): away}) as server:
        with start(server, "--transport", way).run() as running:
            assert f"HTTP {status}" in running.wait_for("closed")["reason"]
            assert running.wait_for("waiting")["ms"] == ms
            assert running.stop() == 0
        assert len(server.requests) == 1  # it does wait


@pytest.mark.parametrize("status", [429, 503])
def test_a_poll_in_the_midst_that_is_sent_away_comes_back_when_it_was_told_to(start, context, status):
    away = answers(status, "busy", Retry_After=5)
    with FakeHttp(context, bookings=then(polls, away)) as server:
        with start(server, "--transport", "poll").run() as running:
            running.wait_for("live")
            assert running.wait_for("waiting")["ms"] == 5000
            assert running.stop() == 0


@WAYS
def test_an_ack_that_is_sent_away_is_said_again_when_it_was_told_to(start, context, way):
    away = answers(503, "degraded", {"reason": "degraded", "retry_after_ms": 700, "detail": "the database is away"},
                   Retry_After=1)  # fmt: skip
    with FakeHttp(context, acks=then(away, takes), stream=streams_one,
                  bookings=then(finds_one, finds_one, polls)) as server:  # fmt: skip
        with start(server, "--transport", way).run() as running:
            assert "the database is away" in running.wait_for("closed")["reason"]
            assert running.wait_for("waiting")["ms"] == 700
            assert running.wait_for("acked")["cursor"] == cursor(6)
            assert running.stop() == 0
        assert len(server.of("acks")) == 2


@pytest.mark.parametrize("state,code", [("busy", 1013), ("degraded", 1013), ("draining", 1012)])
def test_a_poll_asks_first_and_does_as_it_is_told(start, context, state, code):
    standing = {"state": state, "retry_after_ms": 4321, "transports": ["websocket"]}
    with FakeHttp(context, reconnect=answers(200, None, standing, Retry_After=5)) as server:
        with start(server, "--transport", "poll").run() as running:
            assert running.wait_for("closed")["code"] == code
            assert running.wait_for("waiting")["ms"] == 4321
            assert running.stop() == 0
        assert not server.of("bookings")


# ---- another history ----


@WAYS
def test_a_reset_in_answer_to_an_ack_is_taken_and_acked(start, context, way):
    reset = {"type": "reset", "cursor": cursor(3, "m7d2x9"), "reason": "epoch"}

    scripts = {"acks": then(answers(409, None, reset), takes)}
    if way == "stream":
        scripts["stream"] = streams_one
    else:
        scripts["bookings"] = then(finds_one, mute)
    with FakeHttp(context, **scripts) as server:
        device = start(server, "--transport", way)
        with device.run() as running:
            assert running.wait_for("reset")["reason"] == "epoch"
            assert running.wait_for("acked")["cursor"] == reset["cursor"]
            assert running.stop() == 0
        assert [request.json()["cursor"] for request in server.of("acks")] == [cursor(6), reset["cursor"]]
        assert device.saved()["cursor"] == reset["cursor"]
        assert len(running.said("connecting")) == 1


@WAYS
def test_a_409_that_is_no_reset_is_no_ack(start, context, way):
    with FakeHttp(context, acks=answers(409, "replaced"), stream=streams_one, bookings=finds_one) as server:
        with start(server, "--transport", way).run() as running:
            assert running.wait_for("closed")["code"] == 4409
            assert running.wait_for("waiting")["for"] == "user"
            assert running.stop() == 0
        assert not running.said("acked")
