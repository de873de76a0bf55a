"""The store's two connections against what networks and servers do: mute hosts, deaf listeners, standbys, restarts."""

import socket
import time

import psycopg
import pytest
from store_help import SCHEMA, VERSION, Proxy, Store, cluster, edit_messages, until


@pytest.fixture(scope="module")
def server():
    with cluster() as running:
        running.psql(SCHEMA)
        yield running


@pytest.fixture
def sql(server):
    with psycopg.connect(server.url(), autocommit=True) as connection:
        yield connection.execute


def through(server, *ports, **options):
    """A URL that goes to 127.0.0.1 at these ports, in this order."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    words = "&".join(["sslmode=disable", *(f"{name}={value}" for name, value in options.items())])
    return f"postgresql://postgres:{server.password}@{hosts}/postgres?{words}"


def backend_of_listener(sql):
    """Its process and the port that it is called from."""
    # Its last statement is LISTEN or a NOTIFY to its own channel; the other one's may be a NOTIFY to that.
    return sql("SELECT pid, client_port FROM pg_stat_activity WHERE application_name = 'slotbelld' "
               "AND (query LIKE '%LISTEN slotbell_wake%' OR query LIKE 'NOTIFY slotbell_ping_' || pid || ',%') "
               "ORDER BY backend_start DESC LIMIT 1").fetchone()  # fmt: skip


def test_wakes_and_controls_reach_the_hub_and_nonsense_does_not(server, sql):
    with Store(server.url()).up() as store:
        for payload in ("", "x", "-5", "0", "12x", "99999999999999999999", " 7"):
            sql("SELECT pg_notify('slotbell_wake', %s)", [payload])
        sql("NOTIFY slotbell_wake, '42'")
        sql("NOTIFY slotbell_control, '9'")
        store.wait("recheck 9")
        assert store.answers("look") == [42]
        assert store.counters()["all"]["bad"] == 7


def test_controls_made_by_its_own_authenticate_are_ignored(server, sql):
    with Store(server.url()).up() as store:
        store.ask("authenticate 11 1")
        store.wait("authenticated 11")
        sql("NOTIFY slotbell_control, '12'")
        store.wait("recheck 12")  # notifications come in the order of commits: 11's came before
        assert store.answers("recheck") == [12]


def test_a_mute_host_first_is_left_after_its_deadline(server):
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts by its backlog, never says a word
        url = through(server, mute.getsockname()[1], server.port)
        with Store(url, connect_ms=300).up() as store:
            assert any("no answer within 300 ms" in line for line in store.lines)


def test_a_refusing_host_and_an_unknown_name_first_are_passed_over(server):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        url = (f"postgresql://postgres:{server.password}@no-such-host.invalid:1,127.0.0.1:{port},"
               f"localhost:{server.port}/postgres?sslmode=disable")  # fmt: skip
        with Store(url, connect_ms=5000).up() as store:
            assert store.count("problem no-such-host.invalid: ")


def test_a_listener_that_died_silently_is_noticed_and_made_anew(server, sql):
    with Proxy(server.port) as proxy, Store(through(server, proxy.port)).up() as store:
        _, port = backend_of_listener(sql)
        proxy.frozen.add(port)
        started = time.monotonic()
        store.wait("database down")
        assert time.monotonic() - started < 10  # 0.9 s, and what a busy machine adds
        assert any("should prove LISTEN did not come back" in line for line in store.lines)
        store.wait("database up")
        sql("NOTIFY slotbell_wake, '77'")
        store.wait("look 77")
        assert store.counters()["all"]["lost"] == 1


def test_a_query_connection_that_died_silently_is_noticed_and_its_questions_answered(server, sql):
    with Proxy(server.port) as proxy, Store(through(server, proxy.port), statement_timeout_ms=400).up() as store:
        listener = backend_of_listener(sql)[1]
        ports = [row[0] for row in sql("SELECT client_port FROM pg_stat_activity WHERE application_name = 'slotbelld'")]
        proxy.frozen.update(set(ports) - {listener})
        store.ask("authenticate 1 50")
        store.wait("database down")
        store.wait("authenticated", 50)
        assert store.answers("authenticated") == list(range(1, 51))


def test_an_idle_query_connection_that_died_silently_is_noticed(server, sql):
    with Proxy(server.port) as proxy, Store(through(server, proxy.port), statement_timeout_ms=200).up() as store:
        listener = backend_of_listener(sql)[1]
        ports = [row[0] for row in sql("SELECT client_port FROM pg_stat_activity WHERE application_name = 'slotbelld'")]
        proxy.frozen.update(set(ports) - {listener})
        store.wait("database down", seconds=5)
        assert any("no answer in time" in line for line in store.lines)
        store.wait("database up")


def test_either_connection_killed_comes_back_and_says_so(server, sql):
    with Store(server.url()).up() as store:
        for _ in range(2):
            pid, _ = backend_of_listener(sql)
            sql("SELECT pg_terminate_backend(%s)", [pid])
            store.wait("database down")
            store.wait("database up")
        sql("NOTIFY slotbell_wake, '5'")
        store.wait("look 5")


def test_a_stopped_server_is_used_soon_after_its_return():
    with cluster() as own:
        own.psql(SCHEMA)
        with Store(own.url()).up() as store:
            own.stop()
            store.wait("database down")
            store.ask("hold 1 5", "authenticate 1 20", "ack 1 20 abcd1234 3")
            store.settle()
            own.start()
            returned = time.monotonic()
            store.wait("database up")
            assert time.monotonic() - returned < 5  # it is tried every 0.8 s
            store.settle()
            assert store.answers("authenticated") == store.answers("ack") == list(range(1, 21))
            assert set(store.answers("state")) == {1, 2, 3, 4, 5}


def test_a_crashed_server_is_used_again():
    with cluster() as own:
        own.psql(SCHEMA)
        with Store(own.url()).up() as store:
            own.kill()
            store.wait("database down")
            own.start()
            store.wait("database up")


def test_a_standby_is_refused_in_words_and_used_once_promoted():
    with cluster() as primary:
        primary.psql(SCHEMA)
        other = primary.standby()
        try:
            other.start()
            with Store(other.url()) as store:
                assert "is a standby" in store.wait("problem")
                # The word is said once for each connection at the most, though attempts come several a second.
                other.promote()
                store.wait("database up")
                assert store.count("problem") <= 2
        finally:
            other.close()


def test_of_a_standby_and_a_primary_the_primary_is_taken():
    with cluster() as primary:
        primary.psql(SCHEMA)
        other = primary.standby()
        try:
            other.start()
            url = f"host={other.socket_dir},{primary.socket_dir} port={other.port},{primary.port} user=postgres dbname=postgres"
            with Store(url).up() as store:
                assert store.count("problem")
        finally:
            other.close()


def test_a_read_only_server_is_refused_in_words(server):
    server.psql("CREATE ROLE reader LOGIN SUPERUSER; ALTER ROLE reader SET default_transaction_read_only = on")
    with Store(server.url(user="reader")) as store:
        assert "read-only" in store.wait("problem")


@pytest.mark.parametrize("sql_before,words", [
    ("", "run slotbellctl db init"),
    ("CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner; CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE sql AS 'SELECT 0'",
     f"too old, this slotbelld needs {VERSION}; run slotbellctl db upgrade"),
    ("CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner; CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE sql AS 'SELECT 999'",
     "version 999 and too new"),
    (f"CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner; CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE sql AS 'SELECT {int(VERSION) - 1}'",
     f"version {int(VERSION) - 1} and too old"),
    (f"CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner; CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE sql AS 'SELECT {int(VERSION) + 2}'",
     f"version {int(VERSION) + 2} and too new, this slotbelld works with {VERSION} and {int(VERSION) + 1}"),
    (f"CREATE SCHEMA slotbell AUTHORIZATION slotbell_owner; CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE sql AS 'SELECT {VERSION}'",
     "lacks functions"),
    ("CREATE SCHEMA slotbell; CREATE FUNCTION slotbell.schema_version() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''it ran''; END'",
     "does not belong to slotbell_owner"),
])  # fmt: skip
def test_a_schema_that_is_not_ours_is_refused_in_words(server, sql_before, words):
    server.drop_database("other")
    server.create_database("other")
    if sql_before:
        server.psql(sql_before, "other")
    with Store(server.url("other")) as store:
        assert words in store.wait("problem")
        assert not store.count("database up")


def test_the_next_schema_is_worked_with(server):
    """So that the database can be upgraded first, and a daemon be rolled back."""
    server.drop_database("ahead")
    server.create_database("ahead")
    server.psql(SCHEMA.replace(f"'SELECT {VERSION}'", f"'SELECT {int(VERSION) + 1}'"), "ahead")
    with Store(server.url("ahead")) as store:
        store.wait("database up")
        assert not store.count("problem")


def test_a_schema_that_comes_later_is_found(server):
    server.drop_database("later")
    server.create_database("later")
    with Store(server.url("later")) as store:
        store.wait("problem")
        server.psql(SCHEMA, "later")
        store.wait("database up")


def test_missing_rights_are_said_in_words(server):
    server.psql("DROP ROLE IF EXISTS nobody_special; CREATE ROLE nobody_special LOGIN")
    with Store(server.url(user="nobody_special")) as store:
        assert 'GRANT slotbell_daemon TO "nobody_special"' in store.wait("problem")
    server.psql("GRANT USAGE ON SCHEMA slotbell TO nobody_special; "
                "REVOKE EXECUTE ON FUNCTION slotbell.ack FROM PUBLIC")  # fmt: skip
    with Store(server.url(user="nobody_special")) as store:
        assert 'GRANT slotbell_daemon TO "nobody_special"' in store.wait("problem")


def test_a_wrong_password_is_said_and_never_repeated(server):
    url = f"postgresql://postgres:hunter-two@127.0.0.1:{server.port}/postgres"
    with Store(url) as store:
        assert "password authentication failed" in store.wait("problem")
    assert not any("hunter-two" in line for line in store.lines + store.log)


def test_a_pooler_that_hands_connections_around_is_named(server):
    def pool(kind, body):
        if kind == b"A":
            return None  # a notification that came while no client had the server
        return b"\0\0\0\7" + body[4:] if kind == b"K" else body  # its own process ids

    with Proxy(server.port, edit_messages(pool)) as proxy, Store(through(server, proxy.port)) as store:
        assert "PgBouncer in transaction mode" in _wait_for_words(store, "pooler")
        assert not store.count("database up")


def test_two_connections_to_two_servers_are_refused_in_words(server):
    with cluster() as other:
        other.psql(SCHEMA)
        other.psql(f"ALTER ROLE postgres PASSWORD '{server.password}'")

        class Fork(Proxy):
            """Every second connection goes elsewhere, as two nodes behind one address do."""

            @property
            def target(self):
                self.turn = not getattr(self, "turn", False)
                return server.port if self.turn else other.port

            @target.setter
            def target(self, _):
                pass

        with Fork(server.port) as proxy, Store(through(server, proxy.port)) as store:
            assert "two different servers" in _wait_for_words(store, "two different")


def test_a_reply_that_comes_byte_by_byte_is_read(server):
    class Dripping(Proxy):
        def _carry(self, client, server_end):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super()._carry(Drips(client), server_end)

    class Drips(socket.socket):
        """The same socket, which sends each byte in a packet of its own."""

        def __init__(self, whole):
            super().__init__(fileno=whole.detach())

        def sendall(self, data):
            for n in range(len(data)):
                self.send(data[n : n + 1])

    with Dripping(server.port) as proxy, Store(through(server, proxy.port), connect_ms=10000).up() as store:
        store.ask("fetch 1 40 0", "authenticate 1 100")
        store.wait("authenticated", 100)
        if store.count("fetched") < 40:
            store.wait("fetched", 40 - store.count("fetched"))
        assert store.answers("authenticated") == list(range(1, 101))
        assert store.answers("fetched") == list(range(1, 41))


def test_functions_that_vanish_are_noticed_and_their_return_too(server):
    server.drop_database("moving")
    server.create_database("moving")
    server.psql(SCHEMA, "moving")
    with Store(server.url("moving")).up() as store:
        server.psql("ALTER FUNCTION slotbell.ack RENAME TO ack_gone", "moving")
        store.ask("ack 1 3 abcd1234 1")
        store.wait("database down")
        server.psql("ALTER FUNCTION slotbell.ack_gone RENAME TO ack", "moving")
        store.wait("ack ", 3)
        assert store.answers("ack") == [1, 2, 3]


def _wait_for_words(store, words):
    return until(lambda: words in (line := store.wait("problem")) and line)
