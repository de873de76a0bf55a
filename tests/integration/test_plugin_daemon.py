"""slotbell-plugin at the real slotbelld and a real PostgreSQL: bookings become appointments, whoever is killed meanwhile."""

import re
import signal

import pytest
from plugin_process import Plugin

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
START = "2027-03-01 {:02}:{:02}+00"


@pytest.fixture
def plugin(house, tmp_path):
    """plugin(daemon, token, name): a device of the house."""
    return lambda daemon, token, name="ada": Plugin(tmp_path / name, daemon.url, daemon.ca, token=token)


def seq_of(cursor):
    return int(cursor.rpartition(".")[2])


def fields(text):
    """Of an appointment {property: value}, without parameters; an attendee or two count as one."""
    return dict(re.findall(r"^([A-Z-]+)(?:;[^:]*)?:(.*)$", text, re.MULTILINE))


def appointments(plugin):
    """{uid: (version, status, start, subject)}; every file of the folder must be a whole one."""
    found = {}
    for name, text in plugin.files().items():
        assert text.endswith("END:VEVENT\nEND:VCALENDAR\n"), name
        event = fields(text)
        assert event["UID"] not in found
        subject = event["SUMMARY"].replace("\\,", ",")
        found[event["UID"]] = (int(event["X-SLOTBELL-VERSION"]), event["STATUS"], event["DTSTART"], subject)
    assert sorted(path.name for path in plugin.calendar.iterdir()) == sorted(plugin.files())
    return found


def wait_for_ack(running, seq):
    while seq_of(running.wait_for("acked")["cursor"]) < seq:
        pass


class Bookings:
    """What is booked, and what must come of it."""

    def __init__(self, house):
        self.house = house
        self.seq = 0
        self.kept = {}
        self.connection = house.connect()

    def put(self, uid, change, hour=9, minute=0, subject=""):
        self.house.publish(ADA, uid, self.connection, change=change, starts_at=START.format(hour, minute), subject=subject)
        self.seq += 1
        self.kept[uid] = ("CONFIRMED", f"20270301T{hour:02}{minute:02}00Z", subject)

    def cancel(self, uid):
        """With nothing but its uid: the appointment keeps what it was."""
        self.connection.execute("SELECT slotbell.publish(mailbox => %s, uid => %s, change => 'cancelled')", [ADA, uid])
        self.seq += 1
        self.kept[uid] = ("CANCELLED", *self.kept[uid][1:])

    def expected(self):
        """As appointments() has it: each with the newest version that the database gave it."""
        versions = dict(self.house.ctl.query("SELECT uid, version FROM slotbell.booking_state"))
        return {uid: (versions[uid], *rest) for uid, rest in self.kept.items()}


def test_200_bookings_arrive_once_while_daemon_and_plug_in_are_killed(house, plugin):
    daemon = house.daemon()
    device = plugin(daemon, house.enrol(ADA))
    bookings = Bookings(house)
    runs = [device.run()]
    try:
        for n in range(200):
            bookings.put(f"uid-{n}", "created", 9 + n % 8, n % 60, f"Call {n}")
            if n % 7 == 3:
                bookings.put(f"uid-{n - 2}", "updated", 18, n % 60, f"Call {n - 2}, later")
            if n % 11 == 5:
                bookings.cancel(f"uid-{n - 3}")
            if n in (30, 60, 110, 150, 170):
                runs[-1].wait_for("written")  # so it is in the middle of it
            if n in (30, 110, 170):  # whoever is killed is away for ten bookings
                runs[-1].kill()
            if n in (40, 120, 180):
                runs.append(device.run())
            if n in (60, 115, 150):  # at 115 both are away
                daemon.kill()
            if n in (70, 125, 160):
                daemon.start()
        bookings.put("last", "created", subject="The last one")
        wait_for_ack(runs[-1], bookings.seq)
        assert runs[-1].stop() == 0
    finally:
        for run in runs:
            run.__exit__()
    assert appointments(device) == bookings.expected()
    assert seq_of(device.saved()["cursor"]) == bookings.seq and not device.saved()["failed"]
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [bookings.seq]
    written = [line["seq"] for run in runs for line in run.lines if line["what"] == "written" and not line["repeat"]]
    assert len(written) == len(set(written))


