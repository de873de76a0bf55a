"""The owner of an attached table, and anybody who may connect, as attackers: their code never runs with another role's rights.

Each victim logs in and calls what an administrator would call. The payload notes in shop.log which role runs it.
"""

import contextlib

import psycopg
import pytest
from fixtures_attach import ADA, BOB, ROLES, TABLE, TO_COME
from fixtures_sql import STEPS, Database, apply_schema
from test_sql_order import in_thread, wait_until, waits_for_a_lock

pytest_plugins = ["fixtures_attach"]

BOTH = f"SELECT slotbell.resync(ARRAY['{ADA}', '{BOB}'])"
VICTIMS = ["postgres", "administrator", "publisher"]
LOG = """
CREATE TABLE shop.log (who text, session text);
GRANT INSERT ON shop.log TO PUBLIC;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
"""
NOTE = "INSERT INTO shop.log VALUES (current_user, session_user)"
CAST = f"""
CREATE TYPE shop.trojan AS (x int);
CREATE FUNCTION shop.to_json(shop.trojan) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN '{{}}'; END $$;
CREATE CAST (shop.trojan AS jsonb) WITH FUNCTION shop.to_json(shop.trojan) AS ASSIGNMENT;
CREATE FUNCTION shop.to_text(shop.trojan) RETURNS text LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN '{{}}'; END $$;
CREATE CAST (shop.trojan AS text) WITH FUNCTION shop.to_text(shop.trojan) AS ASSIGNMENT;
DROP FUNCTION shop.slotbell_rows_appointments(text[]);
CREATE FUNCTION shop.slotbell_rows_appointments(text[]) RETURNS TABLE (x shop.trojan, y int) LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN x.x := 1; RETURN NEXT; END $$;
GRANT EXECUTE ON FUNCTION shop.slotbell_rows_appointments(text[]) TO PUBLIC;
"""
DEFERRED = f"""
CREATE TABLE shop.bait (x int);
CREATE FUNCTION shop.late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON shop.bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.late();
CREATE OR REPLACE FUNCTION shop.slotbell_rows_appointments(text[]) RETURNS SETOF jsonb LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO shop.bait VALUES (1); END $$;
"""


def ran_as(shop):
    return set(shop.db.query("SELECT who FROM shop.log"))


@contextlib.contextmanager
def refusing(*states):
    """Whether it fails is not the point here; what it fails with, if it does, is."""
    try:
        yield
    except psycopg.Error as error:
        assert error.sqlstate in states, error


def resync_as(shop, who):
    with shop.connect(who) as victim, refusing("SB028"):
        victim.execute("SELECT slotbell.resync(%s)", (ADA,))


@pytest.fixture
def hostile(attached):
    """Its owner means harm. A booking is there to publish."""
    attached.owner.execute(LOG)
    attached.book()
    attached.db.enrol(ADA)
    return attached


# ---- resync() ----


@pytest.mark.parametrize("who", VICTIMS)
@pytest.mark.parametrize("trap", [CAST, DEFERRED], ids=["cast", "deferred trigger"])
def test_nothing_of_the_owner_runs_in_another_session(hostile, trap, who):
    hostile.db.connect().execute("GRANT shopkeeper TO publisher, administrator")
    try:
        hostile.owner.execute(trap)
        resync_as(hostile, who)
    finally:
        hostile.db.connect().execute("REVOKE shopkeeper FROM publisher, administrator")
    assert ran_as(hostile) == set()


def flip(shop):
    """The first table's function waits; meanwhile the second's, which was looked at already, becomes its caller's."""
    shop.owner.execute("CREATE TABLE shop.zebras (LIKE shop.appointments INCLUDING ALL)")
    shop.attach("shop.zebras")
    shop.owner.execute("CREATE OR REPLACE FUNCTION shop.slotbell_rows_appointments(text[]) RETURNS SETOF jsonb LANGUAGE plpgsql SECURITY DEFINER AS"
                       " $$ BEGIN PERFORM pg_advisory_xact_lock(7); END $$")  # fmt: skip
    with shop.db.connect() as gate, shop.connect("postgres") as victim:
        gate.execute("SELECT pg_advisory_lock(7)")
        going = in_thread(lambda: victim.execute("SELECT slotbell.resync(%s)", (ADA,)))
        wait_until("it waits or is over", lambda: not going.is_alive() or waits_for_a_lock(shop.db, victim))
        shop.owner.execute(f"CREATE OR REPLACE FUNCTION shop.slotbell_rows_zebras(text[]) RETURNS SETOF jsonb LANGUAGE plpgsql SECURITY INVOKER AS"
                           f" $$ BEGIN {NOTE}; END $$")  # fmt: skip
        gate.execute("SELECT pg_advisory_unlock(7)")
        with refusing("SB028"):
            going.result()
    return ran_as(shop)


