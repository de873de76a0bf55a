"""Behind a real HAProxy that speaks the PROXY protocol to us, for its clients and for itself."""

import asyncio
import csv
import shutil
import socket
import tempfile

import pytest
from ctl_support import wait_until
from door_support import HAS_IPV6, SECONDS, door, refused
from session_client import Client, run
from slotbelld import free_port, spawn, stop

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
OURS = "127.0.0.9"  # where HAProxy comes from

CONFIGURATION = """
global
    stats socket {socket}
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend plugins
    bind 127.0.0.1:{port}
    {ipv6}
    unique-id-format %[uuid]
    default_backend slotbelld
backend slotbelld
    server one 127.0.0.1:{daemon.port} source {source} {options}
"""


class HaProxy:
    """A haproxy of the test's own in front of a daemon. options: of its server line."""

    def __init__(self, folder, daemon, options):
        self.port = free_port()
        self.short = tempfile.mkdtemp(prefix="sbha-")  # the path of a socket has 97 characters at most
        self.socket = f"{self.short}/socket"
        configuration = folder / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(
            socket=self.socket, port=self.port, daemon=daemon, source=OURS, options=options,
            ipv6=f"bind ::1:{self.port}" if HAS_IPV6 else ""))
        self.log = folder / "haproxy.log"
        self.process = spawn([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", configuration], self.log)
        wait_until(self.answers, f"haproxy answers; see {self.log}")

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.server("status")
        except OSError:
            return False

    def stop(self):
        stop(self.process)
        shutil.rmtree(self.short, ignore_errors=True)

    def server(self, field):
        """What HAProxy says of its server: a field of `show stat`."""
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(SECONDS)
            made.connect(self.socket)
            made.sendall(b"show stat\n")
            text = b"".join(iter(lambda: made.recv(65536), b"")).decode()
        (row,) = [row for row in csv.DictReader(text.removeprefix("# ").splitlines()) if row["svname"] == "one"]
        return row[field]


@pytest.fixture
def haproxy(tmp_path):
    made = []

    def make(daemon, options):
        made.append(HaProxy(tmp_path, daemon, options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def through(proxy, daemon, source, token=None):
    host = "::1" if ":" in source else "127.0.0.1"
    return Client(daemon, token, host=host, port=proxy.port, local_addr=(source, 0))


@pytest.mark.parametrize("options", ["send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"],
                         ids=["plain", "with-extensions"])
def test_each_client_is_known_by_its_own_address(house, haproxy, options):
    daemon, token = house.daemon(listen__trusted_proxies=OURS, sessions__unauthenticated_per_address=1), house.enrol(ADA)
    proxy = haproxy(daemon, options)

    async def story():
        sources = ["127.0.0.2", "127.0.0.3"] + ["::1"] * HAS_IPV6
        held = [await through(proxy, daemon, source).open() for source in sources]
        await asyncio.gather(*[refused(through(proxy, daemon, source)) for source in sources])
        async with through(proxy, daemon, "127.0.0.4", token) as ada:
            await ada.welcome()
            await ada.receive("live")
            house.publish(ADA)
            booking = await ada.receive("booking")
            await ada.ack(booking["cursor"])
            await ada.acked(booking["cursor"])
        for client in held:
            await client.close()

    run(story())
    counted = door(daemon)
    assert counted["unauthenticated"] == 2 + HAS_IPV6 and counted["proxy_header"] == 0


def test_its_health_checks_find_us_well(house, haproxy):
    daemon = house.daemon(listen__trusted_proxies=OURS, sessions__unauthenticated_per_address=1)
    # With check-ssl it is only well after a TLS handshake, for itself: command LOCAL.
    proxy = haproxy(daemon, "send-proxy-v2 check check-ssl verify none inter 50ms")
    wait_until(lambda: proxy.server("check_status") == "L6OK" and int(proxy.server("chkfail")) == 0,
               "the health check passes")
    assert proxy.server("status").startswith("UP")
    proxy.stop()
    assert door(daemon)["proxy_header"] == 0


@pytest.mark.parametrize("trusted,options,refused_headers", [
    ("127.0.0.7", "send-proxy-v2", 0),  # not trusted: its header is no TLS
    (OURS, "send-proxy", 1),  # version 1
    (OURS, "", 1)], ids=["stranger", "version-1", "silent"])
def test_without_trust_or_without_a_good_header_nobody_comes_in(house, haproxy, trusted, options, refused_headers):
    daemon, token = house.daemon(listen__trusted_proxies=trusted), house.enrol(ADA)
    proxy = haproxy(daemon, options)

    async def story():
        with pytest.raises(OSError):
            await through(proxy, daemon, "127.0.0.2", token).open()
        if trusted != OURS:  # and it does a stranger no harm that he was one
            async with Client(daemon, token, local_addr=(OURS, 0)) as direct:
                await direct.welcome()

    run(story())
    assert door(daemon)["proxy_header"] == refused_headers
