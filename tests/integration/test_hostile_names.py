"""No program of ours calls what the database's owner, or everybody on PostgreSQL 14, put where names are looked up."""

import re

import psycopg
import pytest
from ctl_support import ADA
from hostile_names import calls, literals, plant
from session_client import run

pytest_plugins = ["fixtures_doctor"]

# Grammar, not names: PostgreSQL takes these for pg_catalog's.
SAID = ("SELECT pg_terminate_backend(", "DEFAULT now()")  # advice of doctor's, and a column's default as PostgreSQL shows it
GRAMMAR = {"coalesce", "extract", "nullif", "greatest", "least", "values", "exists", "cast", "overlay", "position", "substring", "trim"}


@pytest.fixture
def trapped(patient):
    """A house whose daemon and administrator meet another's names first."""
    plant(patient.house.ctl.url, patient.house.name)
    return patient


def test_the_traps_go_off(trapped):
    with psycopg.connect(trapped.house.ctl.url, autocommit=True) as connection:
        for statement in ("SELECT count(name), set_config('a.b', '0', false) FROM pg_settings",
                          "SELECT 'a'::text, 1 + 1, to_char(now(), 'YYYY'), pg_backend_pid()"):  # fmt: skip
            connection.execute(statement)
    assert {"count(text)", "set_config(text,text,boolean)", "relation pg_settings", "type text", "+(integer,integer)",
            "pg_backend_pid()", "to_char(timestamp with time zone,text)"} <= {call.replace("pg_catalog.", "") for call in calls(trapped.house.cluster)}  # fmt: skip


def test_no_program_calls_what_lies_before_pg_catalog(trapped):
    house, ctl = trapped.house, trapped.house.ctl
    before = calls(house.cluster)
    daemon = trapped.start()
    token = house.enrol(ADA)
    other = ctl.json("device", "enrol", ADA, "--expires", "90d", "--label", "laptop")[0]["device"]
    ctl.run("device", "rotate", other, "--expires", "12h")
    ctl.run("device", "rotate", other)
    ctl.run("device", "list")
    ctl.run("device", "revoke", other)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            ctl.publish(ADA, "--uid", "u", "--time-zone", "Europe/Berlin", "--attendee", "Grace <grace@example.com>")
            booking = (await client.bookings(1))[0]
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])

    run(story())
    assert ctl.json("trace", "u")[0]["state"] == "written"
    ctl.run("tail", ADA, "--no-follow")
    ctl.run("tail", "nobody@example.com", "--no-follow", "--json")
    for arguments in (["db", "init"], ["db", "upgrade"], ["db", "new-epoch"], ["status"], ["sessions"]):
        ctl.run(*arguments, "--socket", trapped.settings["control__socket"])
    daemon.wait_log('event="sweeping"')
    assert trapped.look()["session"]["result"] == "ok"
    assert calls(house.cluster) == before


def test_a_function_of_anybody_in_public_reads_no_booking(house):
    """As on PostgreSQL 14, where everybody may create in public: count(text) fits better than count("any")."""
    house.enrol(ADA)
    house.ctl.publish()
    house.ctl.query("CREATE TABLE public.loot (what text); GRANT INSERT ON public.loot TO PUBLIC")
    house.ctl.query("CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN"
                    " INSERT INTO public.loot SELECT f.subject FROM slotbell.fetch(ARRAY(SELECT generate_series(1, 9)::bigint),"
                    "  ARRAY(SELECT 0::bigint FROM generate_series(1, 9)), 100, 100000) f;"
                    " RETURN 1; EXCEPTION WHEN OTHERS THEN INSERT INTO public.loot VALUES (SQLERRM); RETURN 1; END $$")  # fmt: skip
    house.daemon().wait_log('event="sweeping"')
    assert house.ctl.query("SELECT what FROM public.loot") == []


FOREIGN = """
CREATE ROLE stranger;
CREATE SCHEMA slotbell AUTHORIZATION stranger;
CREATE FUNCTION slotbell.note() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'a strange function ran'; RETURN 9; END $$;
CREATE FUNCTION slotbell.schema_version() RETURNS integer LANGUAGE sql AS 'SELECT slotbell.note()';
CREATE FUNCTION slotbell.sweep_alone() RETURNS boolean LANGUAGE sql AS 'SELECT slotbell.note() > 0';
CREATE FUNCTION slotbell.enrol(mailbox text, label text, expires_at timestamptz, salt bytea, hash bytea) RETURNS integer
    LANGUAGE sql AS 'SELECT slotbell.note()';
"""


def test_daemon_and_doctor_call_no_function_of_a_schema_that_is_not_slotbells(patient):
    house = patient.house
    house.ctl.query("DROP SCHEMA slotbell CASCADE")
    house.ctl.query(FOREIGN)
    try:
        daemon = patient.written()
        daemon.start()
        daemon.wait_log("does not belong to slotbell_owner")
        failed, found = patient.red()
        assert "database" in failed and "the schema slotbell belongs to stranger" in found["database"]["seen"]
        with open(house.cluster.log, encoding="utf-8", errors="replace") as log:
            assert "a strange function ran" not in log.read()
    finally:
        house.ctl.query("DROP SCHEMA slotbell CASCADE; DROP ROLE stranger")


def test_every_function_is_called_by_its_full_name(shared_house):
    """So that nothing depends on the first statement alone: through a pooler the next one may go to another session."""
    known = set(shared_house.ctl.query("SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")) - GRAMMAR
    loose = []
    for source, text in literals():
        if not re.search(r"\b(SELECT|INSERT|UPDATE|DELETE)\b", text):
            continue
        for words in SAID:
            text = text.replace(words, "")
        loose += [f"{source.name}: {name}" for name in re.findall(r"(?<![.\w])([a-z_]+)\(", text) if name in known]
    assert loose == []
