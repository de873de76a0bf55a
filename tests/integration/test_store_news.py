"""What the store tells without an answer, and the sweep beside it, against a real PostgreSQL."""

import psycopg
import pytest
from store_help import SCHEMA, Store, cluster, until


@pytest.fixture(scope="module")
def server():
    with cluster() as running:
        yield running


@pytest.fixture
def database(server, request):
    name = request.node.name[:60]
    server.create_database(name)
    server.psql(SCHEMA, name)
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def sql(database):
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection.execute


def said(sql, word):
    return sql("SELECT a, b, c FROM slotbell.said WHERE word = %s AND a <> '{}' ORDER BY id", [word]).fetchall()


def waits(sql):
    return sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slotbelld' AND wait_event_type = 'Lock'"
               " AND datname = current_database()").fetchone()[0]  # fmt: skip


SWEPT = "SELECT a, b, c FROM slotbell.said WHERE word = 'sweep' ORDER BY id"


# ---- sent and presence ----


def test_news_are_written_in_batches_as_they_were_told(database, sql):
    with Store(database, lock_timeout_ms=60000).up() as store:
        until(lambda: sql("SELECT count(*) FROM slotbell.lease").fetchone()[0])
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("presence 1 1 1")
            until(lambda: waits(sql))
            store.ask("presence 2 2 1", "presence 1 1 0", "sent 1 2")
            store.settle()
            gate.rollback()
        until(lambda: len(said(sql, "presence")) == 2 and said(sql, "sent"))
        assert said(sql, "presence") == [("{1}", "{1}", "{t}"), ("{2,3,1}", "{2,3,1}", "{t,t,f}")]
        assert said(sql, "sent") == [("{1,2,2}", "{100,100,101}", "{1000000,1000000,2000000}")]


def test_a_thousand_sessions_that_begin_at_once_are_a_few_statements(database, sql):
    with Store(database).up() as store:
        store.ask("presence 1 2500 1")
        until(lambda: sql("SELECT sum(cardinality(a::bigint[])) FROM slotbell.said WHERE word = 'presence'").fetchone()[0] == 2500)
        assert len(said(sql, "presence")) == 3
        assert store.counters()["presence"]["failed"] == 0


def test_a_lease_is_renewed_for_as_long_as_the_daemon_lives(database, sql):
    with Store(database, lease_ms=100).up() as store:
        until(lambda: sql("SELECT count(*) FROM slotbell.said WHERE word = 'presence' AND a = '{}'").fetchone()[0] >= 3)
        assert sql("SELECT name, seconds FROM slotbell.lease").fetchall() == [("0000abcd", 1)]
        store.settle()
        assert store.count("tell-presence") == 1, "of the first one nobody knew"


def test_a_database_that_lost_the_lease_is_told_of_all(database, sql):
    with Store(database, lease_ms=100) as store:
        store.ask("hold 7 2")
        store.up()
        store.wait("tell-presence")
        until(lambda: ("{7,8}", "{7,8}", "{t,t}") in said(sql, "presence"))
        sql("DELETE FROM slotbell.lease")
        store.wait("tell-presence")
        until(lambda: said(sql, "presence").count(("{7,8}", "{7,8}", "{t,t}")) == 2)


def test_news_that_fail_hurt_nobody_else(database, sql):
    sql("INSERT INTO slotbell.poison VALUES (5)")
    with Store(database).up() as store:
        store.ask("presence 1 8 1", "sent 1 8")
        until(lambda: sql("SELECT sum(cardinality(a::bigint[])) FROM slotbell.said WHERE word = 'presence'").fetchone()[0] == 7)
        until(lambda: sql("SELECT count(DISTINCT d) FROM slotbell.said, unnest(a::bigint[]) d WHERE word = 'sent'").fetchone()[0] == 7)
        assert store.counters()["all"]["ups"] == 1


