"""A session that must not notice what others do: another device, live, beside an attack."""

import asyncio
import time

from session_client import run

MAILBOX = "witness@example.com"


class Witness:
    """`async with Witness(house, daemon) as witness`: live inside; what it saw is checked at the end."""

    def __init__(self, house, daemon):
        self.house = house
        if not hasattr(house, "witness_token"):
            house.witness_token = house.enrol(MAILBOX)  # one device is enough for all that happens in a house
        self.client = house.client(daemon, house.witness_token)
        self.seconds = []  # from before the publish to the booking

    async def __aenter__(self):
        await self.client.open()
        self.seq = (await self.client.welcome())["head"]
        await self.client.receive("live")
        return self

    async def __aexit__(self, kind, *_):
        if kind is None:
            assert self.client.socket.open, "the witness was cut off"
        await self.client.close()

    async def rung(self):
        """A booking that is made now comes, as the next one, and its ack is kept."""
        begun = time.monotonic()
        uid = await asyncio.to_thread(self.house.publish, MAILBOX)
        booking = await self.client.receive("booking")
        self.seconds.append(time.monotonic() - begun)
        self.seq += 1
        assert (booking["seq"], booking["booking"]["uid"]) == (self.seq, uid)
        await self.client.ack(booking["cursor"])
        await self.client.receive("acked")


def beside_a_witness(house, daemon, attack, seconds=60):
    """Runs the attack, a coroutine function, while a witness is rung, and once more after it. Returns the attack's result."""

    async def story():
        async with Witness(house, daemon) as witness:
            attacking = asyncio.ensure_future(attack())
            try:
                await witness.rung()
                result = await attacking
            finally:
                attacking.cancel()
            await witness.rung()
            return result

    return run(story(), seconds)
