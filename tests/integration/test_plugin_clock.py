"""slotbell-plugin when the wall clock jumps, as it does when the machine wakes up: back at once, whatever it waited for."""

import signal

import pytest
from fake_server import FakeServer, cursor
from plugin_process import PROGRAM

pytest_plugins = ["fixtures_plugin"]


@pytest.fixture
def start_with_clock(start):
    """A plug-in whose clock SIGUSR2 sets an hour ahead."""
    def make(server):
        plugin = start(server)
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


