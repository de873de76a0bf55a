"""slotbellctl doctor and the database: red in the right line for what is wrong with it."""

import re
import socket
import time

import pytest
from ctl_support import ROOT
from doctor_help import clock_program

pytest_plugins = ["fixtures_doctor", "fixtures_bouncer"]


def test_no_rights(patient):
    patient.start()
    patient.house.cluster.psql("CREATE ROLE stranger LOGIN")
    try:
        patient.daemon.configure(database__url=patient.house.cluster.url(patient.house.name, "stranger"))
        failed, found = patient.red()
        assert failed == {"rights"} and "the role stranger may not use: the schema slotbell" in found["rights"]["seen"]
        assert found["rights"]["advice"] == 'GRANT slotbell_daemon TO "stranger";'
        assert found["schema"]["result"] == "ok", "an administrator can see it"
        found = patient.red(admin=False)[1]
        assert found["schema"]["seen"] == "needs what fails below: rights"
    finally:
        patient.house.cluster.psql("DROP ROLE stranger")


def test_one_right_too_few(patient):
    patient.start()
    patient.house.ctl.query("REVOKE EXECUTE ON FUNCTION slotbell.reconcile(bigint[]) FROM slotbell_daemon")
    failed, found = patient.red()
    assert failed == {"rights"} and "may not use: reconcile" in found["rights"]["seen"]


def test_rights_that_are_more_than_it_needs(patient):
    patient.start()
    patient.daemon.configure(database__url=patient.house.ctl.url)
    assert "SUPERUSER" in patient.look()["rights"]["seen"]
    patient.house.cluster.psql("CREATE ROLE greedy LOGIN; GRANT slotbell_daemon, slotbell_admin TO greedy")
    try:
        patient.daemon.configure(database__url=patient.house.cluster.url(patient.house.name, "greedy"))
        finding = patient.look()["rights"]
        assert finding["result"] == "warn" and "enrol" in finding["seen"] and "devices" in finding["seen"]
    finally:
        patient.house.cluster.psql("DROP ROLE greedy")


ATTACHED = """
CREATE SCHEMA shop;
CREATE TABLE shop.appointments (id int);
CREATE FUNCTION shop.slotbell_ring_appointments() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER slotbell_ring AFTER INSERT ON shop.appointments FOR EACH ROW EXECUTE FUNCTION shop.slotbell_ring_appointments();
"""


def test_an_attached_table_whose_owner_has_no_session_of_its_own_is_named(patient):
    """As release 0.1.0 attached it for a superuser; attach() refuses it now."""
    patient.start()
    with patient.house.connect() as connection:
        connection.execute(ATTACHED)
    finding = patient.look()["rights"]
    assert finding["result"] == "warn" and "shop.appointments of postgres" in finding["seen"] and "attach it again" in finding["advice"]
    with patient.house.connect() as connection:
        connection.execute("DROP SCHEMA shop CASCADE")
    assert patient.look()["rights"]["result"] == "ok"


def test_an_attached_table_of_before_is_named_until_it_is_attached_again(patient):
    patient.start()
    with patient.house.connect() as connection:
        connection.execute("CREATE ROLE keeper LOGIN; GRANT slotbell_publisher TO keeper")
        connection.execute(ATTACHED)
        connection.execute("ALTER SCHEMA shop OWNER TO keeper; ALTER TABLE shop.appointments OWNER TO keeper")
    try:
        finding = patient.look()["rights"]
        assert finding["result"] == "warn" and "shop.appointments of keeper" in finding["seen"] and "attach it again" in finding["advice"]
        with patient.house.connect() as connection:
            connection.execute("DROP TRIGGER slotbell_ring ON shop.appointments;"
                               " CREATE TRIGGER slotbell_ring AFTER INSERT ON shop.appointments FOR EACH ROW EXECUTE FUNCTION shop.slotbell_ring_appointments('id')")  # fmt: skip
        assert patient.look()["rights"]["result"] == "ok"
    finally:
        with patient.house.connect() as connection:
            connection.execute("DROP SCHEMA shop CASCADE; DROP ROLE keeper")


