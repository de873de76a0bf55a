"""slotbellctl db where somebody was before it: what others made, hold or left is not run, not believed and not waited for.

`evil` may create schemas in the database, which its owner may, and nothing more. In each plant is a function that makes
it a superuser, if a superuser runs it.
"""

import contextlib
import re
import subprocess

import psycopg
import pytest
from crippled import Remedy, build_without
from ctl_support import ROOT, SECONDS, Ctl
from pgcluster import PgCluster
from remedies import needs_ninja

pytest_plugins = ["fixtures_ctl"]

FILES = sorted((ROOT / "config/sql").glob("[0-9]*"))
OURS = ("slotbell_owner", "slotbell_daemon", "slotbell_publisher", "slotbell_admin")
OLD_LOCK = int.from_bytes(b"Slotbell", "big")  # what 0.1.0 took

PAYLOAD = """
CREATE SCHEMA own;
CREATE FUNCTION own.seize() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    PERFORM set_config('role', 'none', true); ALTER ROLE evil SUPERUSER; RETURN 'x'; EXCEPTION WHEN OTHERS THEN RETURN 'x'; END $$;
CREATE FUNCTION own.seize(integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
    EXECUTE 'SELECT own.seize()'; RETURN 'x'; END $$;
CREATE FUNCTION own.on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM own.seize(); RETURN NEW; END $$;
"""
TABLE = "CREATE SCHEMA slotbell; CREATE TABLE slotbell.migration (version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()"

PLANTS = {
    "a view": "CREATE SCHEMA slotbell; CREATE VIEW slotbell.migration AS SELECT 0 AS version, own.seize() AS name, now() AS applied_at",
    "a trigger": TABLE + "); CREATE TRIGGER t BEFORE INSERT ON slotbell.migration FOR EACH ROW EXECUTE FUNCTION own.on_row()",
    "a deferred trigger": TABLE + "); CREATE CONSTRAINT TRIGGER t AFTER INSERT ON slotbell.migration INITIALLY DEFERRED"
                                  " FOR EACH ROW EXECUTE FUNCTION own.on_row()",
    "a rule": TABLE + "); CREATE RULE r AS ON INSERT TO slotbell.migration DO ALSO SELECT own.seize()",
    "a default": TABLE + ", more text DEFAULT own.seize())",
    "a generated column": TABLE + ", more text GENERATED ALWAYS AS (own.seize(version)) STORED)",
    "a constraint": TABLE + ", CHECK (own.seize(version) <> ''))",
    "an index": TABLE + "); CREATE INDEX i ON slotbell.migration (own.seize(version))",
    "a domain": "CREATE DOMAIN own.name AS text CHECK (own.seize() <> '');" + TABLE.replace("name text", "name own.name") + ")",
    "a table that is as ours": TABLE + ")",
    "an empty schema": "CREATE SCHEMA slotbell",
    "a function in the schema": "CREATE SCHEMA slotbell; CREATE FUNCTION slotbell.publish(text, text) RETURNS text LANGUAGE sql AS 'SELECT own.seize()'",
}  # fmt: skip


@pytest.fixture(scope="module")
def wild():
    """A cluster in which no role of Slotbell's is there before a test makes it."""
    with PgCluster() as cluster:
        cluster.psql("CREATE ROLE evil LOGIN; CREATE ROLE middle; CREATE ROLE dba LOGIN CREATEROLE; CREATE ROLE member LOGIN")
        yield cluster


@pytest.fixture
def plain(wild):
    """slotbellctl at an empty database of such a cluster."""
    ctl = Ctl(wild.create_database("plain"), wild, "plain")
    ctl.query("GRANT CREATE ON DATABASE plain TO evil")
    yield ctl
    wild.drop_database("plain")
    present = ctl_roles(wild)
    wild.psql("".join(f"DROP ROLE {role};" for role in present) + "ALTER ROLE evil NOSUPERUSER")


def ctl_roles(cluster):
    with psycopg.connect(cluster.url("postgres")) as connection:
        return [row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(OURS),))]


