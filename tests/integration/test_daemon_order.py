"""Order and loss: whatever becomes of clients and daemon, every client ends with exactly what was committed, in order."""

import os
import random
import time

import pytest
from order_story import Plugin, Story
from session_client import run

pytest_plugins = ["fixtures_daemon"]


def terminate(daemon):
    assert daemon.stop() == 0, daemon.log_text()[-2000:]


def kill(daemon):
    daemon.kill()


@pytest.mark.parametrize("end", [kill, terminate])
def test_every_client_ends_with_what_was_committed_in_order(house, end):
    """20 mailboxes, 8 writers, clients that drop, and a daemon that ends twice in the middle.

    SLOTBELL_SEED=N tells the same story again, as far as scheduling lets it.
    """
    seed = int(os.environ.get("SLOTBELL_SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"seed {seed}")  # shown when it fails
    story, begun = Story(house, seed, end), time.monotonic()
    run(story.run(), 150)
    print(f"{story.told()}; {time.monotonic() - begun:.1f} s")
    story.judge()
    # It was the story that it says it is.
    assert story.ledger.rolled_back and story.ledger.in_two and story.repeats
    assert all(story.ways[way] for way in Plugin.WAYS)
    assert story.ends[1006 if end is kill else 1012]
