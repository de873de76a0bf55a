"""Publishers, administrators and anybody who may connect: whose locks they can hold, whom they can stop, and what errors tell."""

import itertools
import re

import psycopg
import pytest
from fixtures_rights import state_of
from fixtures_sql import BOOKING, HASH, PROOF, SALT, publish
from receipts_help import ADA, BOB, book, execute
from test_sql_order import in_thread, wait_until, waits_for_a_lock

pytest_plugins = ["fixtures_rights"]

ENROL = "SELECT slotbell.enrol(%s, 'test', NULL, %s, %s)"
DENIED = "42501"
MODES = ("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")


# ---- locks ----


def hold_every_lock_of_before(db):
    """With no right but CONNECT: the 256 advisory locks between publishers and enrolment."""
    stranger = db.connect("anybody")
    stranger.execute("SELECT pg_advisory_lock(hashtextextended('slotbell ' || n, 0)) FROM generate_series(0, 255) n")
    return stranger


def who_is_stopped(db):
    """Which of these wait for a stranger's locks."""
    hold_every_lock_of_before(db)
    stopped = []
    for what, login, sql, values in (("publish", "backend", f"SELECT slotbell.publish(%s, 'u', {BOOKING})", (ADA,)),
                                     ("enrol", "operator", ENROL, (BOB, SALT, HASH))):  # fmt: skip
        connection = db.connect(login)
        connection.execute("SET lock_timeout = '1s'")
        try:
            connection.execute(sql, values)
        except psycopg.Error as error:
            assert error.diag.sqlstate in ("55P03", "SB012")
            stopped.append(what)
    return stopped


def test_anybodys_locks_stop_nobody(now):
    assert who_is_stopped(now) == []


def test_before_this_step_they_stopped_bookings_and_enrolment(before):
    assert who_is_stopped(before)[0] == "publish"


@pytest.mark.parametrize("login", ["anybody", "backend", "operator", "taken_over"])
def test_no_role_can_lock_what_is_ours_but_for_reading_what_it_may_read(shared_now, login):
    connection = shared_now.connect(login)
    relations = shared_now.query("SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'slotbell'::regnamespace AND relkind IN ('r', 'v')")
    locked = set()
    for relation, mode in itertools.product(relations, MODES):
        try:
            connection.execute(f"BEGIN; LOCK TABLE {relation} IN {mode} MODE; ROLLBACK")
            locked.add((relation.partition(".")[2], mode))
        except psycopg.Error as error:
            assert error.diag.sqlstate == DENIED
            connection.execute("ROLLBACK")
    readable = {"anybody": (), "taken_over": (), "backend": ("attachment", "needs_resync", "refusals", "time_zone"),
                "operator": ("attachment", "needs_resync", "refusals", "time_zone", "devices", "delivery", "presence")}[login]  # fmt: skip
    assert locked <= {(name, "ACCESS SHARE") for name in readable}


# ---- a publisher that sits in a transaction ----


def quicken(db):
    """An enrolment gives up soon."""
    db.cripple("wait_for_publishers", ("interval '10 seconds'", "interval '0.3 seconds'"))
    for function in ("enrol", "revoke", "rotate", "new_epoch"):
        db.cripple(function, ("SET lock_timeout TO '10s'", "SET lock_timeout TO '300ms'"))


def test_an_enrolment_does_not_wait_for_ever_for_a_publisher_that_sits_in_its_transaction(now):
    quicken(now)
    idle = now.connect("backend", autocommit=False)
    assert publish(idle, ADA, "u") is None
    operator = now.connect("operator")
    assert state_of(operator, ENROL, ADA, SALT, HASH) == "SB012"
    idle.rollback()
    operator.execute(ENROL, (ADA, SALT, HASH))


def same_slot(db, address):
    """Another address that shares the lock."""
    slot = "hashtextextended(%s, 0) & 15"
    return db.one(f"SELECT a FROM (SELECT 's' || n || '@example.com' AS a FROM generate_series(1, 1000) n) s"
                  f" WHERE hashtextextended(a, 0) & 15 = ({slot}) LIMIT 1", address)  # fmt: skip


def publishers_pass(db):
    """While an enrolment waits for a publisher that sits in its transaction: do the others for that lock get through?"""
    idle = db.connect("backend", autocommit=False)
    publish(idle, ADA, "u")
    operator, other = db.connect("operator"), db.connect("backend")
    other.execute("SET lock_timeout = '2s'")
    thread = in_thread(lambda: operator.execute(ENROL, (ADA, SALT, HASH)))
    wait_until("the enrolment waits", lambda: waits_for_a_lock(db, operator))
    try:
        for _ in range(20):
            publish(other, same_slot(db, ADA), "v")
        return True
    except psycopg.errors.LockNotAvailable:
        return False
    finally:
        idle.rollback()
        thread.result()


