"""What the daemon calls, and who may call what."""

import hashlib

import psycopg
import pytest
from fixtures_sql import HASH, PROOF, SALT, publish

pytest_plugins = ["fixtures_sql"]

ADA = "ada@example.com"


def authenticate(db, *items):
    """items: (device, proof, takes over). Returns {item: row as a dictionary}."""
    devices, proofs, takes_over = (list(column) for column in zip(*items, strict=True))
    connection = db.connect()
    cursor = connection.execute("SELECT * FROM slotbell.authenticate(%s, %s, %s)", (devices, proofs, takes_over))
    names = [column.name for column in cursor.description]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def test_only_the_right_secret_opens(db):
    device = db.enrol(ADA)
    rows = authenticate(db, (device, PROOF, True), (device, hashlib.sha256(b"x").digest(), True), (99, PROOF, True), (device, b"", False))
    assert [rows[i]["outcome"] for i in (1, 2, 3, 4)] == ["ok", "unknown", "unknown", "unknown"]
    assert rows[1]["address"] == ADA and rows[1]["session_no"] == 1
    assert {rows[2][name] for name in rows[2] if name not in ("item", "outcome")} == {None}


def test_each_session_of_one_batch_has_its_own_number_in_order(db):
    device, other = db.enrol(ADA), db.enrol(ADA)
    rows = authenticate(db, *[(device, PROOF, True)] * 3, (other, PROOF, True), (device, PROOF, False))
    assert [rows[i]["session_no"] for i in (1, 2, 3, 4, 5)] == [1, 2, 3, 1, 3]
    assert authenticate(db, (device, PROOF, True))[1]["session_no"] == 4


def test_a_wrong_proof_raises_nothing_and_tells_nobody(db):
    device = db.enrol(ADA)
    authenticate(db, (device, b"wrong", True))
    assert db.one("SELECT session_no FROM slotbell.devices") == 0


def test_revoked_and_expired_are_told_only_to_who_has_the_secret(db):
    revoked, expired = db.enrol(ADA), db.enrol(ADA)
    db.query("SELECT slotbell.revoke(%s)", revoked)
    with db.connect() as connection:
        connection.execute("UPDATE slotbell.device SET expires_at = now() WHERE id = %s", (expired,))
    rows = authenticate(db, (revoked, PROOF, True), (expired, PROOF, True), (revoked, b"", True), (expired, b"", True))
    assert [rows[i]["outcome"] for i in (1, 2, 3, 4)] == ["revoked", "expired", "unknown", "unknown"]


def test_an_expiry_in_the_past_is_refused_at_enrolment(db):
    with pytest.raises(psycopg.Error) as caught:
        db.enrol(ADA, "2020-01-01 00:00+00")
    assert caught.value.diag.sqlstate == "SB011"


def test_rotate_gives_a_new_secret_and_keeps_the_cursor(db):
    device = db.enrol(ADA)
    publish(db.connect(), ADA, "u")
    epoch = db.one("SELECT epoch FROM slotbell.mailbox")
    db.query("SELECT * FROM slotbell.ack(%s, %s, '{1}', '{}', '{}', '{}')", [device], [epoch])
    salt, proof = b"s" * 16, hashlib.sha256(b"new").digest()
    assert db.one("SELECT slotbell.rotate(%s, %s, %s, NULL)", device, salt, hashlib.sha256(salt + proof).digest()) is True
    rows = authenticate(db, (device, PROOF, True), (device, proof, True))
    assert [rows[i]["outcome"] for i in (1, 2)] == ["unknown", "ok"]
    assert rows[2]["acked"] == 1
    assert db.one("SELECT slotbell.rotate(99, %s, %s, NULL)", SALT, HASH) is False


def test_acks_are_cumulative_and_never_go_back(db):
    device = db.enrol(ADA)
    for uid in "abc":
        publish(db.connect(), ADA, uid)
    epoch = db.one("SELECT epoch FROM slotbell.mailbox")

    def ack(*seqs):
        count = len(seqs)
        rows = db.query("SELECT item, outcome, acked FROM slotbell.ack(%s, %s, %s, '{}', '{}', '{}') ORDER BY item",
                        [device] * count, [epoch] * count, list(seqs))  # fmt: skip
        return [(outcome, acked) for _, outcome, acked in rows]

    assert ack(2, 1) == [("saved", 2), ("saved", 2)]
    assert ack(1) == [("saved", 2)]
    assert ack(3) == [("saved", 3)]
    assert ack(4) == [("stale", 3)], "nothing was ever given that number"
    assert db.query("SELECT outcome FROM slotbell.ack(%s, '{zzz}', '{1}', '{}', '{}', '{}')", [device]) == ["stale"]
    assert db.query("SELECT outcome FROM slotbell.ack('{99}', %s, '{1}', '{}', '{}', '{}')", [epoch]) == ["gone"]
    db.query("SELECT slotbell.revoke(%s)", device)
    assert ack(3)[0][0] == "gone"


