"""A booking that cannot be read, its envelope being good: one failed event by each transport, and the session goes on."""

import pytest
from fake_http import FakeHttp, polls
from fake_server import FakeServer, booking, cursor

pytest_plugins = ["fixtures_plugin"]

GOOD = booking(1, "first"), booking(11, "last")
BAD = {
    "a subject that is a number": {"subject": 7}, "no version": {"version": None}, "no uid": {"uid": None}, "a uid that is empty": {"uid": ""},
    "an attendee without an address": {"attendees": [{"name": "Secret Person"}]}, "an organizer that is a text": {"organizer": "Secret Person"},
    "a local time that is none": {"starts_local": "soon"},
}  # fmt: skip


def events():
    bad = [booking(seq, "odd") for seq in range(2, 2 + len(BAD))]
    for event, fields in zip(bad, BAD.values(), strict=True):
        event["booking"] = {name: value for name, value in {**event["booking"], **fields}.items() if value is not None}
    bad.append({**booking(9, "odd"), "published_at": "yesterday"})
    bad.append({**booking(10, "odd"), "booking": ["Secret Person"]})
    return [GOOD[0], *bad, GOOD[1]]


def judge(plugin, running, acks):
    """acks(): all that the server was told."""
    running.wait_for("acked")
    while running.said("acked")[-1]["cursor"] != cursor(11):
        running.wait_for("acked")
    assert running.stop() == 0, running.words
    assert [line["uid"] for line in running.said("written")] == ["first", "last"]
    assert {line["seq"]: line["reason"] for line in running.said("failed")} == dict.fromkeys(range(2, 11), "unsupported")
    assert all("Secret" not in text for text in (running.words, *map(str, running.lines)))
    assert len(plugin.files()) == 2
    assert len(running.said("connecting")) == 1, "the same session from begin to end"
    failed = {failure["seq"]: failure["reason"] for ack in acks() for failure in ack.get("failed", [])}
    assert failed == dict.fromkeys(range(2, 11), "unsupported") and acks()[-1]["cursor"] == cursor(11)


def test_by_websocket(start, context):
    async def script(session):
        await session.welcome(0, head=11)
        for event in events():
            await session.send(event)
        await session.live(11)
        await session.acked(11)
        assert await session.closed_by_client() == 1001

    with FakeServer(context, script) as server:
        plugin = start(server, "--transport", "websocket")
        with plugin.run() as running:
            judge(plugin, running, lambda: server.messages("ack"))


async def streams_all(request):
    request.welcome(0)
    for event in events():
        request.event(event)
    await request.gone()


async def finds_all(request):
    if "wait=0" in request.query:
        request.answer(200, {"messages": [*events(), {"type": "live", "cursor": cursor(11)}]})
    else:
        await polls(request)


@pytest.mark.parametrize("transport", ["stream", "poll"])
def test_by_http(start, context, transport):
    async def stands(request):
        request.answer(200, {"state": "ready", "retry_after_ms": 0, "epoch": cursor(0).split(".", maxsplit=1)[0], "head": 11, "acked": 0, "pending": 11,
                             "transports": ["websocket", "stream", "poll"]})  # fmt: skip

    with FakeHttp(context, stream=streams_all, bookings=finds_all, reconnect=stands) as server:
        plugin = start(server, "--transport", transport)
        with plugin.run() as running:
            running.wait_for("written")
            server.wait(lambda: any(request.json()["cursor"] == cursor(11) for request in server.of("acks")))
            judge(plugin, running, lambda: [request.json() for request in server.of("acks")])
