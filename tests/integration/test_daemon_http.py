"""The same events over plain HTTP: stream, poll, acks, and the state to come back to."""

import asyncio
import json

import http_client as http
import pytest
from ctl_support import Ctl, wait_until
from pgcluster import PgCluster
from schemas import http_validator
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA, GRACE = "ada@example.com", "grace@example.com"
PAGE = "https://addin.example.com"


def test_a_poll_brings_what_there_is_and_waits_for_what_is_not(house):
    daemon, token = house.daemon(log__level="debug"), house.enrol(ADA)

    async def story():
        empty = await http.poll(daemon, token)
        http_validator("bookings.json").validate(empty.json())
        assert empty.status == 200 and [m["type"] for m in empty.messages()] == ["live"]
        for _ in range(3):
            house.publish(ADA)
        backlog = (await http.poll(daemon, token)).messages()
        assert [m["type"] for m in backlog] == ["booking"] * 3 + ["live"]
        assert [m["seq"] for m in backlog[:3]] == [1, 2, 3]
        # Not acked, so it comes again; with a limit, only so much of it.
        again = (await http.poll(daemon, token, limit=2)).messages()
        assert [m.get("seq") for m in again] == [1, 2]
        # `after` acks what lies up to it.
        rest = (await http.poll(daemon, token, after=again[-1]["cursor"])).messages()
        assert [m.get("seq") for m in rest] == [3, None]
        waiting = asyncio.ensure_future(http.poll(daemon, token, after=rest[0]["cursor"], wait=20))
        await asyncio.to_thread(until_logged, daemon, "session began", 5)
        assert not waiting.done()
        house.publish(ADA)
        assert [m.get("seq") for m in (await waiting).messages()] == [None, 4]

    run(story())
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [3]


def until_logged(daemon, event, times):
    """Until the daemon's log has this event so many times."""
    wait_until(lambda: daemon.log_text().count(f'event="{event}"') >= times, f"{event} {times} times")


