"""slotbellctl device: who may come in, with which token, until when."""

import datetime
import re
import subprocess

import pytest
from ctl_support import ADA

pytest_plugins = ["fixtures_ctl"]

TOKEN = r"sbd_([1-9][0-9]*)_[A-Za-z0-9_-]{43}"


def number(token):
    return int(token.split("_")[1])


def device(ctl, token):
    """The device of this token as `device list` has it."""
    (row,) = [row for row in ctl.json("device", "list") if row["device"] == number(token)]
    return row


def devices(ctl):
    return ctl.query("SELECT count(*) FROM slotbell.devices")[0]


def instant(text):
    assert text.endswith("Z")
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_enrol_prints_the_token_alone_and_it_lets_the_device_in(ctl):
    done = ctl.run("device", "enrol", "Ada@Example.com")
    token = done.stdout.removesuffix("\n")
    assert re.fullmatch(TOKEN, token)
    assert token not in done.stderr
    assert ctl.authenticate(token) == "ok"
    assert device(ctl, token)["mailbox"] == ADA


def test_a_wrong_secret_does_not(ctl):
    token, other = ctl.enrol(), ctl.enrol()
    assert ctl.authenticate(f"sbd_{number(token)}_{other.split('_', 2)[2]}") == "unknown"


def test_the_database_keeps_nothing_that_a_plug_in_could_send(ctl):
    token = ctl.enrol()
    (row,) = ctl.query("SELECT to_jsonb(d)::text FROM slotbell.device d")
    assert token.split("_", 2)[2] not in row


def test_enrol_as_json(ctl):
    (answer,) = ctl.json("device", "enrol", "Ada@Example.com", "--expires", "2099-01-31T01:00:00+01:00")
    assert re.fullmatch(TOKEN, answer["token"])
    assert answer == {
        "device": number(answer["token"]), "mailbox": ADA, "token": answer["token"],
        "expires_at": "2099-01-31T00:00:00Z",
    }  # fmt: skip
    assert ctl.json("device", "enrol", ADA)[0]["expires_at"] is None


@pytest.mark.parametrize("text, ahead", [("90d", {"days": 90}), ("12h", {"hours": 12}), ("0001d", {"days": 1})])
def test_a_token_may_be_good_for_a_number_of_days_or_hours(ctl, text, ahead):
    before = datetime.datetime.now(datetime.timezone.utc)
    ends = instant(device(ctl, ctl.enrol(ADA, "--expires", text))["expires_at"])
    after = datetime.datetime.now(datetime.timezone.utc)
    second = datetime.timedelta(seconds=1)
    assert before - second <= ends - datetime.timedelta(**ahead) <= after


@pytest.mark.parametrize("text", ["", "soon", "90", "0d", "-1d", "90 d", "1.5d", "9999999d", "d", "90m", "infinity",
                                  "2099-01-31", "2099-01-31T00:00:00", "2099-01-31T00:00:00+1"])  # fmt: skip
def test_any_other_expiry_is_a_usage_error(ctl, text):
    assert "--expires" in ctl.run("device", "enrol", ADA, "--expires", text, expect=2).stderr
    assert devices(ctl) == 0


@pytest.mark.parametrize("text", ["2020-01-31T00:00:00Z", "2099-02-30T00:00:00Z"])
def test_an_expiry_in_the_past_or_on_no_day_is_refused(ctl, text):
    assert ctl.run("device", "enrol", ADA, "--expires", text, expect=1).stdout == ""
    assert devices(ctl) == 0


def test_a_token_that_cannot_be_written_is_said_to_be_lost(ctl):
    with open("/dev/full", "w", encoding="ascii") as full:
        words = ctl.run("device", "enrol", ADA, stdout=full, stderr=subprocess.PIPE, expect=1).stderr
    (id,) = ctl.query("SELECT id FROM slotbell.devices")
    assert f"slotbellctl device rotate {id}`" in words


def test_what_the_database_refuses_is_told_in_its_words(ctl):
    done = ctl.run("device", "enrol", "nobody", expect=1)
    assert done.stdout == ""
    assert re.search(r"^slotbellctl: .+\n  detail: .+\n  hint: .+", done.stderr)


def test_list_tells_state_and_lag(ctl):
    live, expired, revoked = (ctl.enrol(ADA, "--label", word) for word in ("live", "expired", "revoked"))
    ctl.query("UPDATE slotbell.device SET expires_at = now() - interval '1 s' WHERE id = %s", number(expired))
    ctl.run("device", "revoke", number(revoked))
    ctl.publish()
    rows = {row["label"]: row for row in ctl.json("device", "list")}
    assert {label: row["state"] for label, row in rows.items()} == {word: word for word in rows}
    row = rows["live"]
    assert (row["acked"], row["head"], row["lag"]) == (0, 1, 1)
    assert set(row) == {"device", "mailbox", "label", "state", "acked", "head", "lag", "epoch", "created_at",
                        "last_seen_at", "expires_at", "revoked_at"}  # fmt: skip
    assert row["device"] == number(live) and row["last_seen_at"] is None and row["expires_at"] is None
    assert rows["revoked"]["revoked_at"] and instant(row["created_at"])