def test_once_leaves_when_the_database_has_every_ack(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    bookings = Bookings(house)
    for n in range(40):  # more than the window holds
        bookings.put(f"uid-{n}", "created", subject=f"Call {n}")
    device = plugin(daemon, token)
    with device.run("--once") as running:
        assert running.end() == 0
        assert running.said("closed")[0]["code"] == 1000
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [40]
    assert appointments(device) == bookings.expected()


@pytest.mark.parametrize("option", [[], ["--token-in-hello"]])
def test_a_revoked_device_is_told_and_ends(house, plugin, option):
    daemon, token = house.daemon(), house.enrol(ADA)
    with plugin(daemon, token).run(*option) as running:
        running.wait_for("live")
        house.ctl.run("device", "revoke", house.device_of(token))
        assert running.end() == 1
    assert "This device was revoked" in running.words
    with plugin(daemon, token).run(*option) as running:
        assert running.end() == 1
        assert running.said("closed")[0]["code"] == 4403


def test_a_token_that_was_rotated_away_is_not_taken(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    house.ctl.run("device", "rotate", house.device_of(token))
    with plugin(daemon, token).run() as running:
        assert running.end() == 1
        assert running.said("closed")[0]["code"] == 4401
    assert "The server does not take this token" in running.words


def test_of_two_with_one_token_the_newer_rings_until_the_user_says_otherwise(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    with plugin(daemon, token, "home").run() as home:
        home.wait_for("live")
        with plugin(daemon, token, "office").run() as office:
            office.wait_for("live")
            assert home.wait_for("waiting")["for"] == "user"
            house.publish(ADA, "one")
            assert office.wait_for("written")["uid"] == "one"
            wait_for_ack(office, 1)
            home.process.send_signal(signal.SIGUSR1)
            assert office.wait_for("waiting")["for"] == "user"
            house.publish(ADA, "two")
            assert home.wait_for("written")["uid"] == "two"
            wait_for_ack(home, 2)
            assert home.stop() == 0 and office.stop() == 0
    assert home.said("closed")[0]["code"] == 4409


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
    assert sorted(appointments(device)) == ["after", "before", "meanwhile"]


def test_a_new_epoch_within_a_session_is_followed_too(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    with device.run() as running:
        house.publish(ADA, "before")
        wait_for_ack(running, 1)
        house.ctl.run("db", "new-epoch")
        house.publish(ADA, "after")
        after = running.wait_for("written")
        while after["uid"] != "after":
            after = running.wait_for("written")
        wait_for_ack(running, after["seq"])
        assert running.stop() == 0
        assert 4400 not in [line["code"] for line in running.said("closed")]
    assert sorted(appointments(device)) == ["after", "before"]


def test_a_daemon_that_ends_says_when_to_come_back(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    with device.run() as running:
        running.wait_for("live")
        assert daemon.stop() == 0
        goodbye = running.wait_for("goodbye")
        assert goodbye["reason"] == "draining"
        assert running.wait_for("closed")["code"] == 1012
        assert running.wait_for("waiting")["ms"] == goodbye["reconnect_after_ms"]
        house.publish(ADA, "while-it-was-away")
        daemon.start()
        assert running.wait_for("written")["uid"] == "while-it-was-away"
        wait_for_ack(running, 1)
        assert running.stop() == 0


def test_what_could_not_be_written_is_in_the_database_as_a_failure(house, plugin):
    daemon, token = house.daemon(), house.enrol(ADA)
    device = plugin(daemon, token)
    (device.calendar / "one.ics").mkdir(parents=True)
    house.publish(ADA, "one")
    house.publish(ADA, "two")
    with device.run("--once") as running:
        assert running.end() == 0
    assert house.ctl.query("SELECT seq, uid, reason FROM slotbell.receipt WHERE reason IS NOT NULL") == [(1, "one", "conflict")]
    assert house.ctl.query("SELECT acked FROM slotbell.device") == [2]
