"""slotbell-plugin finds its way by itself, through real proxies that refuse the upgrade, hold a stream back, or cut silence.

They end TLS with a certificate of the test's authority, as a company's proxy does, and speak HTTP with the daemon.
"""

import signal

from fronts import HAPROXY, NGINX, assert_a_booking_arrives, wait_for_way, wait_for_way_of_session, way

pytest_plugins = ["fixtures_daemon", "fixtures_fronts"]


def test_a_proxy_that_refuses_the_upgrade_is_passed_by_stream_and_that_is_remembered(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, HAPROXY, silence="60s", websockets="disabled").url)
    with device.run() as running:
        running.wait_for("live")
        assert [line["code"] for line in running.said("closed")] == [1006, 1006]  # the two websockets
        assert_a_booking_arrives(house, running, "one")
        assert running.stop() == 0
    assert way(device) == "stream"
    assert "going on by stream" in running.words
    with device.run() as running:
        running.wait_for("live")
        assert_a_booking_arrives(house, running, "two")
        assert not running.said("closed")
        assert running.stop() == 0


def test_once_gets_through_too(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, HAPROXY, silence="60s", websockets="disabled").url)
    house.publish("ada@example.com", "one")
    with device.run("--once") as running:
        assert running.end() == 0, running.words
        assert running.said("written")[0]["uid"] == "one"


def test_the_websocket_is_taken_again_where_it_gets_through_again(house, plugin, front):
    daemon = house.daemon()
    proxy = front(daemon, HAPROXY, silence="60s", websockets="disabled")
    device = plugin(daemon, proxy.url, "--websocket-again", "1")
    with device.run() as running:
        running.wait_for("live")
        wait_for_way(device, "stream")
        assert_a_booking_arrives(house, running, "one")
        proxy.tell("enable server websockets/allowed")
        wait_for_way(device, "websocket")
        assert_a_booking_arrives(house, running, "two")
        assert any("again" in line["reason"] for line in running.said("closed"))
        assert running.stop() == 0


def test_a_trial_that_fails_leaves_the_session_alone(house, plugin, front):
    daemon = house.daemon(log__level="debug")
    device = plugin(daemon, front(daemon, HAPROXY, silence="60s", websockets="disabled").url, "--websocket-again", "1")
    with device.run() as running:
        running.wait_for("live")
        wait_for_way(device, "stream")
        with house.connect() as connection:
            connection.execute("SELECT pg_sleep(4)")  # three trials
        assert_a_booking_arrives(house, running, "one")
        assert len(running.said("connecting")) == 3
        assert running.stop() == 0


def test_a_proxy_that_holds_the_stream_back_is_passed_by_poll(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, NGINX).url)
    with device.run() as running:
        wait_for_way_of_session(device, running, "poll")
        assert_a_booking_arrives(house, running, "one")
        assert running.stop() == 0
    assert "No welcome within 20 s" in running.words  # of the stream, which was open and mute
    with device.run("--once") as running:
        assert running.end() == 0
        assert not running.said("closed")[:-1]


def test_a_proxy_that_cuts_silence_is_passed_by_short_polls(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, HAPROXY, silence="2s", websockets="").url)
    with device.run() as running:
        wait_for_way_of_session(device, running, "poll")
        assert_a_booking_arrives(house, running, "one")
        tries = len(running.said("connecting"))
        with house.connect() as connection:
            connection.execute("SELECT pg_sleep(7)")  # three times the patience of what stands between
        assert_a_booking_arrives(house, running, "two")
        assert len(running.said("connecting")) == tries, running.words
        assert running.stop() == 0


def test_a_server_that_is_away_is_no_reason_to_go_another_way(house, plugin):
    daemon = house.daemon()
    device = plugin(daemon, daemon.url)
    with device.run() as running:
        running.wait_for("live")
        assert_a_booking_arrives(house, running, "one")
        daemon.kill()
        for _ in range(6):
            running.wait_for("waiting")
            running.process.send_signal(signal.SIGUSR1)
        daemon.start()
        running.wait_for("live")
        assert_a_booking_arrives(house, running, "two")
        assert way(device) == "websocket"
        assert running.stop() == 0
