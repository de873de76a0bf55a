"""config/dev-ca.sh, for a folder that somebody else can reach."""

import os
import shutil
import subprocess

import pytest
from slotbelld import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


def run(folder):
    return subprocess.run([ROOT / "config/dev-ca.sh", folder], capture_output=True, text=True, check=False)


def test_a_folder_that_others_may_write_to_is_refused(tmp_path):
    """Between two steps they could lead what is written elsewhere, and read the key."""
    others, shared, own = (tmp_path / name for name in ("others", "shared", "own"))
    others.mkdir()
    shutil.chown(others, "nobody")
    shared.mkdir()
    shared.chmod(0o1777)
    for folder in (others, shared):
        done = run(folder)
        assert done.returncode == 1 and "is not a folder that you own" in done.stderr and not list(folder.iterdir())
    assert run(own).returncode == 0  # made by it
    assert (own / "server.key").stat().st_mode & 0o777 == 0o600 and run(own).returncode == 0