def test_list_is_a_table_whose_columns_stand_under_each_other(ctl):
    ctl.enrol("a@b.example", "--label", "x")
    ctl.enrol("someone.with.a.long.name@example.com", "--label", "会議室")
    title, *rows = ctl.run("device", "list").stdout.splitlines()
    assert title.split() == ["ID", "MAILBOX", "LABEL", "STATE", "LAG", "LAST", "SEEN", "EXPIRES"]
    assert len(rows) == 2
    state = title.index("STATE")
    assert rows[0][state:].startswith("live ")
    assert rows[1][state - 3 :].startswith("live "), "each of the three characters is two columns wide"
    assert [line for line in (title, *rows) if line != line.rstrip()] == []


def test_an_empty_list_is_said_to_be_empty(ctl):
    done = ctl.run("device", "list")
    assert done.stdout == "" and "no device" in done.stderr
    assert ctl.run("device", "list", "--json").stdout == ""


@pytest.mark.parametrize("text, shown", [
    ("a\x1b[2Jb", r"a\x1b[2Jb"), ("a\nb\tc", r"a\nb\tc"), ("\x7f\x9b", r"\x7f\u009b"), ("a\u202eb", r"a\u202eb"),
    ("Zoë 😀", "Zoë 😀"),
])  # fmt: skip
def test_control_characters_of_a_label_do_not_reach_the_terminal(ctl, text, shown):
    token = ctl.enrol()
    ctl.query("UPDATE slotbell.device SET label = %s", text)
    line = ctl.run("device", "list").stdout.splitlines()[1]
    assert f"  {shown}  " in line
    assert device(ctl, token)["label"] == text


def test_rotate_voids_the_old_token_and_keeps_the_place(ctl):
    old = ctl.enrol()
    for i in range(3):
        ctl.publish(subject=f"call {i}")
    ctl.query("UPDATE slotbell.device SET acked = 2")
    done = ctl.run("device", "rotate", number(old))
    new = done.stdout.removesuffix("\n")
    assert re.fullmatch(TOKEN, new) and new not in done.stderr
    assert number(new) == number(old) and new != old
    assert ctl.authenticate(old) == "unknown"
    assert ctl.authenticate(new) == "ok"
    assert (device(ctl, new)["acked"], device(ctl, new)["lag"]) == (2, 1)


def test_rotate_keeps_the_expiry_unless_told_otherwise(ctl):
    ends = "2099-01-31T00:00:00Z"
    id = number(ctl.enrol(ADA, "--expires", ends))
    assert ctl.json("device", "rotate", id)[0] == {
        "device": id, "mailbox": ADA, "token": AnyToken(id), "expires_at": ends
    }  # fmt: skip
    assert ctl.json("device", "rotate", id, "--expires", "2098-01-01T00:00Z")[0]["expires_at"] == "2098-01-01T00:00:00Z"
    assert ctl.json("device", "rotate", id, "--expires", "never")[0]["expires_at"] is None
    assert ctl.json("device", "list")[0]["expires_at"] is None


class AnyToken:
    """Equal to every token of a device."""

    def __init__(self, id):
        self.id = id

    def __eq__(self, other):
        return bool(re.fullmatch(TOKEN, other)) and number(other) == self.id


def test_an_expired_token_is_not_replaced_by_another_expired_one(ctl):
    id = number(ctl.enrol())
    ctl.query("UPDATE slotbell.device SET expires_at = now() - interval '1 day'")
    done = ctl.run("device", "rotate", id, expect=1)
    assert "--expires" in done.stderr and done.stdout == ""


def test_revoke_shuts_the_device_out_once(ctl):
    token = ctl.enrol()
    ctl.run("device", "revoke", number(token))
    assert ctl.authenticate(token) == "revoked"
    assert "revoked already" in ctl.run("device", "revoke", number(token), expect=1).stderr
    assert ctl.run("device", "rotate", number(token), expect=1).stdout == ""
    assert ctl.json("device", "revoke", number(ctl.enrol()))[0]["state"] == "revoked"


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_a_device_that_is_not_there_is_a_failure_and_no_number_a_usage_error(ctl, verb):
    assert "4711" in ctl.run("device", verb, 4711, expect=1).stderr
    for text in ("ada", "0", "-1", "7x", "", "9223372036854775808", "1 2"):
        done = ctl.run("device", verb, "--", text, expect=2)
        assert "device list" in done.stderr and done.stdout == ""
    ctl.run("device", verb, expect=2)
    ctl.run("device", verb, 1, 2, expect=2)


def test_who_has_no_right_is_told_which_one(ctl):
    role = f"{ctl.name}_stranger"
    ctl.query(f"CREATE ROLE {role} LOGIN")
    try:
        url = ctl.cluster.url(ctl.name, role)
        assert "slotbell_admin" in ctl.run("--database", url, "device", "list", expect=1).stderr
        ctl.query(f"GRANT slotbell_admin TO {role}")
        token = ctl.run("--database", url, "device", "enrol", ADA).stdout.strip()
        assert ctl.authenticate(token) == "ok"
        ctl.run("--database", url, "device", "rotate", number(token))
        ctl.run("--database", url, "device", "list")
        ctl.run("--database", url, "publish", ADA, "--subject", "s", "--starts-at", "2099-01-01T00:00Z", "--minutes", 5)
        assert " s " in ctl.run("--database", url, "tail", ADA, "--no-follow").stdout
        ctl.run("--database", url, "device", "revoke", number(token))
    finally:
        ctl.query(f"REVOKE slotbell_admin FROM {role}; DROP ROLE {role}")
