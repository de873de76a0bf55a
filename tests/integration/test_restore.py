"""A database that was restored from a backup, with plug-ins that know more than it does: no number comes twice, nobody
misses a new booking without being told, and only those are reset who have to be. The steps are those of
docs/operating-database.md.
"""

import contextlib
import pathlib
import shutil
import subprocess

import psycopg
import pytest
from ctl_support import Ctl, wait_until
from fixtures_daemon import LOGIN, House
from pgcluster import PgCluster
from session_client import run, seq_of

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
SHOP = "shop"


@contextlib.contextmanager
def shop(folder, certificates):
    """A cluster of its own with the schema in a database, and a house there."""
    with PgCluster() as cluster:
        Ctl(cluster.create_database(SHOP), cluster, SHOP).run("db", "init")
        cluster.psql(f"CREATE ROLE {LOGIN} LOGIN; GRANT slotbell_daemon TO {LOGIN}")
        house = House(cluster, SHOP, folder, certificates)
        try:
            yield house
        finally:
            for daemon in house.daemons:
                daemon.stop()


def run_tool(cluster, name, *arguments):
    subprocess.run([f"{cluster.bin}/{name}", *map(str, arguments)], check=True, capture_output=True, text=True)


def numbering(house):
    return house.ctl.query("SELECT head, base, epoch, previous_epoch FROM slotbell.mailbox")[0]


async def take(client, count):
    """So many bookings, acked. Returns {seq: uid}."""
    bookings = await client.bookings(count)
    await client.ack(bookings[-1]["cursor"])
    await client.acked(bookings[-1]["cursor"])
    return {booking["seq"]: booking["booking"]["uid"] for booking in bookings}


async def visit(house, token, cursor=None):
    """What a device is told that comes, takes what there is, and leaves: (resets, {seq: uid}, its cursor then)."""
    resets, seen, told = [], {}, None
    async with house.client(house.daemons[0], token) as client:
        welcome = await client.welcome(cursor=cursor)
        cursor = cursor or welcome["cursor"]
        while True:
            message = await client.next()
            if message["type"] == "reset":
                resets.append(message)
            elif message["type"] == "booking":
                seen[message["seq"]] = message["booking"]["uid"]
            elif message["type"] == "acked":
                told = message["cursor"]
            if message["type"] in ("reset", "booking"):
                cursor = message["cursor"]
                await client.ack(cursor)
            if message["type"] == "live":
                break
        if (resets or seen) and told != cursor:
            await client.acked(cursor)
    return [reset["reason"] for reset in resets], seen, cursor


class Story:
    """Three devices of one mailbox. Five bookings; a backup; three more, of which the backup knows nothing; the restore.

    live   is in a session all the time, and has all eight
    away   had all eight, and went
    slow   had three, and went before the backup
    """

    def __init__(self, house):
        self.house = house
        self.tokens = {name: house.enrol(ADA) for name in ("live", "away", "slow")}

    async def before_the_backup(self, client):
        await client.welcome()
        await client.receive("live")
        self.given = {}
        for _ in range(3):
            self.house.publish(ADA)
        self.given |= await take(client, 3)
        self.slow = (await visit(self.house, self.tokens["slow"]))[2]
        for _ in range(2):
            self.house.publish(ADA)
        self.given |= await take(client, 2)

    async def after_the_backup(self, client):
        for _ in range(3):
            self.house.publish(ADA)
        self.given |= await take(client, 3)
        _, seen, self.away = await visit(self.house, self.tokens["away"])
        assert list(seen) == list(range(1, 9)) and seq_of(self.away) == 8

    async def after_the_restore(self, client, live_reset):
        """New numbers are in force. What each is told, and that no number comes twice."""
        house = self.house
        head, base, epoch, previous = numbering(house)
        assert (head, base) == (1_000_005, 5) and epoch != previous
        for _ in range(3):
            house.publish(ADA)
        if live_reset:
            await client.ack(client.received[-1]["cursor"])
        new = await take(client, 3)
        assert list(new) == [1_000_006, 1_000_007, 1_000_008]
        assert not set(new) & set(self.given)
        resets, seen, _ = await visit(house, self.tokens["slow"], self.slow)
        assert resets == [], "it has nothing that the database has not"
        assert seen == {seq: self.given[seq] for seq in (4, 5)} | new
        resets, seen, _ = await visit(house, self.tokens["away"], self.away)
        assert resets == ["epoch"], "three of its bookings are not there any more"
        assert {seq: uid for seq, uid in seen.items() if seq > 5} == new
        assert not set(seen) & {6, 7, 8}


