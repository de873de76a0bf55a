"""Bookings at and around every limit of slotbell.publish(), for test_publish_property.py.

Each is a good one with a few fields made odd: so most of what an odd field may
be is tried in a booking that is refused for nothing else.
"""

import datetime
import json

MAILBOX = "ada@example.com"
PIECES = ["", " ", "  ", "\t", "\n", "\r\n", "\x01", "\x07", "\x1b[31m", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\xa0", "\xad", "\u1680", "\u180e", "\u2003", "\u200b", "\u200d",
          "\u200e", "\u2028", "\u2029", "\u202e", "\u2066", "\u202f", "\u205f", "\u3000", "\ufeff", "\ufffe", "\uffff", "\ufdd0", "\ufffd", "\U0001f514", "\U0010ffff", "\U000e0041", "e\u0301",
          "ü", "予約", "\u05d0\u05d1", "^n", "^'", "^^", '"', "'", "\\", "\\n", "\\;", ";", ",", ":", "=", "%0A", "%", "&lt;", "BEGIN:VEVENT", "\r\nEND:VEVENT\r\n", "\nX-SLOTBELL-VERSION:9", "null",
          "{}", "a", "b c", "0", "@", "<", ">", "mailto:"]  # fmt: skip
ADDRESSES = ["a@b", "ada@example.com", "Ada.L+x@Example.COM", "o'neil@example.com", "müller@bücher.example", "a/b=c!#$%&*?^_`{|}~-@b.c", "a%0Ab@c", "", "@", "a@", "@b", "ada", "a@b@c", "a b@c",
             "Ada <a@b.c>", "<a@b.c>", "mailto:a@b.c", "a@b,c@d", "a@b;", '"a"@b', "a@[::1]", " a@b", "a@b ", "a@b\n", "a\xa0@b", "a@b\u2028", "a\u202e@b", "a\u200b@b", "a\x85@b"]  # fmt: skip
LINKS = ["https://example.com/4", "HTTPS://example.com", "https://[::1]:443/", "http://example.com", "javascript:alert(1)", "https://a@b/", "https://example.com/%0A", "https://example.com/a b", ""]
INSTANTS = [datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59), datetime.datetime(9999, 12, 1), datetime.datetime(2026, 3, 29, 1), datetime.datetime(2026, 11, 24, 9)]
ODD_INSTANTS = ["infinity", "-infinity", "10000-01-01 00:00+00", "294276-12-31 23:59:59+00", "4713-01-01 00:00+00 BC", "1969-12-31 23:59:59.999999+00", "9999-12-31 23:59:59.000001+00"]
EDGE_ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12", "Etc/GMT-14", "Asia/Kathmandu", "CET", "EST"]


