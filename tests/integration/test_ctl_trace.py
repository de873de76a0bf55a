"""slotbellctl trace: one screen that tells where a booking is, for a person and for a script."""

import re

import pytest
from ctl_support import ADA

pytest_plugins = ["fixtures_ctl"]

BOB = "bob@example.com"
COMMITTED = "2026-11-23 09:12:44.125+00"


def device(token):
    return int(token.split("_")[1])


def ack(ctl, token, seq, failed="{}", reasons="{}", sent=None):
    """sent: seconds after COMMITTED."""
    ctl.query(
        "SELECT * FROM slotbell.ack(%s::bigint[], ARRAY(SELECT epoch FROM slotbell.devices WHERE id = %s), %s::bigint[],"
        " ARRAY_FILL(1, ARRAY[cardinality(%s::bigint[])]), %s::bigint[], %s::text[], '{}', %s::bigint[], %s::int[],"
        " ARRAY[(extract(epoch FROM %s::timestamptz + make_interval(secs => %s)) * 1000000)::bigint])",
        [device(token)], device(token), [seq], failed, failed, reasons, [seq], [sent is not None], COMMITTED, sent or 0,
    )  # fmt: skip


def set_times(ctl, done=None):
    """Every event and receipt was committed at one time; a receipt was done so many seconds after."""
    ctl.query("UPDATE slotbell.event SET published_at = %s", COMMITTED)
    ctl.query("UPDATE slotbell.receipt SET published_at = %s", COMMITTED)
    if done is not None:
        ctl.query("UPDATE slotbell.receipt SET done_at = published_at + make_interval(secs => %s) WHERE done_at IS NOT NULL", done)


def on(ctl, token):
    ctl.query("SELECT slotbell.presence('0a0b0c0d', 60, '{7}', %s::bigint[], '{t}')", [device(token)])


@pytest.fixture
def house(ctl):
    """One booking that one device wrote, one refused, one was sent, and two have to come."""
    tokens = {name: ctl.enrol(ADA, "--label", name) for name in ("laptop", "desk", "phone", "tablet", "new")}
    ctl.publish(ADA, "--uid", "42@shop")
    ack(ctl, tokens["laptop"], 1, sent=0.004)
    ack(ctl, tokens["desk"], 1, "{1}", "{conflict}", sent=1.5)
    ctl.query("SELECT slotbell.sent(%s::bigint[], '{1}', '{1795425164625000}')", [device(tokens["phone"])])
    on(ctl, tokens["tablet"])
    ctl.authenticate(tokens["phone"])
    set_times(ctl, 200)
    return tokens


def test_one_screen_tells_where_a_booking_is(ctl, house):
    lines = ctl.run("trace", "42@shop").stdout.splitlines()
    assert lines[0] == ADA
    assert lines[1].split() == ["SEQ", "CHANGE", "COMMITTED", "DEVICE", "STATE", "SENT", "DONE", "NOW"]
    cells = [re.split(r"  +", line.strip()) for line in lines[2:]]
    at = "2026-11-23 09:12:44.125"
    ids = {name: f"{device(token)} {name}" for name, token in house.items()}
    assert [row[:7] for row in cells] == [
        ["1", "created", at, ids["laptop"], "written", "+4 ms", "+3 min 20 s"],
        ["1", "created", at, ids["desk"], "failed: conflict", "+1.500 s", "+3 min 20 s"],
        ["1", "created", at, ids["phone"], "sent", cells[2][5], "-"],
        ["1", "created", at, ids["tablet"], "waiting", "-", "-"],
        ["1", "created", at, ids["new"], "waiting", "-", "-"],
    ]
    assert cells[0][7] == cells[1][7] == "-"
    assert re.fullmatch(r"last seen \d{4}-\d\d-\d\d \d\d:\d\d", cells[2][7])
    assert re.fullmatch(r"on since \d{4}-\d\d-\d\d \d\d:\d\d", cells[3][7])
    assert cells[4][7] == "never seen yet"
    assert max(map(len, lines)) <= 120


