"""What a publisher can do by making objects of its own: functions in conditions on our views, and objects that depend on ours."""

import psycopg
import pytest
from fixtures_rights import BEFORE, state_of
from fixtures_sql import apply_schema

pytest_plugins = ["fixtures_rights"]

DEPENDENTS = {
    "a view on a function": "CREATE VIEW own.x AS SELECT slotbell.resync_row('t', '{}', 1)",
    "a default that calls a function": "CREATE TABLE own.x (a bigint DEFAULT slotbell.end_resync('{}', '{}', '{}'))",
    "a column of the type of refusals": "CREATE TABLE own.x (a slotbell.refusal)",
    "a column of the type of daemons": "CREATE TABLE own.x (a slotbell.instance)",
}
OURS = "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'slotbell'::regnamespace AND c.reltype <> 0 ORDER BY 1"


@pytest.mark.parametrize("dependent", DEPENDENTS)
def test_an_object_of_a_publisher_does_not_stop_the_upgrade(before, dependent):  # noqa: F811
    before.connect().execute("CREATE SCHEMA own AUTHORIZATION backend")
    backend = before.connect("backend")
    backend.execute(DEPENDENTS[dependent])
    apply_schema(before.url, after=BEFORE)
    if "function" in dependent:
        assert state_of(backend, "SELECT slotbell.resync_row('t', '{}', 1)") in ("42501", "42883")
        assert state_of(backend, "SELECT slotbell.end_resync('{}', '{}', '{}')") in ("42501", "42883")


def test_nobody_else_can_make_a_column_of_a_type_of_ours(now):  # noqa: F811
    admin, backend = now.connect(), now.connect("backend")
    for (name,) in admin.execute(OURS).fetchall():
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            backend.execute(f"CREATE TEMPORARY TABLE x (a slotbell.{name})")
    # Reading is left as it was.
    backend.execute("SELECT * FROM slotbell.attachment, slotbell.refusals, slotbell.needs_resync")


def test_a_publisher_sees_in_needs_resync_no_address_but_those_that_need_it(now):  # noqa: F811
    for name in ("ada", "bob", "cleo"):
        now.enrol(f"{name}@example.com")
    now.connect().execute("UPDATE slotbell.resync_need SET met = true WHERE id > 1")
    backend = now.connect("backend")
    seen = []
    backend.add_notice_handler(lambda notice: seen.append(notice.message_primary))
    backend.execute("CREATE FUNCTION pg_temp.look(text) RETURNS boolean LANGUAGE plpgsql STABLE COST 0.0000001"
                    " AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$")  # fmt: skip
    # Whatever order the tables are joined in.
    for setting in ("enable_hashjoin", "enable_mergejoin", "enable_nestloop", "enable_hashagg"):
        backend.execute(f"SET {setting} = off")
        backend.execute("SELECT * FROM slotbell.needs_resync WHERE pg_temp.look(mailbox)")
    assert set(seen) == {"ada@example.com"}