def test_what_the_rights_check_needs_is_what_the_schema_grants(patient):
    granted = patient.house.ctl.query(
        "SELECT DISTINCT p.proname FROM pg_proc p, aclexplode(p.proacl) a WHERE p.pronamespace = 'slotbell'::regnamespace"
        " AND a.grantee = 'slotbell_daemon'::regrole ORDER BY 1"
    )
    source = (ROOT / "daemon/ctl/doctor_rights.c").read_text()
    needed = re.findall(r"\('([a-z_]+)'\)", source)
    kept = re.findall(r"'([a-z_]+)'", re.search(r"#define KEPT (.*)", source)[1])
    assert sorted(needed + kept) == granted


def test_an_old_schema_and_none(patient):
    patient.start()
    (version,) = patient.house.ctl.query("SELECT slotbell.schema_version()")
    for other, words in ((version - 1, "slotbellctl db upgrade"), (version + 2, "install the newer")):
        patient.house.ctl.query("DELETE FROM slotbell.migration WHERE version >= %s", min(version, other))
        patient.house.ctl.query("INSERT INTO slotbell.migration (version, name) VALUES (%s, 'other')", other)
        failed, found = patient.red()
        assert failed == {"schema"} and words in found["schema"]["advice"] and f"version {other}, " in found["schema"]["seen"]
        assert found["rights"]["result"] == found["session"]["result"] == "not checked"
    patient.house.ctl.query("UPDATE slotbell.migration SET version = %s WHERE version = %s", version + 1, version + 2)
    assert "the next one" in patient.look()["schema"]["seen"]
    patient.daemon.configure(database__url=patient.house.cluster.url("postgres", "slotbelld_login"))
    failed, found = patient.red()
    assert failed == {"schema"} and "no schema slotbell" in found["schema"]["seen"]


def test_time_zones_that_postgresql_has_learnt_or_lost(patient):
    patient.start()
    patient.house.ctl.query("DELETE FROM slotbell.time_zone WHERE name = 'Europe/Berlin'")
    patient.house.ctl.query("INSERT INTO slotbell.time_zone VALUES ('Mars/Base'), ('Mars/Camp')")
    finding = patient.look()["schema"]
    assert finding["result"] == "warn" and "has learnt 1 time zones and lost 2" in finding["seen"]
    assert finding["advice"] == "slotbellctl db upgrade"
    patient.house.ctl.run("db", "upgrade")
    assert patient.look()["schema"]["result"] == "ok"


def test_a_device_that_has_more_than_was_ever_published(patient):
    """An older state of the database came back."""
    patient.start()
    patient.house.enrol("ada@example.com")
    patient.house.ctl.query("UPDATE slotbell.device SET acked = 5")
    failed, found = patient.red()
    assert "schema" in failed and "1 devices in 1 mailboxes" in found["schema"]["seen"]
    assert "slotbellctl db new-epoch" in found["schema"]["advice"]
    patient.house.ctl.query("SELECT slotbell.new_epoch()")
    assert patient.look()["schema"]["result"] == "ok"


def test_the_database_down(patient):
    patient.start()
    house = patient.house
    house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS false")
    house.cluster.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{house.name}'")
    patient.daemon.wait_log('event="database down"')
    failed, found = patient.red()
    assert failed == {"database", "daemon", "ready"} and "not currently accepting connections" in found["database"]["seen"]
    assert found["daemon"]["seen"].startswith("degraded: ") and "the database is away" in found["ready"]["seen"]
    for name in ("schema", "rights", "listen", "queue", "clock"):
        assert (found[name]["result"], found[name]["seen"]) == ("not checked", "needs what failed above: database")
    house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS true")


def test_a_server_that_accepts_and_stays_mute_holds_nothing_up(patient):
    """As the database, and as whoever has the daemon's port."""
    patient.written()
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.create_server(("127.0.0.1", patient.daemon.port)):
        patient.daemon.configure(database__url=f"postgresql://somebody@127.0.0.1:{mute.getsockname()[1]}/slotbell")
        begun = time.monotonic()
        failed, found = patient.red()
        assert time.monotonic() - begun < 60
    assert {"database", "port", "daemon"} <= failed
    assert found["database"]["seen"].endswith("it does not answer") and 7000 < found["database"]["ms"] < 30000
    assert "it takes too long" in found["port"]["seen"] and "ss -ltnp" in found["port"]["advice"]


