"""What is no good upgrade: rubbish for HTTP, the wrong TLS, and connections that only take up room."""

import asyncio
import os
import ssl
import time

import pytest
from raw_client import TEXT, Raw, frame, request, text
from session_client import SECONDS
from witness import Witness, beside_a_witness, run

pytest_plugins = ["fixtures_daemon"]

PLAIN = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ALLOWED = ("https://addin.example.com", "https://other.example.com:8443")


@pytest.fixture(scope="module")
def daemon(shared_house):
    return shared_house.daemon(listen__origins=", ".join(ALLOWED))


async def answered(daemon, data, **options):
    """The answer to these bytes, or None where the connection ended without one."""
    async with Raw(daemon, **options) as raw:
        await raw.send(data)
        return await raw.response()


UPGRADES = {  # what -> (request, status of the answer, word of its detail)
    "another path": (request("/v2/session"), 404, "/v1/session"),
    "a path that goes on": (request("/v1/session/"), 404, "/v1/session"),
    "no method for it": (request(method="POST"), 405, "GET"),
    "no host": (request(without=["Host"]), 400, "Host"),
    "no connection": (request(without=["Connection"]), 400, "Connection"),
    "a connection to keep": (request(Connection="keep-alive"), 400, "Connection"),
    "no version": (request(without=["Sec-WebSocket-Version"]), 426, "13"),
    "version 8": (request(Sec_WebSocket_Version="8"), 426, "13"),
    "version 13 and more": (request(Sec_WebSocket_Version="130000000000000000000"), 426, "13"),
    "no key": (request(without=["Sec-WebSocket-Key"]), 400, "Key"),
    "a short key": (request(Sec_WebSocket_Key="x"), 400, "Key"),
    "a long key": (request(Sec_WebSocket_Key="x" * 25), 400, "Key"),
    "no subprotocol": (request(without=["Sec-WebSocket-Protocol"]), 400, "slotbell.v1"),
    "an empty subprotocol": (request(Sec_WebSocket_Protocol=""), 400, "slotbell.v1"),
    "another subprotocol": (request(Sec_WebSocket_Protocol="slotbell.v2, chat"), 400, "slotbell.v1"),
    "libwebsockets' own": (request(Sec_WebSocket_Protocol="http"), 400, "slotbell.v1"),
    "a quote in it": (request(Sec_WebSocket_Protocol='"slotbell.v1'), 400, "slotbell.v1"),
    "another case of it": (request(Sec_WebSocket_Protocol="Slotbell.V1"), 400, "slotbell.v1"),
    "a foreign origin": (request(Origin="https://evil.example.com"), 403, "Origin"),
    "half an origin": (request(Origin=ALLOWED[0][:-1]), 403, "Origin"),
    "an origin and more": (request(Origin=ALLOWED[0] + ".evil.example.com"), 403, "Origin"),
    "the list of origins": (request(Origin=", ".join(ALLOWED)), 403, "Origin"),
    "two origins": (request(Origin=ALLOWED[0], more=["Origin: https://evil.example.com"]), 400, "twice"),
    "an opaque origin": (request(Origin="null"), 403, "Origin"),
    "a huge origin": (request(Origin="https://" + "a" * 500), 403, "Origin"),
}


@pytest.mark.parametrize("data, status, word", UPGRADES.values(), ids=list(UPGRADES))
def test_an_upgrade_that_is_refused_is_told_why(shared_house, daemon, data, status, word):
    response = beside_a_witness(shared_house, daemon, lambda: answered(daemon, data))
    assert response.status == status and word in response.problem()["detail"]


def test_a_refusal_says_what_would_do(shared_house, daemon):
    async def attack():
        return [await answered(daemon, data) for data in (
            request(Sec_WebSocket_Version="8"), request(method="POST"), b"GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n")]

    version, method, plain = beside_a_witness(shared_house, daemon, attack)
    assert version.headers["sec-websocket-version"] == "13"
    assert method.headers["allow"] == "GET"
    assert (plain.status, plain.headers["upgrade"], plain.problem()["status"]) == (426, "websocket", 426)


@pytest.mark.parametrize("options", [
    {}, *[{"Origin": origin} for origin in ALLOWED], {"Origin": ALLOWED[0].upper()}, {"Connection": "keep-alive, Upgrade"},
    {"Upgrade": "WebSocket"}, {"Sec_WebSocket_Protocol": "slotbell.v2, slotbell.v1"}, {"Sec_WebSocket_Protocol": "http,slotbell.v1"}, {"Sec_WebSocket_Protocol": "slotbell.v1, " + "x" * 500},
    {"path": "/v1/session?what=ever"}], ids=str)
