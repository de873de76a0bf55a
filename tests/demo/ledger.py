"""What was booked, and whether the calendars tell the same.

The ledger is written by the hand that books, before any plug-in speaks. The
checks read the .ics files themselves; the plug-ins' words only add what no
file can show: in which order things came, and that nothing came twice.
"""

import dataclasses
import datetime
import statistics

import ics


@dataclasses.dataclass
class Meeting:
    uid: str
    host: object  # the Plugin whose calendar it goes into
    subject: str
    starts_at: datetime.datetime  # aware, in the zone it was booked in
    minutes: int
    attendees: list  # [{"name": …, "email": …}]
    attached: bool = False  # it is in the table that rings by itself
    cancelled: bool = False
    changes: int = 0  # how often it rang


class Ledger:
    def __init__(self):
        self.meetings = {}  # uid -> Meeting that was committed
        self.never = []  # uids of what was rolled back
        self.events = {}  # host -> [(uid, change)] in the order of the commits
        self.live = []  # (booked → in Outlook in ms, as the plug-in says; as seen from outside) with the daemon up
        self.late = []  # the same of what waited for the daemon

    def commit(self, meeting, change):
        self.meetings[meeting.uid] = meeting
        meeting.changes += 1
        meeting.cancelled = change == "cancelled"
        self.events.setdefault(meeting.host, []).append((meeting.uid, change))

    # ---- checks: (name, held, words) ----

    def checks(self, plugins):
        files = {plugin: sorted(plugin.calendar.glob("*.ics")) for plugin in plugins}
        read, broken = {}, []
        for plugin, paths in files.items():
            for path in paths:
                try:
                    read.setdefault((plugin, ics.read(path).uid), []).append(ics.read(path))
                except (ics.Broken, ValueError) as error:
                    broken.append(f"{path.name}: {error}")
        yield from self._files(read, broken)
        yield from self._order(plugins)
        yield self._latencies()

    def _files(self, read, broken):
        missing = [meeting.subject for meeting in self.meetings.values() if (meeting.host, meeting.uid) not in read]
        yield ("nothing-lost", not missing and not broken,
               f"every one of {len(self.meetings)} meetings has its .ics file, and each can be read"
               + _but(missing + broken))
        doubled = [uid for (_, uid), found in read.items() if len(found) > 1]
        strangers = [uid for plugin, uid in read if uid not in self.meetings or self.meetings[uid].host is not plugin]
        yield ("nothing-doubled", not doubled and not strangers,
               "no meeting is there twice, or in a calendar that it is not for" + _but(doubled + strangers))
        wrong = [words for (_, uid), found in read.items() if uid in self.meetings
                 for words in differences(self.meetings[uid], found[0])]
        yield ("as-booked", not wrong,
               "time, length, subject and attendees are as booked, moved meetings moved, cancelled ones cancelled"
               + _but(wrong))
        came = [uid for _, uid in read if uid in self.never]
        yield ("rollback-rings-nothing", bool(self.never) and not came, "what was rolled back rang no bell" + _but(came))

    def _order(self, plugins):
        wrong = []
        for plugin in plugins:
            told = [(message["uid"], message["change"]) for message in plugin.written if not message.get("repeat")]
            if told != self.events.get(plugin, []):
                wrong.append(f"{plugin.name} heard {told}")
        total = sum(map(len, self.events.values()))
        yield ("in-order", not wrong, f"{total} changes arrived once each, in the order of their commits" + _but(wrong))

    def _latencies(self):
        wrong = [f"{told:.1f} ms told, {seen:.1f} ms seen" for told, seen in self.live + self.late
                 if not 0 <= told <= seen + 1]
        words = "the milliseconds are true: no plug-in claims less than nothing or more than was seen from outside"
        return "latency-is-true", not wrong and bool(self.live), words + _but(wrong)

    def median(self):
        return statistics.median(told for told, _ in self.live)

    def slowest(self):
        return max(told for told, _ in self.live)


def differences(meeting, appointment):
    """In words, what this appointment has otherwise than it was booked."""
    if meeting.cancelled:
        # A cancellation may carry no more than the uid: the least data that does the job.
        return [] if appointment.cancelled else [f"{meeting.subject} is not cancelled"]
    wrong = []
    utc = meeting.starts_at.astimezone(datetime.timezone.utc)
    for what, booked, there in (
        ("status", False, appointment.cancelled),
        ("start", utc, appointment.starts_at),
        ("minutes", meeting.minutes, appointment.minutes),
        ("subject", meeting.subject, appointment.subject),
        ("attendees", sorted(person["email"] for person in meeting.attendees), appointment.attendees),
    ):
        if booked != there:
            wrong.append(f"{meeting.subject}: {what} is {there}, not {booked}")
    return wrong


def _but(problems):
    return f"; but: {', '.join(map(str, problems[:5]))}" if problems else ""