def test_a_function_that_is_replaced_between_look_and_call_is_not_called(hostile):
    assert flip(hostile) == set()


# The remedy is taken out: any session counts as the owner's, and values come as they are.
ANY_SESSION = [
    ("me name := slotbell.own_session()", "me name := (SELECT rolname FROM pg_roles WHERE rolname = 'shopkeeper')"),
    ("SELECT slotbell_rows::text", "SELECT *"), ("booking text;", "booking jsonb;"), ("resync_row(booking,", "resync_row(booking::text,"),
]  # fmt: skip


@pytest.mark.parametrize("trap", [CAST, DEFERRED, None], ids=["cast", "deferred trigger", "flip"])
def test_without_asking_whose_session_it_is_all_three_would_win(hostile, trap):
    body = hostile.db.one("SELECT pg_get_functiondef('slotbell.resync(text[])'::regprocedure)")
    for old, new in ANY_SESSION:
        assert old in body
        body = body.replace(old, new)
    hostile.db.connect().execute(body)
    if trap is None:
        assert flip(hostile) == {"postgres"}
    else:
        hostile.owner.execute(trap)
        with hostile.db.connect() as victim, contextlib.suppress(psycopg.Error):
            victim.execute("SELECT slotbell.resync(%s)", (ADA,))
        assert ran_as(hostile) == {"postgres"}


AS_OWNER = ["SET ROLE shopkeeper", "SET SESSION AUTHORIZATION shopkeeper"]


@pytest.mark.parametrize("wall", AS_OWNER)
def test_a_session_that_only_plays_the_owner_is_refused(hostile, wall):
    """RESET inside a deferred trigger would take the session's own rights back."""
    hostile.owner.execute(DEFERRED.replace(NOTE, f"RESET ROLE; RESET SESSION AUTHORIZATION; {NOTE}"))
    with hostile.connect("postgres") as victim:
        victim.execute(wall)
        with pytest.raises(psycopg.Error) as caught:
            victim.execute("SELECT slotbell.resync(%s)", (ADA,))
        assert caught.value.sqlstate == "SB028" and "Log in as the owner" in caught.value.diag.message_hint
        assert hostile.refused("SB021", connection=victim).message_hint.startswith("Log in as shopkeeper")
    assert ran_as(hostile) == set()


def test_a_function_with_the_owners_rights_in_anothers_session_is_refused(hostile):
    hostile.owner.execute(f"CREATE FUNCTION shop.help() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT slotbell.resync('{ADA}') $$")
    with hostile.connect("postgres") as victim, pytest.raises(psycopg.Error) as caught:
        victim.execute("SELECT shop.help()")
    assert caught.value.sqlstate == "SB028"


def test_the_owners_own_session_runs_the_owners_code_as_the_owner(hostile):
    hostile.owner.execute(DEFERRED)
    hostile.owner.execute("SELECT slotbell.resync(%s)", (ADA,))
    assert hostile.db.query("SELECT * FROM shop.log") == [("shopkeeper", "shopkeeper")]


# ---- what a role that may only connect can make ----

TEMPORARY = f"""
CREATE TEMP TABLE appointments (x int);
CREATE TYPE pg_temp.trojan AS (x int);
CREATE FUNCTION pg_temp.to_json(pg_temp.trojan) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN {NOTE}; RETURN '{{}}'; END $$;
CREATE CAST (pg_temp.trojan AS jsonb) WITH FUNCTION pg_temp.to_json(pg_temp.trojan) AS ASSIGNMENT;
CREATE FUNCTION pg_temp.slotbell_ring_x() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION pg_temp.slotbell_rows_x(text[]) RETURNS TABLE (x pg_temp.trojan, y int) LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN x.x := 1; RETURN NEXT; END $$;
GRANT EXECUTE ON FUNCTION pg_temp.slotbell_rows_x(text[]), pg_temp.to_json(pg_temp.trojan) TO PUBLIC;
CREATE TRIGGER slotbell_ring AFTER INSERT ON appointments FOR EACH ROW EXECUTE FUNCTION pg_temp.slotbell_ring_x();
"""


