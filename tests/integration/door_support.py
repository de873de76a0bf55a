"""What clients do at the door: come from an address, send bytes, speak TLS, and look who closes."""

import ipaddress
import json
import os
import re
import select
import signal
import socket
import struct
import sys
import time

import pytest
from ctl_support import wait_until
from session_client import Client, run

SECONDS = 20
ADA = "ada@example.com"
SHOP, OTHERS = "127.0.0.2", "127.0.0.3"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = _has_ipv6()  # containers often have none
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="there is no ::1 here")


def proxy_header(client, command=PROXY, extensions=b""):
    """A PROXY header, version 2, of a client with this address; None: it does not say which."""
    family, payload = 0x00, b""
    if client:
        address = ipaddress.ip_address(client)
        family = 0x11 if address.version == 4 else 0x21
        ours = ipaddress.ip_address("203.0.113.1" if address.version == 4 else "2001:db8::1")
        payload = address.packed + ours.packed + struct.pack(">HH", 50000, 8443)
    payload += extensions
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(payload)) + payload


def connect(daemon, source="127.0.0.1"):
    """A plain connection from this loopback address."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    made = socket.socket(family)
    made.settimeout(SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.bind((source, 0))
    made.connect(("::1" if ":" in source else daemon.address, daemon.port))
    return made


def client_from(source, daemon, token=None):
    return Client(daemon, token, local_addr=(source, 0))


def connect_at_once(daemon, count, source="127.0.0.1"):
    """So many connections that say nothing; the process is stopped while they are made, so that it finds them all at once."""
    os.kill(daemon.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
    made = [connect(daemon, source) for _ in range(count)]
    os.kill(daemon.pid, signal.SIGCONT)
    return made


def tls(daemon, plain):
    return daemon.tls().wrap_socket(plain, server_hostname=daemon.address)


def get(daemon, plain, path="/"):
    """One GET over TLS on this connection: status, headers and body."""
    with tls(daemon, plain) as wrapped:
        wrapped.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while part := wrapped.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, json.loads(body)


def readable(connections, milliseconds=0):
    """Those of which there is something to read, or the end."""
    poll, found = select.poll(), {one.fileno(): one for one in connections}
    for number in found:
        poll.register(number, select.POLLIN)
    return [found[number] for number, _ in poll.poll(milliseconds)]


def assert_a_plug_in_gets_in(daemon, token, source="127.0.0.1"):
    async def story():
        async with client_from(source, daemon, token) as client:
            await client.welcome()

    run(story())


def is_closed(plain):
    """Whether the other end has closed; never waits."""
    if not readable([plain]):
        return False
    try:
        return plain.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True


def wait_closed(connections, count=None):
    """Waits until so many of them (all) are closed by the other end: those that are not."""
    count = len(connections) if count is None else count
    deadline = time.monotonic() + SECONDS
    left = list(connections)
    while len(connections) - len(left) < count:
        assert time.monotonic() < deadline, f"{len(left)} of {len(connections)} are open still"
        closed = {id(one) for one in readable(left, 1000) if is_closed(one)}
        left = [one for one in left if id(one) not in closed]
    return left


def _address(text):
    """Of /proc/net/tcp: words of the machine's byte order; IPv4 within IPv6 is IPv4."""
    words = [int(text[at:at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _connections(daemon):
    """The daemon's ends of connections: {((client's address, port), bytes not read yet, inode)}.

    The kernel makes the list while others connect and close, and then has the same one in it many times.
    """
    found = set()
    for family in ("tcp", "tcp6"):
        with open(f"/proc/net/{family}", encoding="ascii") as file:
            for row in file.readlines()[1:]:
                fields = row.split()
                # inode 0: nobody's any more; state 0A: listens
                if fields[1].endswith(f":{daemon.port:04X}") and fields[3] != "0A" and fields[9] != "0":
                    address, _, port = fields[2].rpartition(":")
                    found.add(((_address(address), int(port, 16)), int(fields[4].rpartition(":")[2], 16), fields[9]))
    return found


def _links(daemon):
    for number in os.listdir(f"/proc/{daemon.pid}/fd"):
        try:
            yield os.readlink(f"/proc/{daemon.pid}/fd/{number}")
        except FileNotFoundError:
            pass


def wait_taken(daemon, plain):
    """Waits until the daemon has read all that was sent on this connection."""
    ours = plain.getsockname()[:2]
    wait_until(lambda: any(client == ours and unread == 0 and f"socket:[{inode}]" in _links(daemon)
                       for client, unread, inode in _connections(daemon)), "the daemon reads")


def unread(daemon, plain):
    """Bytes that came by this connection, and that the daemon has not read."""
    ours = plain.getsockname()[:2]
    return next(unread for client, unread, _ in _connections(daemon) if client == ours)


def wait_alone(daemon):
    """Waits until the daemon has no client any more, as the one that saw it start."""
    wait_until(lambda: not any(_connections(daemon)), "the daemon has no connection")


async def leave(daemon, client):
    """The client closes, and the daemon has let go of its descriptor."""
    ours = client.socket.local_address[:2]
    inodes = {inode for peer, _, inode in _connections(daemon) if peer == ours}
    assert len(inodes) == 1, f"{ours} is {inodes} at the daemon"
    await client.close()
    wait_until(lambda: f"socket:[{min(inodes)}]" not in _links(daemon), "the connection is gone")


def door(daemon):
    """Ends the daemon: what its door has counted."""
    assert daemon.stop() == 0
    line = re.findall(r"the door, since the start.*", daemon.log_text())[-1]
    return {name.replace("-", "_"): int(value) for name, value in re.findall(r"([a-z_-]+)=(\d+)", line)}


async def refused(client):
    """Opens, and is told that it is too much: the milliseconds until it may come back."""
    await client.open()
    assert await client.closed() == 4429
    assert client.goodbye["reason"] == "too-many"
    assert 500 <= client.goodbye["reconnect_after_ms"] <= 600000
    return client.goodbye["reconnect_after_ms"]
