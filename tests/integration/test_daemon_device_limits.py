"""How much of a daemon one device may take."""

import asyncio

import http_client
from session_client import run

pytest_plugins = ["fixtures_daemon"]

SHORT_MAX = 64  # sessions of one device beside its live one


def test_one_token_does_not_fill_the_daemon_with_polls(house):
    most = SHORT_MAX + 8
    daemon = house.daemon(sessions__max=most)
    greedy, other = house.enrol("greedy@example.com"), house.enrol("other@example.com")

    async def story():
        polls = [asyncio.ensure_future(http_client.poll(daemon, greedy, wait=50, seconds=60)) for _ in range(most)]
        try:
            answers = []
            for poll in asyncio.as_completed(polls, timeout=20):
                answers.append(await poll)
                if len(answers) == most - SHORT_MAX:
                    break
            assert {(answer.status, answer.json()["reason"]) for answer in answers} == {(429, "too-many")}
            async with house.client(daemon, other) as client:
                await client.welcome()
        finally:
            for poll in polls:
                poll.cancel()

    run(story())


def test_one_token_does_not_fill_the_daemon_with_sessions_of_mode_once(house):
    daemon = house.daemon()
    greedy = house.enrol("greedy@example.com")
    house.publish("greedy@example.com")  # which nobody acks, so that they stay

    async def story():
        clients = [house.client(daemon, greedy) for _ in range(SHORT_MAX + 1)]
        try:
            for client in clients[:-1]:
                await client.open()
                await client.welcome(mode="once")
            await clients[-1].open()
            await clients[-1].hello(mode="once")
            assert await clients[-1].closed() == 4429 and clients[-1].goodbye["reason"] == "too-many"
            async with house.client(daemon, greedy) as live:  # its live session is not among them
                await live.welcome()
        finally:
            for client in clients:
                client.drop()

    run(story())