def swap_in(house, restored):
    """The restored database takes the name of the lost one; whoever is connected must connect again."""
    house.cluster.psql(
        f"ALTER DATABASE {SHOP} ALLOW_CONNECTIONS false;"
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{SHOP}'"
    )
    house.cluster.psql(f"ALTER DATABASE {SHOP} RENAME TO lost")
    house.cluster.psql(f"ALTER DATABASE {restored} RENAME TO {SHOP}")


def test_a_dump_restored_while_sessions_live(tmp_path, certificates):
    with shop(tmp_path, certificates) as house:
        story, dump = Story(house), tmp_path / "shop.dump"
        house.daemon()

        async def tell():
            async with house.client(house.daemons[0], story.tokens["live"]) as client:
                await story.before_the_backup(client)
                run_tool(house.cluster, "pg_dump", "--format=custom", f"--file={dump}", house.cluster.url(SHOP))
                await story.after_the_backup(client)
                house.cluster.create_database("restored")
                run_tool(house.cluster, "pg_restore", "--exit-on-error", f"--dbname={house.cluster.url('restored')}", dump)
                Ctl(house.cluster.url("restored"), house.cluster, "restored").run("db", "new-epoch")
                swap_in(house, "restored")
                reset = await client.receive("reset")
                assert reset["reason"] == "epoch" and seq_of(reset["cursor"]) == 5
                await story.after_the_restore(client, live_reset=True)

        run(tell(), 120)
        assert house.daemons[0].stop() == 0


def test_without_a_new_epoch_numbers_would_come_twice_and_a_plug_in_would_miss_them(tmp_path, certificates):
    """Into the same cluster, of which nothing else can tell that it went back."""
    with shop(tmp_path, certificates) as house:
        story, dump = Story(house), tmp_path / "shop.dump"
        house.daemon()

        async def tell():
            async with house.client(house.daemons[0], story.tokens["live"]) as client:
                await story.before_the_backup(client)
                run_tool(house.cluster, "pg_dump", "--format=custom", f"--file={dump}", house.cluster.url(SHOP))
                await story.after_the_backup(client)
            house.cluster.create_database("restored")
            run_tool(house.cluster, "pg_restore", "--exit-on-error", f"--dbname={house.cluster.url('restored')}", dump)
            swap_in(house, "restored")
            for _ in range(3):
                house.publish(ADA)
            wait_until(lambda: house.daemons[0].log_text().count('event="database up"') == 2, "the daemon is there again")
            return await visit(house, story.tokens["away"], story.away)

        resets, seen, _ = run(tell(), 120)
        assert (resets, seen) == ([], {}), "new-epoch is not what makes the difference"
        uids = house.ctl.query("SELECT uid FROM slotbell.event WHERE seq > 5")
        assert len(uids) == 3 and not set(uids) & set(story.given.values())


def test_a_copy_of_its_files_restored_while_sessions_live(tmp_path, certificates):
    """The same cluster on the same timeline, as after a disk snapshot was put back."""
    with shop(tmp_path, certificates) as house:
        story, data = Story(house), house.cluster.data
        house.daemon()

        def stopped(work):
            house.cluster.stop()
            work()
            house.cluster.start()

        async def tell():
            async with house.client(house.daemons[0], story.tokens["live"]) as client:
                await story.before_the_backup(client)
                stopped(lambda: subprocess.run(["cp", "-a", data, f"{data}.copy"], check=True))
                await story.after_the_backup(client)
                stopped(lambda: (shutil.rmtree(data), shutil.move(f"{data}.copy", data)))
                reset = await client.receive("reset")  # the daemon was there before anybody could say new-epoch
                assert (reset["reason"], seq_of(reset["cursor"])) == ("unknown-cursor", 5)
                house.ctl.run("db", "new-epoch")
                await story.after_the_restore(client, live_reset=True)

        run(tell(), 120)
        assert house.daemons[0].stop() == 0