@pytest.fixture
def used(ctl):
    """A database with the schema, in which `evil` owns the function of PAYLOAD."""
    with contextlib.suppress(psycopg.errors.DuplicateObject):
        ctl.query("CREATE ROLE evil LOGIN")
    ctl.query(f"GRANT CREATE ON DATABASE {ctl.name} TO evil")
    as_role(ctl, "evil", PAYLOAD)
    yield ctl
    ctl.query("ALTER ROLE evil NOSUPERUSER")


def as_role(ctl, role, sql):
    with psycopg.connect(ctl.cluster.url(ctl.name, role), autocommit=True) as connection:
        connection.execute(sql)


def url(ctl, role):
    return ["--database", ctl.cluster.url(ctl.name, role)]


def is_super(ctl):
    return ctl.query("SELECT rolsuper FROM pg_roles WHERE rolname = 'evil'") == [True]


def members(ctl):
    return ctl.query("SELECT m.member::regrole::text FROM pg_auth_members m WHERE m.roleid = 'slotbell_owner'::regrole ORDER BY 1")


# ---- a schema that was there before ----


@pytest.mark.parametrize("verb", ["init", "upgrade"])
def test_a_schema_that_somebody_planted_is_refused_and_runs_nothing(plain, verb):
    as_role(plain, "evil", PAYLOAD)
    for name, sql in PLANTS.items():
        as_role(plain, "evil", sql)
        words = plain.run("db", verb, expect=1).stderr
        assert not is_super(plain), name
        assert "the schema slotbell belongs to evil" in words and "DROP SCHEMA slotbell CASCADE" in words
        assert plain.query("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'slotbell'") == ["evil"]
        assert ctl_roles(plain.cluster) == []
        as_role(plain, "evil", "DROP SCHEMA slotbell CASCADE; DROP DOMAIN IF EXISTS own.name")


def test_a_schema_that_is_planted_while_init_waits_is_refused(plain):
    as_role(plain, "evil", PAYLOAD)
    with psycopg.connect(plain.cluster.url("plain", "evil")) as evil:
        evil.execute(PLANTS["a trigger"])
        process = plain.start("db", "init")
        assert "waiting for another slotbellctl" in process.stderr.readline()
        evil.commit()
    assert "belongs to evil" in process.communicate()[1] and process.returncode == 1
    assert not is_super(plain)


FUNCTIONS = """
CREATE SCHEMA slotbell;
CREATE FUNCTION slotbell.new_epoch() RETURNS text LANGUAGE sql AS 'SELECT own.seize()';
CREATE FUNCTION slotbell.revoke(device bigint) RETURNS text LANGUAGE sql AS 'SELECT own.seize()';
CREATE FUNCTION slotbell.publish(mailbox text, uid text, starts_at timestamptz, duration_minutes integer, time_zone text, subject text,
    attendees jsonb, change text, details jsonb) RETURNS text LANGUAGE sql AS 'SELECT own.seize()';
CREATE FUNCTION slotbell.enrol(mailbox text, label text, expires_at timestamptz, salt bytea, hash bytea) RETURNS text
    LANGUAGE sql AS 'SELECT own.seize()';
CREATE FUNCTION slotbell.schema_version() RETURNS integer LANGUAGE sql AS 'SELECT 9 FROM own.seize()';
CREATE VIEW slotbell.devices AS SELECT own.seize() AS id, '' AS mailbox, '' AS label, now() AS revoked_at, now() AS expires_at, now() AS stale_at,
    0 AS head, 0 AS acked, now() AS last_seen_at, '' AS epoch, now() AS created_at;
"""


@pytest.mark.parametrize("command", [["db", "new-epoch"], ["device", "list"], ["device", "revoke", 1], ["device", "enrol", "ada@example.com"],
                                     ["tail", "ada@example.com", "--no-follow"], ["publish", "ada@example.com", "--uid", "u", "--change", "cancelled"]])  # fmt: skip
def test_no_command_calls_a_function_of_a_planted_schema(used, command):
    used.query("DROP SCHEMA slotbell CASCADE")
    as_role(used, "evil", FUNCTIONS)
    words = used.run(*command, expect=1).stderr
    assert "the schema slotbell belongs to evil" in words
    assert not is_super(used)


