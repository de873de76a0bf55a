"""A daemon that was taken over: what somebody with the role slotbell_daemon cannot do with the functions that it may call."""

import re

import psycopg
import pytest
from fixtures_rights import state_of
from fixtures_sql import PROOF, ROOT, publish
from receipts_help import ADA, BOB, age, book, count, epoch, execute, floor
from test_sql_order import wait_until

pytest_plugins = ["fixtures_rights"]

GOOD = {"after_mailbox": 0, "after_device": 0, "max_mailboxes": 200, "max_rows": 1000, "grace_seconds": 5, "retention_days": 14,
        "receipts_days": 90, "stale_days": 90}  # fmt: skip


def step(connection, function="sweep_step", **changes):
    values = {**GOOD, **changes}
    arguments = ", ".join(f"{name} => %({name})s::{'bigint' if name.startswith('after') else 'int'}" for name in values)
    cursor = connection.execute(f"SELECT * FROM slotbell.{function}({arguments})", values)
    return dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))


# ---- the sweep destroys nothing ----


def sweep_what_waits(db):
    """The attack: events of a minute ago that no device has seen, swept as if they were too old."""
    db.enrol(ADA)
    book(db, "a", "b")
    connection = db.connect("taken_over")
    try:
        for _ in range(3):
            step(connection, "sweep", retention_days=-3650, grace_seconds=-86400)
    except psycopg.Error as error:
        return error.diag.sqlstate, db.seqs(ADA), floor(db)
    return None, db.seqs(ADA), floor(db)


def test_events_that_wait_cannot_be_swept_by_negative_days(now):
    assert sweep_what_waits(now) == ("SB013", [1, 2], 0)


def test_before_this_step_they_could(before):
    assert sweep_what_waits(before) == (None, [], 2)


def ranges():
    """The ranges of slotbelld.conf's [retention], from the daemon's table of keys."""
    table = (ROOT / "daemon/ops/config.h").read_text().replace("\\\n", " ")
    found = re.findall(r"X\(retention, (\w+), NUMBER, \w+, \w+, \"\d+\", (\d+),\s+(\d+),", table)
    names = {"days": "retention_days", "receipts_days": "receipts_days", "devices_stale_days": "stale_days"}
    assert len(found) == len(names)
    return {names[key]: (int(least), int(most)) for key, least, most in found}


@pytest.mark.parametrize("function", ["sweep_step", "sweep"])
def test_the_bounds_of_retention_are_those_of_the_configuration(shared_now, function):
    connection = shared_now.connect("taken_over")
    for name, (least, most) in ranges().items():
        others = {"retention_days": 1, "receipts_days": most}
        for value in (least, most):
            step(connection, function, **{**others, name: value})
        for value in (least - 1, most + 1, -1, -(2**31), 2**31 - 1, None):
            with pytest.raises(psycopg.Error) as caught:
                step(connection, function, **{**others, name: value})
            assert caught.value.diag.sqlstate == "SB013", (name, value)
    with pytest.raises(psycopg.Error) as caught:
        step(connection, function, retention_days=14, receipts_days=13)
    assert caught.value.diag.sqlstate == "SB013", "a booking would be forgotten while it waits"


@pytest.mark.parametrize("function", ["sweep_step", "sweep"])
@pytest.mark.parametrize("name", ["after_mailbox", "after_device", "max_mailboxes", "max_rows", "grace_seconds"])
def test_every_other_argument_of_a_step_has_bounds(shared_now, function, name):
    connection = shared_now.connect("taken_over")
    for value in (-1, -(2**31), None, *([] if name.startswith("after") else [2**31 - 1])):
        with pytest.raises(psycopg.Error) as caught:
            step(connection, function, **{name: value})
        assert caught.value.diag.sqlstate == "SB013", value


