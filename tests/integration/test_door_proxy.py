"""The PROXY protocol at the door, byte by byte: from whom it is taken, what it changes, and what is none."""

import asyncio
import socket
import ssl

import pytest
from door_support import (LOCAL, PROXY, SIGNATURE, connect, door, get, is_closed, needs_ipv6, proxy_header, refused, tls,
                          wait_alone, wait_closed, wait_taken)
from session_client import Client, run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
TRUSTED, ALSO_TRUSTED, STRANGER = "127.0.0.9", "127.0.9.200", "127.0.0.8"


@pytest.fixture
def proxied(house):
    return house.daemon(listen__trusted_proxies=f"{TRUSTED}, 127.0.9.0/24 ::1", drain__seconds=1)


def behind(daemon, client, source=TRUSTED, **header):
    """A connection of this client through a proxy."""
    made = connect(daemon, source)
    made.sendall(proxy_header(client, **header))
    return made


def session(daemon, client, token=None):
    return Client(daemon, token, sock=behind(daemon, client), server_hostname=daemon.address)


def fails(daemon, plain):
    """TLS does not come about on this connection, whatever is tried."""
    try:
        tls(daemon, plain).close()
    except (ssl.SSLError, OSError):
        return True
    return False


def test_a_session_through_a_trusted_proxy(house, proxied):
    token = house.enrol(ADA)

    async def story():
        for client in ("192.0.2.1", "2001:db8::1", None):
            async with session(proxied, client, token) as one:
                await one.welcome()
        async with Client(proxied, token, sock=behind(proxied, "192.0.2.1", ALSO_TRUSTED),
                          server_hostname=proxied.address) as other:
            await other.welcome()

    run(story())
    assert door(proxied)["proxy_header"] == 0


@pytest.mark.parametrize("client,extensions", [("192.0.2.1", b""), ("2001:db8::1", b"\x05\x00\x03abc")], ids=["IPv4", "IPv6"])
def test_a_header_may_be_cut_anywhere(proxied, client, extensions):
    header = proxy_header(client, extensions=extensions)
    for cut in range(1, len(header)):
        plain = connect(proxied, TRUSTED)
        plain.sendall(header[:cut])
        wait_taken(proxied, plain)
        plain.sendall(header[cut:])
        assert get(proxied, plain)[0] == 404
    assert door(proxied)["proxy_header"] == 0


def test_what_follows_in_the_same_segment_is_tls(proxied):
    """The header and a client's first words at once, as a proxy sends them that is busy."""
    context, incoming, outgoing = proxied.tls(), ssl.MemoryBIO(), ssl.MemoryBIO()
    words = context.wrap_bio(incoming, outgoing, server_hostname=proxied.address)
    with pytest.raises(ssl.SSLWantReadError):
        words.do_handshake()
    plain = connect(proxied, TRUSTED)
    plain.sendall(proxy_header("192.0.2.1") + outgoing.read())
    assert plain.recv(3) == b"\x16\x03\x03"  # the server's hello
    plain.close()


def test_who_breaks_off_within_a_header_is_forgotten(proxied):
    wait_alone(proxied)
    header = proxy_header("192.0.2.1")
    for cut in range(len(header)):
        with connect(proxied, TRUSTED) as plain:
            plain.sendall(header[:cut])
    wait_alone(proxied)
    assert door(proxied)["proxy_header"] == len(header)


def test_what_is_no_header_is_closed(proxied):
    wait_alone(proxied)
    good = proxy_header("192.0.2.1")
    bad = [
        b"PROXY TCP4 192.0.2.1 203.0.113.1 50000 8443\r\n",  # version 1
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS at once
        b"GET / HTTP/1.1\r\n\r\n",
        good[:11] + b"\x0b" + good[12:],
        good[:12] + b"\x11" + good[13:],  # version 1 in its binary form
        good[:12] + b"\x22" + good[13:],  # a command that there is not
        good[:13] + b"\x12" + good[14:],  # datagrams
        good[:13] + b"\x21" + good[14:],  # too short for IPv6
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(100),  # longer than is taken
        SIGNATURE + b"\x21\x11\x10\x01" + bytes(100),
    ]
    held = []
    for header in bad:
        plain = connect(proxied, TRUSTED)
        plain.sendall(header)
        held.append(plain)
    assert wait_closed(held) == []
    # as long as it may be
    longest = behind(proxied, "192.0.2.1", extensions=b"\x04" + (4096 - 12 - 3).to_bytes(2, "big") + bytes(4096 - 12 - 3))
    assert get(proxied, longest)[0] == 404
    assert door(proxied)["proxy_header"] == len(bad)