def test_an_upgrade_that_is_good_is_answered_with_our_subprotocol(daemon, options):
    async def story():
        async with Raw(daemon) as raw:
            response = await raw.upgrade(**options)
            assert response.headers["sec-websocket-protocol"] == "slotbell.v1"
            await raw.send(text({"type": "ping"}))
            assert await raw.message() == {"type": "pong"}

    run(story())


@pytest.mark.parametrize("size, good", [(1000, True), (8000, True), (9000, False), (100000, False)])
def test_headers_are_8_KiB_at_most(shared_house, daemon, size, good):
    """A browser sends the cookies of its whole domain along."""
    data = request(Cookie="")
    data = data.replace(b"Cookie: ", b"Cookie: session=" + b"x" * (size - len(data) - len("session=")))
    response = beside_a_witness(shared_house, daemon, lambda: answered(daemon, data))
    assert (response is not None and response.status == 101) == good


RUBBISH = {  # what -> (bytes, the answer's status; None: none)
    "another method": (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a body": (b"POST /v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 426),
    "a path of old": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a NUL in the path": (b"GET /v1/session%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "no character in the path": (b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no path": (b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a proxy's request": (b"GET https://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a tunnel": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", None),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64), 505),
    "an upgrade to HTTP/2": (request(Upgrade="h2c", HTTP2_Settings="AAMAAABkAARAAAAAAAIAAAAA"), None),
    "empty lines": (b"\r\n" * 100 + PLAIN, None),
    "a long path": (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", None),
    "a long header": (b"GET / HTTP/1.1\r\nUser-Agent: " + b"a" * 100000 + b"\r\n\r\n", None),
    "a long name": (b"GET / HTTP/1.1\r\n" + b"a" * 100000 + b": x\r\n\r\n", None),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n", None),
    "one header often": (b"GET / HTTP/1.1\r\n" + b"Cookie: x\r\n" * 5000 + b"\r\n", None),
    "bare line feeds": (PLAIN.replace(b"\r", b""), None),
    "bytes": (bytes(range(256)) * 4, None),
}


@pytest.mark.parametrize("data, status", RUBBISH.values(), ids=list(RUBBISH))
def test_rubbish_ends_the_connection(shared_house, daemon, data, status):
    response = beside_a_witness(shared_house, daemon, lambda: answered(daemon, data))
    # Where much was not read, the answer may be lost to the reset that ends the connection.
    assert status is None or response is None or response.status == status
    assert not response or response.status >= 400


def test_random_bytes_end_the_connection(shared_house, daemon):
    async def one(data):
        async with Raw(daemon) as raw:
            await raw.send(data)
            return await raw.read_to_end()

    async def attack():
        return await asyncio.gather(*[one(os.urandom(20000)) for _ in range(20)])

    for answer in beside_a_witness(shared_house, daemon, attack):
        assert not answer or b" 40" in answer.split(b"\r\n")[0]


TEAPOT = {"Upgrade": "teapot", "Connection": "Upgrade, keep-alive"}


@pytest.mark.parametrize("how", ["in one piece", "one after the other", "after the answer"])
@pytest.mark.parametrize("requests", [
    [request(**TEAPOT)], [request(**TEAPOT), request(**TEAPOT), request()], [PLAIN, request(**TEAPOT), request(**TEAPOT)],
    [PLAIN, request()], [request(Sec_WebSocket_Version="8"), request()], [request("/v2/session"), request(**TEAPOT)],
], ids=["one unknown", "unknown ones", "after an answer", "a good one after an answer", "after a version", "after a path"])
def test_an_upgrade_is_only_ever_a_first_request(shared_house, daemon, requests, how):
    """CVE-2025-11677: libwebsockets used memory that was freed, after an unknown upgrade on a connection that was kept."""

    async def attack():
        async with Raw(daemon) as raw:
            first = b""
            if how == "after the answer":
                await raw.send(requests[0])
                first = await asyncio.wait_for(raw.reader.readuntil(b"\r\n\r\n"), SECONDS)
            for data in [b"".join(requests)] if how == "in one piece" else requests[bool(first):]:
                await raw.send(data)
            return first + await raw.read_to_end()

    answer = beside_a_witness(shared_house, daemon, attack)
    # What is sent after the daemon ended the connection resets it, and an answer that was not read may be lost to that.
    lost = how == "one after the other" and len(requests) > 1
    assert answer.count(b"HTTP/1.") in ((0, 1) if lost else (1,)) and b" 101 " not in answer


# ---- TLS ----


def only(version):
    """A TLS context that speaks one version, old ones included where OpenSSL's settings would not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version, good", [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_tls_is_1_2_or_1_3(shared_house, daemon, version, good):
    async def attack():
        try:
            async with Raw(daemon, tls=only(ssl.TLSVersion[version])) as raw:
                await raw.upgrade()
                return raw.writer.get_extra_info("ssl_object").version()
        except (ssl.SSLError, ConnectionError):
            return None

    assert beside_a_witness(shared_house, daemon, attack) == (version.replace("_", ".") if good else None)


@pytest.mark.parametrize("ciphers, good", [("ECDHE+AESGCM", True), ("ECDHE+CHACHA20", True), ("ECDHE+AES+SHA256", False),
                                           ("AES128-GCM-SHA256", False), ("eNULL:aNULL", False)])
def test_tls_1_2_has_forward_secrecy_and_authenticated_encryption(shared_house, daemon, ciphers, good):
    context = only(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers + ":@SECLEVEL=0")

    async def attack():
        try:
            async with Raw(daemon, tls=context) as raw:
                await raw.upgrade()
                return True
        except (ssl.SSLError, ConnectionError):
            return False

    assert beside_a_witness(shared_house, daemon, attack) == good


@pytest.mark.parametrize("data", [PLAIN, b"hello\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + bytes(2000),
                                  b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02" + bytes(0x2b)],
                         ids=["HTTP", "words", "zeros", "a huge record", "a record of words", "SSLv2"])
def test_what_is_not_tls_ends_the_connection(shared_house, daemon, data):
    async def attack():
        async with Raw(daemon, tls=False) as raw:
            await raw.send(data)
            return await raw.read_to_end()

    answer = beside_a_witness(shared_house, daemon, attack)
    assert b"HTTP" not in answer and len(answer) < 100  # an alert at most


# ---- taking up room ----


async def handshake_begun(daemon):
    """The first bytes of a TLS handshake, and no more."""
    async with Raw(daemon, tls=False) as raw:
        await raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        return await raw.read_to_end()


async def silent(daemon):
    async with Raw(daemon, tls=False) as raw:
        return await raw.read_to_end()


async def silent_after_tls(daemon):
    async with Raw(daemon) as raw:
        return await raw.read_to_end()


async def by_bytes(daemon):
    """A request, a byte at a time, faster than any time-out between two bytes would be."""
    async with Raw(daemon) as raw:
        end = asyncio.ensure_future(raw.read_to_end())
        for byte in request("/v1/session?" + "x" * 1500):
            await raw.send(bytes([byte]))
            if (await asyncio.wait([end], timeout=0.02))[0]:
                break
        return await end


def test_who_is_slow_to_open_a_websocket_is_cut_off(shared_house):
    daemon = shared_house.daemon(sessions__hello_seconds=1)
    crowd = [silent, handshake_begun, silent_after_tls, by_bytes]

    async def attack():
        begun = time.monotonic()
        answers = await asyncio.gather(*[one(daemon) for one in crowd])
        return answers, time.monotonic() - begun

    answers, seconds = beside_a_witness(shared_house, daemon, attack)
    assert not any(b"HTTP" in answer for answer in answers)
    assert seconds > 1  # not before its time, and within SECONDS, or read_to_end() had raised


def test_a_crowd_that_only_waits_keeps_nobody_out(shared_house):
    """400 connections of one address that say nothing, then one that is in earnest, of another."""
    daemon = shared_house.daemon()

    async def story():
        async with Witness(shared_house, daemon) as witness:
            crowd = [Raw(daemon, tls=False, source="127.0.0.2") for _ in range(400)]
            try:
                for raw in crowd:
                    await raw.__aenter__()
                await witness.rung()
                async with Raw(daemon) as raw:
                    await raw.upgrade()
                    await raw.send(frame(TEXT, "x"))
                    assert (await raw.end()).code == 4400
                await witness.rung()
            finally:
                for raw in crowd:
                    raw.drop()
            await witness.rung()

    run(story(), 3 * SECONDS)