def test_news_told_while_the_database_is_away_arrive_when_it_is_back(database, sql):
    with Store(database).up() as store:
        until(lambda: sql(SWEPT).fetchall())
        pids = sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'slotbelld'"
                   " AND datname = current_database()").fetchall()  # fmt: skip
        assert len(pids) == 3, "listener, queries and sweep"
        store.wait("database down")
        store.ask("presence 1 3 1")
        store.wait("database up")
        until(lambda: ("{1,2,3}", "{1,2,3}", "{t,t,t}") in said(sql, "presence"))


# ---- the sweep ----


def test_it_goes_through_a_round_and_begins_again(database, sql):
    with Store(database, sweep_every_ms=50).up() as store:
        until(lambda: len(sql(SWEPT).fetchall()) >= 5)
        rows = sql(SWEPT).fetchall()[:5]
        assert [row[0] for row in rows] == ["0", "10", "20", "0", "10"], "mailboxes by the round"
        assert [row[1] for row in rows] == ["0", "1", "2", "3", "4"], "devices on and on"
        assert {row[2] for row in rows} == {"200 1000 5 14 90 90"}
        counters = store.counters()["all"]
        assert counters["sweeping"] == 1 and counters["sweeps"] >= 5
        assert counters["removed"] == 6 * counters["events"] > 0
    assert any("swept" in line and "events=3 expired=6 bookings=9 receipts=12 stale=15 removed=18" in line for line in store.log)


def test_of_two_daemons_one_sweeps_and_the_other_goes_on_when_it_ends(database, sql):
    with Store(database, sweep_every_ms=50).up() as two:
        until(lambda: sql(SWEPT).fetchall())
        with Store(database, sweep_every_ms=50).up() as one:
            before = two.counters()["all"]["sweeps"]
            until(lambda: two.counters()["all"]["sweeps"] >= before + 5)
            assert one.counters()["all"]["sweeps"] == 0
            two.ask("close")
            two.wait("closed")
            until(lambda: one.counters()["all"]["sweeps"] > 0)


def test_an_error_is_told_once_and_tried_again(database, sql):
    sql("INSERT INTO slotbell.sweep_fault VALUES ('55P03')")
    with Store(database, sweep_every_ms=20).up() as store:
        until(lambda: store.counters()["all"]["sweeps"] >= 5)
        sql("DELETE FROM slotbell.sweep_fault")
        until(lambda: sql(SWEPT).fetchall())
        assert store.counters()["all"]["ups"] == 1
    assert sum("cannot sweep" in line for line in store.log) == 1


def test_its_connection_comes_back_and_the_others_never_notice(database, sql):
    with Store(database, sweep_every_ms=20).up() as store:
        until(lambda: sql(SWEPT).fetchall())
        assert sql("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                   " (SELECT oid FROM pg_database WHERE datname = current_database())").fetchone()[0] == 1  # fmt: skip
        seen = len(sql(SWEPT).fetchall())
        until(lambda: len(sql(SWEPT).fetchall()) > seen + 1)
        assert store.counters()["all"]["ups"] == 1


def test_the_server_ends_a_sweepers_session_that_it_does_not_hear_of(database, sql):
    """A host that died holds the lock no longer than this."""
    with Store(database, sweep_every_ms=20).up():
        until(lambda: sql(SWEPT).fetchall())
        sql("CREATE FUNCTION slotbell.settings() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', current_setting('idle_session_timeout'),"
            " current_setting('lock_timeout'), current_setting('synchronous_commit')) $$")  # fmt: skip
        sql("CREATE TABLE slotbell.seen (settings text)")
        sql("CREATE FUNCTION slotbell.see() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO slotbell.seen VALUES (slotbell.settings()); RETURN NULL; END $$")  # fmt: skip
        sql("CREATE TRIGGER see AFTER INSERT ON slotbell.said FOR EACH ROW WHEN (NEW.word = 'sweep') EXECUTE FUNCTION slotbell.see()")
        until(lambda: sql("SELECT count(*) FROM slotbell.seen").fetchone()[0])
        assert sql("SELECT DISTINCT settings FROM slotbell.seen").fetchall() == [("1min 100ms off",)]