def test_publishers_pass_an_enrolment_that_waits(now):
    assert publishers_pass(now)


def test_if_the_enrolment_waited_in_one_go_they_would_not(now):
    now.cripple("wait_for_publishers", ("SET lock_timeout TO '100ms'", "SET lock_timeout TO '8s'"))
    assert not publishers_pass(now)


@pytest.mark.parametrize("sql", [ENROL, "SELECT slotbell.revoke(1)", "SELECT slotbell.new_epoch()"], ids=["enrol", "revoke", "new_epoch"])
def test_an_operator_does_not_wait_for_ever_for_a_mailbox_that_a_publisher_holds(now, sql):
    now.enrol(ADA)
    quicken(now)
    idle = now.connect("backend", autocommit=False)
    publish(idle, ADA, "u")
    idle.execute("SET CONSTRAINTS ALL IMMEDIATE")
    operator = now.connect("operator")
    values = (ADA, SALT, HASH) if sql == ENROL else ()
    assert state_of(operator, sql, *values) == "SB012"
    idle.rollback()
    operator.execute(sql, values or None)


def test_every_address_has_one_lock_on_both_sides(now):
    connection = now.connect(autocommit=False)
    locks = "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() AND mode = %s AND relation::regclass::text ~ 'address_lock_[0-9]+$'"
    seen = set()
    for address in [f"m{n}@example.com" for n in range(100)]:
        publish(connection, address, "u")
        (taken,) = connection.execute(locks, ("RowShareLock",)).fetchone()
        connection.rollback()
        connection.execute(ENROL, (address, SALT, HASH))
        assert connection.execute(locks, ("ExclusiveLock",)).fetchone() == (taken,)
        connection.rollback()
        seen.add(taken)
    assert len(seen) == 16


# ---- errors repeat nothing ----

MARK = "Zq7marked"
MAIL = f"{MARK}@guest.example"
MARKED = {
    "mailbox": f"'{MARK}'", "mailbox with a blank": f"'{MARK} {MAIL}'",
    "uid": f"'{MARK}' || chr(10)", "uid, long": f"repeat('{MARK}', 100)",
    "starts_at": "'1905-04-07 07:07:07+00'", "starts_at, late": "'19050-04-07 07:07:07+00'",
    "duration_minutes": "19050407", "duration_minutes, negative": "-19050407",
    "time_zone": f"'{MAIL}'", "subject": f"repeat('{MARK} ', 100)", "change": f"'{MAIL}'",
    "attendees": f"""'"{MAIL}"'""", "attendees, a text": f"""'["{MAIL}"]'""", "attendees, a key": f"""'[{{"email": "a@b", "{MAIL}": 1}}]'""",
    "attendees, a value": f"""'[{{"email": ["{MAIL}"]}}]'""", "attendees, a name": f"""'[{{"email": "a@b", "name": {{"{MARK}": 1}}}}]'""",
    "details": f"""'"{MAIL}"'""", "details, a key": f"""'{{"{MAIL}": 1}}'""", "details, an organizer": f"""'{{"organizer": "{MAIL}"}}'""",
    "details, a location": f"""'{{"location": ["{MAIL}"]}}'""", "details, a link": f"""'{{"join_url": "javascript:{MARK}"}}'""",
    "details, a long one": f"""jsonb_build_object('location', repeat('{MARK}', 1000))""",
    "attendees, large": f"""jsonb_build_array(jsonb_build_object('email', 'a@b', 'name', repeat('{MARK}', 100000)))""",
    "details, large": f"""jsonb_build_object('description', repeat('{MARK}', 100000))""",
}  # fmt: skip
SPOKEN = (MARK.lower(), "1905", "19050407", "guest.example")


def error_of(connection, sql, values=None):
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(sql, values)
    said = caught.value.diag
    return said.sqlstate, "\n".join(filter(None, (said.message_primary, said.message_detail, said.message_hint, said.context))).lower()


def error_of_publish(db, parameter):
    arguments = {"mailbox": f"'{ADA}'", "uid": "'u'", "starts_at": "'2026-11-24 09:00+00'", "duration_minutes": "30", "time_zone": "'UTC'",
                 "subject": "'Intro call'"}  # fmt: skip
    types = {"starts_at": "timestamptz", "duration_minutes": "int", "attendees": "jsonb", "details": "jsonb"}
    arguments[parameter.partition(",")[0].partition(" ")[0]] = MARKED[parameter]
    text = ", ".join(f"{name} => ({value})::{types.get(name, 'text')}" for name, value in arguments.items())
    return error_of(db.connect("backend"), f"SELECT slotbell.publish({text})")


