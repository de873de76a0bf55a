"""Code, journal catalogue and documentation name the same events, and journalctl takes the catalogue."""

import re
import shutil
import subprocess
import uuid

import pytest
from ctl_support import ROOT

TABLE = re.findall(r'X\("([^"]+)",\s+"([0-9a-f]{32})"\)', (ROOT / "daemon/ops/log_events.h").read_text())
IDS = dict(TABLE)
CALL = re.compile(r'(?:sb_log|write_line|send_line)\(\s*([^;"]*?),\s*"([^"]+)",', re.S)


def calls():
    """(level's expression, event, text up to the call's end) of all lines that the daemon can log."""
    for path in sorted((ROOT / "daemon").rglob("*.c")):
        if path.parent.name == "ctl":
            continue
        text = path.read_text()
        for call in CALL.finditer(text):
            yield call[1], call[2], text[call.start():text.index(";", call.end())]


def test_identifiers_are_random_and_each_is_one_events_own():
    assert len(TABLE) == len(IDS) == len(set(IDS.values())) > 20
    for event, identifier in TABLE:
        assert uuid.UUID(identifier).version == 4, f"{event}: make one with systemd-id128 new"


def test_every_line_of_notice_or_worse_has_one_and_no_event_is_made_up():
    worth_it = {event for level, event, _ in calls() if re.search("NOTICE|WARNING|ERROR", level)}
    # The one that log.c itself writes has its level in a variable's place.
    suppressed = {event for _, event, text in calls() if "SB_LOG_WARNING" in text}
    assert worth_it | suppressed == set(IDS)


def catalogue():
    """identifier -> (headers, text)"""
    found = {}
    for entry in re.split(r"^-- ", (ROOT / "config/slotbelld.catalog").read_text(), flags=re.M)[1:]:
        identifier, _, rest = entry.partition("\n")
        headers, _, text = rest.partition("\n\n")
        assert identifier not in found
        found[identifier] = (dict(line.split(": ", 1) for line in headers.splitlines()), text)
    return found


def test_the_catalogue_explains_each_and_no_other():
    found = catalogue()
    assert set(found) == set(IDS.values())
    for headers, text in found.values():
        assert set(headers) == {"Subject", "Defined-By", "Documentation"} and headers["Defined-By"] == "slotbelld" and text.strip()


def test_the_catalogue_quotes_only_fields_that_the_event_has():
    events, quoted = {identifier: event for event, identifier in TABLE}, 0
    for identifier, (_, text) in catalogue().items():
        formats = " ".join(line for _, event, line in calls() if event == events[identifier])
        if events[identifier] in ("log lines suppressed", "log lines lost"):  # its format stands beside the call
            formats = (ROOT / "daemon/base/log.c").read_text() + (ROOT / "daemon/ops/journal.c").read_text()
        for field in re.findall(r"@SLOTBELL_([A-Z_]+)@", text):
            assert f"{field.lower()}=" in formats, f"{events[identifier]} has no field {field.lower()}"
            quoted += 1
    assert quoted


@pytest.mark.skipif(not shutil.which("journalctl"), reason="systemd's journalctl is not there")
def test_journalctl_takes_it(tmp_path):
    (tmp_path / "usr/lib/systemd/catalog").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(ROOT / "config/slotbelld.catalog", tmp_path / "usr/lib/systemd/catalog/slotbelld.catalog")
    done = subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "catalog:" not in done.stderr, done.stderr
    listed = subprocess.run(["journalctl", f"--root={tmp_path}", "--list-catalog"], capture_output=True, text=True, check=True, timeout=60)
    shown = dict(re.findall(r"^([0-9a-f]{32}) slotbelld: (.*)$", listed.stdout, re.M))
    assert shown == {identifier: headers["Subject"] for identifier, (headers, _) in catalogue().items()}


def test_the_documentation_has_the_table():
    page = (ROOT / "docs/operating.md").read_text()
    assert re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{32})` \| \S", page, re.M) == TABLE
