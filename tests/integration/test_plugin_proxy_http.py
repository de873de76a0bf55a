"""slotbell-plugin through an HTTP proxy by CONNECT, over server-sent events, over long poll, and finding its way by itself.

Beside what test_plugin_proxy.py shows of the websocket. Behind the proxy there is slotbelld, or what a company has
in front of it: a haproxy that refuses the upgrade, an nginx that holds streams back.
"""

import pytest
from fake_http import FakeHttp
from fake_server import Proxy
from fronts import ADA, HAPROXY, NGINX, assert_a_booking_arrives, wait_for_way, wait_for_way_of_session, way

pytest_plugins = ["fixtures_daemon", "fixtures_fronts", "fixtures_plugin"]

WAYS = pytest.mark.parametrize("transport", ["stream", "poll", "auto"])
HTTP = pytest.mark.parametrize("transport", ["stream", "poll"])


def through(proxy, login=""):
    return "--proxy", f"http://{login}127.0.0.1:{proxy.port}"


@WAYS
@pytest.mark.parametrize("login,given", [(None, ""), ("ada:p@ss:w%rd", "ada:p%40ss%3Aw%25rd@")], ids=["open", "login"])
def test_bookings_come_through_the_proxy_and_nothing_goes_around_it(house, plugin, transport, login, given):
    daemon = house.daemon()
    with Proxy(login) as proxy:
        device = plugin(daemon, daemon.url, "--transport", transport, *through(proxy, given))
        with device.run() as running:
            running.wait_for("live")
            assert_a_booking_arrives(house, running, "one")
            assert running.stop() == 0, running.words
        with device.run("--once") as running:
            assert running.end() == 0, running.words
        assert proxy.asked and set(proxy.asked) == {f"127.0.0.1:{daemon.port}"}
    with device.run() as running:
        assert running.wait_for("closed")["code"] == 1006  # with the proxy gone there is no other way
        assert running.stop() == 0
    assert "p@ss" not in running.words and "p%40ss" not in running.words


@WAYS
def test_a_proxy_that_wants_another_login_is_named(start, context, transport):
    with FakeHttp(context) as server, Proxy("ada:secret") as proxy:
        with start(server, "--transport", transport, *through(proxy, "ada:wrong@")).run() as running:
            closed = running.wait_for("closed")
            assert closed["code"] == 1006 and ("407" in closed["reason"] or "proxy" in closed["reason"].lower()), closed
            running.wait_for("waiting")
            assert running.stop() == 0
        assert proxy.asked and not server.requests
    assert "secret" not in running.words and "wrong" not in running.words


@HTTP
def test_the_server_s_name_is_checked_through_a_proxy_too(start, fake_ca, transport):
    context = fake_ca.server("behind-proxy-http", san="DNS:other.example.com,IP:127.0.0.1")
    with FakeHttp(context) as server, Proxy() as proxy:
        with start(server, "--transport", transport, *through(proxy)).run() as running:
            assert running.wait_for("closed")["code"] == 1006
            running.wait_for("waiting")
            assert running.stop() == 0
        assert proxy.asked and not server.requests
    assert "certificate" in running.words or "name" in running.words


@HTTP
def test_what_stands_before_the_server_is_heard_through_a_proxy(start, context, transport):
    async def away(request):
        request.problem(503, "busy", Retry_After=7)

    with FakeHttp(context, stream=away, reconnect=away) as server, Proxy() as proxy:
        with start(server, "--transport", transport, *through(proxy)).run() as running:
            assert "HTTP 503" in running.wait_for("closed")["reason"]
            assert running.wait_for("waiting")["ms"] == 7000
            assert running.stop() == 0


@HTTP
@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_only_the_option_chooses_a_proxy(house, plugin, transport, name):
    daemon = house.daemon()
    with Proxy() as proxy:
        with plugin(daemon, daemon.url, "--transport", transport, "--once").run(**{name: f"http://127.0.0.1:{proxy.port}"}) as running:
            assert running.end() == 0, running.words
        assert proxy.asked == []


# ---- it finds its way ----


def test_where_the_upgrade_is_refused_it_goes_by_stream(house, plugin, front):
    daemon = house.daemon()
    inspecting = front(daemon, HAPROXY, silence="60s", websockets="disabled")
    with Proxy() as proxy:
        device = plugin(daemon, inspecting.url, *through(proxy))
        with device.run() as running:
            running.wait_for("live")
            assert [line["code"] for line in running.said("closed")] == [1006, 1006]  # the two websockets
            wait_for_way(device, "stream")
            assert_a_booking_arrives(house, running, "one")
            assert running.stop() == 0
        assert set(proxy.asked) == {f"127.0.0.1:{inspecting.port}"}


def test_where_streams_are_held_back_it_goes_by_poll(house, plugin, front):
    daemon = house.daemon()
    inspecting = front(daemon, NGINX)
    with Proxy() as proxy:
        device = plugin(daemon, inspecting.url, *through(proxy))
        with device.run() as running:
            wait_for_way_of_session(device, running, "poll")
            assert_a_booking_arrives(house, running, "one")
            assert running.stop() == 0
        assert set(proxy.asked) == {f"127.0.0.1:{inspecting.port}"}


def test_where_silence_is_cut_it_goes_by_short_polls(house, plugin):
    daemon = house.daemon()
    with Proxy(silence=2) as proxy:
        device = plugin(daemon, daemon.url, *through(proxy))
        with device.run() as running:
            wait_for_way_of_session(device, running, "poll")
            assert_a_booking_arrives(house, running, "one")
            tries = len(running.said("connecting"))
            cuts = proxy.cuts
            with house.connect() as connection:
                connection.execute("SELECT pg_sleep(7)")  # three times its patience
            assert_a_booking_arrives(house, running, "two")
            assert len(running.said("connecting")) == tries, running.words
            # The first long poll, at most, and that by a new connection once more: the others are shorter.
            assert proxy.cuts <= cuts + 2
            assert running.stop() == 0


def test_a_heartbeat_shorter_than_the_silence_keeps_the_websocket(house, plugin):
    daemon = house.daemon(sessions__heartbeat_seconds=1)
    with Proxy(silence=3) as proxy:
        device = plugin(daemon, daemon.url, *through(proxy))
        with device.run() as running:
            running.wait_for("live")
            with house.connect() as connection:
                connection.execute("SELECT pg_sleep(7)")
            house.publish(ADA, "one")
            assert running.wait_for("written")["uid"] == "one"
            assert len(running.said("connecting")) == 1, running.words
            assert running.stop() == 0
        assert proxy.cuts == 0 and way(device) == "websocket"
