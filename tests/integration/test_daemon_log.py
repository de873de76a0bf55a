"""What the log tells: enough to find a session, in lines that a machine can read, and nothing of whom or what."""

import asyncio
import contextlib
import json
import re
import shlex
import tempfile

import psycopg.types.json
import pytest
import websockets
from ctl_support import wait_until
from gate import Gate
from journal_help import Journal, can
from session_client import Client, run

pytest_plugins = ["fixtures_daemon"]

ADA = "marked-address@example.com"
SECRETS = ("marked-address", "marked-subject", "marked-name", "marked-mail", "marked-place", "marked-words", "marked-zone",
           "marked-nonsense", "marked-query", "marked-client", "marked-uid")  # fmt: skip


async def nonsense(house, daemon, token):
    """All that a client can get wrong, each with something in it that must not be written down."""
    secret = token.split("_", 2)[2]  # it may have a _ itself
    wrong = token[:-8] + "markedAA"
    for message in (
        "marked-nonsense", '{"type":"marked-nonsense"}', '{"marked-nonsense', b"marked-nonsense", "[" * 50 + "marked-nonsense",
        {"type": "hello", "token": wrong}, {"type": "hello", "token": "marked-nonsense"}, {"type": "hello", "token": token, "mode": "marked-nonsense"},
        {"type": "hello", "token": token, "cursor": "marked-nonsense"}, {"type": "hello", "token": token, "client": {"name": "marked-client" * 9}},
        '{"type":"ack","cursor":"aaa.1","failed":[{"seq":1,"reason":"marked-nonsense"}]}', "marked-nonsense" * 2000,
        f'{{"type":"hello","token":"{token}","token":"{token}"}}', f'{{"type":"hello","token":"{token}\\u0000"}}',
    ):  # fmt: skip
        async with house.client(daemon, None) as client:
            await client.send(message)
            await client.closed()
    for bearer in (wrong, "marked-nonsense", "marked-nonsense" * 100, f"{token} {token}"):
        with contextlib.suppress(websockets.InvalidHandshake, websockets.ConnectionClosed):
            async with Client(daemon, bearer, header=True) as client:
                await client.hello()
                await client.closed()
    for path in (f"/v1/session?token={token}", f"/v1/marked-query?token={token}", "/marked-query" * 50):
        for headers in ({}, {"Origin": "https://marked-query.example.com"}, {"Authorization": f"Basic {secret}"}):
            with contextlib.suppress(websockets.InvalidHandshake):
                async with websockets.connect(daemon.url + path, ssl=daemon.tls(), subprotocols=["slotbell.v1"], extra_headers=headers):
                    pass
    return secret, "markedAA"


@pytest.fixture
def journal():
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder, Journal(folder) as made:
        yield made


def told_by(log, form):
    """The lines of the log, taken apart."""
    if form == "json":
        return [json.loads(line) for line in log.splitlines()]
    return [dict(field.split("=", 1) for field in shlex.split(line)) for line in log.splitlines()]


@pytest.mark.parametrize("form", ["text", "json", pytest.param("auto", marks=pytest.mark.skipif(not can(), reason="a journal of the test's own takes root"))])
def test_no_line_tells_of_whom_or_what(house, form, journal):
    """At its most talkative, through a booking with everything, all that clients get wrong, and statements that fail."""
    gate = Gate(house, "next_events", by_lock=True)
    is_journal = form == "auto"
    daemon = house.daemon(start=False, prefix=journal.prefix if is_journal else (), log__level="debug", log__format=form)
    token = house.enrol(ADA, "--label", "marked-name")
    log = journal.text if is_journal else daemon.log_text
    daemon.start()
    secrets = list(SECRETS)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome(client={"name": "marked-client", "version": "marked-client"})
            await client.receive("live")
            gate.shut()
            house.publish(ADA, "marked-uid", subject="marked-subject", attendees=psycopg.types.json.Jsonb(
                [{"name": "marked-name", "email": "marked-mail@example.com"}]), details=psycopg.types.json.Jsonb(
                {"location": "marked-place", "join_url": "https://marked-place", "description": "marked-words"}))  # fmt: skip
            await asyncio.to_thread(wait_until, lambda: "statement failed" in log(), "the fetch fails")
            gate.open()
            booking = await client.receive("booking")
            await client.ack(booking["cursor"], [{"seq": 1, "reason": "conflict"}])
            await client.receive("acked")
            secrets.extend(await nonsense(house, daemon, token))
            house.ctl.query("SELECT slotbell.revoke(%s)", house.device_of(token))
            await client.closed()

    run(story())
    gate.close()
    assert daemon.stop() == 0
    if is_journal:
        journal.wait("ended")
    for secret in secrets:
        assert secret not in log(), next(line for line in log().splitlines() if secret in line)
    told = journal.fields() if is_journal else told_by(log(), form)
    for fields in told if not is_journal else ():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["time"]), fields
        assert fields["level"] in ("error", "warning", "notice", "info", "debug") and fields["event"], fields
    # Enough to follow a session by: it began, and it ended, with why.
    began = next(fields for fields in told if fields["event"] == "session began")
    ended = next(fields for fields in told if fields["event"] == "session ended" and fields["session"] == began["session"])
    assert began["device"] == ended["device"] == str(house.device_of(token)) and ended["reason"] == "revoked"


def test_levels_leave_out_what_lies_below(house):
    for level, silent in (("notice", "session began"), ("warning", "ready")):
        daemon, token = house.daemon(start=False, log__level=level), house.enrol("ada@example.com")
        daemon.start()

        async def story(daemon=daemon, token=token):
            async with house.client(daemon, token) as client:
                await client.welcome()

        run(story())
        assert daemon.stop() == 0
        assert f'event="{silent}"' not in daemon.log_text()
