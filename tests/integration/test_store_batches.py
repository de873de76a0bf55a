"""The store's questions against a real PostgreSQL: batches, halving, answers exactly once."""

import time

import psycopg
import pytest
from store_help import SCHEMA, Proxy, Store, cluster, until


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


def waiting_backend(sql):
    """The store's backend that hangs on a lock, or None."""
    row = sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'slotbelld' AND wait_event_type = 'Lock' "
              "AND datname = current_database()").fetchone()  # fmt: skip
    return row and row[0]


def test_each_kind_is_answered_with_what_its_row_says(database, sql):
    sql("UPDATE slotbell.device SET revoked = true WHERE id = 8")
    with Store(database).up() as store:
        store.ask("authenticate 7 2", "authenticate 30000 1", "fetch 3 1 100", "fetch 4 1 5", "ack 7 1 abcd1234 50 49",
                  "ack 9 1 other 50", "recheck 8 1", "recheck 30000 1")  # fmt: skip
        assert store.wait("authenticated 7") == "authenticated 7 0 7 box7@example.com 1 0 0 70 abcd1234"
        store.wait("state", 2)
        store.wait("ack", 1) if store.count("ack") < 2 else None
        store.settle()
        assert "authenticated 8 2 0 - 0 0 0 0 " in store.lines
        assert "authenticated 30000 1 0 - 0 0 0 0 " in store.lines
        assert ("fetched 3 100 103 101,1101,created,uid-3-1,at,Grüße,[],30 102,1102,created,uid-3-2,at,Grüße,[],30 "
                "103,1103,cancelled,uid-3-3,-,-,-,0") in store.lines  # fmt: skip
        assert "fetched 4 5 5" in store.lines
        assert "ack 7 saved 50" in store.lines
        assert "ack 9 stale 0" in store.lines
        assert "state 8 2 0 0" in store.lines
        assert "state 30000 1 0 0" in store.lines
    assert sql("SELECT device_id, seq, reason FROM slotbell.receipt").fetchall() == [(7, 49, "conflict")]


def test_five_thousand_authenticates_share_a_few_statements(database):
    with Store(database).up() as store:
        store.ask("authenticate 1 5000")
        store.wait("authenticated", 5000)
        counters = store.counters()["authenticate"]
        assert store.answers("authenticated") == list(range(1, 5001))
        assert counters["asked"] == counters["answered"] == counters["items"] == 5000
        assert counters["statements"] == 10  # of 500 each


def test_questions_that_keep_coming_to_a_busy_database_share_statements_too(server, database):
    """One by one, as bookings come, to a database that takes 10 ms: without pace.h some 9 share a statement."""

    def slow():
        def reply(data):
            time.sleep(0.01)
            return data

        return reply

    count = 1500
    with Proxy(server.port, slow) as proxy:
        url = f"{database}&host=127.0.0.1&port={proxy.port}&password={server.password}&sslmode=disable"  # the later ones count
        with Store(url, connect_ms=10000).up() as store:
            before = store.counters()["fetch"]
            for n in range(1, count + 1):
                store.ask(f"fetch {n} 1 0")
                time.sleep(0.001)  # the rate is what is tested
            store.wait("fetched", count - store.count("fetched"))
            after = store.counters()["fetch"]
    assert after["answered"] - before["answered"] == count
    statements = after["statements"] - before["statements"]
    assert statements <= count / 12, f"{statements} statements"


def test_one_turns_questions_share_a_statement_of_each_kind(database):
    with Store(database).up() as store:
        before = store.counters()
        store.ask(*[f"authenticate {n} 1" for n in range(1, 51)], *[f"fetch {n} 1 0" for n in range(1, 51)])
        store.wait("fetched", 50)
        store.settle()
        after = store.counters()
        assert store.answers("authenticated") == store.answers("fetched") == list(range(1, 51))
        for kind in ("authenticate", "fetch"):
            assert after[kind]["statements"] - before[kind]["statements"] == 1


@pytest.mark.parametrize("kind,good,bad", [("authenticate", "authenticated", "authenticate-failed"),
                                           ("ack", "ack", "ack-failed"), ("fetch", "fetched", "fetch-failed")])  # fmt: skip
def test_a_poisoned_item_hurts_itself_only(database, sql, kind, good, bad):
    sql("INSERT INTO slotbell.poison VALUES (17), (133)")
    tail = {"authenticate": "", "ack": " abcd1234 5", "fetch": " 0"}[kind]
    with Store(database).up() as store:
        store.ask(f"{kind} 1 150{tail}")
        store.wait(bad, 2)
        store.settle()
        if store.count(f"{good} ") < 148:
            store.wait(f"{good} ", 148 - store.count(f"{good} "))
        assert store.answers(bad) == [17, 133]
        assert store.answers(good) == [n for n in range(1, 151) if n not in (17, 133)]
        assert store.counters()[kind]["statements"] < 40
        assert store.counters()["all"]["ups"] == 1  # the connection never suffered
    assert not any("not for any log" in line for line in store.log)


