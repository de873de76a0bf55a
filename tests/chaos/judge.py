#!/usr/bin/python3
"""Judges a history (history.py): was anything lost, doubled, swapped, or acked twice? judge.py FILE

Knows nothing of those who acted, and believes nobody: what was committed is what the database says
that it holds (`booked`, written by the writers in the same transactions), never what a daemon says.

One failover is understood, not several: a mailbox then has a base, up to which the previous epoch
survived, and goes on JUMP numbers later.
"""

import collections
import sys

import history

JUMP = 1_000_000
TELLING = 8  # so many problems of a kind are told, and how many more there are
GOOD_CODES = {1000, 1001, 1006, 1012, 1013, 4408, 4409, 4429}

CHECKS = {
    "committed_is_delivered": "whatever was committed reached every device of its mailbox",
    "delivered_was_committed": "nothing was delivered that was not committed",
    "one_number_one_event": "no number was used twice, no event has two, and it reads the same each time",
    "versions_grow": "of two events of a booking, the one with the lower number has the lower version",
    "in_order_without_gap": "every session saw the next event, and the next",
    "numbers_have_no_hole": "a mailbox's numbers are 1 to head, each of a committed booking",
    "commit_order_is_seq_order": "a booking that was committed before another began to commit has the lower number",
    "acked_is_never_sent_again": "no event came again after the client was told that its ack is kept",
    "acks_are_in_effect_once": "acks never went back nor beyond what the client acked, and all are in the database at the end",
    "failures_are_kept_once": "each failure that a client reported is in the database, once",
    "resets_only_where_needed": "no session was reset but one whose events the database lost",
    "nobody_met_a_surprise": "every close, exit and error was of the kind that the trouble explains",
    "something_happened": "there was enough to judge",
}


def parse(cursor):
    epoch, _, seq = cursor.rpartition(".")
    return epoch, int(seq)


class Mailbox:
    def __init__(self):
        self.head, self.base, self.epoch, self.previous_epoch = 0, 0, None, None
        self.numbers = {}  # (epoch, seq) -> mark
        self.marks = {}  # mark -> (epoch, seq)
        self.texts = {}  # mark -> what the event said
        self.versions = {}  # uid -> {seq: version}
        self.booked = set()  # marks that ring

    def expected(self):
        """The numbers that the database holds, by its own account."""
        if self.previous_epoch is None:
            return {(self.epoch, seq) for seq in range(1, self.head + 1)}
        old = {(self.previous_epoch, seq) for seq in range(1, self.base + 1)}
        return old | {(self.epoch, seq) for seq in range(self.base + JUMP + 1, self.head + 1)}

    def is_ghost(self, number):
        """Given by a primary that is no more, and not survived by its successor."""
        return self.previous_epoch is not None and number[0] == self.previous_epoch and number[1] > self.base


class Session:
    def __init__(self, n, hello, late):
        self.n = n
        self.late = late  # a poll's: acks up to this one, sent before it, may move its start until its first event
        self.hello = hello  # seq of hello's cursor
        self.last = None  # (epoch, seq) of what came last
        self.unacked = collections.deque()  # seqs that came and that the client did not ack
        self.doubt = None  # what is wrong with the welcome, unless a reset explains it


class Device:
    def __init__(self, name, mailbox):
        self.name, self.mailbox = name, mailbox
        self.start, self.acked = 0, None  # as the database has it
        self.told = 0  # the newest ack that the client was told is kept
        self.said = 0  # the newest ack that the client sent
        self.got = collections.Counter()  # mark -> times
        self.session = None
        self.furthest = (None, 0)
        self.failed = {}  # seq -> reason, as the client reported
        self.kept = collections.Counter()  # (seq, reason), as the database has it


