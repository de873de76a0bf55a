"""A configuration for slotbelld that is good until a test spoils it."""

import pytest
from command_support import URL
from slotbelld import folded

pytest_plugins = ["fixtures_daemon"]


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
