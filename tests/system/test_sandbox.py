"""The sandbox of the units in force: what must fail in it, fails, and what slotbelld needs, works.

probe.py says what is tried. It runs in the place of slotbelld, with all else of the unit as it is.
"""

import json
import pathlib

import probe
import pytest
from box import ROOT

PROBE = "/usr/share/slotbell-probe.py"
IN_ITS_PLACE = f"""[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/python3 -I {PROBE}
ExecPaths=+/usr/bin/python3 +/usr/bin/true
Restart=no
WatchdogSec=0
"""


@pytest.fixture
def prepared(host):
    host.box.write(PROBE, pathlib.Path(probe.__file__).read_text())
    host.box.write("/etc/credstore/slotbell.database-password", "of a test\n", 0o600)
    host.box.write("/etc/credstore/other", "of somebody else\n", 0o600)
    host.box.run("systemctl start dbus.socket")
    return host


def outcomes(host, unit):
    after = host.box.cursor()
    host.box.run(f"systemctl start {unit}")
    messages = [entry["MESSAGE"] for entry in host.box.journal(unit, after) if entry["MESSAGE"].startswith("{")]
    assert len(messages) == 1, messages
    return json.loads(messages[0])


def check(found, network):
    forbidden = {**probe.FORBIDDEN, **({} if network else probe.NETWORK)}
    succeeded = {name: found[name] for name in forbidden if found[name] == "done" or found[name].startswith("broken")}
    assert not succeeded
    failed = {name: found[name] for name in [*probe.NEEDED, *(probe.NETWORK if network else ())] if found[name] != "done"}
    assert not failed


@pytest.mark.parametrize("unit", ["slotbelld.service", "slotbelld@7.service"])
def test_in_the_unit_what_must_fail_fails(prepared, unit):
    prepared.drop_in(unit, IN_ITS_PLACE)
    check(outcomes(prepared, unit), network=True)


def test_without_a_network_no_socket_of_it_either(prepared):
    unit = "slotbelld.service"
    prepared.drop_in(unit, (ROOT / "systemd/slotbelld-local-database.conf").read_text(), "local-database")
    prepared.drop_in(unit, IN_ITS_PLACE)
    check(outcomes(prepared, unit), network=False)


def test_outside_of_the_sandbox_what_the_probe_tries_can_be_done(prepared):
    """Or it would prove nothing inside."""
    found = json.loads(prepared.box.run(["env", "CREDENTIALS_DIRECTORY=/etc/credstore", "RUNTIME_DIRECTORY=/run/slotbell",
                                         "/usr/bin/python3", "-I", PROBE]))
    undone = {name: words for name, words in found.items() if words != "done" and name != "read its password"}
    assert not undone


def test_slotbelld_itself_runs_in_it(host):
    host.start()
    status = dict(line.split(":\t", 1) for line in host.box.path(f"/proc/{host.pid()}/status").read_text().splitlines())
    assert {name: status[name] for name in ("NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapBnd", "CapAmb")} == {
        "NoNewPrivs": "1", "Seccomp": "2", **dict.fromkeys(("CapEff", "CapPrm", "CapBnd", "CapAmb"), "0" * 16)}
    root = host.box.path(f"/proc/{host.pid()}/root")
    assert not {"home", "opt", "srv", "boot", "mnt"} & {path.name for path in root.iterdir()}
    assert "dbus" not in [path.name for path in (root / "run").iterdir()]
    mounts = host.box.path(f"/proc/{host.pid()}/mountinfo").read_text().splitlines()
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    assert all("noexec" in options[path] for path in ("/", "/usr", "/etc"))
    # Nothing that is executable can be written to; these two are root's.
    assert {path for path, words in options.items() if "noexec" not in words and "rw" in words} <= {"/run", "/dev/hugepages"}
