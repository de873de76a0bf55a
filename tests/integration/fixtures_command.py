"""slotbelld as a program that is run once, with a configuration that is good until a test spoils it."""

import subprocess

import pytest
from slotbelld import ENVIRONMENT, built, folded

pytest_plugins = ["fixtures_daemon"]

URL = "postgresql://slotbelld:hidden-word@db.example.com/slotbell"


@pytest.fixture
def pair(certificates):
    """The [tls] keys of a good pair."""
    return {"certificate": certificates / "server.pem", "key": certificates / "server.key"}


@pytest.fixture
def file(tmp_path, pair):
    """A configuration that is good."""
    file = tmp_path / "slotbelld.conf"
    tls = "".join(f"{key} = {folded(value)}\n" for key, value in pair.items())
    file.write_text(f"[tls]\n{tls}[database]\nurl = {URL}\n[sessions]\nwindow = 7\n")
    return file


def slotbelld(*arguments, **environment):
    return subprocess.run([built("slotbelld"), *map(str, arguments)], env=ENVIRONMENT | environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