def test_an_extension_that_somebody_put_into_the_schema_is_named_with_what_moves_it(plain):
    """A trusted extension needs no right on the schema that it goes into. Its objects are PostgreSQL's superuser's."""
    plain.run("db", "init")
    plain.query("CREATE EXTENSION citext SCHEMA slotbell")
    words = plain.run("db", "upgrade", expect=1).stderr
    assert "the extension citext is in the schema slotbell" in words and "belongs to" not in words
    plain.query(re.search(r"hint: (ALTER EXTENSION [^;]*;)", words)[1])
    plain.run("db", "upgrade")


# ---- roles that were there before ----


@pytest.mark.parametrize("attribute", ["LOGIN", "CREATEROLE"])
def test_a_role_of_ours_that_may_more_than_it_should_is_refused(plain, attribute):
    for role in OURS:
        plain.query(f"CREATE ROLE {role} {attribute}")
        words = plain.run("db", "init", expect=1).stderr
        assert f"the role {role} can log in" in words
        assert plain.query("SELECT to_regnamespace('slotbell') IS NULL") == [True]
        plain.query(re.search(r"hint: (ALTER ROLE .*;)", words)[1])
    plain.run("db", "init")


@pytest.mark.parametrize("planted", ["GRANT slotbell_owner TO evil", "GRANT slotbell_owner TO middle; GRANT middle TO evil"])
def test_members_of_the_owner_that_somebody_made_are_refused(plain, planted):
    plain.query(f"CREATE ROLE slotbell_owner; {planted}")
    words = plain.run("db", "init", expect=1).stderr
    assert "the role evil is a member of slotbell_owner" in words and "REVOKE slotbell_owner FROM" in words
    assert plain.query("SELECT to_regnamespace('slotbell') IS NULL") == [True]
    plain.query("REVOKE middle FROM evil; REVOKE slotbell_owner FROM evil, middle")
    plain.run("db", "init")


def test_default_privileges_of_the_owner_that_somebody_made_are_refused(plain):
    plain.query("CREATE ROLE slotbell_owner; ALTER DEFAULT PRIVILEGES FOR ROLE slotbell_owner GRANT SELECT ON TABLES TO evil")
    words = plain.run("db", "init", expect=1).stderr
    assert "by default privileges evil has rights" in words and "ALTER DEFAULT PRIVILEGES" in words
    plain.query("ALTER DEFAULT PRIVILEGES FOR ROLE slotbell_owner REVOKE SELECT ON TABLES FROM evil")
    plain.run("db", "init")
    plain.run("db", "init")


def test_default_privileges_of_whoever_runs_init_give_nobody_a_right(plain):
    plain.query("ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO evil;"
                "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO evil; ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO evil")  # fmt: skip
    plain.run("db", "init")
    assert plain.query("SELECT has_schema_privilege('evil', 'slotbell', 'USAGE') OR has_schema_privilege('evil', 'slotbell', 'CREATE')") == [False]
    assert plain.query("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'slotbell'::regnamespace AND c.relkind IN ('r', 'v')"
                       " AND has_table_privilege('evil', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')") == []  # fmt: skip
    plain.query("ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM PUBLIC")


def test_members_that_a_group_role_has_already_are_named(plain):
    plain.query("CREATE ROLE slotbell_daemon; GRANT slotbell_daemon TO evil")
    words = plain.run("db", "init").stderr
    assert "warning: the role slotbell_daemon was there before, with members: evil" in words
    assert "warning" not in plain.run("db", "init").stderr


# ---- a schema in use ----

