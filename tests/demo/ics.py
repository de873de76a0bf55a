"""Reads an .ics file as a calendar would, as far as the demo looks (RFC 5545).

Written apart from the plug-in's own libical on purpose: a check that shares the
writer's code would share its mistakes.
"""

import datetime
import re

DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")


class Broken(Exception):
    """Not the one appointment that it should be; the text says why."""


class Appointment:
    """One VEVENT: uid, version, starts_at (UTC), minutes, subject, attendees, cancelled."""

    def __init__(self, properties):
        def one(name):
            values = properties.get(name, [])
            if len(values) != 1:
                raise Broken(f"{len(values)} times {name}")
            return values[0]

        self.uid = _text(one("UID"))
        self.version = int(one("X-SLOTBELL-VERSION"))
        self.cancelled = properties.get("STATUS", ["CONFIRMED"])[0].upper() == "CANCELLED"
        self.subject = _text(properties.get("SUMMARY", [""])[0])
        self.attendees = sorted(value.removeprefix("mailto:") for value in properties.get("ATTENDEE", []))
        self.starts_at = _instant(one("DTSTART")) if "DTSTART" in properties else None
        self.minutes = None
        if "DTEND" in properties:
            self.minutes = int((_instant(one("DTEND")) - self.starts_at).total_seconds()) // 60
        elif "DURATION" in properties:
            self.minutes = _minutes(one("DURATION"))


def _text(value):
    """RFC 5545 section 3.3.11."""
    return re.sub(r"\\(.)", lambda match: "\n" if match.group(1) in "nN" else match.group(1), value)


def _instant(value):
    if not value.endswith("Z"):
        raise Broken(f"{value} is no instant in UTC")
    return datetime.datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)


def _minutes(value):
    match = DURATION.match(value)
    if not match:
        raise Broken(f"{value} is no duration")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((weeks * 7 + days) * 24 + hours) * 60 + minutes + seconds // 60


def read(path):
    """The appointment in this file. Raises Broken, or OSError when it is not there."""
    with open(path, "rb") as file:
        # Folding may cut a character in two, so unfold bytes first (section 3.1).
        text = re.sub(rb"\r?\n[ \t]", b"", file.read()).decode("utf-8")
    properties, inside, events = {}, [], 0
    for line in text.splitlines():
        head, colon, value = _split(line)
        name = head.partition(";")[0].upper()
        if not colon:
            continue
        if name == "BEGIN":
            inside.append(value.upper())
            events += value.upper() == "VEVENT"
        elif name == "END":
            if not inside or inside.pop() != value.upper():
                raise Broken(f"END:{value} without its BEGIN")
        elif inside[-1:] == ["VEVENT"]:
            properties.setdefault(name, []).append(value)
    if inside or events != 1:
        raise Broken(f"{events} VEVENTs, {len(inside)} left open")
    return Appointment(properties)


def _split(line):
    """Name with parameters, colon, value: a colon inside a quoted parameter does not count."""
    quoted = False
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ":" and not quoted:
            return line[:position], ":", line[position + 1 :]
    return line, "", ""
