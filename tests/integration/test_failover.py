"""A failover for real: primary and streaming standby, the primary dies amid bookings, the standby is promoted.

Writers, plug-ins and judge are the chaos checker's (tests/chaos); the trouble is this one, and the sessions
must stay: a plug-in need not know that the database moved.
"""

import asyncio
import collections
import contextlib
import pathlib
import random
import sys
import time

import psycopg
import pytest
from pgcluster import PgCluster
from session_client import run
from slotbelld import Daemon

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))
import history  # noqa: E402
from clients import Plugin  # noqa: E402
from judge import JUMP, Judge  # noqa: E402
from ways import Websocket  # noqa: E402
from writers import TABLE, Writer  # noqa: E402

from ctl_support import Ctl  # noqa: E402

pytest_plugins = ["fixtures_daemon"]

DATABASE = "shop"
LOGINS = """CREATE ROLE daemon_login LOGIN; GRANT slotbell_daemon TO daemon_login;
    CREATE ROLE writer_login LOGIN; GRANT slotbell_publisher TO writer_login"""
MAILBOXES = [f"host{n}@example.com" for n in range(8)]
DEVICES, WRITERS = 12, 3
SECONDS = 40  # for anything that is waited for


class Pair:
    """A primary and its standby, two daemons and everybody at both."""

    def __init__(self, folder, certificates, exits):
        self.folder = folder
        self.primary = exits.enter_context(PgCluster())
        ctl = Ctl(self.primary.create_database(DATABASE), self.primary, DATABASE)
        ctl.run("db", "init")
        self.primary.psql(LOGINS + ";" + TABLE, DATABASE)
        tokens = [ctl.enrol(MAILBOXES[n % len(MAILBOXES)]) for n in range(DEVICES)]
        self.standby = self.primary.standby()
        exits.callback(self.standby.close)
        self.standby.start()
        self.daemons = [Daemon(folder / f"daemon-{n}", certificates, self.url("daemon_login")) for n in (1, 2)]
        for daemon in self.daemons:
            exits.callback(daemon.stop)
            daemon.start()
        self.history = history.History(folder / "history.jsonl")
        contexts = [daemon.tls() for daemon in self.daemons]
        self.plugins = [
            Plugin(self.history, random.Random(n), int(token.split("_")[1]), MAILBOXES[n % len(MAILBOXES)], token,
                   self.daemons, contexts, [Websocket]) for n, token in enumerate(tokens)]  # every session is to stay
        sure = self.url("postgres") + "&target_session_attrs=read-write"
        url = self.url("writer_login") + "&target_session_attrs=read-write"
        self.writers = [Writer(self.history, random.Random(n), n, url, sure, MAILBOXES) for n in range(1, WRITERS + 1)]

    def url(self, user):
        """Both hosts, the primary first."""
        both = (self.primary, self.standby)
        hosts, ports = (",".join(str(getattr(cluster, name)) for cluster in both) for name in ("socket_dir", "port"))
        return f"postgresql://{user}@/{DATABASE}?host={hosts}&port={ports}"

    def heads(self, cluster):
        with psycopg.connect(cluster.url(DATABASE), autocommit=True) as connection:
            return dict(connection.execute("SELECT address, head FROM slotbell.mailbox").fetchall())

    def bases(self):
        """[(mailbox, where its previous epoch ended)]: 0 until a booking was made at the new primary."""
        with psycopg.connect(self.standby.url(DATABASE), autocommit=True) as connection:
            return connection.execute("SELECT address, base FROM slotbell.mailbox").fetchall()

    async def until(self, condition):
        """Asks until it is so: of what clients see nobody tells us."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                await asyncio.sleep(0.02)

    async def all_told(self, least):
        """Until every device was told that it acked so much of its mailbox."""
        await self.until(lambda: all(plugin.told >= least[plugin.mailbox] for plugin in self.plugins))

    async def live(self, failover):
        """Bookings go on while `failover` happens, and after it; then all must have all."""
        tasks = [asyncio.create_task(plugin.run()) for plugin in self.plugins]
        try:
            await self.until(lambda: all(plugin.client for plugin in self.plugins))
            for writer in self.writers:
                writer.start()
            await self.all_told(dict.fromkeys(MAILBOXES, 10))
            await failover()
            await self.until(lambda: all(base for _, base in self.bases()))
            await self.all_told({mailbox: base + JUMP + 10 for mailbox, base in self.bases()})
            for writer in self.writers:
                writer.stop()
                await asyncio.to_thread(writer.join)
            await self.all_told(self.heads(self.standby))
            self.sessions = [plugin.sessions for plugin in self.plugins]
            for plugin in self.plugins:
                await plugin.stop()
            await asyncio.gather(*tasks)
        finally:
            for end in (*self.writers, *self.plugins):
                getattr(end, "give_up", end.stop)()

    async def promote(self):
        """The primary dies, and the standby takes over with what it has."""
        await asyncio.to_thread(self.primary.kill)
        await asyncio.to_thread(self.standby.promote)

    def judge(self, may_lose):
        with psycopg.connect(self.standby.url(DATABASE), autocommit=True) as connection:
            history.write_down(self.history, connection, {plugin.device: 0 for plugin in self.plugins})
        self.history.close()
        judge = Judge(may_lose).feed(history.read(self.history.path))
        problems = judge.verdict({"deliveries": 300})
        assert {check: found for check, found in problems.items() if found} == {}
        return judge


@pytest.fixture
def pair(tmp_path, certificates):
    with contextlib.ExitStack() as exits:
        found = Pair(tmp_path, certificates, exits)
        yield found
        codes = [daemon.stop() for daemon in found.daemons]
        assert codes == [0, 0]


def test_nothing_committed_is_lost_where_the_standby_has_it_first(pair):
    """synchronous_commit = remote_apply: PostgreSQL itself loses nothing, so nobody may be reset or miss anything."""
    pair.primary.reload(synchronous_standby_names="standby", synchronous_commit="remote_apply")
    timing = {}

    async def failover():
        await pair.until(lambda: pair.primary.psql("SELECT sync_state FROM pg_stat_replication") == "sync")
        await pair.promote()
        timing["promoted"] = time.monotonic()
        before = [plugin.told for plugin in pair.plugins]
        await pair.until(lambda: any(plugin.told > told + JUMP // 2 for plugin, told in zip(pair.plugins, before)))
        timing["first"] = time.monotonic()

    run(pair.live(failover), 120)
    judge = pair.judge(may_lose=False)
    assert all(mailbox.previous_epoch and mailbox.head > mailbox.base + JUMP for mailbox in judge.mailboxes.values()), "no new epoch"
    assert pair.sessions == [1] * DEVICES, "every session stayed"
    assert judge.figures["resets"] == 0
    print(f"first booking of the new primary acked {timing['first'] - timing['promoted']:.2f} s after it took writes")


def test_only_what_postgresql_lost_itself_is_lost_where_the_standby_lags(pair):
    async def failover():
        # From here on the standby hears nothing: what is booked now dies with the primary.
        pair.standby.psql("ALTER SYSTEM RESET primary_conninfo")
        pair.standby.psql("SELECT pg_reload_conf()")
        await pair.until(lambda: pair.standby.psql("SELECT count(*) FROM pg_stat_wal_receiver") == "0")
        await pair.all_told({mailbox: head + 3 for mailbox, head in pair.heads(pair.standby).items()})
        await pair.promote()

    run(pair.live(failover), 120)
    judge = pair.judge(may_lose=True)
    assert judge.figures["delivered, then lost by PostgreSQL"] >= 3 * len(MAILBOXES)
    resets = collections.Counter(device.name for device, _, _ in judge.resets)
    assert resets == collections.Counter(plugin.device for plugin in pair.plugins), "each was told that it had seen too much"
    assert pair.sessions == [1] * DEVICES, "every session stayed"
