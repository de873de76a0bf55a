"""A plug-in of the house, and proxies in front of its daemon.

Test modules ask for it by `pytest_plugins = ["fixtures_daemon", "fixtures_fronts"]`.
"""

import pytest
from ctl_support import wait_until
from fronts import ADA, Front
from plugin_process import Plugin


@pytest.fixture
def front(certificates):
    made = []

    def make(daemon, text, **values):
        made.append(Front(daemon, certificates, text, **values))
        wait_until(made[-1].answers, "the proxy answers")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def plugin(house, tmp_path):
    def make(daemon, url, *options):
        return Plugin(tmp_path / "ada", url, daemon.ca, *options, token=house.enrol(ADA))
    return make