class Maker:
    def __init__(self, chance, zones):
        self.chance, self.zones, self.count = chance, zones, 0

    def text(self, limit):
        """Mostly short; at times as long as can be, or one more, of one, two, three, four bytes a character or six in JSON."""
        size = self.chance.randrange(6)
        if size == 0:
            return self.chance.choice(["x", "ü", "予", "\U0001f514", "\x01", '"', "\\", "\u2028"]) * (limit + self.chance.choice([-1, 0, 1]))
        return "".join(self.chance.choices(PIECES, k=self.chance.randrange(5)))

    def maybe(self, value):
        return None if self.chance.randrange(4) == 0 else value

    def uid(self):
        self.count += 1
        name = f"u{self.count}"
        match self.chance.randrange(5):
            case 0:
                return name + "x" * (255 - len(name) + self.chance.choice([-1, 0, 0, 1]))
            case 1:
                return name + "".join(self.chance.choices(["ü", "\U0001f514", " ", "予", ";", "\\"], k=self.chance.randrange(120))) + "z"
            case _:
                return "".join(self.chance.choices(PIECES, k=self.chance.randrange(2))) + name + "".join(self.chance.choices(PIECES, k=self.chance.randrange(3)))

    def starts_at(self):
        if self.chance.randrange(8) == 0:
            return self.chance.choice([None, *ODD_INSTANTS])
        seconds = self.chance.choice([0, 1, 60, 1800, 3600, 5 * 3600, 14 * 3600, self.chance.randrange(50 * 3600)])
        try:
            found = self.chance.choice(INSTANTS) + datetime.timedelta(seconds=self.chance.choice([-1, 1]) * seconds)
        except OverflowError:
            return "10000-01-01 00:00:01+00"
        return found.isoformat(" ") + "+00"

    def person(self):
        person = {"email": self.chance.choice(ADDRESSES[:7])}
        if self.chance.randrange(2):
            person["name"] = self.maybe(self.text(255))
        match self.chance.randrange(12):
            case 0 | 1:
                person["email"] = self.chance.choice(ADDRESSES)
            case 2:
                person["email"] = "e@" + "x" * (318 + self.chance.choice([-1, 0, 1]))
            case 3:
                person["email"] = self.chance.choice([None, 7, {}])
            case 4:
                person["name"] = self.chance.choice([7, {}, [], True])
            case 5:
                person[self.chance.choice(["phone", "", "Name"])] = self.chance.choice(["x", None])
        return person

    def attendees(self):
        match self.chance.randrange(10):
            case 0:
                return self.chance.choice([None, "null", {}, 7, "x", [None], [[]], [{}], ["a@b"]])
            case 1:
                return [{"email": "a@b"}] * self.chance.choice([499, 500, 501])
            case _:
                return [self.person() for _ in range(self.chance.randrange(3))]

    def details(self):
        if self.chance.randrange(10) == 0:
            return self.chance.choice([None, "null", [], 7, "x", {}, {"colour": None}, {"colour": "red"}])
        made = {}
        for name, value in (("organizer", self.person), ("location", lambda: self.text(1024)), ("description", lambda: self.text(32768)), ("join_url", lambda: self.chance.choice(LINKS))):
            if self.chance.randrange(3) == 0:
                made[name] = self.maybe(value())
        if self.chance.randrange(20) == 0:
            made[self.chance.choice(["location", "organizer", "description", "join_url"])] = self.chance.choice([7, [], {}, False])
        return made

    def large(self, booking):
        """Around 64 KiB in all: as stored, whatever its spelling on the wire."""
        letter = self.chance.choice(["x", "ü", "\x01", '"', "\U0001f514"])
        size = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
        booking["details"] = {"description": letter * 30000, "location": "l" * 1000}
        people = max(0, (65536 - 30000 * size) // 345 + self.chance.randrange(-4, 2))
        booking["attendees"] = [{"name": "n" * 255, "email": "e@" + "x" * 60}] * min(people, 500)

    def booking(self):
        booking = {"mailbox": MAILBOX, "uid": f"g{self.count}-{self.chance.randrange(2**40)}", "starts_at": "2026-11-24 09:00+00", "duration_minutes": 30, "time_zone": "Europe/Berlin",
                   "subject": "Intro call", "attendees": [{"name": "Grace", "email": "grace@example.com"}], "change": self.chance.choice(["created", "updated"]), "details": None}  # fmt: skip
        odd = {
            "uid": self.uid, "starts_at": self.starts_at, "attendees": self.attendees, "details": self.details,
            "duration_minutes": lambda: self.chance.choice([None, -1, 0, 1, 2, 60, 1440, 44639, 44640, 44641, 2**31 - 1]),
            "time_zone": lambda: self.chance.choice([*EDGE_ZONES, *self.chance.choices(self.zones, k=4), None, "", "Mars/Olympus", "europe/berlin"]),
            "subject": lambda: self.maybe(self.text(255)), "change": lambda: self.chance.choice(["created", "cancelled", "cancelled", "moved", None]),
        }  # fmt: skip
        names = self.chance.sample(sorted(odd), self.chance.randrange(4))
        if "starts_at" in names and self.chance.randrange(2):
            names.append("time_zone")
        for name in names:
            booking[name] = odd[name]()
        if self.chance.randrange(25) == 0:
            self.large(booking)
        if booking["change"] == "cancelled" and self.chance.randrange(2):
            booking.update(dict.fromkeys(("starts_at", "duration_minutes", "time_zone", "subject", "attendees")))
        return booking