def test_a_connection_killed_amid_batches_answers_each_question_once(database, sql):
    with Store(database, lock_timeout_ms=60000, statement_timeout_ms=60000).up() as store:
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("authenticate 1 700", "ack 1 300 abcd1234 9", "fetch 1 300 0", "recheck 1 300")
            pid = until(lambda: waiting_backend(sql))
            assert sql("SELECT pg_terminate_backend(%s)", [pid]).fetchone()[0]
            store.wait("database down")
            # Asked while it is away: they wait.
            store.ask("authenticate 701 100")
            gate.rollback()
        store.wait("database up")
        store.ask("flush")
        store.wait("flushed 0")
        for word, count in (("authenticated", 800), ("ack", 300), ("fetched", 300), ("state", 300)):
            if store.count(f"{word} ") < count:
                store.wait(f"{word} ", count - store.count(f"{word} "))
        store.settle()
        assert store.answers("authenticated") == list(range(1, 801))
        for word in ("ack", "fetched", "state"):
            assert store.answers(word) == list(range(1, 301))
        assert not store.count("authenticate-failed") + store.count("ack-failed") + store.count("fetch-failed")


def test_a_lock_that_is_not_let_go_fails_the_items_and_not_the_connection(database, sql):
    with Store(database, lock_timeout_ms=50).up() as store:
        with psycopg.connect(database) as holder:
            holder.execute("SELECT FROM slotbell.device WHERE id = 3 FOR UPDATE")
            store.ask("ack 1 8 abcd1234 9")
            store.wait("ack-failed 3")
            if store.count("ack ") < 7:
                store.wait("ack ", 7 - store.count("ack "))
        assert store.answers("ack") == [1, 2, 4, 5, 6, 7, 8]
        assert store.counters()["all"]["ups"] == 1


def test_what_is_asked_while_a_statement_flies_is_one_next_statement(database, sql):
    with Store(database, lock_timeout_ms=60000).up() as store:
        before = store.counters()["ack"]["statements"]
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("ack 1 1 abcd1234 1")
            until(lambda: waiting_backend(sql))
            for n in range(2, 42):
                store.ask(f"ack {n} 1 abcd1234 1")
                store.settle()  # each in a turn of its own
            gate.rollback()
        store.wait("ack ", 41)
        assert store.counters()["ack"]["statements"] - before == 2


def test_a_device_asked_for_again_while_its_answer_flies_is_asked_again(database, sql):
    with Store(database, lock_timeout_ms=60000).up() as store:
        before = store.counters()["reconcile"]["items"]
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("recheck 5 1")
            until(lambda: waiting_backend(sql))
            store.ask("recheck 5 1", "recheck 6 1", "recheck 6 1", "recheck 5 1")
            store.settle()
            gate.rollback()
        store.wait("state", 3)
        store.settle()
        assert store.answers("state") == [5, 5, 6]
        assert store.counters()["reconcile"]["items"] - before == 3


def test_everything_held_is_reconciled_in_chunks_before_up_and_on_demand(database):
    with Store(database, reconcile_seconds=3600) as store:
        store.ask("hold 1 2500")
        store.up()
        assert store.answers("state") == list(range(1, 2501))
        assert store.counters()["reconcile"]["statements"] == 3
        store.ask("reconcile-all")
        store.wait("state", 2500)


def test_the_periodic_reconcile_comes_by_itself(database):
    with Store(database, reconcile_seconds=1) as store:
        store.ask("hold 1 3")
        store.up()
        store.wait("state", 6, seconds=10)


def test_an_ack_of_a_device_that_is_gone_is_not_saved_and_no_failure(database, sql):
    """Core asks for the device's row then, and closes with its reason; a failure would send the session to come back."""
    sql("UPDATE slotbell.device SET revoked = true WHERE id = 4")
    with Store(database).up() as store:
        store.ask("ack 4 1 abcd1234 9")
        assert store.wait("ack 4").split()[2] == "stale"
        assert store.answers("ack-failed") == []


def test_flush_waits_for_acks_in_flight(database, sql):
    with Store(database, lock_timeout_ms=60000).up() as store:
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("ack 1 5 abcd1234 1", "flush")
            until(lambda: waiting_backend(sql))
            store.settle()
            assert not store.count("flushed")
            gate.rollback()
        assert store.wait("flushed") == "flushed 0"
        assert store.answers("ack") == [1, 2, 3, 4, 5]


def test_closing_amid_a_statement_leaves_nothing_behind(database, sql):
    with Store(database, lock_timeout_ms=60000).up() as store:
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("authenticate 1 600", "recheck 1 10", "ack 1 10 abcd1234 1")
            until(lambda: waiting_backend(sql))
            store.ask("close")
            store.wait("closed")
            gate.rollback()


def test_questions_beyond_the_bound_are_refused(database, sql):
    sql("UPDATE slotbell.device SET revoked = false WHERE id = 1")
    with Store(database, lock_timeout_ms=60000, statement_timeout_ms=60000).up() as store:
        with psycopg.connect(database) as gate:
            gate.execute("LOCK TABLE slotbell.gate IN ACCESS EXCLUSIVE MODE")
            store.ask("fetch 1 65537 0")
            store.wait("refused 65537")
            store.settle()
            assert store.count("refused") == 1
            gate.rollback()
        store.wait("fetched 65536 0", seconds=60)
