"""What can be said of the units without starting them: how exposed they are, and that what they leave off has its reason."""

import json
import os
import re
import shutil
import subprocess

import pytest
from box import ROOT

SERVICES = ["slotbelld.service", "slotbelld@.service"]


def install(folder, prefix):
    """Below this folder, as for a package: nothing of it is written to this machine."""
    subprocess.run(["cmake", "--install", ROOT / "build", "--prefix", prefix], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(folder)})
    return folder / prefix.lstrip("/") / "lib/systemd/system"


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    return install(tmp_path_factory.mktemp("units"), "/usr")


def exposure(unit):
    """The figure of systemd-analyze, and what it finds missing."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    words = subprocess.run([*command, unit], check=True, capture_output=True, text=True).stdout
    rows = json.loads(subprocess.run([*command, "--json=short", unit], check=True, capture_output=True, text=True).stdout)
    missing = [row["name"] for row in rows if row["set"] is False and row.get("exposure")]
    return float(re.search(r"Overall exposure level for \S+: ([\d.]+) ", words).group(1)), missing


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_is_exposed_no_more_than_one_point(units, name):
    assert exposure(units / name)[0] <= 1.0


def test_with_the_database_on_a_unix_socket_half_a_point(units, tmp_path):
    for name in SERVICES:
        shutil.copy(units / name, tmp_path / name)
        (tmp_path / f"{name}.d").mkdir()
        shutil.copy(ROOT / "systemd/slotbelld-local-database.conf", tmp_path / f"{name}.d/")
        assert exposure(tmp_path / name)[0] <= 0.5


def test_what_is_left_off_has_its_reason_beside_it(units):
    text = (units / SERVICES[0]).read_text()
    reasons = text[text.index("# What is left off"):text.index("[Install]")]
    _, missing = exposure(units / SERVICES[0])
    assert missing, "systemd-analyze is believed to find something"
    for name in missing:
        assert f"\n# {name}" in reasons, f"nothing is said of {name}"


def section(text, name):
    """What counts in a section: comments left out."""
    lines = text.partition(f"[{name}]\n")[2].partition("\n[")[0].splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_an_instance_is_the_one_service_but_for_what_is_its_own(units):
    one, many = (section((units / name).read_text().replace("/slotbell/%i", "/slotbell"), "Service") for name in SERVICES)
    own = re.compile(r"(Environment|RuntimeDirectory|RuntimeDirectoryPreserve)=")
    assert [line for line in one if not own.match(line)] == [line for line in many if not own.match(line)]


def value(lines, name):
    return next(line.removeprefix(f"{name}=") for line in lines if line.startswith(f"{name}="))


def test_limits_fit_the_defaults_of_the_configuration(units):
    lines = section((units / SERVICES[0]).read_text(), "Service")
    defaults = (ROOT / "config/slotbelld.conf").read_text()
    sessions = int(re.search(r"^#?max = (\d+)", defaults, re.MULTILINE).group(1))
    drain = int(re.search(r"\[drain\].*?^#?seconds = (\d+)", defaults, re.MULTILINE | re.DOTALL).group(1))
    soft, hard = map(int, value(lines, "LimitNOFILE").split(":"))
    assert soft == sessions + sessions // 4 + 256 < hard  # as ops/descriptors.c counts
    assert int(value(lines, "TimeoutStopSec").removesuffix("s")) >= drain + 10
    assert int(value(lines, "WatchdogSec").removesuffix("s")) >= 10


def test_another_prefix_is_seen_in_the_sandbox(tmp_path):
    folder = install(tmp_path, "/opt/slotbell")
    for name in SERVICES:
        text = (folder / name).read_text()
        assert "ExecStart=/opt/slotbell/sbin/slotbelld\n" in text
        assert "BindReadOnlyPaths=/usr -/lib -/lib64 /etc /opt/slotbell\n" in text
        assert "@" not in re.sub(r"slotbelld(-admin)?@|@system-service|~@privileged @resources @aio @keyring", "", text)
