#!/usr/bin/python3
"""Makes trouble for a set time, and checks that nothing was lost, doubled, swapped or acked twice.

    chaos.py [--seconds N | --minutes N] [--seed N] [--folder FOLDER] [--no-networks] [--settle N]

Many clients, several writers and two daemons on one PostgreSQL (world.py), everything that goes wrong in a
data centre (trouble.py), and a judge who knows nothing of either (judge.py). Prints each trouble as it is
made, then what was done and found, then a line for each thing that must hold; exit code 0 if all hold.

The same seed plans the same, but processes are as quick as they are: no two runs are alike. What
happened is in FOLDER/history.jsonl, which judge.py reads again.
"""

import argparse
import asyncio
import collections
import contextlib
import os
import pathlib
import secrets
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))

from history import History, read  # noqa: E402
from judge import Judge, tell  # noqa: E402
from networks import NoNetworks, enter  # noqa: E402
from trouble import Trouble  # noqa: E402
from ways import Poll, Stream, Websocket  # noqa: E402
from world import World  # noqa: E402


class Screen:
    """One line for each thing that is done, with the time. Nobody's loop waits for it."""

    def __init__(self, out=sys.stdout):
        self.out, self.begun = out, time.monotonic()

    def begin(self):
        self.begun = time.monotonic()

    def say(self, text):
        self.plain(f"{time.monotonic() - self.begun:7.1f} s  {text}")

    def plain(self, text=""):
        print(text, file=self.out, flush=True)


async def story(world, seconds, settle, screen):
    """The trouble, then the quiet. Returns what was done: {kind: times}."""
    trouble = Trouble(world, screen.say)
    loop = asyncio.get_running_loop()
    ended = loop.create_task(trouble.run(seconds))
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread: a test's business
            loop.add_signal_handler(number, ended.cancel)
    screen.begin()
    world.begin()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await ended
        await quieten(world, trouble, settle, screen)
    finally:
        for plugin in world.plugins:
            plugin.give_up()
    by_way = sum((plugin.by_way for plugin in world.plugins), collections.Counter())
    for way in (Websocket, Stream, Poll):
        if not by_way[way.__name__]:
            world.history.add("surprise", who="clients", text=f"nobody went by {way.__name__}")
    return trouble.done | {f"session by {way.lower()}": times for way, times in by_way.items()}


async def quieten(world, trouble, settle, screen):
    """The end of trouble: is all delivered, and what is booked while daemons cannot hear it?"""
    await trouble.calm()
    screen.say("no more trouble; everybody catches up")
    await world.stop_writers()
    cuts = []
    late = await world.quiet(settle)
    if not late:
        cuts = await trouble.deafen()
        late = await world.quiet(settle)
    for cut in cuts:
        world.networks.heal(cut)
    screen.say(f"all {len(world.plugins)} devices have everything" if not late else
               f"after {settle} s {len(late)} of {len(world.plugins)} devices have not everything")
    await world.end()


def table(screen, rows):
    width = max(len(words) for words, _ in rows)
    for words, value in rows:
        screen.plain(f"  {words:<{width}}  {value:>9}")


def summary(screen, done, judge):
    screen.plain("\nWhat was done")
    table(screen, sorted(done.items()) or [("nothing", "")])
    screen.plain("\nWhat came of it")
    table(screen, sorted((words, f"{value:,}") for words, value in judge.figures.items() if value))
    screen.plain("\nHow sessions ended")
    table(screen, sorted((words, f"{value:,}") for words, value in judge.closes.items()) or [("none did", "")])
    if judge.delays:
        screen.plain("\nFrom the writer's COMMIT to the first client, in the midst of it all")
        table(screen, [(f"{share} %", f"{judge.delays[min(len(judge.delays) - 1, len(judge.delays) * share // 100)] * 1000:,.0f} ms")
                       for share in (50, 90, 99)] + [("longest", f"{judge.delays[-1] * 1000:,.0f} ms")])  # fmt: skip
    screen.plain()


def run(folder, seed, seconds, settle=45, programs=None, networked=True, screen=None, before=None, **world_options):
    """The whole of it. before(world): what is changed before it begins. Returns (what was done, the judge)."""
    screen = screen or Screen()
    folder.mkdir(parents=True, exist_ok=True)
    history = History(folder / "history.jsonl")
    with World(history, folder, seed, programs, networked, **world_options) as world:
        if before:
            before(world)
        done = asyncio.run(story(world, seconds, settle, screen))
    history.close()
    judge = Judge().feed(read(history.path))
    judge.verdict({"deliveries": seconds * 5, "sessions": len(world.plugins)})
    return done, judge


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of trouble (45)")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="what is planned; else a new one each time")
    parser.add_argument("--settle", type=float, default=45, help="seconds until all must be delivered, once trouble is over")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/chaos", help="for logs and history (build/chaos)")
    parser.add_argument("--no-networks", action="store_true", help="leave the network alone: all on loopback")
    options = parser.parse_args()
    seconds = options.minutes * 60 if options.minutes else options.seconds or 45
    networked = not options.no_networks
    if networked:
        if "--seed" not in sys.argv:
            sys.argv += ["--seed", str(options.seed)]  # for the one inside
        try:
            enter()
        except NoNetworks as why:
            networked = False
            print(f"SKIP chaos networks: cut and healed ({why})", flush=True)
    os.environ.pop("SLOTBELL_DATABASE_URL", None)
    os.environ.pop("SLOTBELLCTL_DATABASE_URL", None)
    screen = Screen()
    screen.plain(f"seed {options.seed}: {seconds:g} s of trouble, two daemons on one PostgreSQL"
                 + (", each host in a network of its own" if networked else ", all on loopback"))
    done, judge = run(options.folder, options.seed, seconds, options.settle, networked=networked, screen=screen)
    summary(screen, done, judge)
    good = tell(judge.problems, "chaos", screen.plain)
    if not good:
        screen.plain(f"again: tests/chaos/chaos.py --seed {options.seed} --seconds {seconds:g}; what happened: {options.folder}/history.jsonl")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