@pytest.mark.parametrize("url", ["postgresql://slotbelld:marked@secret@host:5432/slotbell", "postgresql://slotbelld:marked/secret@host/slotbell",
                                 "postgresql://slotbelld:mar%ked-secret@host/slotbell", "host=x password='marked secret"])  # fmt: skip
def test_a_url_that_cannot_be_read_is_not_repeated(patient, url):
    patient.written().configure(database__url=url)
    told = patient.run("--json", expect=1)
    assert "marked" not in told.stdout + told.stderr and "secret" not in told.stdout + told.stderr


def test_a_pooler_that_hands_connections_around(patient, bouncer):
    patient.start()
    with bouncer("transaction") as url:
        patient.daemon.configure(database__url=url)
        failed, found = patient.red()
        assert failed == {"listen"} and "a NOTIFY was not heard within 5 s" in found["listen"]["seen"]
        assert "PgBouncer in transaction mode" in found["listen"]["advice"]
        assert found["listen"]["ms"] >= 5000
    with bouncer("session") as url:
        patient.daemon.configure(database__url=url)
        assert patient.look()["listen"]["result"] == "ok"


def test_a_role_that_may_connect_once_only(patient):
    patient.start()
    patient.house.cluster.psql("CREATE ROLE lone LOGIN CONNECTION LIMIT 1; GRANT slotbell_daemon TO lone")
    try:
        patient.daemon.configure(database__url=patient.house.cluster.url(patient.house.name, "lone"))
        failed, found = patient.red()
        assert failed == {"listen"} and "there is no second connection: " in found["listen"]["seen"]
        assert "CONNECTION LIMIT" in found["listen"]["advice"]
    finally:
        patient.house.cluster.psql("DROP ROLE lone")


def test_a_queue_that_fills(patient):
    """A listener that sits in a transaction, and bookings go on. It is 8 GB: a thousandth of it is enough."""
    patient.start()
    with patient.house.connect() as idle, patient.house.connect() as other:
        idle.execute("LISTEN anything")
        idle.execute("BEGIN")
        idle.execute("SELECT 1")
        for i in range(20):
            other.execute("SELECT pg_notify('slotbell_test', repeat('x', 7900) || n) FROM generate_series(%s::int, %s::int) n", (i * 100, i * 100 + 99))
        usage = other.execute("SELECT pg_notification_queue_usage()").fetchone()[0]
        assert usage > 0.001
        pid = idle.info.backend_pid
        failed, found = patient.red("--queue-limit", "0.1")
        assert failed == {"queue"} and "% full" in found["queue"]["seen"]
        assert f"process {pid} (role postgres, database {patient.house.name}" in found["queue"]["advice"]
        assert patient.look("--queue-limit", "90")["queue"]["result"] == "ok"
        # Who is no administrator sees that it is full, and is told where to look.
        failed, found = patient.red("--queue-limit", "0.1", admin=False)
        assert failed == {"queue"} and "pg_stat_activity" in found["queue"]["advice"]


def test_a_clock_that_is_off(patient):
    patient.start()
    for ahead, result in (("60", "fail"), ("-60", "fail"), ("2", "warn"), ("0", "ok")):
        found = patient.look(known=clock_program(), env={"SLOTBELL_CLOCK_AHEAD": ahead}, expect=1 if result == "fail" else 0)
        assert found["clock"]["result"] == result, found["clock"]
        # Ours was made just now: a minute ago it was not valid yet.
        assert {name for name, finding in found.items() if finding["result"] == "fail"} <= {"clock", "certificate"}
    assert "ahead of this machine's" in patient.red(known=clock_program(), env={"SLOTBELL_CLOCK_AHEAD": "-60"})[1]["clock"]["seen"]


def test_a_server_that_takes_no_writes(patient):
    """A URL that leads to a server which takes no writes."""
    patient.start()
    patient.house.ctl.query(f"ALTER DATABASE {patient.house.name} SET default_transaction_read_only = on")
    try:
        failed, found = patient.red(admin=False)
        assert "database" in failed and "read-only" in found["database"]["seen"]
    finally:
        patient.house.cluster.psql(f"ALTER DATABASE {patient.house.name} RESET default_transaction_read_only")
