#!/usr/bin/python3
"""make demo: meetings are booked, and one sees them arrive in Outlook.

Brings everything itself, in build/demo: a PostgreSQL, a certificate, a daemon,
two plug-ins. Books, moves and cancels; kills the daemon, books on, starts it
again; then reads the calendars and says whether all is as it was booked.
Exit code 0 only if every check held. Nothing is left running on any way out.
"""

import argparse
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests/lib")]

import screen as screens  # noqa: E402
from pgcluster import PgError  # noqa: E402
from screen import RED, Screen, milliseconds  # noqa: E402
from slotbelld import Trouble  # noqa: E402
from stage import Stage  # noqa: E402
from story import Story  # noqa: E402


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def clear(folder):
    """An empty folder, and a lock on it that goes when we do."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = open(folder.parent / "demo.lock", "w", encoding="ascii")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
    except BlockingIOError:
        raise Trouble("another make demo runs in this tree") from None
    except PermissionError as error:
        raise Trouble(f"{error.filename} belongs to another user, from an earlier run; remove {folder} first") from None
    return lock


def stay_up(stage, story, screen):
    """KEEP=1: whoever watches books by hand, until Ctrl-C."""
    ada = stage.plugins[0]
    url = stage.cluster.url("shop", "booking")
    screen.heading("All of it stays up. Book by hand, in another terminal:")
    screen.say()
    screen.raw(f"  {relative(stage.programs / 'slotbellctl')} \\\n"
               f"      --database '{url}' \\\n"
               f"      publish {ada.address} --subject Coffee --starts-at 2031-05-06T15:00 --minutes 30")
    screen.say()
    screen.say("or from any transaction of your own:")
    screen.say()
    screen.raw(f"  {stage.cluster.bin}/psql \\\n      '{url}'\n")
    screen.raw(f"  SELECT slotbell.publish(mailbox => '{ada.address}', uid => 'by-hand',\n"
               "      starts_at => now() + interval '1 day', duration_minutes => 30,\n"
               "      time_zone => 'UTC', subject => 'By hand');")
    screen.say()
    screen.say("Ctrl-C ends it.")
    screen.say()
    with contextlib.suppress(KeyboardInterrupt):
        story.watch()


def relative(path):
    with contextlib.suppress(ValueError):
        return path.relative_to(pathlib.Path.cwd())
    return path


def end(story, ledger, results, screen, folder):
    """The summary. Returns the exit code."""
    screen.heading("What the calendars say")
    for _, held, words in results:
        screen.check(held, words)
    changes = sum(meeting.changes for meeting in ledger.meetings.values())
    screen.say()
    screen.say(f"{len(ledger.meetings)} meetings, {changes} changes, 1 rolled back. Booked {screen.arrow} in Outlook: median "
               f"{milliseconds(ledger.median())}, slowest {milliseconds(ledger.slowest())}; the {len(ledger.late)} that waited "
               f"for the daemon came within {milliseconds(story.caught_up * 1000)} of its start.")
    screen.say(f"Calendar files: {relative(folder / 'calendars')}/*/*.ics")
    bad = sum(not held for _, held, _ in results)
    if bad:
        screen.say(f"{bad} of {len(results)} checks did not hold. Logs: {relative(folder / 'log')}", RED)
        return 1
    screen.say(f"All {len(results)} checks held.", screens.GREEN)
    return 0


def play(options, screen, folder):
    """Everything between curtain up and the exit code."""
    with Stage(options.programs, folder) as stage:
        story = Story(stage, screen, 0.0 if options.quick else options.pace)
        screen.say("Slotbell: a meeting is booked, and it is in Outlook.", screens.BOLD)
        stage.set_up(screen)
        story.tell()
        results = [*story.checks()]
        if options.keep:
            code = end(story, story.ledger, results, screen, folder)
            stay_up(stage, story, screen)
            return code
        results.append(stage.clean_end())
        code = end(story, story.ledger, results, screen, folder)
    if options.quick:
        for name, held, words in results:
            print(f"{'PASS' if held else 'FAIL'} demo {name}: {words}", flush=True)
    return code


def main():
    parser = argparse.ArgumentParser(description="Watch bookings arrive in Outlook.")
    parser.add_argument("--keep", action="store_true", help="stay up afterwards, for booking by hand")
    parser.add_argument("--quick", action="store_true", help="no pauses, and PASS or FAIL lines for the test runner")
    parser.add_argument("--pace", type=float, default=0.9 if sys.stdout.isatty() else 0.3, metavar="SECONDS",
                        help="between two bookings, for whoever watches")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build", metavar="FOLDER")
    options = parser.parse_args()
    screen = Screen()
    folder = ROOT / "build/demo"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        lock = clear(folder)
        with lock:
            return play(options, screen, folder)
    except (Trouble, PgError) as error:
        screen.say()
        screen.say(f"The demo ends here: {error}", RED)
        if (folder / "log").exists():
            screen.say(f"Logs: {relative(folder / 'log')}")
    except KeyboardInterrupt:
        screen.say()
        screen.say("Ended; nothing is left running.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone
    return 1


if __name__ == "__main__":
    sys.exit(main())
