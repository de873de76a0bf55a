"""A throwaway authority and plug-ins that trust it, for tests of slotbell-plugin against fake_server.

Test modules ask for it by `pytest_plugins = ["fixtures_plugin"]`.
"""

import pytest
from fake_server import Certificates
from plugin_process import Plugin


@pytest.fixture(scope="session")
def fake_ca(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("fake-ca"))


@pytest.fixture(scope="session")
def context(fake_ca):
    """TLS of a server whose certificate is good."""
    return fake_ca.server("good")


@pytest.fixture
def start(tmp_path, fake_ca):
    """start(server, *options): a plug-in for this server."""
    return lambda server, *options, **more: Plugin(tmp_path, server.url, fake_ca.ca, *options, **more)
