"""What happened, written down as it happens: one JSON object a line, in the order of one clock.

The actors write, the judge reads; they share nothing else. Every line has `at` (seconds since the
start) and `what`; the rest depends on it:

  session    device n daemon way cursor      a client said hello, in its n-th session
  welcome    device n cursor head
  booking    device n seq epoch uid version change mark
  acks       device n cursor failed          a client sent an ack; failed: {seq: reason}
  acked      device n cursor                 a client was told
  reset      device n cursor reason
  live       device n cursor
  ended      device n how code               how: closed, broken off, silent, refused
  published  writer n begun commit ended outcome how marks
             outcome: committed, rolled back; how: told, looked up; marks: {mark: mailbox}
  surprise   who text                        an actor met what it should never meet
  action     text                            of the trouble maker
  mailbox    address head base epoch previous_epoch       } the database at the end
  device     device mailbox start acked                   }
  booked     mark mailbox rings                           }
  failure    device seq reason                            }
"""

import json
import threading
import time


class History:
    """Appends to a file; from any thread."""

    def __init__(self, path):
        self.path = path
        self.begun = time.monotonic()
        self._file = open(path, "w", encoding="utf-8", buffering=1 << 16)
        self._lock = threading.Lock()

    def now(self):
        return time.monotonic() - self.begun

    def add(self, what, **fields):
        with self._lock:
            line = {"at": round(self.now(), 6), "what": what, **fields}
            self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def close(self):
        self._file.close()


def write_down(history, connection, starts):
    """What the database holds at the end. starts: {device: where it was enrolled}, of all that are somebody's."""
    for row in connection.execute("SELECT address, head, base, epoch, previous_epoch FROM slotbell.mailbox"):
        history.add("mailbox", **dict(zip(("address", "head", "base", "epoch", "previous_epoch"), row)))
    for device, mailbox, acked in connection.execute("SELECT id, mailbox, acked FROM slotbell.devices WHERE id = ANY (%s)", [list(starts)]):
        history.add("device", device=device, mailbox=mailbox, start=starts[device], acked=acked)
    for mark, mailbox, rings in connection.execute("SELECT mark, mailbox, rings FROM chaos.booked"):
        history.add("booked", mark=mark, mailbox=mailbox, rings=rings)
    for row in connection.execute("SELECT device_id, seq, reason FROM slotbell.receipt WHERE reason IS NOT NULL"):
        history.add("failure", **dict(zip(("device", "seq", "reason"), row)))


def read(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
