"""A schema that the owner of a database puts before pg_catalog: every name that our programs' statements use is another's there.

The names are taken from the statements themselves. Each function, operator, domain and view writes a line to the server's log.
"""

import re

import psycopg
from ctl_support import ROOT

SOURCES = sorted((ROOT / "daemon/ctl").glob("*.c")) + sorted((ROOT / "daemon/store").glob("*.c"))
HEADERS = sorted((ROOT / "daemon/ctl").glob("*.h")) + sorted((ROOT / "daemon/store").glob("*.h"))
CALLED = "evil was called: "


def literals():
    """All string literals of the programs that have to do with SQL, as one text per file."""
    for source in SOURCES + HEADERS:
        text = re.sub(r"/\*.*?\*/", "", source.read_text(), flags=re.S)
        yield source, " ".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', text))


def names(pattern):
    return sorted({name for _, text in literals() for name in re.findall(pattern, text)})


PLANT = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.note(what text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    RAISE LOG '{called}%', what; RETURN true; END $$;
CREATE FUNCTION evil.plant_function(name text, arguments text, result text, what text) RETURNS void LANGUAGE plpgsql AS $plant$ BEGIN
    EXECUTE pg_catalog.format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', name, arguments, result,
        pg_catalog.format('BEGIN PERFORM evil.note(%L); RETURN NULL; END', what));
EXCEPTION WHEN duplicate_function OR invalid_function_definition OR feature_not_supported THEN NULL; END $plant$;
SET check_function_bodies = off;
SET client_min_messages = error;
DO $plant$
DECLARE
    functions text[] := {functions};
    types text[] := {types};
    relations text[] := {relations};
    one record;
BEGIN
    FOR one IN SELECT p.proname, p.oid, pg_get_function_identity_arguments(p.oid) AS arguments, format_type(p.prorettype, NULL) AS result
        FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (functions) AND p.prokind IN ('f', 'a')
            AND NOT p.proretset AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a JOIN pg_type t ON t.oid = a WHERE t.typtype = 'p')
    LOOP
        PERFORM evil.plant_function(one.proname, one.arguments, one.result, one.oid::regprocedure::text);
    END LOOP;
    -- What pg_catalog has for "any" fits worse than these.
    FOR one IN SELECT DISTINCT p.proname, t.kind FROM pg_proc p CROSS JOIN unnest('{{text,bigint,integer,boolean,name}}'::text[]) t (kind)
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (functions) AND p.pronargs = 1
    LOOP
        PERFORM evil.plant_function(one.proname, one.kind, 'bigint', one.proname || '(' || one.kind || ')');
    END LOOP;
    FOR one IN SELECT o.oid, o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r, format_type(o.oprresult, NULL) AS result
        FROM pg_operator o JOIN pg_type l ON l.oid = o.oprleft JOIN pg_type r ON r.oid = o.oprright JOIN pg_type t ON t.oid = o.oprresult
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname = ANY ('{{=,<>,<,<=,>,>=,+,-,*,/,||,~~,~}}')
            AND 'p' NOT IN (l.typtype, r.typtype, t.typtype)
            AND (l.typname || ' ' || r.typname) ~ '^(text|name|int[248]|bool|timestamptz|timestamp|interval|oid|numeric|float8|char) '
    LOOP
        PERFORM evil.plant_function('op_' || one.oid, one.l || ', ' || one.r, one.result, one.oid::regoperator::text);
        EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.%I, LEFTARG = %s, RIGHTARG = %s)', one.oprname, 'op_' || one.oid, one.l, one.r);
    END LOOP;
    FOR one IN SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typname = ANY (types) LOOP
        EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.%1$I CHECK (evil.note(%L))', one.typname, 'type ' || one.typname);
    END LOOP;
    FOR one IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname = ANY (relations)
            AND NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND t.typtype = 'p')
    LOOP
        EXECUTE format('CREATE VIEW evil.%I AS SELECT * FROM pg_catalog.%1$I WHERE evil.note(%L)', one.relname, 'relation ' || one.relname);
    END LOOP;
END
$plant$;
"""


def array(values):
    return "ARRAY[" + ", ".join(f"'{value}'" for value in values) + "]::text[]"


def plant(url, name):
    """Into this database, whose owner then sets the search_path of all who come."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PLANT.format(
            called=CALLED, functions=array(names(r"\b([a-z_]+) ?\(")), types=array(names(r"::(?:pg_catalog\.)?([a-z_]+)")),
            relations=array(names(r"\b(?:FROM|JOIN) (?:pg_catalog\.)?(pg_[a-z_]+)"))))  # fmt: skip
        connection.execute(f"ALTER DATABASE {name} SET search_path = evil, pg_catalog")


def calls(cluster):
    """What was called, as the server's log has it."""
    with open(cluster.log, encoding="utf-8", errors="replace") as log:
        return sorted({line.partition(CALLED)[2].strip() for line in log if CALLED in line})