CHANGES = {
    "a function of another's": ("CREATE FUNCTION slotbell.f() RETURNS text LANGUAGE sql AS 'SELECT own.seize()'; ALTER FUNCTION slotbell.f() OWNER TO evil",
                                "function slotbell.f() belongs to evil"),
    "a table of another's": ("CREATE TABLE slotbell.t (); ALTER TABLE slotbell.t OWNER TO evil", "table slotbell.t belongs to evil"),
    "a type of another's": ("CREATE DOMAIN slotbell.d AS text; ALTER DOMAIN slotbell.d OWNER TO evil", "type slotbell.d belongs to evil"),
    "an operator of another's": ("CREATE OPERATOR slotbell.=== (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text);"
                                 "ALTER OPERATOR slotbell.=== (text, text) OWNER TO evil", "belongs to evil"),
    "what a superuser left": ("CREATE FUNCTION slotbell.f() RETURNS text LANGUAGE sql AS 'SELECT own.seize()'", "function slotbell.f() belongs to postgres"),
    "a right to create": ("GRANT CREATE ON SCHEMA slotbell TO evil", "evil may create in the schema slotbell"),
    "a right to write": ("GRANT INSERT ON slotbell.migration TO PUBLIC", "PUBLIC may write to slotbell.migration"),
    "a right to triggers": ("GRANT TRIGGER ON slotbell.migration TO evil", "evil may write to slotbell.migration"),
    "a trigger at the record": ("CREATE TRIGGER t BEFORE INSERT ON slotbell.migration FOR EACH ROW EXECUTE FUNCTION own.on_row()",
                                "trigger t on table slotbell.migration calls a function"),
    "a trigger at another table": ("CREATE TRIGGER t BEFORE UPDATE ON slotbell.mailbox FOR EACH ROW EXECUTE FUNCTION own.on_row()",
                                   "trigger t on table slotbell.mailbox calls a function"),
    "a rule": ("CREATE RULE r AS ON UPDATE TO slotbell.mailbox DO ALSO SELECT own.seize()", "rule r on table slotbell.mailbox is not of Slotbell"),
    "a child": ("CREATE TABLE own.child () INHERITS (slotbell.mailbox)", "table slotbell.mailbox has a parent or a child"),
    "a default": ("ALTER TABLE slotbell.migration ALTER name SET DEFAULT own.seize()", "slotbell.migration is not the table that Slotbell makes"),
    "a policy": ("CREATE POLICY p ON slotbell.migration USING (own.seize() = '')", "slotbell.migration is not the table"),
    "a partial index": ("CREATE INDEX i ON slotbell.migration (name) WHERE version > 1", "slotbell.migration is not the table"),
    "an unlogged table": ("ALTER TABLE slotbell.migration SET UNLOGGED", "slotbell.migration is not the table"),
    "no table": ("ALTER TABLE slotbell.migration RENAME TO moved", "slotbell.migration is not the table"),
    "a view in its place": ("ALTER TABLE slotbell.migration RENAME TO moved; CREATE VIEW slotbell.migration AS SELECT version, own.seize() AS name FROM"
                            " slotbell.moved; ALTER VIEW slotbell.migration OWNER TO slotbell_owner", "slotbell.migration is not the table"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_schema_that_is_not_as_slotbell_left_it_is_not_upgraded(used, change):
    sql, words = CHANGES[change]
    used.query(sql)
    assert words in used.run("db", "upgrade", expect=1).stderr
    assert not is_super(used)


@needs_ninja
def test_without_the_look_at_the_catalog_the_trigger_runs_as_the_superuser(plain, tmp_path):
    init_as_before(plain, "postgres")
    as_role(plain, "evil", PAYLOAD + "GRANT USAGE ON SCHEMA own TO PUBLIC")
    plain.query(CHANGES["a trigger at the record"][0])
    assert "trigger t on table slotbell.migration" in plain.run("db", "upgrade", expect=1).stderr
    assert not is_super(plain)
    blind = build_without(Remedy("daemon/ctl/trust.c", "return result && errors == 0;", "return result;"), "slotbellctl", tmp_path)
    subprocess.run([blind, "db", "upgrade"], env=plain.environment(), check=True, capture_output=True, timeout=SECONDS)
    assert is_super(plain)


def test_a_schema_as_slotbell_left_it_is_upgraded_though_the_admin_may_read_its_record(used):
    used.query("GRANT SELECT ON slotbell.migration TO evil")
    assert "up to date" in used.run("db", "upgrade").stderr


# ---- locks and settings ----


def test_nobody_holds_a_lock_that_init_and_upgrade_wait_for(plain):
    with psycopg.connect(plain.cluster.url("plain", "evil"), autocommit=True) as evil:
        evil.execute("SELECT pg_advisory_lock(%s)", (OLD_LOCK,))
        assert "waiting" not in plain.run("db", "init").stderr
        for kind in ("ACCESS SHARE", "ROW EXCLUSIVE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                evil.execute(f"BEGIN; LOCK TABLE slotbell.migration IN {kind} MODE")
            evil.execute("ROLLBACK")
        assert "up to date" in plain.run("db", "upgrade").stderr


SETTINGS = {
    "search_path": "own, pg_catalog", "role": "evil", "standard_conforming_strings": "off", "transform_null_equals": "on",
    "quote_all_identifiers": "on", "check_function_bodies": "off", "default_transaction_isolation": "serializable",
    "row_security": "off", "lock_timeout": "1", "client_min_messages": "error",
    "plpgsql.extra_errors": "'all'", "datestyle": "German", "bytea_output": "escape", "intervalstyle": "iso_8601",
}  # fmt: skip


FINGERPRINT = """
SELECT md5(string_agg(what, '' ORDER BY what)) FROM (
    SELECT pg_get_functiondef(oid) || proowner::regrole || proacl::text FROM pg_proc WHERE pronamespace = 'slotbell'::regnamespace
    UNION ALL SELECT pg_get_viewdef(oid) || relowner::regrole FROM pg_class WHERE relnamespace = 'slotbell'::regnamespace AND relkind = 'v'
    UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'slotbell'::regnamespace
    UNION ALL SELECT concat_ws(' ', c.relname, c.relacl, c.relowner::regrole, c.reltablespace, c.relpersistence, a.attname,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'slotbell'::regnamespace AND a.attnum > 0 AND c.relkind = 'r') AS everything (what)
"""


def fingerprint(ctl):
    """All of the schema, as it is written down, with owners and rights; whatever was set for the database."""
    settings = "search_path=pg_catalog role=none quote_all_identifiers=off".split()
    with psycopg.connect(ctl.url, options=" ".join(f"-c {setting}" for setting in settings)) as connection:
        return connection.execute(FINGERPRINT).fetchone()[0]


def test_what_the_databases_owner_has_set_changes_nothing_of_the_schema(plain):
    plain.run("db", "init")
    before = fingerprint(plain)
    plain.query("DROP SCHEMA slotbell CASCADE; DROP OWNED BY slotbell_owner; ALTER DATABASE plain OWNER TO evil")
    with psycopg.connect(plain.cluster.url("plain", "evil"), autocommit=True) as evil:
        evil.execute(PAYLOAD)
        for name, value in SETTINGS.items():
            evil.execute(f"ALTER DATABASE plain SET {name} = {value}")  # as it stands: some are lists
    plain.run("db", "init")
    assert "up to date" in plain.run("db", "upgrade").stderr
    assert fingerprint(plain) == before


# ---- without a superuser ----


@pytest.fixture
def owned(plain):
    """The same database, of a role that may create roles and is no superuser."""
    plain.query("ALTER DATABASE plain OWNER TO dba")
    return plain


def assert_nobody_is_left_with_rights(ctl):
    assert members(ctl) == []
    assert ctl.query("SELECT has_schema_privilege('dba', 'slotbell', 'USAGE')") == [False]
    granted = ctl.query("SELECT a.grantee::regrole::text FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a"
                        " WHERE d.datname = current_database() AND a.privilege_type = 'CREATE' ORDER BY 1")  # fmt: skip
    assert granted == ["dba", "evil"]


def test_whoever_inits_without_being_superuser_is_no_member_of_the_owner_afterwards(owned):
    owned.query("CREATE ROLE bell LOGIN")
    words = owned.run(*url(owned, "dba"), "db", "init", "--daemon-role", "bell").stderr
    assert "warning" not in words and "slotbell_daemon is granted to bell" in words
    assert_nobody_is_left_with_rights(owned)
    owned.query("GRANT slotbell_admin TO dba")
    owned.run(*url(owned, "dba"), "device", "enrol", "ada@example.com")
    assert "need a superuser" in owned.run(*url(owned, "bell"), "db", "upgrade", expect=1).stderr
    owned.query("DROP ROLE bell; REVOKE slotbell_admin FROM dba")


def test_the_schema_is_the_same_whoever_made_it(owned):
    owned.run(*url(owned, "dba"), "db", "init")
    by_dba = fingerprint(owned)
    owned.query("DROP SCHEMA slotbell CASCADE; DROP OWNED BY slotbell_owner")
    owned.run("db", "init")
    assert fingerprint(owned) == by_dba


def init_as_before(ctl, user):
    """What `db init` of 0.1.0 left: the first eight steps, and whoever ran it in slotbell_owner."""
    with psycopg.connect(ctl.cluster.url(ctl.name, user)) as connection:
        connection.execute("CREATE SCHEMA slotbell; CREATE TABLE slotbell.migration"
                           " (version int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")  # fmt: skip
        for file in FILES[:8]:
            connection.execute(file.read_text())
            connection.execute("INSERT INTO slotbell.migration VALUES (%s, %s)", (int(file.stem[:3]), file.stem))


def test_upgrade_ends_the_membership_that_an_earlier_init_left_and_says_so(owned):
    init_as_before(owned, "dba")
    assert members(owned) == ["dba"]
    words = owned.run(*url(owned, "dba"), "db", "upgrade").stderr
    assert "dba is not a member of slotbell_owner any longer" in words and "warning" not in words
    assert_nobody_is_left_with_rights(owned)
    assert "member" not in owned.run(*url(owned, "dba"), "db", "upgrade").stderr
    assert "member" not in owned.run("db", "upgrade").stderr


def test_upgrade_ends_it_where_nothing_is_left_to_apply_too(owned):
    owned.run(*url(owned, "dba"), "db", "init")
    owned.query("GRANT slotbell_owner TO dba")
    assert "not a member of slotbell_owner any longer" in owned.run(*url(owned, "dba"), "db", "upgrade").stderr
    assert_nobody_is_left_with_rights(owned)


def test_a_superuser_does_not_upgrade_what_a_member_of_the_owner_may_have_changed(owned):
    init_as_before(owned, "dba")
    as_role(owned, "evil", PAYLOAD)
    owned.query("GRANT USAGE ON SCHEMA own TO PUBLIC")
    as_role(owned, "dba", "SET ROLE slotbell_owner; CREATE OR REPLACE FUNCTION slotbell.note_resync_need() RETURNS trigger LANGUAGE plpgsql"
                          " AS $$ BEGIN PERFORM own.seize(); RETURN NULL; END $$")  # fmt: skip
    words = owned.run("db", "upgrade", expect=1).stderr
    assert "the role dba is a member of slotbell_owner" in words
    assert "Run this as dba." in words and "REVOKE slotbell_owner FROM dba;" in words
    assert not is_super(owned)


def test_a_step_that_fails_leaves_no_membership_either(owned):
    owned.query("CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
                " IF to_regclass('slotbell.mailbox') IS NOT NULL THEN RAISE 'no'; END IF; END $$;"
                "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION public.refuse()")  # fmt: skip
    assert "no" in owned.run(*url(owned, "dba"), "db", "init", expect=1).stderr
    assert members(owned) == [] if ctl_roles(owned.cluster) else True
    owned.query("DROP EVENT TRIGGER refuse")
    owned.run(*url(owned, "dba"), "db", "init")
    assert_nobody_is_left_with_rights(owned)


def test_a_member_that_cannot_create_roles_upgrades_and_is_told_that_it_stays_one(owned):
    init_as_before(owned, "dba")
    owned.query("REVOKE slotbell_owner FROM dba; GRANT slotbell_owner TO member")
    words = owned.run(*url(owned, "member"), "db", "upgrade").stderr
    assert "warning: member stays a member of slotbell_owner" in words
    assert 'REVOKE slotbell_owner FROM "member";' in words
    assert "slotbell_owner may still create schemas in this database" in words and "REVOKE CREATE ON DATABASE plain" in words
    assert members(owned) == ["member"]


def test_a_role_without_rights_is_told_what_it_needs(owned):
    for role in ("evil", "member"):
        words = owned.run(*url(owned, role), "db", "init", expect=1).stderr
        assert "need a superuser" in words
    assert ctl_roles(owned.cluster) == []