def test_a_poll_that_nothing_came_for_ends_with_its_time(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    answer = run(http.poll(daemon, token, wait=1))
    assert answer.status == 200 and [m["type"] for m in answer.messages()] == ["live"]


def test_an_ack_by_post_is_saved_with_its_failures_and_opens_the_streams_window(house):
    daemon, token = house.daemon(sessions__window=2), house.enrol(ADA)

    async def story():
        for _ in range(4):
            house.publish(ADA)
        async with http.Stream(daemon, token) as stream:
            assert stream.status == 200 and stream.found["content-type"] == "text/event-stream"
            assert (await stream.next())[0] == "welcome"
            first, second = await stream.until("booking"), await stream.until("booking")
            assert [first[1]["seq"], second[1]["seq"]] == [1, 2]
            acked = await http.ack(daemon, token, second[0], [{"seq": 1, "reason": "conflict"}])
            assert acked.status == 200 and acked.json() == {"type": "acked", "cursor": second[0]}
            assert (await stream.until("acked"))[1]["cursor"] == second[0]
            assert (await stream.until("booking"))[1]["seq"] == 3
            assert (await stream.until("booking"))[1]["seq"] == 4

    run(story())
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [2]
    assert house.ctl.query("SELECT seq, reason FROM slotbell.receipt WHERE reason IS NOT NULL") == [(1, "conflict")]


def test_an_ack_at_one_daemon_opens_the_window_of_a_stream_at_another(house):
    one, other, token = house.daemon(sessions__window=1), house.daemon(), house.enrol(ADA)

    async def story():
        house.publish(ADA)
        house.publish(ADA)
        async with http.Stream(one, token) as stream:
            cursor, message, _ = await stream.until("booking")
            assert message["seq"] == 1
            assert (await http.ack(other, token, cursor)).status == 200
            assert (await stream.until("booking"))[1]["seq"] == 2

    run(story())


def test_a_stream_goes_on_from_last_event_id_and_ends_with_a_goodbye(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        house.publish(ADA)
        async with http.Stream(daemon, token) as stream:
            cursor, _, _ = await stream.until("booking")
            assert (await stream.until("live"))[0] == cursor
        house.publish(ADA)
        async with http.Stream(daemon, token, last_event_id=cursor) as stream:
            assert (await stream.until("booking"))[1]["seq"] == 2
            daemon.process.terminate()
            _, goodbye, _ = await stream.until("goodbye")
            assert goodbye["reason"] == "draining" and goodbye["reconnect_after_ms"] > 0
            assert await stream.next() is None

    run(story())


def test_a_newer_session_takes_a_stream_over_and_once_does_not(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with http.Stream(daemon, token) as stream:
            await stream.until("live")
            async with http.Stream(daemon, token, query="?mode=once") as once:
                await once.until("live")
                assert await once.next() is None
            house.publish(ADA)
            await stream.until("booking")
            async with house.client(daemon, token) as client:
                await client.welcome()
                assert await stream.next() is None  # replaced: there is nothing to say but the end

    run(story())


def test_an_ack_from_the_future_or_of_another_history_is_told_so(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    house.publish(ADA)
    epoch = house.ctl.query("SELECT epoch FROM slotbell.mailbox")[0]
    for cursor, reason in ((f"{epoch}.2", "unknown-cursor"), ("zzzzzz.1", "epoch")):
        answer = run(http.ack(daemon, token, cursor))
        assert answer.status == 409 and answer.json()["type"] == "reset" and answer.json()["reason"] == reason
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [0]


def test_reconnect_tells_state_and_with_a_token_what_was_missed(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    for _ in range(3):
        house.publish(ADA)
    epoch = house.ctl.query("SELECT epoch FROM slotbell.mailbox")[0]

    async def story():
        plain = await http.request(daemon, "GET", "/v1/reconnect")
        assert plain.status == 200
        assert plain.json() == {"state": "ready", "retry_after_ms": 0, "transports": ["websocket", "stream", "poll"]}
        assert "etag" not in plain.headers and plain.headers["cache-control"] == "no-store"
        mine = (await http.request(daemon, "GET", "/v1/reconnect", token)).json()
        assert mine.pop("retry_after_ms") < 10  # the first slot of the timetable
        assert mine == {"state": "ready", "epoch": epoch, "head": 3, "acked": 0, "pending": 3,
                        "transports": ["websocket", "stream", "poll"]}
        http_validator("reconnect.json").validate(plain.json())
        http_validator("reconnect.json").validate({**mine, "retry_after_ms": 0})
        # It takes nobody's session over.
        async with house.client(daemon, token) as client:
            await client.welcome()
            await http.request(daemon, "GET", "/v1/reconnect", token)
            await client.until("live")

    run(story())


def test_reconnect_says_degraded_while_the_database_is_away(house):
    from fixtures_daemon import LOGIN, House  # not at the top: pytest loads it as a plug-in first

    with PgCluster() as cluster:
        ctl = Ctl(cluster.url(), cluster, "postgres")
        ctl.run("db", "init")
        cluster.psql(f"CREATE ROLE {LOGIN} LOGIN; GRANT slotbell_daemon TO {LOGIN}")
        own = House(cluster, "postgres", house.folder / "own", house.certificates)
        daemon, token = own.daemon(), own.enrol(ADA)
        try:
            cluster.stop()
            wait_until(lambda: run(http.request(daemon, "GET", "/v1/reconnect")).json()["state"] == "degraded", "degraded")
            answer = run(http.request(daemon, "GET", "/v1/reconnect", token))
            assert answer.json()["state"] == "degraded" and answer.json()["retry_after_ms"] >= 500
            assert int(answer.headers["retry-after"]) * 1000 >= answer.json()["retry_after_ms"]
            cluster.start()
            wait_until(lambda: run(http.request(daemon, "GET", "/v1/reconnect", token)).json().get("head") == 0, "ready again")
        finally:
            own.close()


@pytest.mark.parametrize("method,path,headers,body,status,words", [
    ("GET", "/", {}, None, 404, "/v1/stream"),
    ("GET", "/v1/session", {}, None, 426, "websocket"),
    ("GET", "/v1/bookings", {}, None, 401, "token"),
    ("GET", "/v1/stream", {}, None, 401, "token"),
    ("POST", "/v1/acks", {}, b'{"type":"ack","cursor":"a.1"}', 401, "token"),
    ("GET", "/v1/bookings", {"Authorization": "Bearer nonsense"}, None, 401, "no Slotbell token"),
    ("GET", "/v1/bookings", {"Authorization": "Basic YTpi"}, None, 401, "no Slotbell token"),
    ("GET", "/v1/bookings", {"Authorization": "Bearer sbd_1_" + "A" * 43}, None, 401, "no such token"),
    ("GET", "/v1/reconnect", {"Authorization": "Bearer sbd_1_" + "A" * 43}, None, 401, "no such token"),
    ("GET", "/v1/bookings?after=x", {}, None, 400, "after"),
    ("GET", "/v1/bookings?limit=0", {}, None, 400, "limit"),
    ("GET", "/v1/bookings?limit=257", {}, None, 400, "limit"),
    ("GET", "/v1/bookings?wait=51", {}, None, 400, "wait"),
    ("GET", "/v1/bookings?wait=-1", {}, None, 400, "wait"),
    ("GET", "/v1/bookings?after=" + "a" * 200, {}, None, 400, "too long"),
    ("GET", "/v1/bookings?token=sbd_1_x", {}, None, 400, "Authorization"),
    ("GET", "/v1/stream?mode=never", {}, None, 400, "mode"),
    ("GET", "/v1/stream", {"Last-Event-ID": "41"}, None, 400, "Last-Event-ID"),
    ("POST", "/v1/bookings", {}, b"x", 405, "method"),
    ("GET", "/v1/acks", {}, None, 405, "method"),
    ("POST", "/v1/acks", {}, None, 411, "Content-Length"),
    ("POST", "/v1/acks", {}, b"{", 400, ""),
    ("POST", "/v1/acks", {}, b'{"type":"ping"}', 400, "ack"),
    ("POST", "/v1/acks", {}, b'{"type":"ack","cursor":"x"}', 400, "cursor"),
    ("POST", "/v1/acks", {}, b" " * 16385, 413, "16384"),
], ids=lambda value: value if isinstance(value, str) and value.startswith("/") else "")  # fmt: skip
def test_what_is_wrong_is_said_as_a_problem_document(shared_daemon, method, path, headers, body, status, words):
    answer = run(http.request(shared_daemon, method, path, headers=headers, body=body))
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    http_validator("problem.json").validate(problem)
    assert problem["status"] == status and problem["type"] == "about:blank" and problem["title"]
    assert words in problem["detail"]
    assert (status == 401) == ("www-authenticate" in answer.headers)


def test_bodies_of_16384_bytes_are_read(house):
    daemon, token = house.daemon(), house.enrol(ADA)
    house.publish(ADA)
    epoch = house.ctl.query("SELECT epoch FROM slotbell.mailbox")[0]
    body = f'{{"type":"ack","cursor":"{epoch}.1"}}'.encode()
    assert run(http.request(daemon, "POST", "/v1/acks", token, body=body + b" " * (16384 - len(body)))).status == 200


def test_a_revoked_device_is_refused_and_its_stream_is_cut(house):
    daemon, token = house.daemon(), house.enrol(ADA)

    async def story():
        async with http.Stream(daemon, token) as stream:
            await stream.until("live")
            house.ctl.run("device", "revoke", house.device_of(token))
            assert await stream.next() is None
        answer = await http.poll(daemon, token)
        assert answer.status == 403 and answer.json()["reason"] == "revoked"

    run(story())


def test_pages_of_an_allowed_origin_may_ask_and_others_not(house):
    daemon, token = house.daemon(listen__origins=f"https://other.example {PAGE}"), house.enrol(ADA)

    async def story():
        asked = await http.request(daemon, "OPTIONS", "/v1/acks", headers={
            "Origin": PAGE, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"})
        assert asked.status == 204
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert "POST" in asked.headers["access-control-allow-methods"]
        for name in ("authorization", "content-type", "last-event-id"):
            assert name in asked.headers["access-control-allow-headers"].lower()
        answer = await http.poll(daemon, token, headers={"Origin": PAGE})
        assert answer.status == 200 and answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "Origin"
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        for origin in ("https://evil.example", PAGE + ".evil.example", "null"):
            refused = await http.poll(daemon, token, headers={"Origin": origin})
            assert refused.status == 403 and "access-control-allow-origin" not in refused.headers

    run(story())


def test_when_full_an_answer_says_when_to_come_back(house):
    daemon, token, other = house.daemon(sessions__max=1), house.enrol(ADA), house.enrol(GRACE)

    async def story():
        async with http.Stream(daemon, token) as stream:
            await stream.until("live")
            full = await http.poll(daemon, other)
            assert full.status == 503 and full.json()["reason"] == "busy"
            assert int(full.headers["retry-after"]) >= 1 and full.json()["retry_after_ms"] >= 500
            assert (await http.request(daemon, "GET", "/v1/reconnect")).json()["state"] == "busy"

    run(story())


def test_a_hundred_vanished_clients_cost_no_cpu_and_are_noticed_within_the_heartbeat(house):
    daemon = house.daemon(sessions__heartbeat_seconds=3, log__level="debug")
    tokens = [house.enrol(f"v{n}@example.com") for n in range(100)]

    async def story():
        streams = []
        for token in tokens[:50]:
            streams.append(await http.Stream(daemon, token).__aenter__())
        for stream in streams:
            await stream.until("live")
        held = [asyncio.ensure_future(http.poll(daemon, token, wait=50)) for token in tokens[50:]]
        await asyncio.to_thread(until_logged, daemon, "session began", 100)
        before = daemon.cpu_seconds()
        for index, stream in enumerate(streams):
            if index % 2:
                stream.writer.close()  # FIN, and TLS' own goodbye before it
            else:
                stream.writer.transport.abort()
        for waiting in held:
            waiting.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        await asyncio.to_thread(until_logged, daemon, "session ended", 50)
        return daemon.cpu_seconds() - before

    # A spinning loop would take all of the six seconds and more.
    assert run(story(), 90) < 2


def test_a_reader_that_does_not_read_holds_a_cursor_and_no_queue(house):
    daemon, token, witness = house.daemon(), house.enrol(ADA), house.enrol(GRACE)

    async def story():
        async with http.Stream(daemon, token) as slow, house.client(daemon, witness) as client:
            await client.welcome()
            await client.until("live")
            slow.writer.transport.pause_reading()
            rss = daemon.rss_bytes()
            with house.connect() as connection:
                for _ in range(1000):
                    house.publish(ADA, details=json.dumps({"description": "x" * 30000}), connection=connection)
            house.publish(GRACE)
            await client.until("booking")
            # Of 30 MB, a window is 1 MB; the rest of it is what AddressSanitizer keeps of freed memory.
            assert daemon.rss_bytes() - rss < 12 * 1024 * 1024
            slow.writer.transport.resume_reading()
            for seq in range(1, 33):
                assert (await slow.until("booking"))[1]["seq"] == seq

    run(story())
