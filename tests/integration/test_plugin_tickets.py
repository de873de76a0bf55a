"""slotbell-plugin resumes its TLS session when it comes back, whatever way it goes and however the server ended."""

import contextlib
import os
import ssl

import pytest
import websockets
from admin_client import metrics, value
from fake_server import FakeServer
from plugin_process import Plugin

pytest_plugins = ["fixtures_daemon", "fixtures_plugin"]

ADA = "ada@example.com"
WAYS = pytest.mark.parametrize("way", ["websocket", "stream", "poll"])


@pytest.fixture
def keys(tmp_path):
    """New ones each time, for all daemons of the test."""
    path = tmp_path / "tickets"

    def write():
        path.write_bytes(os.urandom(80))
        path.chmod(0o640)
        return path

    return write


@pytest.fixture
def plugin(tmp_path):
    def make(daemon, token, way):
        return Plugin(tmp_path / "ada", daemon.url, daemon.ca, "--transport", way, token=token)
    return make


def handshakes(daemon, kind):
    return value(metrics(daemon), "slotbell_handshakes_total", kind=kind)


@WAYS
@pytest.mark.parametrize("end", ["killed", "drained"])
def test_it_resumes_at_a_daemon_that_was_started_again(house, plugin, keys, way, end):
    daemon, token = house.daemon(listen__admin="127.0.0.1:0", tls__ticket_keys=keys()), house.enrol(ADA)
    with plugin(daemon, token, way).run() as running:
        running.wait_for("live")
        if end == "killed":
            daemon.kill()  # without TLS' own goodbye
        else:
            assert daemon.stop() == 0
        running.wait_for("waiting")
        daemon.start()
        running.wait_for("live")
        house.publish(ADA, "one")
        assert running.wait_for("written")["uid"] == "one"
        running.wait_for("acked")
        # One full handshake is the start's own look at it. OpenSSL spoils the session of a connection that was cut, and
        # libcurl knows no other one then: a request that was held costs a full one more.
        assert handshakes(daemon, "full") <= (1 if way == "websocket" else 2)
        assert handshakes(daemon, "resumed") >= 1
        assert running.stop() == 0


@WAYS
def test_where_its_ticket_is_not_taken_a_full_handshake_follows(house, plugin, keys, way):
    daemon, token = house.daemon(listen__admin="127.0.0.1:0", tls__ticket_keys=keys()), house.enrol(ADA)
    with plugin(daemon, token, way).run() as running:
        running.wait_for("live")
        daemon.kill()
        running.wait_for("waiting")
        keys()
        daemon.start()
        running.wait_for("live")
        assert handshakes(daemon, "full") >= 2
        assert running.stop() == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("how", ["closed", "broken off"])
def test_a_websocket_resumes_again_and_again(start, fake_ca, version, how):
    """Of TLS 1.3 each ticket once; of TLS 1.2 the same one, which its server does not renew."""
    context = fake_ca.server(f"tickets-{version.name}-{how.replace(' ', '-')}")
    context.minimum_version = context.maximum_version = version
    context.num_tickets = 1 if version == ssl.TLSVersion.TLSv1_3 else context.num_tickets

    async def ends(session):
        await session.welcome(5)
        await session.live(5)
        if how == "closed":
            await session.close(1012, "draining")
        else:
            await session.break_off()

    async def stays(session):
        await session.welcome(5)
        await session.live(5)
        await session.closed_by_client()

    with FakeServer(context, ends, ends, ends, stays) as server:
        with start(server, "--transport", "websocket").run() as running:
            for _ in range(4):
                running.wait_for("live")
            assert running.stop() == 0
        assert server.connections == 4
        assert context.session_stats()["hits"] == 3


def test_a_server_whose_certificate_is_another_s_is_refused_though_there_is_a_ticket(start, fake_ca):
    """What is resumed was checked; a full handshake is checked again."""
    async def ends(session):
        with contextlib.suppress(websockets.ConnectionClosed):  # the server may stop in the midst
            await session.welcome(5)
            await session.live(5)
            await session.close(1012, "draining")

    context = fake_ca.server("tickets-then-another")
    with FakeServer(context, ends) as server:
        port = server.port
        plugin = start(server, "--transport", "websocket")
        with plugin.run() as running:
            running.wait_for("live")
            other = fake_ca.server("tickets-another", authority="stranger")
            server.run(again(server, other, port))
            while "certificate" not in running.wait_for("closed")["reason"]:
                pass  # what came before
            assert running.stop() == 0


async def again(server, context, port):
    """The same place, and another's certificate."""
    await server.stop()
    server.server = await websockets.serve(server._serve, server.host, port, ssl=context, subprotocols=["slotbell.v1"],
                                           ping_interval=None, compression=None)  # fmt: skip
