"""One booted box for all tests of a module, and one host with Slotbell for all that want it; see box.py and host.py."""

import pytest
from box import ROOT, Box, missing
from host import Host


def opened(name):
    why = missing()
    if why:
        pytest.skip(why)
    # The repository may lie on a file system that the box does not have.
    return Box(name, binds=[ROOT] if ROOT.stat().st_dev != type(ROOT)("/").stat().st_dev else [])


@pytest.fixture(scope="module")
def box(request):
    """Empty: no Slotbell in it yet. Where none can be made the tests are skipped, and the summary says why."""
    with opened(request.module.__name__) as made:
        yield made


@pytest.fixture(scope="session")
def one_host(tmp_path_factory):
    with opened("host") as made:
        host = Host(made, tmp_path_factory.mktemp("host"))
        host.set_up()
        yield host


@pytest.fixture
def host(one_host):
    """A host with PostgreSQL that runs and Slotbell that is installed and configured, but not started."""
    one_host.clean()
    return one_host
