"""A daemon whose role in the database may do more than its work says so, once."""

import pytest
from ctl_support import wait_until

pytest_plugins = ["fixtures_daemon"]

LOGIN = "slotbelld_login"  # the fixtures' role, which has what a daemon needs
WARNING = 'event="database rights"'


@pytest.mark.parametrize("role, what, statements", [
    ("super", "is a superuser", ["CREATE ROLE rights_super SUPERUSER LOGIN"]),
    ("member", "owns the schema", ["CREATE ROLE rights_member LOGIN IN ROLE slotbell_owner"]),
    # A right that it would have to take first, by SET ROLE, is one all the same.
    ("indirect", "owns the schema", ["CREATE ROLE rights_between IN ROLE slotbell_owner",
                                     "CREATE ROLE rights_indirect LOGIN NOINHERIT IN ROLE rights_between",
                                     "GRANT USAGE ON SCHEMA slotbell TO rights_indirect",
                                     "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA slotbell TO rights_indirect"]),
])  # fmt: skip
def test_a_role_with_too_many_rights_is_told_of_once(house, role, what, statements):
    with house.connect() as connection:
        for statement in statements:
            connection.execute(statement)
    daemon = house.daemon(database__url=house.cluster.url(house.name, f"rights_{role}"))
    (line,) = [line for line in daemon.log_text().splitlines() if WARNING in line]
    assert what in line and f"rights_{role}" in line and "slotbell_daemon" in line and "warning" in line.lower()
    # Set up anew it is not told again.
    with house.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [f"rights_{role}"])
    wait_until(lambda: daemon.log_text().count('event="database up"') >= 2, "the daemon has its database again")
    assert daemon.log_text().count(WARNING) == 1
    assert daemon.stop() == 0
    with house.connect() as connection:  # roles are the cluster's, and `db init` refuses such members in every database
        for name in ("super", "member", "between", "indirect"):
            if connection.execute("SELECT to_regrole(%s)", [f"rights_{name}"]).fetchone()[0]:
                connection.execute(f"DROP OWNED BY rights_{name}; DROP ROLE rights_{name}")


def test_a_role_of_the_daemons_own_is_not_until_it_is_given_more(house):
    daemon = house.daemon()
    assert WARNING not in daemon.log_text()
    with house.connect() as connection:
        connection.execute(f"GRANT slotbell_owner TO {LOGIN}")
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [LOGIN])
            daemon.wait_log(WARNING)
        finally:
            connection.execute(f"REVOKE slotbell_owner FROM {LOGIN}")
    assert daemon.stop() == 0