@pytest.mark.parametrize("parameter", MARKED)
def test_an_error_of_publish_repeats_nothing_that_it_was_given(shared_now, parameter):
    code, said = error_of_publish(shared_now, parameter)
    assert code.startswith("SB") and not [word for word in SPOKEN if word in said], said


@pytest.mark.parametrize("parameter", ["time_zone", "change", "details, a key", "starts_at", "duration_minutes"])
def test_before_this_step_it_repeated_what_was_given_for_the_wrong_parameter(before, parameter):
    before.enrol(ADA)
    assert [word for word in SPOKEN if word in error_of_publish(before, parameter)[1]]


BAD_ENROLMENTS = {
    "mailbox": ("SB001", (f"{MARK}", "", None, SALT, HASH)), "expires_at": ("SB011", (ADA, "", "1905-04-07", SALT, HASH)),
    "label": ("SB015", (ADA, MARK * 40, None, SALT, HASH)), "salt": ("SB014", (ADA, MARK, None, MARK.encode(), HASH)),
    "no salt": ("SB014", (ADA, MARK, None, None, HASH)), "hash": ("SB014", (ADA, MARK, None, SALT, MARK.encode())),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_ENROLMENTS)
def test_an_error_of_enrolment_repeats_nothing_that_it_was_given(shared_now, what):
    code, values = BAD_ENROLMENTS[what]
    found, said = error_of(shared_now.connect("operator"), "SELECT slotbell.enrol(%s, %s, %s, %s, %s)", values)
    assert found == code and not [word for word in (*SPOKEN, MARK.encode().hex()) if word in said], said


def test_a_token_of_the_wrong_length_is_refused_without_the_row_of_the_device(now, before):
    for db, codes in ((now, {"SB014"}), (before, {"23502", "23514"})):
        db.query("SELECT slotbell.enrol(%s, %s, NULL, %s, %s)", ADA, MARK, SALT, HASH)
        operator = db.connect("operator")
        for salt, hashed in ((None, HASH), (b"", HASH), (SALT, HASH[:31])):
            code, said = error_of(operator, "SELECT slotbell.rotate(1, %s, %s, NULL)", (salt, hashed))
            assert code in codes
            assert (MARK.lower() in said) == (db is before), said


def test_a_token_that_ends_at_no_time_is_refused_and_one_of_before_fails_no_batch(now):
    """Else all who come in with it in one statement are turned away."""
    operator, poisoned = now.connect("operator"), now.enrol(ADA)
    for sql, values in ((ENROL.replace("NULL", "'infinity'"), (ADA, SALT, HASH)), ("SELECT slotbell.rotate(%s, %s, %s, 'infinity')", (poisoned, SALT, HASH))):
        assert state_of(operator, sql, *values) == "SB011"
    execute(now, "UPDATE slotbell.device SET expires_at = 'infinity'")
    found = now.query("SELECT outcome, expires_at_s FROM slotbell.authenticate(%s, %s, '{t,t}')", [poisoned, now.enrol(BOB)], [PROOF, PROOF])
    assert found == [("ok", None)] * 2


def test_an_error_says_what_would_be_right(shared_now):
    for parameter, words in {"time_zone": "has 23 characters", "change": "23 characters", "details, a key": "23 characters",
                             "starts_at": "before 1970", "starts_at, late": "after 9999", "duration_minutes": "more"}.items():  # fmt: skip
        said = error_of_publish(shared_now, parameter)[1]
        assert words.replace("has ", "") in said, said


# ---- links ----

GOOD_LINKS = [
    "https://meet.example.com", "HTTPS://Meet.Example.com/", "https://meet.example.com:8443/a/b?c=d&e=%C3%A9#f", "https://192.0.2.1/x", "https://[2001:db8::1]:443/x",
    "https://xn--mnchen-3ya.example/", "https://a_b.example/%250A", "https://teams.example/l/19%3ameeting%40thread.v2/0?context=%7b%22Tid%22%3a%221%22%7d",
    "https://a.example?x", "https://a.example#x", "https://a.example/~x/{y}|[z]^`\"<>'",
]  # fmt: skip
BAD_LINKS = [
    "", " ", "https", "https:", "https:/", "https://", "https:///x", "https://?x", "https://#x", "https://:443/", "https:a.example", "https:/a.example",
    "http://a.example/", "javascript:alert(1)", "JavaScript:alert(1)//https://a.example", "data:text/html,x", "file:///etc/passwd", "ms-word:ofe|u|https://a.example",
    "//a.example/", "a.example", " https://a.example", "https://a.example ", "https://a.example/a b", "https://a.example/\n", "\nhttps://a.example/",
    "https://a.example/\r\nX: y", "https://a.example/\t", "https://a.example/\x7f", "https://a.example/\x01", "https://a.example/\u0085", "https://a.example/\u00a0",
    "https://a.example/%0D%0A", "https://a.example/%0d%0a", "https://a.example/%00", "https://a.example/%1f", "https://a.example/%7f", "https://a.example/%C2%85", "https://a.example/%c2%9b",
    "https://a.example/%C0%8A", "https://a.example/%", "https://a.example/%4", "https://a.example/%zz", "https://a.example/%4g", "https://a.example?%0a", "https://a.example#%0a",
    "https://user@a.example/", "https://user:pw@a.example/", "https://a.example@evil.example/", "https://a.example\\@evil.example/", "https://a.example\\x", "https://a.example/\\x",
    "https://a.example:0/", "https://a.example:65536/", "https://a.example:99999/", "https://a.example:x/", "https://a.example:/", "https://a.example:123456/", "https://a.example:80:90/",
    "https://.example/", "https://-a.example/", "https://%61.example/", "https://a%2eexample/", "https://a,b/", "https://[::1/", "https://::1/", "https://[]/", "https://[1]/", "https://[g::1]/", "https://[::1]x/",
    "https://münchen.example/", "https://a.example/ü", "https://a.example/\u202e", "https://a.example/\u200b", "https://аpple.example/",
]  # fmt: skip


