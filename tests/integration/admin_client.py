"""The admin listener as monitoring asks it, and its metrics by Prometheus' own strict parser."""

import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics import parser as openmetrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool, of package prometheus, is not there")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def admin_port(daemon):
    return int(re.findall(r"admin_port=(\d+)", daemon.log_text())[-1])


def get(daemon, path, accept=None):
    """Status, content type, body."""
    request = urllib.request.Request(f"http://127.0.0.1:{admin_port(daemon)}{path}", headers={"Accept": accept} if accept else {})
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def metrics(daemon):
    """Every sample by its name and labels: {("slotbell_sessions", (("state", "live"),)): 1.0}, by the strict parser."""
    status, kind, text = get(daemon, "/metrics", "application/openmetrics-text; version=1.0.0; q=0.5, text/plain;q=0.1")
    assert (status, kind) == (200, OPENMETRICS)
    families = openmetrics.text_string_to_metric_families(text)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def value(found, name, **labels):
    return found[name, tuple(sorted(labels.items()))]


def promtool(*words, **more):
    """What it prints: it must find no fault, and not grumble either."""
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False, timeout=120, **more)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return done.stdout
