"""A gate behind a function of the database: what it saw is old by the time its caller hears of it."""

import asyncio

from ctl_support import wait_until

KEY = 4711  # of the advisory lock that shuts it
BY_SLEEP = f"WHILE NOT pg_try_advisory_xact_lock_shared({KEY}) LOOP PERFORM pg_sleep(0.005); END LOOP;"
BY_LOCK = f"PERFORM pg_advisory_xact_lock_shared({KEY});"


class Gate:
    """Put in before the daemon starts, whose statements are prepared. Open at first.

    A statement waits behind a shut gate with its snapshot taken; it must not
    wait longer than the daemon's statement_timeout, 5 seconds, or, where it
    waits by a lock, than its lock_timeout, half a second. `passed` counts what
    was asked for: the items of the function's first array.
    """

    def __init__(self, house, function, by_lock=False):
        self.function = function
        self.keeper = house.connect()
        (arguments, result, count) = self.keeper.execute(
            "SELECT pg_get_function_arguments(oid), pg_get_function_result(oid), pronargs FROM pg_proc"
            " WHERE pronamespace = 'slotbell'::regnamespace AND proname = %s", (function,)).fetchone()  # fmt: skip
        given = ", ".join(f"${n + 1}" for n in range(count))
        self.keeper.execute(
            f"ALTER FUNCTION slotbell.{function} RENAME TO {function}_before_the_gate;"
            f"CREATE SEQUENCE slotbell.{function}_passed;"
            f"CREATE FUNCTION slotbell.{function}({arguments}) RETURNS {result} LANGUAGE plpgsql SECURITY DEFINER AS $gate$\n"
            "#variable_conflict use_column\nBEGIN\n"
            f"RETURN QUERY SELECT * FROM slotbell.{function}_before_the_gate({given});\n"
            f"PERFORM nextval('slotbell.{function}_passed') FROM generate_series(1, cardinality($1));\n"
            f"{BY_LOCK if by_lock else BY_SLEEP}\nEND $gate$"
        )

    def shut(self):
        self.keeper.execute("SELECT pg_advisory_lock(%s)", (KEY,))

    def open(self):
        self.keeper.execute("SELECT pg_advisory_unlock(%s)", (KEY,))

    @property
    def passed(self):
        """How many items were asked for so far, those that wait included."""
        found = self.keeper.execute(f"SELECT last_value FROM slotbell.{self.function}_passed WHERE is_called").fetchone()
        return found[0] if found else 0

    async def until(self, count):
        """Waits until so many were asked for."""
        await asyncio.to_thread(wait_until, lambda: self.passed >= count, f"{self.function} is asked {count} times")

    def close(self):
        self.keeper.close()
