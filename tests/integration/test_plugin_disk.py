"""slotbell-plugin when its disk would not: a limit of the kernel's on the size of a file stands for the full disk."""

import resource
import shutil
import threading

import pytest
import websockets
from fake_server import FakeServer, booking, cursor

pytest_plugins = ["fixtures_plugin"]

ROOM_FOR_STATE = 150  # bytes: a state has about 50, an appointment 500 and more
UNLIMITED = resource.RLIM_INFINITY


async def offers_two(session):
    """A session in which the plug-in acks booking 2 or leaves. Its hello must not ack it."""
    try:
        assert (await session.welcome(1, head=2))["cursor"] == cursor(1)
        await session.live(1)
        await session.send(booking(2, "two"))
        await session.acked(2)
        await session.closed_by_client()
    except websockets.ConnectionClosed:
        pass


def test_a_full_disk_is_not_acked_and_made_good_when_there_is_room(start, context):
    full = threading.Event()

    async def first(session):
        await session.welcome(0)
        await session.live(0)
        await session.send(booking(1, "one"))
        await session.acked(1)
        await session.wait(full)
        await session.send(booking(2, "two"))
        assert await session.closed_by_client() == 1001

    with FakeServer(context, first, offers_two) as server:
        plugin = start(server)
        with plugin.run() as running:
            running.wait_for("acked")
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (ROOM_FOR_STATE, UNLIMITED))
            full.set()
            for _ in range(3):
                assert running.wait_for("closed")["code"] == 1001
                running.wait_for("waiting")
            assert [ack["cursor"] for ack in server.messages("ack")] == [cursor(1)]
            assert {path.name for path in plugin.calendar.iterdir()} == {"one.ics", ".slotbell.lock"}  # nothing half written
            assert plugin.saved()["cursor"] == cursor(1)
            resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))
            assert running.wait_for("written")["uid"] == "two"
            running.wait_for("acked")
            assert running.stop() == 0
        assert sorted(plugin.files()) == ["one.ics", "two.ics"] and plugin.saved()["cursor"] == cursor(2)
    assert "Cannot write the appointment: File too large; the bookings are not acked" in running.words


@pytest.mark.parametrize("which,words", [
    ("calendar", "Cannot write the appointment: No such file or directory"),
    ("state", "Cannot save the state: No such file or directory"),
])
def test_a_folder_that_goes_away_is_not_acked(start, context, which, words):
    gone = threading.Event()

    async def first(session):
        await session.welcome(1)
        await session.live(1)
        await session.wait(gone)
        await session.send(booking(2, "two"))
        assert await session.closed_by_client() == 1001

    with FakeServer(context, first, offers_two) as server:
        plugin = start(server)
        plugin.state = plugin.folder / "state" / "state.json"
        plugin.state.parent.mkdir()
        with plugin.run() as running:
            running.wait_for("live")
            shutil.rmtree({"calendar": plugin.calendar, "state": plugin.state.parent}[which])
            gone.set()
            for _ in range(2):
                running.wait_for("closed")
            assert not server.messages("ack")
            assert running.stop() == 0
    assert words in running.words and "not acked" in running.words


def test_once_says_that_the_disk_refused(start, context):
    async def script(session):
        await session.welcome(0, head=1)
        await session.send(booking(1, "one"))
        await session.live(1)
        assert await session.closed_by_client() == 1001

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        with plugin.run(limit=ROOM_FOR_STATE) as running:
            assert running.end() == 1
        assert server.connections == 3 and not server.messages("ack")
    assert "The disk has refused 3 times in a row" in running.words


def test_a_folder_in_an_appointment_s_place_holds_nothing_up(start, context):
    async def script(session):
        await session.welcome(0, head=2)
        await session.send(booking(1, "one"))
        await session.send(booking(2, "two"))
        await session.live(2)
        acks = await session.acked(2)
        assert [item for ack in acks for item in ack.get("failed", [])] == [{"seq": 1, "reason": "conflict"}]
        await session.close(1000, "bye")

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        (plugin.calendar / "one.ics").mkdir(parents=True)
        with plugin.run() as running:
            assert running.end() == 0
        assert (plugin.calendar / "two.ics").is_file()
    assert running.said("failed")[0]["reason"] == "conflict"


@pytest.mark.parametrize("text", ["", "{", "\0" * 100, '{"cursor":"k3f9q2.x"}', '{"cursor":"k3f9q2.9"', "x" * 70000])
def test_a_damaged_state_starts_from_the_server_s_cursor(start, context, text):
    async def script(session):
        assert "cursor" not in await session.welcome(7, head=8)
        await session.send(booking(8, "eight"))
        await session.live(8)
        await session.acked(8)
        await session.close(1000, "bye")

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        plugin.state.write_text(text)
        with plugin.run() as running:
            assert running.end() == 0
        assert plugin.saved() == {"device": 7, "cursor": cursor(8), "failed": []}
    assert f"the state file {plugin.state} is damaged; starting from the server's cursor" in running.words


def test_a_lost_state_repeats_and_doubles_nothing(start, context):
    async def script(session):
        await session.welcome(0, head=2)
        await session.send(booking(1, "one"))
        await session.send(booking(2, "two"))
        await session.live(2)
        await session.acked(2)
        await session.close(1000, "bye")

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        for repeats in ([False, False], [True, True]):
            with plugin.run() as running:
                assert running.end() == 0
            assert [line["repeat"] for line in running.said("written")] == repeats
            assert sorted(plugin.files()) == ["one.ics", "two.ics"]
            plugin.state.unlink()


def test_the_cursor_of_another_device_acks_nothing(start, context):
    async def script(session):
        assert "cursor" not in await session.welcome(3)
        await session.live(3)
        await session.close(1000, "bye")

    with FakeServer(context, script) as server:
        plugin = start(server, "--once")
        plugin.state.write_text('{"device":8,"cursor":"k3f9q2.9","failed":[]}')
        with plugin.run() as running:
            assert running.end() == 0
    assert "is of another device" in running.words
