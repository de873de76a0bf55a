"""For tests of who may do what: logins with one role each, and the schema of 0.1.0, which had none of step 9's remedies."""

import itertools

import psycopg
import pytest
from fixtures_sql import Database, apply_schema, fresh

pytest_plugins = ["fixtures_sql"]

BEFORE = 8
LOGINS = {"taken_over": "slotbell_daemon", "backend": "slotbell_publisher", "operator": "slotbell_admin", "anybody": None}
names = itertools.count(1)


@pytest.fixture(scope="session")
def logins(sql_cluster):
    with psycopg.connect(sql_cluster.url("postgres"), autocommit=True) as connection:
        for login, role in LOGINS.items():
            connection.execute(f"CREATE ROLE {login} LOGIN")
            if role:
                connection.execute(f"GRANT {role} TO {login}")


@pytest.fixture(scope="session")
def template_before(sql_cluster):
    apply_schema(sql_cluster.create_database("sql_template_before"), BEFORE)
    return "sql_template_before"


@pytest.fixture
def now(sql_cluster, logins):
    yield from fresh(sql_cluster)


@pytest.fixture(scope="module")
def shared_now(shared_db, logins):
    """One for tests that leave each other alone."""
    return shared_db


@pytest.fixture
def before(sql_cluster, logins, template_before):
    """The same attack is seen to succeed here."""
    name = f"sql_before_{next(names)}"
    database = Database(sql_cluster.create_database(name, template_before), sql_cluster, name)
    yield database
    database.close()
    sql_cluster.drop_database(name)


def state_of(connection, sql, *values):
    """The SQLSTATE of what must fail."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(sql, values or None)
    return caught.value.diag.sqlstate