@pytest.mark.parametrize("who", ["postgres", "shopkeeper"])
def test_temporary_tables_of_a_stranger_count_for_nothing(hostile, who):
    with hostile.connect("stranger") as stranger:
        stranger.execute(TEMPORARY)
        resync_as(hostile, who)
        assert ran_as(hostile) == set()
        assert hostile.owner.execute("SELECT relation FROM slotbell.attachment").fetchall() == [("shop.appointments",)]
        hostile.owner.execute(BOTH)
        assert hostile.owner.execute("SELECT * FROM slotbell.needs_resync").fetchall() == [], "nor can they keep a need open"


def test_a_table_of_somebody_who_may_not_publish_counts_for_nothing(hostile):
    hostile.db.connect().execute("CREATE SCHEMA stranger AUTHORIZATION stranger")
    stranger = hostile.connect("stranger")
    stranger.execute(TEMPORARY.replace("CREATE TEMP TABLE appointments", "CREATE TABLE stranger.t").replace("ON appointments", "ON stranger.t")
                     .replace("pg_temp", "stranger"))  # fmt: skip
    resync_as(hostile, "postgres")
    hostile.owner.execute(BOTH)
    assert ran_as(hostile) == set() and hostile.owner.execute("SELECT * FROM slotbell.needs_resync").fetchall() == []
    assert not any("stranger" in words for _, words in hostile.warnings())


# ---- attach() and detach() ----

PLANNED = f"""
CREATE FUNCTION shop.note() RETURNS void LANGUAGE plpgsql AS $$ BEGIN {NOTE}; END $$;
CREATE FUNCTION shop.fixed(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM shop.note(); RETURN 1; END $$;
CREATE INDEX trap ON shop.appointments ((shop.fixed(1)));
TRUNCATE shop.log;
"""


def test_attach_evaluates_nothing_of_a_table_in_another_session(shop):
    """An index expression is evaluated when a query over the table is planned."""
    shop.owner.execute(LOG)
    shop.owner.execute(PLANNED)
    with shop.connect("postgres") as victim:
        said = shop.refused("SB021", connection=victim)
    assert "belongs to shopkeeper" in said.message_primary and "postgres" in said.message_detail
    assert ran_as(shop) == set()


def test_detach_by_a_superuser_evaluates_nothing(hostile):
    hostile.owner.execute(PLANNED)
    hostile.owner.execute(DEFERRED)
    assert hostile.connect("postgres").execute("SELECT slotbell.detach('shop.appointments')").fetchone() == (True,)
    assert ran_as(hostile) == set()
    assert hostile.db.query("SELECT proname FROM pg_proc WHERE proname ~ '^slotbell_r' AND pronamespace = 'shop'::regnamespace") == []


def test_detach_drops_no_function_of_another_owner(hostile):
    """The other one lent its function to a trigger of this name."""
    hostile.db.connect().execute("CREATE SCHEMA publisher AUTHORIZATION publisher")
    publisher = hostile.connect("publisher")
    publisher.execute("CREATE TABLE publisher.t (x int)")
    hostile.owner.execute("GRANT EXECUTE ON FUNCTION shop.slotbell_ring_appointments() TO publisher; CREATE FUNCTION shop.slotbell_ring_two()"
                          " RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")  # fmt: skip
    publisher.execute("CREATE TRIGGER slotbell_ring AFTER INSERT ON publisher.t FOR EACH ROW EXECUTE FUNCTION shop.slotbell_ring_two()")
    assert hostile.connect("postgres").execute("SELECT slotbell.detach('publisher.t')").fetchone() == (True,)
    assert hostile.db.query("SELECT proname FROM pg_proc WHERE proname = 'slotbell_ring_two'") == ["slotbell_ring_two"]