def publish_link(connection, link):
    return connection.execute(f"SELECT slotbell.publish(%s, %s, {BOOKING}, details => jsonb_build_object('join_url', %s::text))",
                              (ADA, f"link {len(link)} {hash(link)}", link)).fetchone()[0]  # fmt: skip


@pytest.mark.parametrize("strings", ["on", "off"])
def test_a_link_is_https_with_a_plain_host_and_nothing_that_a_program_could_take_for_more(now, strings):
    """Whatever a backslash means in the strings of this session."""
    now.enrol(ADA)
    connection = now.connect("backend")
    connection.execute(f"SET standard_conforming_strings = {strings}")
    for link in GOOD_LINKS:
        assert publish_link(connection, link) is not None, link
    for link in BAD_LINKS:
        with pytest.raises(psycopg.Error) as caught:
            publish_link(connection, link)
        assert caught.value.diag.sqlstate == "SB009" and "join_url" in caught.value.diag.message_detail, link


def test_before_this_step_any_text_was_a_link(before):
    before.enrol(ADA)
    assert publish_link(before.connect("backend"), "javascript:alert(1)") is not None


def test_no_function_of_ours_has_a_backslash_whose_meaning_is_a_setting_of_the_callers(now):
    bodies = dict(now.query("SELECT oid::regprocedure::text, prosrc FROM pg_proc WHERE pronamespace = 'slotbell'::regnamespace AND prosecdef"))
    assert [name for name, body in bodies.items() if "\\" in re.sub("E'[^']*'", "", body)] == []


# ---- what the role of a publisher reads ----


def test_a_publisher_asks_for_bookings_of_which_it_knows_mailbox_and_uid(now):
    now.enrol(ADA)
    book(now, "u")
    backend = now.connect("backend")
    ask = "SELECT uid, state FROM slotbell.delivery_of(%s, %s)"
    assert backend.execute(ask, ("u", ADA)).fetchall() == [("u", "waiting")]
    assert state_of(backend, ask, "u", None) == "SB001"
    assert state_of(backend, ask, None, ADA) == "SB001"
    assert state_of(backend, "SELECT * FROM slotbell.delivery_of('u')") == "SB001"
    assert now.connect("operator").execute("SELECT mailbox FROM slotbell.delivery WHERE uid = 'u'").fetchall() == [(ADA,)]


def test_before_this_step_a_uid_was_enough(before):
    before.enrol(ADA)
    book(before, "u")
    assert before.connect("backend").execute("SELECT mailbox FROM slotbell.delivery_of('u')").fetchall() == [(ADA,)]


# ---- what an administrator reaches ----


def test_an_administrator_reads_no_secret_and_takes_away_no_mailbox_but_canaries(now):
    now.enrol(ADA)
    now.enrol("canary-%@doctor.invalid")
    operator = now.connect("operator")
    for pattern in ("%", "_%", "canary-%", ADA, "ADA@EXAMPLE.COM", "", "canary-%@%", None):
        operator.execute("SELECT slotbell.forget_canaries(%s)", (pattern,))
    assert now.query("SELECT address FROM slotbell.mailbox ORDER BY id") == [ADA, "canary-%@doctor.invalid"]
    columns = now.query("SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'slotbell'::regnamespace"
                        " AND c.relkind = 'v' AND a.attnum > 0 AND has_table_privilege('operator', c.oid, 'SELECT')")  # fmt: skip
    assert not {"salt", "hash"} & set(columns)
    assert state_of(operator, "SET ROLE slotbell_owner") == DENIED
    assert state_of(operator, "GRANT slotbell_owner TO operator") == DENIED
