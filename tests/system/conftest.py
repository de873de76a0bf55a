"""One booted box for all tests of a module; see box.py."""

import pytest
from box import ROOT, Box, missing


@pytest.fixture(scope="module")
def box(request):
    """Empty: no Slotbell in it yet. Where none can be made the tests are skipped, and the summary says why."""
    why = missing()
    if why:
        pytest.skip(why)
    # The repository may lie on a file system that the box does not have.
    with Box(request.module.__name__, binds=[ROOT] if not same_file_system(ROOT) else []) as made:
        yield made


def same_file_system(path):
    return path.stat().st_dev == path.__class__("/").stat().st_dev