def test_fetch_gives_what_lies_after_in_order_and_within_its_bounds(db):
    db.enrol(ADA)
    for i in range(10):
        publish(db.connect(), ADA, f"u{i}")
    mailbox, octets = db.query("SELECT mailbox_id, max(octets) FROM slotbell.event GROUP BY 1")[0]

    def fetch(after, events=100, size=10**9):
        return db.query("SELECT seq FROM slotbell.fetch(%s, %s, %s, %s)", [mailbox], [after], events, size)

    assert fetch(0) == list(range(1, 11))
    assert fetch(7) == [8, 9, 10]
    assert fetch(0, events=3) == [1, 2, 3]
    assert fetch(0, size=1) == [1], "at least one"
    assert fetch(0, size=octets + 1) == [1, 2]
    assert fetch(10) == [None], "the numbering all the same"
    assert fetch(99) == [None]


def test_reconcile_has_a_row_for_each_device_once(db):
    device = db.enrol(ADA)
    rows = db.query("SELECT device_id, outcome FROM slotbell.reconcile(%s) ORDER BY 1", [device, 99, device])
    assert rows == [(device, "ok"), (99, "unknown")]


def fill(db, mailboxes=1_000_000, devices=100_000):
    """The schema as a large platform has it: most mailboxes have no plug-in, and those that have were rung now and then."""
    with db.connect() as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(
            "INSERT INTO slotbell.mailbox (address, epoch, system_id, timeline, head, device_count)"
            " SELECT 'm' || i || '@example.com', 'aaa', 0, 1, 5, (i <= %s)::int FROM generate_series(1, %s) i", (devices, mailboxes))
        connection.execute("INSERT INTO slotbell.device (mailbox_id, salt, hash, acked)"
                           " SELECT id, %s, %s, 0 FROM slotbell.mailbox WHERE device_count > 0", (SALT, HASH))  # fmt: skip
        connection.execute("ALTER TABLE slotbell.event DISABLE TRIGGER number_events")
        connection.execute(
            "INSERT INTO slotbell.event (mailbox_id, seq, change, uid, octets, published_at)"
            " SELECT id, s, 'created', 'u' || s, 200, now() FROM slotbell.mailbox, generate_series(4, 5) s WHERE device_count > 0")
        connection.execute("ALTER TABLE slotbell.event ENABLE TRIGGER number_events")
        connection.execute(
            "INSERT INTO slotbell.booking_state (mailbox_id, uid, seq, state_hash, cancelled, ends_at)"
            " SELECT mailbox_id, uid, seq, '', false, now() FROM slotbell.event")
        connection.execute("INSERT INTO slotbell.resync_need (mailbox_id, reason, lacks_to)"
                           " SELECT id, 'enrolled', 5 FROM slotbell.mailbox WHERE device_count > 0")  # fmt: skip
        connection.execute("ANALYZE")


def test_with_a_million_mailboxes_every_statement_uses_its_indexes(db):
    """1,000,000 mailboxes and 100,000 devices: publish, fetch, authenticate, ack, presence, reconcile and the sweep."""
    fill(db)
    connection = db.connect()
    connection.execute("LOAD 'auto_explain'")
    connection.execute("SET auto_explain.log_min_duration = 0")
    connection.execute("SET auto_explain.log_nested_statements = on")
    connection.execute("SET client_min_messages = log")
    plans = []
    connection.add_notice_handler(lambda notice: plans.append(notice.message_primary))
    some = list(range(1, 51))
    connection.execute("SELECT count(*) FROM slotbell.fetch(%s, %s, 32, 100000)", (some, [1] * 50))
    connection.execute("SELECT count(*) FROM slotbell.authenticate(%s, %s, %s)", (some, [PROOF] * 50, [True] * 50))
    connection.execute("SELECT count(*) FROM slotbell.ack(%s, %s, %s, '{1}', '{2}', '{conflict}', '{}', %s, %s, '{1,2,3}')",
                       (some, ["aaa"] * 50, [3] * 50, [1] * 50, [3] + [0] * 49))  # fmt: skip
    connection.execute("SELECT slotbell.sent(%s, %s, %s)", (some, [4] * 50, [1] * 50))
    connection.execute("SELECT slotbell.presence('aa', 15, %s, %s, %s)", (some, some, [True] * 50))
    connection.execute("SELECT count(*) FROM slotbell.reconcile(%s)", (some,))
    publish(connection, "m7@example.com", "x")
    publish(connection, "m7@example.com", "x")
    connection.execute("SELECT slotbell.resync('m8@example.com')")
    connection.execute("SELECT * FROM slotbell.sweep_step(0, 0, 200, 500, 60, 14, 90, 90)")
    text = "\n".join(plans)
    for table in ("event", "device", "mailbox", "booking_state", "receipt", "resync_need"):
        assert f"Seq Scan on {table}" not in text, text
    assert "event_seq" in text and "device_pkey" in text and "event_unnumbered" in text and "resync_need_mailbox" in text


