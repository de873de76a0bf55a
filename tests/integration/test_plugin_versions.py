"""Numbers across histories: one folder of appointments, and seqs that begin anew behind it.

What the plug-in has of a booking is of one mailbox and one database; what comes then is of another, with
a lower seq. It is the newer state all the same, and must be written, not skipped.
"""

import re

import psycopg
import pytest
from fixtures_daemon import opened
from plugin_process import Plugin

pytest_plugins = ["fixtures_daemon"]

ADA, BOB = "ada@example.com", "bob@example.com"
CANCEL = "SELECT slotbell.publish(mailbox => %s, uid => %s, change => 'cancelled')"


def fields(plugin):
    """Of the one appointment {property: value}."""
    (text,) = plugin.files().values()
    return dict(re.findall(r"^([A-Z-]+)(?:;[^:]*)?:(.*)$", text, re.MULTILINE))


def run_once(plugin, daemon, token):
    """A session of this token over the plug-in's folder, until all is acked. Returns what it said of bookings."""
    (plugin.folder / "token").write_text(token + "\n")
    plugin.url, plugin.ca = daemon.url, daemon.ca
    with plugin.run("--once") as running:
        assert running.end() == 0, running.words
        return running.said("written")


@pytest.fixture
def folder(house, tmp_path):
    """Of a plug-in that has "u" at seq 3 of ADA's mailbox."""
    daemon, token = house.daemon(), house.enrol(ADA)
    for change, subject in (("created", "First"), ("updated", "Second"), ("updated", "Third")):
        house.publish(ADA, "u", change=change, subject=subject)
    plugin = Plugin(tmp_path / "plugin", daemon.url, daemon.ca, token=token)
    assert [line["seq"] for line in run_once(plugin, daemon, token)] == [1, 2, 3]
    assert fields(plugin)["SUMMARY"] == "Third"
    plugin.daemon = daemon
    return plugin


def as_admin(house, sql):
    with psycopg.connect(house.ctl.url, autocommit=True) as admin:
        admin.execute(sql)


def assert_newer(folder, before, written, subject, status="CONFIRMED"):
    (line,) = written
    assert line["seq"] < 3 and not line["repeat"], "it was skipped"
    after = fields(folder)
    assert (after["SUMMARY"], after["STATUS"]) == (subject, status)
    assert int(after["X-SLOTBELL-VERSION"]) > int(before["X-SLOTBELL-VERSION"])
    assert 2**31 > int(after["SEQUENCE"]) > int(before["SEQUENCE"])


@pytest.mark.parametrize("together", [True, False])
def test_a_token_for_another_mailbox_over_the_same_folder(house, folder, together):
    before, bobs = fields(folder), house.enrol(BOB)
    with house.connect() as connection:
        connection.autocommit = not together
        connection.execute(CANCEL, (ADA, "u"))
        house.publish(BOB, "u", connection, subject="Bob's")
        connection.commit()
    assert_newer(folder, before, run_once(folder, folder.daemon, bobs), "Bob's")


def test_the_cancel_of_the_mailbox_that_it_left_comes_last_and_changes_nothing(house, folder):
    """Two mailboxes, two plug-ins, one folder: whichever comes first."""
    before, bobs = fields(folder), house.enrol(BOB)
    adas = (folder.folder / "token").read_text().strip()
    with house.connect() as connection:
        connection.autocommit = False
        house.publish(BOB, "u", connection, subject="Bob's")
        connection.execute(CANCEL, (ADA, "u"))
        connection.commit()
    assert_newer(folder, before, run_once(folder, folder.daemon, bobs), "Bob's")
    (line,) = run_once(folder, folder.daemon, adas)
    assert line["seq"] == 4 and line["repeat"]
    assert (fields(folder)["SUMMARY"], fields(folder)["STATUS"]) == ("Bob's", "CONFIRMED")


def test_a_mailbox_that_was_swept_and_is_enrolled_again(house, folder):
    before = fields(folder)
    as_admin(house, "DELETE FROM slotbell.device; DELETE FROM slotbell.event; DELETE FROM slotbell.booking_state; DELETE FROM slotbell.mailbox")
    token = house.enrol(ADA)
    house.publish(ADA, "u", subject="Anew")
    assert_newer(folder, before, run_once(folder, folder.daemon, token), "Anew")


def test_a_database_made_anew(folder, daemon_cluster, daemon_template, certificates, tmp_path):
    before = fields(folder)
    daemon_cluster.create_database("made_anew", daemon_template)
    with opened(daemon_cluster, "made_anew", certificates, tmp_path / "anew") as anew:
        daemon, token = anew.daemon(), anew.enrol(ADA)
        anew.publish(ADA, "u", subject="Anew")
        assert_newer(folder, before, run_once(folder, daemon, token), "Anew")


def test_a_file_of_the_release_before_is_read_right(house, folder):
    """It has seq for version, in both places."""
    (name,) = folder.files()
    path = folder.calendar / name
    text = re.sub(rb"(?m)^(SEQUENCE|X-SLOTBELL-VERSION):\d+", rb"\1:42", path.read_bytes())
    path.write_bytes(text)
    house.publish(ADA, "u", change="updated", subject="Fourth")
    (line,) = run_once(folder, folder.daemon, (folder.folder / "token").read_text().strip())
    assert not line["repeat"]
    after = fields(folder)
    assert after["SUMMARY"] == "Fourth" and int(after["SEQUENCE"]) > 42 and int(after["X-SLOTBELL-VERSION"]) == line["version"]
