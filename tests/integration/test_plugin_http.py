"""slotbell-plugin over plain HTTP at the real slotbelld: server-sent events and long poll give what the websocket gives."""

import json
import signal

import pytest
from fake_server import Proxy
from plugin_process import PROGRAM, Plugin

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
WAYS = ["stream", "poll"]


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def plugin(way, tmp_path):
    """plugin(daemon, token, name): a device of the house."""
    return lambda daemon, token, name="ada": Plugin(tmp_path / name, daemon.url, daemon.ca, "--transport", way, token=token)


def wait_for_ack(running, seq):
    while int(running.wait_for("acked")["cursor"].rpartition(".")[2]) < seq:
        pass


def acked(house):
    return house.ctl.query("SELECT acked FROM slotbell.device")


def test_bookings_arrive_as_they_are_made_and_are_acked(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    house.publish(ADA, "missed")
    with device.run() as running:
        assert running.wait_for("written")["uid"] == "missed"
        running.wait_for("live")
        for n in range(1, 4):
            house.publish(ADA, f"uid-{n}")
            assert running.wait_for("written")["uid"] == f"uid-{n}"
        wait_for_ack(running, 4)
        assert running.stop() == 0
        assert [line["what"] for line in running.lines][:2] == ["connecting", "welcome"]
        assert len(running.said("connecting")) == 1, running.words
    assert acked(house) == [4]
    assert len(device.files()) == 4


def test_once_leaves_when_the_database_has_every_ack(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    for n in range(70):  # more than the window holds, twice
        house.publish(ADA, f"uid-{n}")
    device = plugin(daemon, token)
    with device.run("--once") as running:
        assert running.end() == 0, running.words
        assert running.said("closed")[0]["code"] == 1000
        assert [line["seq"] for line in running.said("written")] == list(range(1, 71))
    assert acked(house) == [70]
    with device.run("--once") as running:
        assert running.end() == 0
        assert not running.said("written")


def test_what_could_not_be_written_is_in_the_database_as_a_failure(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    (device.calendar / "one.ics").mkdir(parents=True)
    house.publish(ADA, "one")
    house.publish(ADA, "two")
    with device.run("--once") as running:
        assert running.end() == 0
    assert house.ctl.query("SELECT seq, uid, reason FROM slotbell.receipt WHERE reason IS NOT NULL") == [(1, "one", "conflict")]
    assert acked(house) == [2]
    assert device.saved()["failed"] == []


def test_the_saved_cursor_goes_with_the_next_start(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    house.publish(ADA, "one")
    with device.run() as running:
        running.wait_for("written")
        running.kill()
    house.publish(ADA, "two")
    with device.run("--once") as running:
        assert running.end() == 0
    assert sorted(device.files()) == ["one.ics", "two.ics"]
    assert acked(house) == [2]


def test_a_cursor_of_another_history_is_reset(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    house.publish(ADA, "one")
    with device.run("--once") as running:
        assert running.end() == 0
    saved = device.saved()
    saved["cursor"] = "zzzzzz.7"
    device.state.write_text(json.dumps(saved))
    house.publish(ADA, "two")
    with device.run("--once") as running:
        assert running.end() == 0, running.words
        assert running.said("reset")[0]["reason"] in ("epoch", "unknown-cursor")
        assert [line["uid"] for line in running.said("written")][-1] == "two"
    assert acked(house) == [2]


def test_a_new_epoch_is_followed_and_its_jump_is_no_gap(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    with device.run() as running:
        house.publish(ADA, "before")
        wait_for_ack(running, 1)
        assert running.stop() == 0
    house.publish(ADA, "meanwhile")
    house.ctl.run("db", "new-epoch")
    house.publish(ADA, "after")
    with device.run() as running:
        assert running.wait_for("written")["uid"] == "meanwhile"
        after = running.wait_for("written")
        assert after["uid"] == "after" and after["seq"] > 1000000
        wait_for_ack(running, after["seq"])
        assert running.stop() == 0
        assert not running.said("reset")


def test_a_daemon_that_ends_says_when_to_come_back(house, plugin, way):
    daemon, token = house.daemon(), house.enrol(ADA)
    with plugin(daemon, token).run() as running:
        running.wait_for("live")
        assert daemon.stop() == 0
        if way == "stream":
            goodbye = running.wait_for("goodbye")
            assert running.wait_for("closed")["code"] == 1012
            assert running.wait_for("waiting")["ms"] == goodbye["reconnect_after_ms"]
        else:
            running.wait_for("waiting")
        house.publish(ADA, "while-it-was-away")
        daemon.start()
        assert running.wait_for("written")["uid"] == "while-it-was-away"
        wait_for_ack(running, 1)
        assert running.stop() == 0


def test_a_daemon_that_is_killed_is_found_again(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    with plugin(daemon, token).run() as running:
        running.wait_for("live")
        daemon.kill()
        assert running.wait_for("closed")["code"] == 1006
        house.publish(ADA, "while-it-was-away")
        daemon.start()
        assert running.wait_for("written")["uid"] == "while-it-was-away"
        wait_for_ack(running, 1)
        assert running.stop() == 0


def test_a_revoked_device_is_told_and_ends(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    with plugin(daemon, token).run() as running:
        running.wait_for("live")
        house.ctl.run("device", "revoke", house.device_of(token))
        assert running.end() == 1
        assert running.said("closed")[-1]["code"] == 4403
    assert "This device was revoked" in running.words
    with plugin(daemon, token).run() as running:
        assert running.end() == 1
        assert running.said("closed")[0]["code"] == 4403


def test_a_token_that_was_rotated_away_is_not_taken(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    house.ctl.run("device", "rotate", house.device_of(token))
    with plugin(daemon, token).run() as running:
        assert running.end() == 1
        assert running.said("closed")[0]["code"] == 4401
    assert "The server does not take this token" in running.words


@pytest.mark.parametrize("way", ["stream"])
def test_a_stream_that_another_session_took_over_waits_for_its_user(house, plugin, way):
    daemon, token = house.daemon(), house.enrol(ADA)
    with plugin(daemon, token, "home").run() as home:
        home.wait_for("live")
        with plugin(daemon, token, "office").run() as office:
            office.wait_for("live")
            assert home.wait_for("waiting")["for"] == "user"
            home.process.send_signal(signal.SIGUSR1)
            assert office.wait_for("waiting")["for"] == "user"
            home.wait_for("live")
            assert home.stop() == 0 and office.stop() == 0
    assert home.said("closed")[0]["code"] == 4409


@pytest.mark.parametrize("other", ["--ca", "name"])
def test_the_server_s_certificate_is_checked(house, plugin, other):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    if other == "--ca":
        device.ca = None  # the system's know nothing of it
    else:
        device.url = device.url.replace("localhost", "127.0.0.2").replace("127.0.0.1", "127.0.0.2")
    with device.run() as running:
        closed = running.wait_for("closed")
        assert closed["code"] == 1006 and running.wait_for("waiting")
        assert running.stop() == 0
    assert not running.said("welcome")


def test_a_quiet_session_stays_up(house, plugin, way):
    daemon, token = house.daemon(sessions__heartbeat_seconds=1), house.enrol(ADA)
    with plugin(daemon, token).run() as running:
        running.wait_for("live")
        with house.connect() as connection:
            connection.execute("SELECT pg_sleep(4)")  # more than twice the heartbeat
        house.publish(ADA, "after-silence")
        assert running.wait_for("written")["uid"] == "after-silence"
        assert len(running.said("connecting")) == 1, running.words
        assert running.stop() == 0


@pytest.mark.parametrize("way", ["stream"])
def test_a_stream_that_goes_mute_is_given_up_after_two_heartbeats(house, plugin, way):
    daemon, token = house.daemon(sessions__heartbeat_seconds=1), house.enrol(ADA)
    with plugin(daemon, token).run() as running:
        running.wait_for("live")
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            closed = running.wait_for("closed")
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        assert closed["code"] == 1006 and closed["reason"] == "the stream was silent for 2 s"
        running.wait_for("live")
        assert running.stop() == 0


# ---- connections ----


def through(proxy, daemon, token, way, folder):
    return Plugin(folder / "ada", daemon.url, daemon.ca, "--transport", way, "--proxy", f"http://127.0.0.1:{proxy.port}", token=token)


def books(house, running, uid):
    """One booking, until its ack is saved."""
    house.publish(ADA, uid)
    assert running.wait_for("written")["uid"] == uid
    running.wait_for("acked")


def test_requests_of_one_session_share_a_connection(house, way, tmp_path):
    daemon, token = house.daemon(), house.enrol(ADA)
    with Proxy() as proxy, through(proxy, daemon, token, way, tmp_path).run() as running:
        running.wait_for("live")
        for n in range(10):
            books(house, running, f"uid-{n}")
        assert running.stop() == 0
        # A stream has its own; acks go by another, as polls do.
        assert len(proxy.asked) == {"stream": 2, "poll": 1}[way]


def test_a_new_session_leaves_the_connections_of_the_last(house, way, tmp_path):
    """After a sleep they are dead and do not know it."""
    daemon, token = house.daemon(listen__keep_alive_seconds=300), house.enrol(ADA)
    with Proxy() as proxy:
        device = through(proxy, daemon, token, way, tmp_path)
        device.program = PROGRAM.parent / "tests/plugin_clock"
        with device.run() as running:
            running.wait_for("live")
            books(house, running, "one")
            before = len(proxy.asked)
            running.process.send_signal(signal.SIGUSR2)  # the clock jumps
            running.wait_for("closed")
            running.wait_for("live")
            books(house, running, "two")
            assert running.stop() == 0
            assert len(proxy.asked) - before == before
