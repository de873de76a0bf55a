"""Everything that goes wrong in a data centre, dealt from a shuffled deck, several at a time.

Each kind of trouble is a method of Trouble that makes it, and undoes it before it returns. It names what
it needs alone, so that no two disturb each other: a frozen daemon is not killed, a stopped server has
no backend to freeze.
"""

import asyncio
import contextlib
import os
import signal

import psycopg

DAEMONS = ("daemon 1", "daemon 2")


class Trouble:
    def __init__(self, world, say):
        self.world, self.say = world, say
        self.random = world.random("trouble")
        self.done = {}  # kind -> times
        self._busy = set()
        self._tasks = set()
        self._deck = []

    # ---- dealing ----

    def kinds(self):
        """name -> (method, what it needs alone; "daemon" and "wire" stand for one of them)."""
        kinds = {
            "daemon killed (SIGKILL)": (self.kill_daemon, "daemon"),
            "daemon ended (SIGTERM)": (self.end_daemon, "daemon"),
            "daemon frozen (SIGSTOP)": (self.freeze_daemon, "daemon"),
            "PostgreSQL restarted, fast": (self.restart_fast, "database"),
            "PostgreSQL restarted, immediate": (self.restart_immediate, "database"),
            "PostgreSQL killed (SIGKILL)": (self.kill_database, "database"),
            "backend frozen (SIGSTOP)": (self.freeze_backend, "database"),
            "backend terminated": (self.terminate_backend, "database"),
            "forged notifications": (self.forge, "forger"),
            "device enrolled": (self.enrol, "enrolment"),
            "clients dropped": (self.drop_clients, "clients"),
            "clients broken off in a frame": (self.break_frames, "clients"),
        }
        if self.world.networks:
            kinds |= {
                "network cut, daemon and database": (self.cut_database, "wire"),
                "network cut, clients and daemon": (self.cut_clients, "wire"),
                "network cut, writers and database": (self.cut_writers, "us database"),
                "LISTEN dropped silently": (self.drop_listener, "listener"),
                "query connection dropped silently": (self.drop_queries, "listener"),
            }
        return kinds

    async def run(self, seconds):
        """Deals until the time is over; calm() is to follow."""
        end = asyncio.get_running_loop().time() + seconds
        kinds = self.kinds()
        while (now := asyncio.get_running_loop().time()) < end:
            if len(self._tasks) < 3:
                self._deal(kinds)
            await asyncio.sleep(min(end - now, self.random.uniform(0.2, 1.2)))  # the pace of trouble
            self._look_after_the_dead()

    async def calm(self):
        """Waits until all trouble is undone."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._look_after_the_dead()

    def _deal(self, kinds):
        """The deck's next kind whose needs are free. All come once before one comes twice."""
        if not self._deck:
            self._deck = list(kinds)
            self.random.shuffle(self._deck)
        for name in self._deck:
            method, need = kinds[name]
            which = self.random.randrange(2)
            need = {"daemon": DAEMONS[which], "wire": f"{method.__name__} {which}"}.get(need, need)
            if need not in self._busy:
                self._deck.remove(name)
                self.done[name] = self.done.get(name, 0) + 1
                task = asyncio.create_task(self._make(name, method, need, which))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return

    async def _make(self, name, method, need, which):
        self._busy.add(need)
        try:
            await method(which)
        except psycopg.OperationalError as error:
            # The server is away by other trouble: nobody there to trouble.
            self.tell(f"{name}: not possible now ({str(error).splitlines()[0][:60]})")
        except Exception as error:
            self.world.history.add("surprise", who=f"trouble {name}", text=f"{type(error).__name__} {error}")
        finally:
            self._busy.discard(need)

    def tell(self, text):
        self.world.history.add("action", text=text)
        self.say(text)

    def _look_after_the_dead(self):
        for which, code in self.world.has_died():
            if DAEMONS[which] not in self._busy:
                daemon = self.world.daemons[which]
                self.world.history.add("surprise", who=DAEMONS[which], text=f"died, exit code {code}; see {daemon.log}")
                self.world.start_daemon(which)

    async def _for(self, least, most):
        await asyncio.sleep(self.random.uniform(least, most))

    # ---- daemons ----

    async def kill_daemon(self, which):
        away = self.random.choice((0, 0, self.random.uniform(0.2, 3)))
        self.tell(f"{DAEMONS[which]}: SIGKILL, back after {away:.1f} s")
        self.world.daemons[which].kill()
        await asyncio.sleep(away)
        self.world.start_daemon(which)

    async def end_daemon(self, which):
        self.tell(f"{DAEMONS[which]}: SIGTERM")
        await self.world.end_daemon(which)
        await self._for(0, 1)
        self.world.start_daemon(which)

    async def freeze_daemon(self, which):
        seconds = self.random.uniform(0.5, 6)
        self.tell(f"{DAEMONS[which]}: SIGSTOP for {seconds:.1f} s")
        with frozen(self.world.daemons[which].pid):
            await asyncio.sleep(seconds)

    # ---- database ----

    async def _restart(self, mode):
        away = self.random.choice((0, self.random.uniform(0.2, 3)))
        self.tell(f"PostgreSQL: {mode}, back after {away:.1f} s")
        stop = self.world.cluster.kill if mode == "SIGKILL" else lambda: self.world.cluster.stop(mode)
        await asyncio.to_thread(stop)
        await asyncio.sleep(away)
        await asyncio.to_thread(self.world.cluster.start)

    async def restart_fast(self, _which):
        await self._restart("fast")

    async def restart_immediate(self, _which):
        await self._restart("immediate")

    async def kill_database(self, _which):
        await self._restart("SIGKILL")

    def _some_backend(self):
        found = self.world.backends()
        return self.random.choice(found)[0] if found else None

    async def freeze_backend(self, _which):
        pid, seconds = self._some_backend(), self.random.uniform(1, 8)
        if pid:
            self.tell(f"a daemon's backend: SIGSTOP for {seconds:.1f} s")
            with frozen(pid):
                await asyncio.sleep(seconds)

    async def terminate_backend(self, _which):
        for _ in range(self.random.randint(1, 4)):
            pid = self._some_backend()
            if pid:
                self.tell("a daemon's backend: pg_terminate_backend")
                with self.world.sure() as connection:
                    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            await self._for(0, 0.5)

    async def forge(self, _which):
        """Anybody may notify: what does not hold costs fetches, and nothing else."""
        self.tell("forged notifications: 200 of them")
        payloads = ["", "x", "-1", "0", "99999999999999999999", *map(str, range(1, 60))]
        with self.world.sure() as connection:
            for _ in range(200):
                channel = self.random.choice(("slotbell_wake", "slotbell_wake", "slotbell_control"))
                connection.execute("SELECT pg_notify(%s, %s)", [channel, self.random.choice(payloads)])

    # ---- clients ----

    async def enrol(self, _which):
        mailbox = self.random.choice(self.world.mailboxes)
        await self.world.join(mailbox)
        self.tell(f"one device more for {mailbox}")

    async def _break_off(self, how):
        count = self.random.randint(1, len(self.world.plugins) // 2)
        hit = sum(plugin.break_off(how) for plugin in self.random.sample(self.world.plugins, count))
        self.tell(f"{hit} clients: {how}")

    async def drop_clients(self, _which):
        await self._break_off("dropped")

    async def break_frames(self, _which):
        await self._break_off("in a frame")

    # ---- networks ----

    async def _cut(self, a, b, words, least, most):
        seconds = self.random.uniform(least, most)
        way = self.random.choice(("both", "both", "there", "back"))
        arrow = {"both": "both ways", "there": "towards the latter", "back": "towards the former"}[way]
        self.tell(f"network between {words}: cut {arrow} for {seconds:.1f} s")
        cut = self.world.networks.cut(a, b, way)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.world.networks.heal(cut)

    async def cut_database(self, which):
        await self._cut(DAEMONS[which], "database", f"{DAEMONS[which]} and PostgreSQL", 0.5, 12)

    async def cut_clients(self, which):
        await self._cut("us", DAEMONS[which], f"clients and {DAEMONS[which]}", 0.5, 8)

    async def cut_writers(self, _which):
        await self._cut("us", "database", "writers and PostgreSQL", 0.3, 4)

    async def drop_connection(self, which, listener):
        """Packets of one connection vanish, for good: its next one has another port."""
        listeners = {port for _, port in self.world.backends(which, listeners=True)}
        ports = listeners if listener else {port for _, port in self.world.backends(which)} - listeners
        if not ports:
            return
        self.tell(f"{DAEMONS[which]}: packets of its {'LISTEN' if listener else 'query'} connection vanish")
        cuts = [self.world.networks.cut_port(DAEMONS[which], "database", port) for port in ports]
        try:
            await self._for(8, 20)
        finally:
            for cut in cuts:
                self.world.networks.heal(cut)

    async def drop_listener(self, which):
        await self.drop_connection(which, True)

    async def drop_queries(self, which):
        await self.drop_connection(which, False)


    # ---- the end ----

    async def deafen(self):
        """A booking in every mailbox while no daemon hears its notification, and none is told that it could not hear."""
        cuts = []
        networks = self.world.networks
        if networks:
            cuts = [networks.cut_port(DAEMONS[0], "database", port) for _, port in self.world.backends(0, listeners=True)]
            self.tell("daemon 1: packets of its LISTEN connection vanish; daemon 2: its LISTEN is frozen, then terminated")
        else:
            self.tell("both daemons: their LISTEN is frozen, then terminated")
        deaf = [pid for pid, _ in self.world.backends(1 if networks else None, listeners=True)]
        with contextlib.ExitStack() as ice:
            for pid in deaf:
                ice.enter_context(frozen(pid))
            await asyncio.to_thread(self.world.writers[0].book_everywhere)
            with self.world.sure() as connection:
                connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [deaf])
        self.tell(f"one booking more in each of {len(self.world.mailboxes)} mailboxes meanwhile")
        return cuts


@contextlib.contextmanager
def frozen(pid):
    """A process that may end meanwhile, by other hands."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