def test_json_has_it_all_and_in_full(ctl, house):
    rows = ctl.json("trace", "42@shop")
    assert [(row["device"], row["state"], row["reason"]) for row in rows] == [
        (device(house["laptop"]), "written", None), (device(house["desk"]), "failed", "conflict"), (device(house["phone"]), "sent", None),
        (device(house["tablet"]), "waiting", None), (device(house["new"]), "waiting", None)]  # fmt: skip
    assert rows[0] == {
        "mailbox": ADA, "uid": "42@shop", "seq": 1, "change": "created", "device": device(house["laptop"]), "label": "laptop",
        "device_state": "live", "state": "written", "reason": None, "committed_at": "2026-11-23T09:12:44.125000Z",
        "sent_at": "2026-11-23T09:12:44.129000Z", "done_at": "2026-11-23T09:16:04.125000Z", "sent_after_us": 4000,
        "done_after_us": 200000000, "on": False, "session": None, "last_seen_at": None,
    }  # fmt: skip
    assert (rows[3]["on"], rows[3]["session"]) == (True, "0a0b0c0d-7")
    assert rows[3]["sent_at"] is None and rows[3]["sent_after_us"] is None


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "+0 ms"), (0.999, "+999 ms"), (1, "+1.000 s"), (59.999, "+59.999 s"), (60, "+1 min 0 s"), (3599, "+59 min 59 s"),
     (3600, "+1 h 0 min"), (86399, "+23 h 59 min"), (86400, "+1 d 0 h"), (90 * 86400, "+90 d 0 h"), (-0.005, "-5 ms")],
)  # fmt: skip
def test_a_stretch_of_time_is_told_in_its_two_largest_parts(ctl, seconds, words):
    token = ctl.enrol()
    ctl.publish(ADA, "--uid", "x")
    ack(ctl, token, 1)
    set_times(ctl, seconds)
    assert words in re.split(r"  +", ctl.run("trace", "x").stdout)


def test_every_change_has_its_lines(ctl):
    token = ctl.enrol()
    ctl.publish(ADA, "--uid", "x")
    ctl.publish(ADA, "--uid", "y")
    ctl.publish(ADA, "--uid", "x", "--change", "updated", subject="Later call")
    ctl.run("publish", ADA, "--uid", "x", "--change", "cancelled")
    ack(ctl, token, 3)
    assert [(row["seq"], row["change"], row["state"]) for row in ctl.json("trace", "x")] == [
        (1, "created", "written"), (3, "updated", "written"), (4, "cancelled", "waiting")]  # fmt: skip


def test_it_tells_the_same_when_the_event_is_long_gone(ctl, house):
    ctl.query("SELECT slotbell.revoke(%s)", device(house["new"]))
    for _ in range(2):
        ctl.query("SELECT * FROM slotbell.sweep(0, 0, 100, 100, 0, 1, 3650, 3650)")
    assert ctl.query("SELECT count(*) FROM slotbell.event") == [0]
    rows = ctl.json("trace", "42@shop")
    assert [(row["label"], row["state"], row["reason"]) for row in rows] == [
        ("laptop", "written", None), ("desk", "failed", "conflict"), ("phone", "expired", "expired"), ("tablet", "expired", "expired")]  # fmt: skip
    assert "expired:" not in ctl.run("trace", "42@shop").stdout


def test_a_uid_of_several_mailboxes_has_a_table_for_each_and_can_be_narrowed(ctl):
    for mailbox in (BOB, ADA):
        ctl.enrol(mailbox)
        ctl.publish(mailbox, "--uid", "same")
    lines = ctl.run("trace", "same").stdout.splitlines()
    assert [line for line in lines if "@" in line] == [ADA, BOB] and lines[3] == ""
    assert [row["mailbox"] for row in ctl.json("trace", "--mailbox", "Bob@Example.com", "same")] == [BOB]
    assert "nothing is known of 'same'" in ctl.run("trace", "same", "--mailbox", "eve@example.com", expect=1).stderr


def test_of_a_device_that_is_no_more_it_says_so(ctl, house):
    ctl.query("UPDATE slotbell.device SET expires_at = now() WHERE id = %s", device(house["phone"]))
    words = ctl.run("trace", "42@shop").stdout
    assert "the device is expired" in words
    ctl.query("SELECT slotbell.revoke(%s)", device(house["phone"]))
    assert "the device is revoked" in ctl.run("trace", "42@shop").stdout


def test_what_nobody_knows_is_a_failure_in_words(ctl):
    done = ctl.run("trace", "no\x1bsuch", expect=1)
    assert done.stdout == "" and "nothing is known of 'no\\x1bsuch'" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--mailbox"], ["a", "--since", "x"]])
def test_what_cannot_be_meant_is_a_usage_error(ctl, arguments):
    assert "Try: slotbellctl trace --help" in ctl.run("trace", *arguments, expect=2).stderr


def test_it_needs_no_more_rights_than_an_administrator_has(ctl, house):
    ctl.query("CREATE ROLE trace_admin LOGIN")
    ctl.query("GRANT slotbell_admin TO trace_admin")
    url = ctl.cluster.url(ctl.name, "trace_admin")
    assert ctl.run("--database", url, "trace", "42@shop").stdout == ctl.run("trace", "42@shop").stdout
    ctl.query("DROP ROLE trace_admin")