@pytest.mark.parametrize("change, words", [
    ("ALTER TABLE shop.appointments OWNER TO postgres", "is a superuser"),
    ("CREATE ROLE no_login; GRANT slotbell_publisher TO no_login; GRANT no_login TO shopkeeper; GRANT CREATE, USAGE ON SCHEMA shop TO no_login;"
     " ALTER TABLE shop.appointments OWNER TO no_login", "cannot log in"),
])  # fmt: skip
def test_a_table_whose_owner_has_no_session_of_its_own_is_refused(shop, change, words):
    superuser = shop.db.connect()
    superuser.execute(change)
    try:
        for who in ("shopkeeper", "postgres"):
            said = shop.refused("SB021", connection=shop.connect(who))
            assert words in said.message_primary and "OWNER TO" in said.message_hint
    finally:
        superuser.execute("ALTER TABLE shop.appointments OWNER TO shopkeeper")
        superuser.execute("DO $$ BEGIN IF to_regrole('no_login') IS NOT NULL THEN DROP OWNED BY no_login; DROP ROLE no_login; END IF; END $$")


def test_a_partition_of_another_owner_is_refused(shop):
    shop.owner.execute("CREATE TABLE shop.visits (LIKE shop.appointments INCLUDING DEFAULTS, PRIMARY KEY (id, starts_at)) PARTITION BY RANGE (starts_at);"
                       "CREATE TABLE shop.visits_all PARTITION OF shop.visits DEFAULT")  # fmt: skip
    shop.db.connect().execute("ALTER TABLE shop.visits_all OWNER TO publisher")
    said = shop.refused("SB021", "shop.visits")
    assert said.message_hint == "ALTER TABLE shop.visits_all OWNER TO shopkeeper;"


# ---- from before ----


def test_an_attachment_of_0_1_0_goes_on_and_one_without_a_session_is_named_at_the_upgrade(sql_cluster):
    """In a database at schema 8: a table of a role that can log in, and one of a superuser."""
    url = sql_cluster.create_database("before")
    try:
        apply_schema(url, last=8)
        database = Database(url, sql_cluster, "before")
        superuser = database.connect()
        superuser.execute(ROLES)
        superuser.execute(TABLE.replace("shop.", "public."))
        attach = "SELECT slotbell.attach(%s, mailbox => 'host_email', uid => 'id', starts_at => 'starts_at', duration_minutes => 'minutes', time_zone => 'UTC', subject => 'title')"  # fmt: skip
        superuser.execute(attach, ("public.appointments",))
        owner = database.connect("shopkeeper")
        owner.execute(TABLE)
        owner.execute(attach, ("shop.appointments",))
        owner.execute("SELECT slotbell.refused('shop.appointments', 'INSERT', '1', 'SB006', 'words')")
        warned = []
        upgrading = database.connect()
        upgrading.add_notice_handler(lambda notice: warned.append((notice.severity, notice.message_primary)))
        with upgrading.transaction():
            for file in STEPS["009_release_0_2"]:
                upgrading.execute(file.read_text())
        (said,) = [words for severity, words in warned if severity == "WARNING" and "attached" in words]
        assert "public.appointments" in said and "is a superuser" in said
        database.enrol(ADA)
        owner.execute("INSERT INTO shop.appointments (id, host_email, starts_at) VALUES (1, %s, %s)", (ADA, TO_COME))
        superuser.execute("INSERT INTO public.appointments (id, host_email, starts_at) VALUES (2, %s, %s)", (ADA, TO_COME))
        assert database.query("SELECT uid FROM slotbell.event ORDER BY id") == ["1", "2"]
        database.enrol(ADA)
        assert owner.execute("SELECT slotbell.resync(%s)", (ADA,)).fetchone() == (1,)
        assert owner.execute("SELECT operation, uid, code FROM slotbell.refusals").fetchall() == [("INSERT", "1", "SB006")]
        superuser.execute("GRANT ALL ON TABLE public.appointments TO shopkeeper; SELECT slotbell.detach('public.appointments')")
        owner.execute("SELECT slotbell.resync(%s)", (ADA,))
        assert database.query("SELECT * FROM slotbell.needs_resync") == []
        database.close()
    finally:
        sql_cluster.drop_database("before")
