"""The demo's own eyes tested: a check that cannot see a mistake is no check."""

import datetime
import io
import pathlib
import sys
import types

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import ics  # noqa: E402
from ledger import Ledger, Meeting, differences  # noqa: E402
from screen import Screen, milliseconds  # noqa: E402
from slotbelld import folded  # noqa: E402

UTC = datetime.timezone.utc
NOON = datetime.datetime(2031, 5, 6, 12, 0, tzinfo=UTC)

GOOD = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
BEGIN:VEVENT\r
UID:one@shop\r
SEQUENCE:3\r
X-SLOTBELL-VERSION:7\r
DTSTART:20310506T120000Z\r
DURATION:PT45M\r
SUMMARY:Tea\\, coffee\\nand a very long subject that has to be folded somewhere or ot\r
 her\r
ATTENDEE;CN="Lovelace: Ada";PARTSTAT=NEEDS-ACTION:mailto:ada@example.com\r
STATUS:CONFIRMED\r
END:VEVENT\r
END:VCALENDAR\r
"""
SUBJECT = "Tea, coffee\nand a very long subject that has to be folded somewhere or other"


def write(folder, text, name="one.ics"):
    (folder / name).write_bytes(text.encode())
    return folder / name


def meeting(host=None, **other):
    fields = {"uid": "one@shop", "host": host, "subject": SUBJECT, "starts_at": NOON, "minutes": 45,
              "attendees": [{"name": "Ada", "email": "ada@example.com"}]}
    return Meeting(**{**fields, **other})


def test_an_appointment_is_read_unfolded_and_unescaped(tmp_path):
    found = ics.read(write(tmp_path, GOOD))
    assert (found.uid, found.version, found.cancelled) == ("one@shop", 7, False)
    assert (found.starts_at, found.minutes, found.subject) == (NOON, 45, SUBJECT)
    assert found.attendees == ["ada@example.com"]
    assert differences(meeting(), found) == []


def test_an_end_instead_of_a_duration_is_as_good(tmp_path):
    assert ics.read(write(tmp_path, GOOD.replace("DURATION:PT45M", "DTEND:20310506T130000Z"))).minutes == 60


@pytest.mark.parametrize("old, new", [
    ("END:VEVENT\r\n", ""),
    ("X-SLOTBELL-VERSION:7\r\n", ""),
    ("X-SLOTBELL-VERSION:7\r\n", "X-SLOTBELL-VERSION:7\r\nX-SLOTBELL-VERSION:8\r\n"),
    ("20310506T120000Z", "20310506T120000"),
    ("PT45M", "45"),
    ("BEGIN:VEVENT", "BEGIN:VTODO"),
])
def test_a_broken_file_is_refused(tmp_path, old, new):
    with pytest.raises(ics.Broken):
        ics.read(write(tmp_path, GOOD.replace(old, new, 1)))


@pytest.mark.parametrize("wrong", [
    {"subject": "Other"},
    {"minutes": 44},
    {"starts_at": NOON + datetime.timedelta(hours=1)},
    {"attendees": []},
    {"cancelled": True},
])
def test_each_difference_is_seen(tmp_path, wrong):
    assert len(differences(meeting(**wrong), ics.read(write(tmp_path, GOOD)))) == 1


class Host(types.SimpleNamespace):
    __hash__ = object.__hash__


def results(tmp_path, change=lambda ledger, plugin: None):
    """The checks' names that do not hold, after `change` has spoiled something."""
    plugin = Host(name="Ada", calendar=tmp_path, written=[
        {"uid": "one@shop", "change": "created", "repeat": False},
        {"uid": "one@shop", "change": "created", "repeat": True},
    ])
    write(tmp_path, GOOD)
    ledger = Ledger()
    ledger.commit(meeting(plugin), "created")
    ledger.never.append("never@shop")
    ledger.live.append((3.0, 4.0))
    change(ledger, plugin)
    return [name for name, held, _ in ledger.checks([plugin]) if not held]


def test_every_check_holds_when_all_is_well(tmp_path):
    assert results(tmp_path) == []


@pytest.mark.parametrize("spoil, name", [
    (lambda ledger, plugin: (plugin.calendar / "one.ics").unlink(), "nothing-lost"),
    (lambda ledger, plugin: write(plugin.calendar, "BEGIN:VCALENDAR\r\n", "two.ics"), "nothing-lost"),
    (lambda ledger, plugin: write(plugin.calendar, GOOD, "two.ics"), "nothing-doubled"),
    (lambda ledger, plugin: write(plugin.calendar, GOOD.replace("one@", "two@"), "two.ics"), "nothing-doubled"),
    (lambda ledger, plugin: write(plugin.calendar, GOOD.replace("PT45M", "PT30M")), "as-booked"),
    (lambda ledger, plugin: ledger.never.append("one@shop"), "rollback-rings-nothing"),
    (lambda ledger, plugin: ledger.never.clear(), "rollback-rings-nothing"),
    (lambda ledger, plugin: plugin.written.pop(0), "in-order"),
    (lambda ledger, plugin: plugin.written.append(plugin.written[0]), "in-order"),
    (lambda ledger, plugin: ledger.live.append((9.0, 4.0)), "latency-is-true"),
    (lambda ledger, plugin: ledger.live.append((-1.0, 4.0)), "latency-is-true"),
])
def test_each_check_sees_what_it_is_for(tmp_path, spoil, name):
    assert name in results(tmp_path, spoil)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("width", [20, 33, 60, 72, 80, 100, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_page(width, encoding, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    screen = Screen(types.SimpleNamespace(isatty=lambda: False, encoding=encoding, write=out.write, flush=lambda: None), width)
    screen.say("some words that are long enough to be wrapped on every page that is narrow, but not elsewhere")
    screen.check(True, "some more words that are long enough to be wrapped, as the words of a check are")
    screen.row("Grace", "A subject that goes on and on and on", "Wed 25 10:00", "cancelled", "in Outlook  3.2 ms")
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    if encoding == "ascii":
        out.getvalue().encode("ascii")


def test_a_waiting_row_is_completed_in_its_place(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    screen = Screen(out, 100)
    screen.row("Ada", "Tea", "Wed 25 10:00", "booked")
    screen.row("Ada", "Tea", "Wed 25 10:00", "booked", "in Outlook  3.2 ms")
    before, after = out.getvalue().split("\r\033[K")
    assert before.endswith("   booked …") and after.endswith("   booked → in Outlook  3.2 ms\n")


def test_milliseconds_are_short():
    assert [milliseconds(value) for value in (0.04, 3.21, 41.4, 2345.0)] == ["0.0 ms", "3.2 ms", "41 ms", "2.3 s"]


@pytest.mark.parametrize("value", ["short", "x" * 500, "/a b" * 100, "/" + "long " * 60, "y" * 121 + " z"])
def test_a_folded_value_is_itself_again_when_its_lines_are_joined(value):
    lines = folded(value).split("\n\t")
    assert "".join(line.strip() for line in lines) == value.strip() and max(map(len, lines)) <= 125


@pytest.mark.parametrize("value", [100, "debug", "x" * 120])
def test_a_value_that_fits_is_not_folded(value):
    assert folded(value) == str(value)  # of a number or a word slotbelld would take the first line alone
