"""Socket activation: the service manager's listening sockets, which outlive the daemon. The test plays the manager."""

import contextlib
import json
import signal
import socket
import sys
import urllib.request

import pytest
from session_client import Closed, run
from slotbelld import Trouble

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
SECONDS = 30
# What systemd does between fork and exec: the descriptors in a row from 3 on, and the variables for this process.
ACTIVATE = """
import fcntl, os, sys
names, fds, command = sys.argv[1], [int(fd) for fd in sys.argv[2].split(",")], sys.argv[3:]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
for place, fd in enumerate(high, 3):
    os.dup2(fd, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


def listening(address="127.0.0.1", port=0, family=socket.AF_INET):
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen()
    return made


def activate(daemon, **sockets):
    """From now on it starts with these; a name's trailing number is left out."""
    names = ":".join(name.rstrip("0123456789").replace("_", ".") for name in sockets)
    fds = [one.fileno() for one in sockets.values()]
    daemon.prefix = (sys.executable, "-c", ACTIVATE, names, ",".join(map(str, fds)))
    daemon.pass_fds = fds


@pytest.fixture
def sockets():
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


def inherit(house, plugins, **settings):
    """A daemon that is about to listen on the socket `plugins`, whatever its listen.address is."""
    daemon = house.daemon(start=False, **settings)
    daemon.port = plugins.getsockname()[1]
    daemon.url = f"wss://{daemon.address}:{daemon.port}"
    return daemon


def test_plugins_come_in_by_the_socket_and_monitoring_by_its_name(house, sockets):
    plugins, admin = sockets(listening()), sockets(listening())
    daemon, token = inherit(house, plugins), house.enrol(ADA)
    activate(daemon, slotbelld_socket=plugins, admin=admin)  # listen.admin is "", which means nowhere
    daemon.start()
    assert f"port={daemon.port} admin_port={admin.getsockname()[1]}" in daemon.log_text()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(daemon.settings["listen.address"].split(":")[1])), 5)
    with urllib.request.urlopen(f"http://127.0.0.1:{admin.getsockname()[1]}/healthz", timeout=SECONDS) as answer:
        assert answer.read() == b"ok\n"

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            house.publish(ADA)
            await client.receive("booking")

    run(story())


def test_an_ipv6_socket_of_both_families(house, sockets):
    plugins = sockets(socket.socket(socket.AF_INET6))
    plugins.bind(("::", 0))
    plugins.listen()
    daemon = inherit(house, plugins)
    activate(daemon, slotbelld_socket=plugins)
    daemon.start()  # which connects to 127.0.0.1
    with socket.create_connection(("::1", daemon.port), SECONDS) as plain:
        with daemon.tls().wrap_socket(plain, server_hostname="::1"):
            pass


def test_who_connects_while_one_daemon_ends_is_served_by_the_next(house, sockets):
    """From the beginning of the drain on; nobody in the socket's queue hears anything of the end."""
    plugins = sockets(listening())
    daemon, tokens = inherit(house, plugins, drain__seconds=20), [house.enrol(f"{name}@example.com") for name in "ab"]
    activate(daemon, slotbelld_socket=plugins)
    daemon.start()
    waiting = []

    def knock():
        """Beyond TCP, which the kernel does, nobody answers: a handshake that waits."""
        plain = sockets(socket.create_connection((daemon.address, daemon.port), SECONDS))
        plain.setblocking(False)
        secure = daemon.tls().wrap_socket(plain, server_hostname=daemon.address, do_handshake_on_connect=False)
        with contextlib.suppress(BlockingIOError, OSError):
            secure.do_handshake()
        waiting.append(sockets(secure))

    async def drained():
        async with house.client(daemon, tokens[0]) as client:
            await client.welcome()
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait_log('event="draining"')
            for _ in range(20):
                knock()
            with pytest.raises(Closed):
                while True:
                    await client.next()

    run(drained())
    assert daemon.process.wait(SECONDS) == 0
    knock()  # and when nobody is there at all
    before = len(daemon.log_text())
    daemon.start()
    for secure in waiting:
        secure.settimeout(SECONDS)
        secure.do_handshake()
        secure.sendall(b"GET /v1/reconnect HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda one=secure: one.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["state"] in ("ready", "degraded")
    assert 'event="draining"' not in daemon.log_text()[before:]


def test_a_killed_daemon_leaves_the_socket_good(house, sockets):
    plugins = sockets(listening())
    daemon = inherit(house, plugins)
    activate(daemon, slotbelld_socket=plugins)
    for _ in range(3):
        daemon.start()
        daemon.kill()
    daemon.start()


def refused(house, words, **given):
    daemon = house.daemon(start=False)
    activate(daemon, **given)
    with pytest.raises(Trouble, match="ended with 1"):
        daemon.start()
    assert words in daemon.log_text()


def test_what_is_not_a_listening_socket_is_refused_in_words(house, sockets, tmp_path):
    words = "is not a listening TCP socket (ListenStream=ADDRESS:PORT, Accept=no)"
    deaf = sockets(socket.socket())
    deaf.bind(("127.0.0.1", 0))
    refused(house, f"the socket deaf, passed by the service manager, {words}", deaf=deaf)
    datagram = sockets(socket.socket(type=socket.SOCK_DGRAM))
    datagram.bind(("127.0.0.1", 0))
    refused(house, f"the socket admin, passed by the service manager, {words}", admin=datagram)
    local = sockets(socket.socket(socket.AF_UNIX))
    local.bind(str(tmp_path / "socket"))
    local.listen()
    refused(house, words, local=local)


def test_two_sockets_for_one_purpose_are_refused_in_words(house, sockets):
    one, other = sockets(listening()), sockets(listening())
    words = "is one too many: there is one for plug-ins and one named"
    refused(house, words, slotbelld_socket=one, slotbelld_socket2=other)
    refused(house, words, admin=one, admin2=other)