def test_a_plan_made_for_empty_tables_is_good_for_full_ones(db):
    """Connections live long and keep their plans; an event table is near empty when all is delivered."""
    db.connect().execute("VACUUM ANALYZE")
    connection = db.connect()
    connection.execute("LOAD 'auto_explain'")
    for setting in ("auto_explain.log_min_duration = 0", "auto_explain.log_nested_statements = on", "client_min_messages = log",
                    "plan_cache_mode = force_generic_plan"):  # fmt: skip
        connection.execute(f"SET {setting}")
    plans = []
    connection.add_notice_handler(lambda notice: plans.append(notice.message_primary))
    connection.execute("SELECT * FROM slotbell.fetch('{1}', '{1}', 32, 100000)")
    connection.execute("SELECT * FROM slotbell.authenticate('{1}', %s, '{t}')", ([PROOF],))
    connection.execute("SELECT * FROM slotbell.ack('{1}', '{aaa}', '{1}', '{1}', '{1}', '{conflict}')")
    connection.execute("SELECT * FROM slotbell.reconcile('{1}')")
    db.enrol(ADA)
    publish(connection, ADA, "x")
    text = "\n".join(plans)
    for table in ("event", "device", "mailbox", "booking_state", "receipt"):
        assert f"Seq Scan on {table}" not in text, text


def test_what_the_daemon_calls_is_not_planned_at_each_call(db):
    planned = db.query("SELECT proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE proname = ANY (%s)"
                       " AND p.pronamespace = 'slotbell'::regnamespace AND l.lanname = 'sql'", sorted(DAEMON - {"schema_version"}))  # fmt: skip
    assert planned == []


# ---- rights ----

# The second set is for the daemon of the release before.
DAEMON = {"ack", "attend", "authenticate", "next_events", "reconcile", "schema_version", "sent", "sweep_step"} | {"fetch", "presence", "sweep", "sweep_alone"}
# What attach() and resync() call on their way: they run with the caller's rights.
ATTACH = {"attach_expression", "attach_expressions", "attach_function", "attach_key", "attach_keys", "attach_own", "attach_triggers", "check_attach", "drop_keys",
          "find_attach_target", "refuse_attach"}
RESYNC = {"begin_resync", "end_resync", "own_session", "resync", "resync_row"}
FOLD = {"fold_address", "fold_letters"}
PUBLISHER = {"attach", "delivery_of", "detach", "need_resync_for_all", "publish", "refused", "ring", "schema_version"} | ATTACH | RESYNC | FOLD
PUBLISHER |= {"forget_detached", "same_text", "same_type", "same_whole"}
ADMIN = {"delivery_of", "enrol", "events", "events_after", "forget_canaries", "new_epoch", "publish", "revoke", "rotate", "schema_version"}
ADMIN |= {"local_time", "local_time_by_name", "zone_news"} | RESYNC | FOLD


def test_every_grant_is_one_that_is_meant(db):
    functions = db.query(
        "SELECT coalesce(r.rolname, 'PUBLIC'), p.proname FROM pg_proc p"
        " CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee"
        " WHERE p.pronamespace = 'slotbell'::regnamespace AND a.grantee <> p.proowner"
    )
    expected = {("slotbell_daemon", f) for f in DAEMON} | {("slotbell_publisher", f) for f in PUBLISHER} | {("slotbell_admin", f) for f in ADMIN}
    assert set(functions) == expected
    tables = db.query(
        "SELECT coalesce(r.rolname, 'PUBLIC'), c.relname, a.privilege_type FROM pg_class c"
        " CROSS JOIN aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))) a"
        " LEFT JOIN pg_roles r ON r.oid = a.grantee"
        " WHERE c.relnamespace = 'slotbell'::regnamespace AND c.relkind IN ('r', 'v', 'S', 'm', 'p') AND a.grantee <> c.relowner"
    )
    both = {"attachment", "needs_resync", "refusals", "time_zone"}
    assert set(tables) == {(role, name, "SELECT") for role in ("slotbell_admin", "slotbell_publisher") for name in both} | {
        ("slotbell_admin", "delivery", "SELECT"), ("slotbell_admin", "devices", "SELECT"), ("slotbell_admin", "presence", "SELECT"),
    }  # fmt: skip
    columns = db.query(
        "SELECT coalesce(r.rolname, 'PUBLIC'), c.relname, t.attname, a.privilege_type FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid"
        " CROSS JOIN aclexplode(t.attacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE c.relnamespace = 'slotbell'::regnamespace"
    )
    # Bound by row security.
    bound = {"refusal": {"relation", "operation", "uid", "code"}, "resynced": {"attached"}}
    judging = {("slotbell_publisher", "judging", name, "INSERT") for name in ("attachment", "key_hash", "booking", "head")}
    assert set(columns) == {("slotbell_publisher", table, name, "INSERT") for table, names in bound.items() for name in names} | judging | {
        ("slotbell_publisher", "judging", name, "SELECT") for name in ("rang", "is_new")}  # fmt: skip
    assert set(db.query("SELECT relname FROM pg_class WHERE relnamespace = 'slotbell'::regnamespace AND relrowsecurity")) == set(bound)
    schema = db.query(
        "SELECT coalesce(r.rolname, 'PUBLIC'), a.privilege_type FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a"
        " LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE n.nspname = 'slotbell' AND a.grantee <> n.nspowner"
    )
    assert set(schema) == {(role, "USAGE") for role in ("slotbell_daemon", "slotbell_publisher", "slotbell_admin")}