def test_a_dump_restored_into_another_cluster_is_noticed_by_itself(tmp_path, certificates):
    """With its roles, which a dump of the database does not have."""
    with shop(tmp_path, certificates) as house, PgCluster() as other:
        token, dump, roles = house.enrol(ADA), tmp_path / "shop.dump", tmp_path / "roles.sql"
        house.publish(ADA)
        run_tool(house.cluster, "pg_dump", "--format=custom", f"--file={dump}", house.cluster.url(SHOP))
        run_tool(house.cluster, "pg_dumpall", "--roles-only", f"--file={roles}", f"--dbname={house.cluster.url()}")
        mine = [line for line in roles.read_text().splitlines() if "slotbell" in line or LOGIN in line]
        other.psql("\n".join(mine))
        other.create_database(SHOP)
        run_tool(other, "pg_restore", "--exit-on-error", f"--dbname={other.url(SHOP)}", dump)
        there = House(other, SHOP, tmp_path / "there", certificates)
        daemon = there.daemon()
        there.publish(ADA, "another")
        head, base, epoch, previous = numbering(there)
        assert (head, base) == (1_000_002, 1) and epoch != previous
        assert list(run(visit(there, token))[1]) == [1, 1_000_002]
        assert daemon.stop() == 0


def test_a_restored_schema_is_whole(tmp_path, certificates):
    """Rights, defaults, triggers and all: the same text when it is dumped again."""
    with shop(tmp_path, certificates) as house:
        token = house.enrol(ADA)
        house.publish(ADA)
        dump = tmp_path / "shop.dump"
        run_tool(house.cluster, "pg_dump", "--format=custom", f"--file={dump}", house.cluster.url(SHOP))
        house.cluster.create_database("restored")
        run_tool(house.cluster, "pg_restore", "--exit-on-error", f"--dbname={house.cluster.url('restored')}", dump)

        def text(name):
            done = subprocess.run([f"{house.cluster.bin}/pg_dump", "--schema-only", house.cluster.url(name)], check=True,
                                  capture_output=True, text=True)  # fmt: skip
            return [line for line in done.stdout.splitlines() if not line.startswith(("--", "\\"))]

        assert text("restored") == text(SHOP)
        restored = Ctl(house.cluster.url("restored"), house.cluster, "restored")
        assert restored.json("db", "upgrade")[0]["applied"] == []
        assert restored.authenticate(token) == "ok"
        with psycopg.connect(restored.url) as connection:
            connection.execute("SET ROLE slotbell_daemon")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM slotbell.event")


# ---- a base backup that is started in place ----


def test_a_base_backup_without_recovery_signal_is_told_by_a_device_and_mended_by_a_new_epoch(tmp_path, certificates):
    """PostgreSQL takes it for a crash: the same system identifier, timeline and epoch. Nothing but a device's cursor tells."""
    with shop(tmp_path, certificates) as house:
        token, other = house.enrol(ADA), house.enrol(ADA)
        daemon = house.daemon()
        for _ in range(2):
            house.publish(ADA)
        for one in (token, other):
            run(visit(house, one))
        backup = tmp_path / "backup"
        subprocess.run([f"{house.cluster.bin}/pg_basebackup", "-D", backup, "-X", "stream", "-c", "fast", "-d", house.cluster.url()],
                       check=True, capture_output=True)  # fmt: skip
        for _ in range(3):
            house.publish(ADA)
        cursor = run(visit(house, token))[2]
        other_cursor = run(visit(house, other))[2]
        before = numbering(house)
        house.cluster.stop()
        data = pathlib.Path(house.cluster.data).resolve()
        owner = data.stat()
        for old in data.iterdir():
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        shutil.copytree(backup, data, dirs_exist_ok=True, symlinks=True)
        for path in [data, *data.rglob("*")]:
            shutil.chown(path, owner.st_uid, owner.st_gid)
        house.cluster.start()
        assert numbering(house)[0] == before[0] - 3
        assert numbering(house)[2] == before[2], "the same epoch: nothing else tells"
        daemon.stop()
        house.daemons.remove(daemon)
        house.daemon()
        daemon = house.daemons[0]
        assert run(visit(house, token, cursor))[0] == ["unknown-cursor"]
        daemon.wait_log('event="numbers came back" mailbox=1 device=1 seq=5 head=2 ')
        assert "slotbellctl db new-epoch" in daemon.log_text()
        house.ctl.run("db", "new-epoch")
        uid = house.publish(ADA)
        resets, seen, _ = run(visit(house, other, other_cursor))
        assert resets == ["epoch"] and list(seen.values()) == [uid]
