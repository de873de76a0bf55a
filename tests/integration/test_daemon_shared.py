"""Behind a proxy that keeps its connections to the daemon and shares them among clients: to each what is theirs."""

import asyncio

import http_client as http
import pytest
from admin_client import metrics, value
from fronts import SHARING_HAPROXY, SHARING_NGINX
from session_client import Client, run

pytest_plugins = ["fixtures_daemon", "fixtures_fronts"]

CLIENTS, ROUNDS = 8, 10


class Through:
    """The daemon as a client of the proxy sees it."""

    def __init__(self, daemon, proxy):
        self.daemon, self.port, self.address = daemon, proxy.port, "127.0.0.1"

    def tls(self):
        return self.daemon.tls()


@pytest.mark.parametrize("text", [SHARING_HAPROXY, SHARING_NGINX], ids=["haproxy", "nginx"])
def test_clients_that_share_connections_share_nothing_else(house, front, text):
    daemon = house.daemon(listen__admin="127.0.0.1:0", sessions__unauthenticated_per_address=0,
                          sessions__bad_tokens_per_minute=0)
    through = Through(daemon, front(daemon, text, silence="60s", websockets=""))
    tokens = [house.enrol(f"client{number}@example.com") for number in range(CLIENTS)]
    for number in range(CLIENTS):
        house.publish(f"client{number}@example.com", f"of-{number}")

    async def asks(number):
        for _ in range(ROUNDS):
            answer = await http.poll(through, tokens[number])
            assert [m["booking"]["uid"] for m in answer.messages() if m["type"] == "booking"] == [f"of-{number}"]
            assert (await http.request(through, "GET", "/v1/bookings", "sbd_1_" + "A" * 43)).status == 401

    async def listens(number):
        """By a websocket, though connections that were kept lie about."""
        async with Client(daemon, tokens[number], host=through.address, port=through.port) as client:
            assert (await client.welcome())["mailbox"] == f"client{number}@example.com"
            assert (await client.until("booking"))["booking"]["uid"] == f"of-{number}"

    async def story():
        await asyncio.gather(*[asks(number) for number in range(CLIENTS)])
        for number in range(CLIENTS):
            await listens(number)

    run(story(), 120)
    assert value(metrics(daemon), "slotbell_requests_kept_total") > CLIENTS, "the proxy shared none"
