"""slotbell-plugin remembers which way got through, in its state file, and comes back to the websocket all the same.

At a scripted server that answers HTTP and refuses the upgrade, or, where a test lets it, at one that takes both.
"""

import json
import time

import pytest
from fake_http import FakeHttp, finds_one, polls, refuses, streams, streams_one
from fake_server import cursor

pytest_plugins = ["fixtures_plugin", "fixtures_daemon"]


def serve(context, stream=streams):
    return FakeHttp(context, session=refuses, stream=stream, bookings=polls)


def put(plugin, **fields):
    plugin.state.write_text(json.dumps({"device": 7, "cursor": cursor(5), "failed": [], **fields}))


def paths(server):
    return [request.path.removeprefix("/v1/") for request in server.requests]


@pytest.mark.parametrize("way,stream,first", [("stream", streams, "stream"), ("poll", refuses, "reconnect")])
def test_the_next_start_begins_with_what_worked(start, context, way, stream, first):
    with serve(context, stream) as server:
        device = start(server)
        with device.run() as running:
            running.wait_for("live")
            assert running.stop() == 0
        assert device.saved()["transport"] == way
        assert abs(device.saved()["transport_since"] - time.time()) < 60
        assert "session" in paths(server)
        server.requests.clear()
        with device.run() as running:
            running.wait_for("live")
            assert not running.said("closed")
            assert running.stop() == 0
        assert paths(server)[0] == first and "session" not in paths(server)
        assert device.saved()["transport"] == way


@pytest.mark.parametrize("age", [599, 600, None], ids=["young", "old", "of no known age"])
def test_what_is_remembered_for_too_long_is_preceded_by_one_websocket(start, context, age):
    """The short lives of a web add-in: none of them would last until a trial."""
    with serve(context) as server:
        device = start(server)
        since = {} if age is None else {"transport_since": int(time.time()) - age + (30 if age == 599 else 0)}
        put(device, transport="stream", **since)
        with device.run() as running:
            running.wait_for("live")
            assert running.stop() == 0
        assert paths(server).count("session") == (0 if age == 599 else 1)
        assert device.saved()["transport"] == "stream"
        assert "going on by stream" not in running.words  # that is no news
        server.requests.clear()
        with device.run() as running:  # and now it is fresh
            running.wait_for("live")
            assert running.stop() == 0
        assert "session" not in paths(server)


def test_short_lives_come_back_to_the_websocket_when_it_gets_through_again(house, start):
    daemon, token = house.daemon(), house.enrol("ada@example.com")
    device = start(daemon, token=token)
    device.ca = daemon.ca
    put(device, device=int(token.split("_")[1]), cursor=f"{epoch(house)}.0", transport="poll", transport_since=1)
    with device.run("--once") as running:
        assert running.end() == 0, running.words
        assert not running.said("closed")[:-1]
    assert "transport" not in device.saved()
    assert "gets through again" in running.words


def epoch(house):
    return house.ctl.query("SELECT epoch FROM slotbell.mailbox")[0]


@pytest.mark.parametrize("value", ["pigeon", "Stream", "", 7, None, ["stream"]])
def test_a_way_that_is_none_is_passed_over_and_the_cursor_is_kept(start, context, value):
    with serve(context) as server:
        device = start(server)
        put(device, transport=value, transport_since="x")
        with device.run() as running:
            running.wait_for("live")
            assert running.stop() == 0
        assert paths(server)[0] == "session"  # as if nothing were remembered
        assert server.of("stream")[0].headers["last-event-id"] == cursor(5)
        assert "damaged" not in running.words
        assert device.saved()["transport"] == "stream"


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_a_way_that_was_chosen_by_option_changes_nothing_that_is_remembered(start, context, transport):
    async def waits(request):
        await (finds_one if "wait=0" in request.query else polls)(request)

    remembered = {"transport": "poll", "transport_since": 1763976000}
    with FakeHttp(context, stream=streams_one, bookings=waits) as server:
        device = start(server, "--transport", transport)
        put(device, **remembered)
        with device.run() as running:
            running.wait_for("acked")
            assert running.stop() == 0
        saved = device.saved()
        assert saved["cursor"] == cursor(6) and {key: saved[key] for key in remembered} == remembered
