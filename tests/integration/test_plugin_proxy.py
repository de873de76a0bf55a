"""slotbell-plugin through an HTTP proxy by CONNECT, with and without a login; TLS is with the server, not with it."""

import pytest
from fake_server import Answer, FakeServer, Proxy

pytest_plugins = ["fixtures_plugin"]


async def welcomes(session):
    await session.welcome(0)
    await session.live(0)
    await session.close(1000, "bye")


@pytest.mark.parametrize("login,given", [
    (None, ""),
    ("ada:secret", "ada:secret@"),
    ("ada:p@ss:w%rd", "ada:p%40ss%3Aw%25rd@"),
    ("a:" + "x" * 88, "a:" + "x" * 88 + "@"),  # the longest there may be
])
def test_it_goes_through_the_proxy(start, context, login, given):
    with FakeServer(context, welcomes) as server, Proxy(login) as proxy:
        plugin = start(server, "--proxy", f"http://{given}127.0.0.1:{proxy.port}")
        with plugin.run("--once") as running:
            assert running.end() == 0, running.words
        assert proxy.asked == [f"localhost:{server.port}"]
        assert server.connections == 1


@pytest.mark.parametrize("given", ["", "ada:wrong@", "bob:secret@"])
def test_a_proxy_that_wants_another_login_is_named(start, context, given):
    with FakeServer(context, welcomes) as server, Proxy("ada:secret") as proxy:
        with start(server, "--proxy", f"http://{given}127.0.0.1:{proxy.port}").run() as running:
            closed = running.wait_for("closed")
            assert closed["code"] == 1006 and "proxy" in closed["reason"], closed
            running.wait_for("waiting")
            assert running.stop() == 0
        assert server.connections == 0
    assert "secret" not in running.words and "wrong" not in running.words


def test_a_proxy_that_is_not_there_is_tried_again(start, context):
    with Proxy() as proxy:
        port = proxy.port
    with FakeServer(context, welcomes) as server:
        with start(server, "--proxy", f"http://127.0.0.1:{port}").run() as running:
            assert running.wait_for("closed")["code"] == 1006
            running.wait_for("waiting")
            assert running.stop() == 0
        assert server.connections == 0  # nor does it go around it


def test_the_server_s_name_is_checked_through_a_proxy_too(start, fake_ca):
    context = fake_ca.server("behind-proxy", san="DNS:other.example.com,IP:127.0.0.1")
    with FakeServer(context, welcomes) as server, Proxy() as proxy:
        with start(server, "--proxy", f"http://127.0.0.1:{proxy.port}").run() as running:
            assert "hostname mismatch" in running.wait_for("closed")["reason"]
            assert running.stop() == 0
        assert proxy.asked and server.connections == 0


def test_what_stands_before_the_server_is_heard_through_a_proxy(start, context):
    text = "HTTP/1.1 503 Service Unavailable\nRetry-After: 7\nContent-Length: 0\n\n"
    with Answer(context, text) as server, Proxy() as proxy:
        with start(server, "--proxy", f"http://127.0.0.1:{proxy.port}").run() as running:
            assert "HTTP 503" in running.wait_for("closed")["reason"]
            assert running.wait_for("waiting")["ms"] == 7000
            assert running.stop() == 0


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
def test_only_the_option_chooses_a_proxy(start, context, name):
    with FakeServer(context, welcomes) as server, Proxy() as proxy:
        with start(server, "--once").run(**{name: f"http://127.0.0.1:{proxy.port}"}) as running:
            assert running.end() == 0
        assert proxy.asked == []