def test_a_proxy_that_does_not_say_its_header_has_the_time_of_a_handshake(house):
    daemon = house.daemon(listen__trusted_proxies=TRUSTED, sessions__hello_seconds=1)
    wait_alone(daemon)
    silent, half = connect(daemon, TRUSTED), connect(daemon, TRUSTED)
    half.sendall(proxy_header("192.0.2.1")[:20])
    assert wait_closed([silent, half]) == []
    assert door(daemon)["slow"] == 2


def test_the_header_of_a_stranger_is_not_taken(house, proxied):
    token = house.enrol(ADA)
    with connect(proxied, STRANGER) as plain:
        plain.sendall(proxy_header("192.0.2.1"))
        assert fails(proxied, plain)
    with behind(proxied, "192.0.2.1", source="127.0.8.255") as plain:  # beside 127.0.9.0/24
        assert fails(proxied, plain)

    async def story():
        async with Client(proxied, token, local_addr=(STRANGER, 0)) as client:
            await client.welcome()

    run(story())


def test_a_proxy_that_speaks_for_itself_is_counted_as_itself(house):
    daemon = house.daemon(listen__trusted_proxies=TRUSTED, sessions__unauthenticated_per_address=1)
    # A health check says LOCAL, and may say any address.
    for header in ({"client": None, "command": LOCAL}, {"client": "192.0.2.1", "command": LOCAL},
                   {"client": None, "command": PROXY}):
        assert get(daemon, behind(daemon, **header))[0] == 404

    async def story():
        def of_the_proxy(client):
            return Client(daemon, sock=behind(daemon, client, command=LOCAL), server_hostname=daemon.address)

        async with of_the_proxy(None):
            await refused(of_the_proxy("192.0.2.2"))

    run(story())


def test_limits_are_those_of_the_client_behind_the_proxy(house):
    daemon = house.daemon(listen__trusted_proxies=TRUSTED, sessions__unauthenticated_per_address=1)

    async def story():
        held = []
        for client in ("192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"):
            held.append(await session(daemon, client).open())
        again = ("192.0.2.1", "::ffff:192.0.2.2", "2001:db8:0:1:2:3:4:5", "2001:db8:0:2::1")
        await asyncio.gather(*[refused(session(daemon, client)) for client in again])
        async with session(daemon, "2001:db8:0:3::1"):
            pass
        for client in held:
            await client.close()

    run(story())
    assert door(daemon)["unauthenticated"] == 4


@needs_ipv6
def test_a_trusted_proxy_by_ipv6(house, proxied):
    proxied.stop()
    proxied.settings["listen.address"] = f"[::]:{proxied.port}"
    proxied.start()
    assert get(proxied, behind(proxied, "192.0.2.1", source="::1"))[0] == 404
    with connect(proxied, "::1") as plain:
        plain.sendall(b"no header")
        assert wait_closed([plain]) == []
    # IPv4 on the same socket is still known by its own name
    assert get(proxied, behind(proxied, "192.0.2.1"))[0] == 404
    assert not fails(proxied, connect(proxied, STRANGER))


def test_many_headers_at_once_take_no_place_among_the_handshakes(house):
    daemon = house.daemon(listen__trusted_proxies=TRUSTED, sessions__handshakes=1, sessions__hello_seconds=300,
                          drain__seconds=1)
    halves = [connect(daemon, TRUSTED) for _ in range(50)]
    for plain in halves:
        plain.sendall(proxy_header("192.0.2.1")[:10])
    assert get(daemon, behind(daemon, "192.0.2.2"))[0] == 404
    assert not any(is_closed(plain) for plain in halves)
    for plain in halves:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        plain.close()  # by a reset
    wait_alone(daemon)
    assert door(daemon)["proxy_header"] == 50