# Expressions with a name. With a search_path of their own, or other rights, they would not be inlined.
INLINED = {"clock_ms", "fold_address", "local_time", "same_text", "same_type", "same_whole", "timeline"}


def test_every_function_has_its_search_path_and_runs_with_the_owners_rights_but_for_those_that_take_sql(db):
    loose = db.query("SELECT proname FROM pg_proc WHERE pronamespace = 'slotbell'::regnamespace AND (proconfig IS NULL OR NOT"
                     " CASE WHEN prosecdef THEN 'search_path=pg_catalog, slotbell, pg_temp' ELSE 'search_path=pg_catalog, pg_temp' END = ANY (proconfig))")  # fmt: skip
    assert set(loose) == INLINED
    invoker = db.query("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'slotbell'::regnamespace AND NOT prosecdef")
    assert set(invoker) == {"attach", "detach", "own_session", "refused", "resync"} | ATTACH | INLINED


@pytest.mark.parametrize("role", ["slotbell_daemon", "slotbell_publisher", "slotbell_admin"])
def test_no_role_reads_what_it_need_not(db, role):
    db.enrol(ADA)
    connection = db.connect()
    connection.execute(f"SET ROLE {role}")
    for table in ("event", "device", "mailbox", "booking_state", "receipt", "session", "instance", "refusal", "resync_need", "resynced", "guard", "released", "postponed", "attached_row"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT * FROM slotbell.{table}")
    if role != "slotbell_daemon":
        assert publish(connection, ADA, "u") is not None
    else:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            publish(connection, ADA, "u")


def test_a_publisher_cannot_enrol_read_or_call_what_the_daemon_calls(db):
    connection = db.connect()
    connection.execute("SET ROLE slotbell_publisher")
    for statement in (
        "SELECT slotbell.enrol('a@b', '', NULL, '', '')", "SELECT * FROM slotbell.events('a@b', 0, 1)",
        "SELECT * FROM slotbell.fetch('{1}', '{0}', 1, 1)", "SELECT slotbell.new_epoch()", "SELECT slotbell.revoke(1)",
        "SELECT slotbell.refuse('SB001', '', '', '')", "SELECT slotbell.number_events()",
    ):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


# ---- canaries ----


def test_only_canaries_can_be_forgotten_and_they_leave_nothing(db):
    kept = {"ada@example.com", "canary-1@doctor.invalid.example.com", "canary-1@example.invalid", "doctor@doctor.invalid"}
    connection = db.connect()
    for address in kept | {"canary-1@doctor.invalid", "canary-2@doctor.invalid"}:
        db.enrol(address)
        publish(connection, address, "doctor@slotbell")
    for address in sorted(kept) + ["Canary-1@Doctor.Invalid"]:
        db.query("SELECT slotbell.forget_canaries(%s)", address)
    assert set(db.query("SELECT address FROM slotbell.mailbox")) == kept | {"canary-2@doctor.invalid"}
    left = db.query("SELECT DISTINCT m.address FROM slotbell.mailbox m JOIN slotbell.device d ON d.mailbox_id = m.id"
                    " JOIN slotbell.event e ON e.mailbox_id = m.id JOIN slotbell.booking_state b ON b.mailbox_id = m.id")  # fmt: skip
    assert set(left) == kept | {"canary-2@doctor.invalid"}
    assert db.one("SELECT (SELECT count(*) FROM slotbell.device) + (SELECT count(*) FROM slotbell.event)"
                  " + (SELECT count(*) FROM slotbell.booking_state) + (SELECT count(*) FROM slotbell.resync_need)") == 20  # fmt: skip
