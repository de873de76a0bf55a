"""slotbell-plugin after a connection's end: what it does at each close code, and when it comes back."""

import signal
import time

import pytest
from fake_server import Answer, FakeServer, booking, cursor

pytest_plugins = ["fixtures_plugin"]


async def stays(session):
    """A session like any other, until the plug-in leaves."""
    await session.welcome(5)
    await session.live(5)
    await session.closed_by_client()


def closes(code, reason=""):
    async def script(session):
        await session.welcome(5)
        await session.live(5)
        await session.close(code, reason)

    return script


@pytest.mark.parametrize("code,reason", [
    (1000, "bye"), (1001, ""), (1011, ""), (1012, "draining"), (1013, "busy"), (1013, "degraded"), (1013, "stalled"),
    (4408, "no-hello"), (4429, "too-many"), (4999, "newer"),
])
def test_it_comes_back_from_these_with_its_cursor(start, context, code, reason):
    with FakeServer(context, closes(code, reason), stays) as server:
        with start(server).run() as running:
            closed = running.wait_for("closed")
            assert (closed["code"], closed["reason"]) == (code, reason)
            assert 0 <= running.wait_for("waiting")["ms"] <= 20
            running.wait_for("live")
            assert running.stop() == 0
        assert server.messages("hello", 1)[0]["cursor"] == cursor(5)


@pytest.mark.parametrize("code,reason,words", [
    (4401, "bad-token", "does not take this token"), (4403, "revoked", "revoked"), (4403, "expired", "expired"),
])
def test_a_refused_token_ends_it_with_words_and_an_exit_code(start, context, code, reason, words):
    async def refuses(session):
        await session.receive("hello")
        await session.send({"type": "error", "code": reason, "detail": "no"})
        await session.close(code, reason)

    with FakeServer(context, refuses) as server:
        with start(server).run() as running:
            assert running.end() == 1
        assert server.connections == 1  # not again with this token
    assert words in running.words
    assert running.lines[-1]["what"] == "closed" and running.lines[-1]["code"] == code


def test_one_that_was_replaced_waits_until_its_user_wants_it_back(start, context):
    with FakeServer(context, closes(4409, "replaced"), closes(4409, "replaced"), stays) as server:
        with start(server).run() as running:
            for connections in (1, 2):
                assert running.wait_for("waiting")["for"] == "user"
                assert server.connections == connections
                running.process.send_signal(signal.SIGUSR1)
            running.wait_for("live")
            assert running.stop() == 0
    assert "took over" in running.words and "SIGUSR1" in running.words


def test_one_that_waits_for_its_user_ends_when_told(start, context):
    with FakeServer(context, closes(4409, "replaced")) as server:
        with start(server).run() as running:
            running.wait_for("waiting")
            assert running.stop() == 0


@pytest.mark.parametrize("code,reason", [(4400, "bad-message"), (1009, "too-big")])
def test_a_bug_is_said_and_tried_again_at_the_longest_wait(start, context, code, reason):
    with FakeServer(context, closes(code, reason), stays) as server:
        with start(server).run() as running:
            assert running.wait_for("waiting")["ms"] == 20
            running.wait_for("live")
            assert running.stop() == 0
    assert "this is a bug" in running.words


def test_goodbye_says_exactly_when_to_come_back(start, context):
    left = []

    async def leaves(session):
        await session.welcome(5)
        await session.live(5)
        left.append(time.monotonic())
        await session.goodbye("draining", 1012, after_ms=700)

    async def returns(session):
        left.append(time.monotonic())
        await stays(session)

    with FakeServer(context, leaves, returns) as server:
        with start(server).run() as running:
            assert running.wait_for("goodbye")["reconnect_after_ms"] == 700
            assert running.wait_for("closed")["code"] == 1012
            assert running.wait_for("waiting")["ms"] == 700
            running.wait_for("live")
            assert running.stop() == 0
    assert left[1] - left[0] >= 0.7


def test_sigusr1_ends_a_long_wait(start, context):
    async def leaves(session):
        await session.welcome(5)
        await session.goodbye("busy", 1013, after_ms=3599000)

    with FakeServer(context, leaves, stays) as server:
        with start(server).run() as running:
            assert running.wait_for("waiting")["ms"] == 3599000
            running.process.send_signal(signal.SIGUSR1)
            running.wait_for("live")
            assert running.stop() == 0


@pytest.mark.parametrize("text,words,ms", [
    ("HTTP/1.1 503 Service Unavailable\nRetry-After: 7\nContent-Length: 0\n\n", "HTTP 503", range(7000, 7001)),
    ("HTTP/1.1 429 Too Many Requests\nRetry-After: 3600\nContent-Length: 0\n\n", "HTTP 429", range(3600000, 3600001)),
    ("HTTP/1.1 502 Bad Gateway\nContent-Length: 0\n\n", "HTTP 502", range(501)),
    ("HTTP/1.1 404 Not Found\nRetry-After: soon\nContent-Length: 0\n\n", "HTTP 404", range(501)),
])
def test_what_stands_before_the_server_is_heard(start, context, text, words, ms):
    with Answer(context, text) as server:
        with start(server).run() as running:
            closed = running.wait_for("closed")
            assert closed["code"] == 1006 and words in closed["reason"]
            assert running.wait_for("waiting")["ms"] in ms
            assert running.stop() == 0


def test_a_server_that_is_not_there_is_tried_again(start, context):
    with FakeServer(context, stays) as server:
        port = server.port
    with FakeServer(context, stays) as server:
        plugin = start(server)
        plugin.url = f"wss://localhost:{port}"
        with plugin.run() as running:
            first = running.wait_for("waiting")["ms"]
            second = running.wait_for("waiting")["ms"]
            assert first <= 500 and second <= 1000
            assert running.stop() == 0
    assert "no connection" in running.words


def test_once_gives_up_in_the_end(start, context):
    async def drops(session):
        await session.welcome(5, head=6)
        await session.break_off()

    with FakeServer(context, drops) as server:
        with start(server, "--once").run() as running:
            assert running.end() == 1
        assert server.connections == 5
    assert "Not caught up after 5 connections" in running.words


def test_a_killed_process_goes_on_where_it_was(start, context):
    async def first(session):
        await session.welcome(0)
        await session.live(0)
        await session.send(booking(1, "one"))
        await session.acked(1)
        await session.send(booking(2, "two"))
        await session.socket.wait_closed()  # perhaps before its ack

    async def second(session):
        assert (await session.welcome(2))["cursor"] == cursor(2)
        await session.live(2)
        await session.closed_by_client()

    with FakeServer(context, first, second) as server:
        plugin = start(server)
        with plugin.run() as running:
            while running.wait_for("written")["uid"] != "two":
                pass
            running.process.kill()
            assert running.end() == -signal.SIGKILL
        with plugin.run() as running:
            running.wait_for("live")
            assert running.stop() == 0
        assert sorted(plugin.files()) == ["one.ics", "two.ics"]


def test_a_silent_server_is_asked_and_then_left(start, context):
    async def falls_silent(session):
        await session.welcome(5, heartbeat_seconds=1)
        await session.live(5)
        assert await session.socket.recv() == '{"type":"ping"}'
        await session.send({"type": "pong"})
        assert await session.socket.recv() == '{"type":"ping"}'
        await session.socket.wait_closed()

    with FakeServer(context, falls_silent, stays) as server:
        with start(server).run() as running:
            assert running.wait_for("closed")["reason"] == "let go by us"
            running.wait_for("live")
            assert running.stop() == 0
    assert "has been silent for" in running.words
