"""A rolling restart of two instances on one port, under load: nothing is lost, everybody is back."""

import asyncio

import psycopg
from fleet import Fleet, Pair, publish_until
from session_client import run

pytest_plugins = ["fixtures_daemon"]

COUNT = 30


def test_a_rolling_restart_under_load_loses_no_booking_and_no_plug_in(house):
    mailboxes = [f"host{i}@example.com" for i in range(COUNT)]
    tokens = [house.enrol(mailbox) for mailbox in mailboxes]
    pair = Pair(*(house.daemon(start=False, sessions__return_per_second=50) for _ in range(2)))
    first, second = pair.both
    pair.start(first)
    pair.start(second)

    async def story():
        stop = asyncio.Event()
        async with Fleet(first, tokens) as fleet, await psycopg.AsyncConnection.connect(house.ctl.url, autocommit=True) as connection:
            published = asyncio.create_task(publish_until(connection, mailboxes, stop, 60))
            for daemon in pair.both:
                before = [len(plugin.seqs) for plugin in fleet.plugins]
                await asyncio.to_thread(pair.restart, daemon)
                await fleet.until(lambda: all(plugin.live for plugin in fleet.plugins))
                # Each has had something since: it is not only connected.
                await fleet.until(lambda old=before: all(len(plugin.seqs) > count for plugin, count in zip(fleet.plugins, old)))
            stop.set()
            counts = await published
            await fleet.until(lambda: all(len(plugin.seqs) == counts[mailbox] for plugin, mailbox in zip(fleet.plugins, mailboxes)))
            assert all(plugin.seqs == list(range(1, counts[mailbox] + 1)) for plugin, mailbox in zip(fleet.plugins, mailboxes))
            assert sum(len(plugin.told) for plugin in fleet.plugins) >= COUNT, "nobody was told goodbye"

    run(story(), 240)
    heads = house.ctl.query("SELECT head - acked FROM slotbell.devices")
    assert heads == [0] * COUNT