def test_what_the_strictest_setting_sweeps_is_a_day_old(now):
    now.enrol(ADA)
    book(now, "a")
    age(now, 1)
    execute(now, "UPDATE slotbell.event SET published_at = published_at + interval '1 minute'")
    connection = now.connect("taken_over")
    for _ in range(3):
        step(connection, grace_seconds=0, retention_days=1, receipts_days=1, stale_days=2)
    assert now.seqs(ADA) == [1]


# ---- who sweeps ----


def sweep_beside_a_stranger(db, key="slotbell sweep"):
    """Somebody with no right but CONNECT holds what the sweeper's advisory lock was."""
    stranger = db.connect("anybody")
    stranger.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (key,))
    return db.connect("taken_over").execute("SELECT slotbell.sweep_alone()").fetchone()[0]


def test_nobody_without_a_right_keeps_the_daemons_from_sweeping(now):
    assert sweep_beside_a_stranger(now) is True


def test_before_this_step_anybody_could(before):
    assert sweep_beside_a_stranger(before) is False


def test_one_session_sweeps_as_long_as_it_lives_and_renews(now):
    one, two = now.connect("taken_over"), now.connect("taken_over")
    assert step(one)["held"] and not step(two)["held"] and step(one)["held"]
    assert now.one("SELECT lease_until BETWEEN clock_timestamp() AND clock_timestamp() + interval '30 seconds' FROM slotbell.sweep_lease")
    assert now.one("SELECT holder FROM slotbell.sweep_lease") == one.info.backend_pid
    assert two.execute("SELECT slotbell.sweep_alone()").fetchone() == (False,)


def test_a_sweeper_that_does_not_renew_is_followed_when_its_lease_ends(now):
    one, two = now.connect("taken_over"), now.connect("taken_over")
    assert step(one)["held"]
    execute(now, "UPDATE slotbell.sweep_lease SET lease_until = clock_timestamp()")
    assert step(two)["held"] and not step(one)["held"]


