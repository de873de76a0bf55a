"""slotbell-plugin when the wall clock jumps, as it does when the machine wakes up: back at once, whatever it waited for."""

import signal

import pytest
from fake_http import EPOCH_START, FakeHttp, polls, refuses, streams
from fake_server import FakeServer, cursor
from plugin_process import PROGRAM

pytest_plugins = ["fixtures_plugin"]


@pytest.fixture
def start_with_clock(start):
    """A plug-in whose clock SIGUSR2 sets an hour ahead."""
    def make(server, *options):
        plugin = start(server, *options)
        plugin.program = PROGRAM.parent / "tests/plugin_clock"
        return plugin

    return make


async def stays(session):
    await session.welcome(5)
    await session.live(5)
    await session.socket.wait_closed()


def test_a_session_is_left_and_made_anew(start_with_clock, context):
    with FakeServer(context, stays, stays) as server:
        with start_with_clock(server).run() as running:
            running.wait_for("live")
            running.process.send_signal(signal.SIGUSR2)
            assert running.wait_for("closed")["reason"] == "let go by us"
            assert running.wait_for("waiting")["ms"] == 0
            running.wait_for("live")
            assert running.stop() == 0
        assert server.messages("hello", 1)[0]["cursor"] == cursor(5)


def test_a_long_wait_ends(start_with_clock, context):
    async def sends_away(session):
        await session.welcome(5)
        await session.goodbye("busy", 1013, after_ms=3599000)

    with FakeServer(context, sends_away, stays) as server:
        with start_with_clock(server).run() as running:
            assert running.wait_for("waiting")["ms"] == 3599000
            running.process.send_signal(signal.SIGUSR2)
            running.wait_for("live")
            assert running.stop() == 0


# ---- over plain HTTP ----


SCRIPTS = {"stream": streams, "bookings": polls, "session": refuses}


def jump(running):
    running.process.send_signal(signal.SIGUSR2)


@pytest.mark.parametrize("transport,first", [("stream", "stream"), ("poll", "reconnect"), ("auto", "stream")])
def test_a_session_over_plain_http_is_left_and_made_anew(start_with_clock, context, transport, first):
    with FakeHttp(context, **SCRIPTS) as server:
        with start_with_clock(server, "--transport", transport).run() as running:
            running.wait_for("live")
            before = len(server.of(first))
            upgrades = len(server.of("session"))
            jump(running)
            while running.wait_for("closed")["reason"] != "let go by us":
                pass
            assert running.wait_for("waiting")["ms"] == 0
            running.wait_for("live")
            assert len(server.of(first)) == before + 1
            # What the sleep ended is no fault of the way's: it is taken again at once.
            assert len(server.of("session")) == upgrades
            assert running.stop() == 0
        if first == "stream":
            assert server.of("stream")[-1].headers["last-event-id"] == cursor(5)


def test_a_held_poll_is_not_waited_for(start_with_clock, context):
    """What it asked before the sleep nobody answers any more."""
    with FakeHttp(context, **SCRIPTS) as server:
        with start_with_clock(server, "--transport", "poll").run() as running:
            running.wait_for("live")
            server.wait(lambda: any("wait=25" in request.query for request in server.of("bookings")))
            jump(running)
            assert running.wait_for("closed")["reason"] == "let go by us"
            running.wait_for("live")
            assert running.stop() == 0


@pytest.mark.parametrize("transport", ["stream", "poll", "auto"])
def test_a_long_wait_over_plain_http_ends(start_with_clock, context, transport):
    async def ready(request):
        request.answer(200, EPOCH_START)

    def away_or(script):
        async def either(request):
            if server.away:
                request.problem(503, "busy", Retry_After=3599)
            else:
                await script(request)

        return either

    scripts = {word: away_or(script) for word, script in {**SCRIPTS, "reconnect": ready}.items()}
    with FakeHttp(context, **scripts) as server:
        server.away = True
        with start_with_clock(server, "--transport", transport).run() as running:
            assert running.wait_for("waiting")["ms"] == 3599000
            server.away = False
            jump(running)
            running.wait_for("live")
            assert running.stop() == 0
