"""A PostgreSQL and databases in it for the tests of slotbellctl.

Test modules ask for it by `pytest_plugins = ["fixtures_ctl"]`.
"""

import itertools
import sys

import pytest
from ctl_support import ROOT, Ctl

sys.path.insert(0, str(ROOT / "tests/lib"))

from pgcluster import PgCluster  # noqa: E402

TEMPLATE = "ctl_template"


@pytest.fixture(scope="session")
def ctl_cluster():
    with PgCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ctl_template(ctl_cluster):
    """A database with the schema, as `slotbellctl db init` makes it."""
    Ctl(ctl_cluster.create_database(TEMPLATE), ctl_cluster, TEMPLATE).run("db", "init")
    return TEMPLATE


numbers = itertools.count(1)


def fresh(cluster, template=None):
    name = f"ctl_{next(numbers)}"
    try:
        yield Ctl(cluster.create_database(name, template), cluster, name)
    finally:
        cluster.drop_database(name)


@pytest.fixture
def bare(ctl_cluster):
    """slotbellctl at an empty database."""
    yield from fresh(ctl_cluster)


@pytest.fixture
def ctl(ctl_cluster, ctl_template):
    """slotbellctl at a database with the schema."""
    yield from fresh(ctl_cluster, ctl_template)