def test_a_sweeper_whose_session_ended_is_followed_at_once(now):
    one, two = now.connect("taken_over"), now.connect("taken_over")
    assert step(one)["held"]
    pid = one.info.backend_pid
    one.close()
    wait_until("it is gone", lambda: not now.one("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid))
    assert step(two)["held"]


def test_a_lease_that_was_lost_is_made_anew(now):
    execute(now, "DELETE FROM slotbell.sweep_lease")
    assert step(now.connect("taken_over"))["held"] and count(now, "sweep_lease") == 1


def test_a_step_that_is_in_a_transaction_makes_no_other_wait(now):
    one, two = now.connect("taken_over", autocommit=False), now.connect("taken_over")
    assert step(one)["held"]
    two.execute("SET lock_timeout = 1")
    assert not step(two)["held"]
    one.rollback()


# ---- whose proof ----


def authenticate_without_proof(db):
    device = db.enrol(ADA)
    connection = db.connect("taken_over")
    row = connection.execute("SELECT outcome, address FROM slotbell.authenticate(%s, '{NULL}', '{t}')", ([device],)).fetchone()
    return row, db.one("SELECT session_no FROM slotbell.devices")


def test_no_proof_opens_nothing(now):
    assert authenticate_without_proof(now) == (("unknown", None), 0)


def test_before_this_step_no_proof_opened_every_device(before):
    assert authenticate_without_proof(before) == (("ok", ADA), 1)


@pytest.mark.parametrize("proofs", [[], [b""], [PROOF[:31]], [PROOF + b"x"], [b"x" * 1_000_000]], ids=len)
def test_a_proof_is_32_bytes_and_there_is_one(now, proofs):
    device = now.enrol(ADA)
    connection = now.connect("taken_over")
    assert connection.execute("SELECT outcome FROM slotbell.authenticate(%s, %s, '{t}')", ([device], proofs)).fetchone() == ("unknown",)


# ---- arrays ----

ARRAYS = {
    "authenticate": ["bigint", "bytea", "boolean"],
    "fetch": ["bigint", "bigint", 1, 1],
    "ack": ["bigint", "text", "bigint", "integer*", "bigint*", "text*", "integer", "bigint", "integer", "bigint*", "bigint"],
    "sent": ["bigint*", "bigint*", "bigint*"],
    "presence": ["'aa'", 15, "bigint", "bigint", "boolean"],
    "reconcile": ["bigint"],
}
PLACES = [(function, place) for function, kinds in ARRAYS.items() for place, kind in enumerate(kinds) if str(kind)[0] in "bit"]


@pytest.mark.parametrize("function, place", PLACES)
def test_every_array_has_one_dimension_from_one_on_and_an_end(shared_now, function, place):
    connection = shared_now.connect("taken_over")
    kinds = ARRAYS[function]

    def call(array):
        arguments = [array if i == place else (f"'{{}}'::{str(kind).rstrip('*')}[]" if str(kind)[0] in "bit" else str(kind))
                     for i, kind in enumerate(kinds)]  # fmt: skip
        return f"SELECT count(*) FROM (SELECT slotbell.{function}({', '.join(arguments)})) called"

    kind, many = kinds[place].rstrip("*"), 1_000_000 if kinds[place].endswith("*") else 10_000
    null = f"NULL::{kind}"
    connection.execute(call(f"array_fill({null}, '{{{many}}}')"))
    for bad in (f"array_fill({null}, '{{{many + 1}}}')", f"array_fill({null}, '{{2,2}}')", f"array_fill({null}, '{{2}}', '{{0}}')",
                f"array_fill({null}, '{{2}}', '{{5}}')"):  # fmt: skip
        assert state_of(connection, call(bad)) == "SB013", bad


@pytest.mark.parametrize("events, size", [(0, 1), (-1, 1), ("NULL", 1), (10001, 1), (1, 0), (1, -1), (1, "NULL"), (2**31 - 1, 1), (1, 2**31 - 1)])
def test_a_fetch_has_bounds(shared_now, events, size):
    assert state_of(shared_now.connect("taken_over"), f"SELECT slotbell.fetch('{{1}}', '{{0}}', {events}, {size})") == "SB013"


# ---- what it can say of others ----


def test_an_ack_reaches_no_further_than_the_head_and_only_its_own_mailboxs_events(now):
    ada, bob = now.enrol(ADA), now.enrol(BOB)
    book(now, "a")
    book(now, "b", mailbox=BOB)
    connection = now.connect("taken_over")
    for seq in (2, 2**63 - 1, None):
        (outcome,) = connection.execute("SELECT outcome FROM slotbell.ack(%s, %s, %s::bigint[], '{}', '{}', '{}')",
                                        ([ada], [epoch(now, ADA)], [seq])).fetchone()  # fmt: skip
        assert outcome == "stale", seq
    connection.execute("SELECT slotbell.ack(%s, %s, '{1}', '{}', '{}', '{}')", ([ada], [epoch(now, BOB)]))
    assert now.query("SELECT acked FROM slotbell.devices ORDER BY id") == [0, 0]
    connection.execute("SELECT slotbell.ack(%s, %s, '{-5}', '{}', '{}', '{}')", ([ada], [epoch(now, ADA)]))
    connection.execute("SELECT slotbell.sent(%s, '{1,1,7,-1}', '{1,2,3,4}')", ([ada, bob, ada, 99],))
    assert now.query("SELECT device_id, uid FROM slotbell.receipt ORDER BY 1") == [(ada, "a"), (bob, "b")]
    assert now.query("SELECT acked FROM slotbell.devices ORDER BY id") == [0, 0]


@pytest.mark.parametrize("reason", ["expired", "Zq7marked", None])
def test_a_failure_has_one_of_the_clients_reasons_or_is_not_kept(now, reason):
    device = now.enrol(ADA)
    book(now, "a")
    connection = now.connect("taken_over")
    connection.execute("SELECT slotbell.ack(%s, %s, '{1}', '{1}', '{1}', %s::text[])", ([device], [epoch(now, ADA)], [reason]))
    assert now.query("SELECT done_at IS NOT NULL, reason FROM slotbell.receipt") == [(True, None)]


# ---- presence fills no disk ----


def fill_presence(db):
    """Sessions without end, of devices that are not there, of daemons that are not there."""
    connection = db.connect("taken_over")
    for n in range(3):
        connection.execute("SELECT slotbell.presence(%s, 10, ARRAY(SELECT generate_series(1, 5000)), ARRAY(SELECT generate_series(1, 5000)),"
                           " ARRAY(SELECT true FROM generate_series(1, 5000)))", (f"{n:08x}",))  # fmt: skip
    return count(db, "session")


def test_a_session_is_of_a_device_that_exists(now):
    now.enrol(ADA)
    assert fill_presence(now) == 3


def test_before_this_step_it_was_of_anything(before):
    assert fill_presence(before) == 15000


def test_sessions_and_daemons_have_a_number_that_is_not_passed(now):
    device = now.enrol(ADA)
    now.cripple("attend", ("> 1000000 THEN", "> 5 THEN"), (">= 1000 THEN", ">= 2 THEN"))
    connection = now.connect("taken_over")
    say = "SELECT slotbell.presence(%s, 10, %s::bigint[], %s::bigint[], %s::boolean[])"

    def on(instance, numbers, is_on=True):
        connection.execute(say, (instance, numbers, [device] * len(numbers), [is_on] * len(numbers)))

    on("aa", [1, 2, 3])
    on("bb", [1, 2])
    on("aa", [1, 2, 3])
    assert state_of(connection, say, "bb", 10 * [3], 10 * [device], 10 * [True]) == "SB013"
    on("aa", [3], False)
    on("bb", [3])
    assert count(now, "session") == 5
    assert now.query("SELECT name, sessions FROM slotbell.instance ORDER BY 1") == [("aa", 2), ("bb", 3)]
    assert state_of(connection, say, "cc", [], [], []) == "SB013"
    on("bb", [])


@pytest.mark.parametrize("instance, lease", [("", 15), ("a" * 33, 15), ("\x1b[31m", 15), ("AA", 15), (None, 15), ("aa", 0), ("aa", -1), ("aa", None), ("aa", 601), ("aa", 2**31 - 1)])
def test_a_daemons_name_and_its_lease_have_bounds(shared_now, instance, lease):
    connection = shared_now.connect("taken_over")
    assert state_of(connection, "SELECT slotbell.presence(%s, %s::int, '{}', '{}', '{}')", instance, lease) == "SB013"
    connection.execute("SELECT slotbell.presence('aa', 600, '{NULL,1}', '{1,NULL}', '{t,t}')")
    assert count(shared_now, "session") == 0


# ---- a role is the cluster's ----


def test_a_daemon_of_one_database_is_kept_out_of_another_by_the_right_to_connect(now, sql_cluster):
    """As docs/database.md has it: without the wall a login with slotbell_daemon is a daemon of every database."""
    now.enrol(ADA)
    with now.connect() as connection:
        publish(connection, ADA, "a")
    other = sql_cluster.url(now.name, "taken_over")

    def fetch():
        with psycopg.connect(other) as connection:
            return connection.execute("SELECT uid FROM slotbell.fetch('{1}', '{0}', 1, 100000)").fetchone()

    assert fetch() == ("a",)
    execute(now, f"REVOKE CONNECT ON DATABASE {now.name} FROM PUBLIC; GRANT CONNECT ON DATABASE {now.name} TO operator")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        fetch()
    now.connect("operator").execute("SELECT slotbell.schema_version()")
    execute(now, f"GRANT CONNECT ON DATABASE {now.name} TO taken_over")
    assert fetch() == ("a",)