class Judge:
    def __init__(self, may_lose=False):
        """may_lose: PostgreSQL itself may have lost what the previous primary alone had."""
        self.may_lose = may_lose
        self.problems = {name: [] for name in CHECKS}
        self.mailboxes = collections.defaultdict(Mailbox)
        self.devices = {}
        self.published = []  # (begun, commit, ended, outcome, marks)
        self.jumps = []  # (device, from, to): to be judged when base is known
        self.resets = []  # (device, furthest, reason)
        self.first_at = {}  # mark -> when it first came
        self.figures = collections.Counter()
        self.closes = collections.Counter()

    def problem(self, check, text):
        self.problems[check].append(text)

    def feed(self, lines):
        for line in lines:
            handler = getattr(self, "on_" + line["what"], None)
            if handler:
                handler(line)
        return self

    def device(self, line):
        return self.devices[line["device"]]

    # ---- what clients saw ----

    def on_session(self, line):
        device = self.devices.get(line["device"])
        if not device:
            device = self.devices[line["device"]] = Device(line["device"], self.mailboxes[line["mailbox"]])
        hello = parse(line["cursor"])[1] if line["cursor"] else 0
        # Its welcome is what GET /v1/reconnect said; it begins with its first poll, and takes over only then.
        late = device.said if line["way"] == "Poll" else 0
        device.session = Session(line["n"], hello, late)
        self.figures["sessions asked for"] += 1

    def on_welcome(self, line):
        device = self.device(line)
        session = device.session
        session.last = parse(line["cursor"])
        self.figures["sessions"] += 1
        if session.last[1] < max(device.told, session.hello):
            session.doubt = (f"device {device.name} session {session.n}: welcomed at {line['cursor']}, after it was told "
                             f"{device.told} and said {session.hello}")  # fmt: skip

    def _settle_doubt(self, session):
        if session.doubt:
            self.problem("acked_is_never_sent_again", session.doubt)
            session.doubt = None

    def on_booking(self, line):
        device = self.device(line)
        session, mailbox = device.session, device.mailbox
        number, mark = (line["epoch"], line["seq"]), line["mark"]
        where = f"device {device.name} session {session.n}: {number[0]}.{number[1]}"
        self._settle_doubt(session)
        self.figures["deliveries"] += 1
        self.first_at.setdefault(mark, line["at"])

        if mailbox.numbers.setdefault(number, mark) != mark:
            self.problem("one_number_one_event", f"{where} is {mark}, and was {mailbox.numbers[number]}")
        elif mailbox.marks.setdefault(mark, number) != number:
            self.problem("one_number_one_event", f"{where} is {mark}, which was {mailbox.marks[mark]}")
        text = (line["uid"], line["version"], line["change"])
        if mailbox.texts.setdefault(mark, text) != text:
            self.problem("one_number_one_event", f"{where} says {text}, and said {mailbox.texts[mark]}")
        versions = mailbox.versions.setdefault(line["uid"], {})
        versions.setdefault(number[1], line["version"])
        if any((other < number[1]) != (version < line["version"]) for other, version in versions.items() if other != number[1]):
            self.problem("versions_grow", f"{where}: version {line['version']} of {line['uid']} is not above all before it")

        if number[1] <= device.told:
            self.problem("acked_is_never_sent_again", f"{where} came after acked {device.told}")
        elif device.got[mark]:
            self.figures["repeats of what was not acked"] += 1
        device.got[mark] += 1

        if session.last is None:
            self.problem("in_order_without_gap", f"{where} came before welcome")
        elif not session.last[1] < number[1] <= max(session.last[1], session.late) + 1:
            self.jumps.append((where, mailbox, session.last, number))
        session.last, session.late = number, 0
        session.unacked.append(number[1])
        if number[1] > device.furthest[1] or number[0] != device.furthest[0]:
            device.furthest = number

    def on_live(self, line):
        session = self.device(line).session
        self._settle_doubt(session)
        epoch, seq = parse(line["cursor"])
        if session.last and seq < session.last[1]:
            self.problem("in_order_without_gap", f"device {line['device']} session {session.n}: live at {epoch}.{seq}, "
                         f"after {session.last[1]}")  # fmt: skip
        elif session.last and seq > session.last[1]:
            if seq > session.late:
                # Numbers without events: only a new epoch has them.
                self.jumps.append((f"device {line['device']} session {session.n}: live at {epoch}.{seq}",
                                   self.device(line).mailbox, session.last, (epoch, seq + 1)))
            session.last = (epoch, seq)
        session.late = 0

    def on_acks(self, line):
        device = self.device(line)
        unacked = device.session.unacked
        seq = parse(line["cursor"])[1]
        while unacked and unacked[0] <= seq:
            unacked.popleft()
        device.said = max(device.said, seq)
        for failed, reason in line["failed"].items():
            device.failed[int(failed)] = reason
        self.figures["acks"] += 1

    def on_acked(self, line):
        device = self.device(line)
        session = device.session
        seq = parse(line["cursor"])[1]
        where = f"device {device.name} session {session.n}: acked {line['cursor']}"
        self._settle_doubt(session)
        if seq < device.told:
            self.problem("acks_are_in_effect_once", f"{where} after acked {device.told}")
        if session.unacked and session.unacked[0] <= seq:
            self.problem("acks_are_in_effect_once", f"{where}, though the client did not ack {session.unacked[0]}")
        device.told = max(device.told, seq)
        self.figures["acks confirmed"] += 1

    def on_reset(self, line):
        device = self.device(line)
        device.session.doubt = None
        device.session.last = parse(line["cursor"])
        device.session.unacked.clear()
        device.told = min(device.told, device.session.last[1])
        self.resets.append((device, device.furthest, line["reason"]))
        self.figures["resets"] += 1

    def on_ended(self, line):
        self.closes[f"{line['how']} {line['code']}" if line["code"] else line["how"]] += 1
        if line["code"] and line["code"] not in GOOD_CODES:
            self.problem("nobody_met_a_surprise", f"device {line['device']} session {line['n']}: closed with {line['code']}")

    def on_surprise(self, line):
        self.problem("nobody_met_a_surprise", f"{line['who']}: {line['text']}")

    # ---- what writers did, and what the database holds ----

    def on_published(self, line):
        self.published.append((line["begun"], line["commit"], line["ended"], line["outcome"], line["marks"]))
        self.figures[f"transactions {line['outcome']}"] += 1
        if line["how"] == "looked up":
            self.figures[f"in doubt, {'' if line['outcome'] == 'committed' else 'not '}committed"] += 1

    def on_mailbox(self, line):
        mailbox = self.mailboxes[line["address"]]
        mailbox.head, mailbox.base = line["head"], line["base"]
        mailbox.epoch, mailbox.previous_epoch = line["epoch"], line["previous_epoch"]

    def on_device(self, line):
        device = self.devices.get(line["device"])
        if not device:
            device = self.devices[line["device"]] = Device(line["device"], self.mailboxes[line["mailbox"]])
        device.start, device.acked = line["start"], line["acked"]

    def on_booked(self, line):
        if line["rings"]:
            self.mailboxes[line["mailbox"]].booked.add(line["mark"])
            self.figures["bookings committed"] += 1

    def on_failure(self, line):
        if line["device"] in self.devices:
            self.devices[line["device"]].kept[(line["seq"], line["reason"])] += 1

    # ---- the verdict ----

    def verdict(self, least=None):
        """{check: problems}. least: {figure: how much there must be}, so that idleness is no success."""
        for where, mailbox, before, after in self.jumps:
            self._judge_jump(where, mailbox, before, after)
        for device, furthest, reason in self.resets:
            if not (self.may_lose and device.mailbox.is_ghost(furthest)):
                self.problem("resets_only_where_needed", f"device {device.name}: {reason}, at {furthest[0]}.{furthest[1]}")
        for address, mailbox in self.mailboxes.items():
            self._judge_mailbox(address, mailbox)
        for device in self.devices.values():
            self._judge_device(device)
        self._judge_writers()
        for figure, amount in (least or {"deliveries": 1}).items():
            if self.figures[figure] < amount:
                self.problem("something_happened", f"{figure}: {self.figures[figure]}, {amount} was the least")
        return self.problems

    def _judge_jump(self, where, mailbox, before, after):
        new_epoch = (mailbox.previous_epoch is not None and before[1] == mailbox.base
                     and after == (mailbox.epoch, mailbox.base + JUMP + 1))  # fmt: skip
        if not new_epoch:
            self.problem("in_order_without_gap", f"{where} came after {before[0]}.{before[1]}")

    def _judge_mailbox(self, address, mailbox):
        given = {number for number in mailbox.numbers if not (self.may_lose and mailbox.is_ghost(number))}
        expected = mailbox.expected()
        for number in sorted(given ^ expected, key=lambda number: number[1]):
            word = "was given, and is not in the database" if number in given else "is a hole: nobody ever got it"
            self.problem("numbers_have_no_hole", f"{address}: {number[0]}.{number[1]} {word}")
        if len(expected) != len(mailbox.booked):
            self.problem("numbers_have_no_hole", f"{address}: {len(expected)} numbers, {len(mailbox.booked)} bookings")
        for mark, number in mailbox.marks.items():
            if mark in mailbox.booked:
                continue
            if self.may_lose and mailbox.is_ghost(number):
                self.figures["delivered, then lost by PostgreSQL"] += 1
            else:
                self.problem("delivered_was_committed", f"{address}: {mark} at {number[0]}.{number[1]}")

    def _judge_device(self, device):
        mailbox = device.mailbox
        for mark in sorted(mailbox.booked - device.got.keys()):
            if mark not in mailbox.marks or mailbox.marks[mark][1] > device.start:
                self.problem("committed_is_delivered", f"device {device.name} never got {mark}")
        if device.acked != mailbox.head:
            self.problem("acks_are_in_effect_once", f"device {device.name}: the database has ack {device.acked}, head is {mailbox.head}")
        if device.told > (device.acked or 0):
            self.problem("acks_are_in_effect_once", f"device {device.name}: told {device.told}, the database has {device.acked}")
        said = set(device.failed.items())
        for failure in sorted(said - device.kept.keys()):
            # What was said to the old primary may be lost with it, also of a booking that survived.
            if self.may_lose and failure[0] <= mailbox.base + JUMP:
                self.figures["failures reported, then lost by PostgreSQL"] += 1
                continue
            self.problem("failures_are_kept_once", f"device {device.name}: {failure} is not in the database")
        for failure, times in sorted(device.kept.items()):
            if failure not in said or times != 1:
                self.problem("failures_are_kept_once", f"device {device.name}: {failure} is in the database {times} times")
        self.figures["failures reported"] += len(said)

    def _judge_writers(self):
        """Commit order, in real time; and whether a writer was told one thing and the database holds another."""
        booked = set().union(*(mailbox.booked for mailbox in self.mailboxes.values()), set())
        by_mailbox = collections.defaultdict(list)
        delays = []
        for _begun, commit, ended, outcome, marks in self.published:
            for mark, address in marks.items():
                number = self.mailboxes[address].marks.get(mark)
                if outcome != "committed" and mark in booked:
                    self.problem("delivered_was_committed", f"{mark} was {outcome}, and is in the database")
                if outcome == "committed" and number:
                    by_mailbox[address].append((number[1], commit, ended, mark))
                    delays.append(self.first_at[mark] - ended)
                elif outcome == "committed" and mark not in booked and not self.may_lose:
                    self.problem("committed_is_delivered", f"{mark} was committed, and is not in the database")
        for address, events in by_mailbox.items():
            latest = (float("-inf"), None)
            for seq, commit, ended, mark in sorted(events):
                if ended < latest[0]:
                    self.problem("commit_order_is_seq_order", f"{address}: {mark} is {seq}, behind {latest[1]}, which began later")
                latest = max(latest, (commit, f"{mark} at {seq}"))
        self.delays = sorted(delays)


def tell(problems, stage, say=print):
    """One line per check for people and for the test runner. Returns whether all is well."""
    for name, words in CHECKS.items():
        found = problems[name]
        for text in found[:TELLING]:
            say(f"  {text}")
        if len(found) > TELLING:
            say(f"  and {len(found) - TELLING} more")
        say(f"{'FAIL' if found else 'PASS'} {stage} {name}: {words}")
    return not any(problems.values())


def main():
    if len(sys.argv) != 2:
        print("usage: judge.py FILE", file=sys.stderr)
        return 2
    return 0 if tell(Judge().feed(history.read(sys.argv[1])).verdict(), "judge") else 1


if __name__ == "__main__":
    sys.exit(main())
