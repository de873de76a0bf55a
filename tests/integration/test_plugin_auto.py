"""slotbell-plugin finds its way by itself, through real proxies that refuse the upgrade, hold a stream back, or cut silence.

They end TLS with a certificate of the test's authority, as a company's proxy does, and speak HTTP with the daemon.
"""

import contextlib
import shutil
import signal
import socket
import tempfile

import pytest
from ctl_support import wait_until
from plugin_process import SECONDS, Plugin
from slotbelld import free_port, spawn, stop

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"

HAPROXY = """
global
    stats socket {folder}/socket level admin
defaults
    mode http
    option http-server-close
    timeout connect 5s
    timeout client {silence}
    timeout server {silence}
    timeout tunnel {silence}
frontend plugins
    bind 127.0.0.1:{port} ssl crt {folder}/both.pem
    http-request deny if {{ hdr(upgrade) -i websocket }} {{ nbsrv(websockets) eq 0 }}
    default_backend slotbelld
backend slotbelld
    server one 127.0.0.1:{daemon.port} ssl verify none
backend websockets
    server allowed 127.0.0.1:9 {websockets}
"""

# What nginx does unless told otherwise: no upgrade, and answers are gathered before they are passed on.
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/both.pem;
        ssl_certificate_key {folder}/both.pem;
        location / {{
            proxy_pass https://127.0.0.1:{daemon.port};
            proxy_http_version 1.1;
            proxy_ignore_headers X-Accel-Buffering;
        }}
    }}
}}
"""


class Front:
    """A proxy in front of a daemon, a haproxy or an nginx of the test's own."""

    def __init__(self, daemon, certificates, text, **values):
        self.port = free_port()
        self.url = f"wss://127.0.0.1:{self.port}"
        self.folder = tempfile.mkdtemp(prefix="sbfront-")  # the path of a socket has 97 characters at most
        both = (certificates / "server.pem").read_text() + (certificates / "server.key").read_text()
        for name, content in (("both.pem", both),
                              ("conf", text.format(port=self.port, folder=self.folder, daemon=daemon, **values))):
            with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
                file.write(content)
        program = "haproxy" if text is HAPROXY else "nginx"
        options = ["-db", "-f"] if text is HAPROXY else ["-c"]
        self.log = f"{self.folder}/log"
        self.process = spawn([shutil.which(program) or f"/usr/sbin/{program}", *options, f"{self.folder}/conf"], self.log)

    def answers(self):
        with open(self.log, encoding="utf-8") as log:
            assert self.process.poll() is None, log.read()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), SECONDS):
            return True
        return False

    def tell(self, command):
        """A command for haproxy's socket."""
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(SECONDS)
            made.connect(f"{self.folder}/socket")
            made.sendall(command.encode() + b"\n")
            assert made.recv(4096).strip() == b""

    def close(self):
        stop(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def front(certificates):
    made = []

    def make(daemon, text, **values):
        made.append(Front(daemon, certificates, text, **values))
        wait_until(made[-1].answers, "the proxy answers")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def plugin(house, tmp_path):
    def make(daemon, url, *options):
        return Plugin(tmp_path / "ada", url, daemon.ca, *options, token=house.enrol(ADA))
    return make


def way(device):
    return device.saved().get("transport", "websocket")


def wait_for_way(device, expected):
    wait_until(lambda: device.state.exists() and way(device) == expected, f"it goes by {expected}")


def wait_for_way_of_session(device, running, expected):
    """However many sessions come before it."""
    running.wait_for("live")
    while way(device) != expected:
        running.wait_for("live")


def assert_a_booking_arrives(house, running, uid):
    house.publish(ADA, uid)
    while running.wait_for("written")["uid"] != uid:
        pass
    running.wait_for("acked")


def test_a_proxy_that_refuses_the_upgrade_is_passed_by_stream_and_that_is_remembered(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, HAPROXY, silence="60s", websockets="disabled").url)
    with device.run() as running:
        running.wait_for("live")
        assert [line["code"] for line in running.said("closed")] == [1006, 1006]  # the two websockets
        assert_a_booking_arrives(house, running, "one")
        assert running.stop() == 0
    assert way(device) == "stream"
    assert "going on by stream" in running.words
    with device.run() as running:
        running.wait_for("live")
        assert_a_booking_arrives(house, running, "two")
        assert not running.said("closed")
        assert running.stop() == 0


def test_once_gets_through_too(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, HAPROXY, silence="60s", websockets="disabled").url)
    house.publish(ADA, "one")
    with device.run("--once") as running:
        assert running.end() == 0, running.words
        assert running.said("written")[0]["uid"] == "one"


def test_the_websocket_is_taken_again_where_it_gets_through_again(house, plugin, front):
    daemon = house.daemon()
    proxy = front(daemon, HAPROXY, silence="60s", websockets="disabled")
    device = plugin(daemon, proxy.url, "--websocket-again", "1")
    with device.run() as running:
        running.wait_for("live")
        wait_for_way(device, "stream")
        assert_a_booking_arrives(house, running, "one")
        proxy.tell("enable server websockets/allowed")
        wait_for_way(device, "websocket")
        assert_a_booking_arrives(house, running, "two")
        assert any("again" in line["reason"] for line in running.said("closed"))
        assert running.stop() == 0


def test_a_trial_that_fails_leaves_the_session_alone(house, plugin, front):
    daemon = house.daemon(log__level="debug")
    device = plugin(daemon, front(daemon, HAPROXY, silence="60s", websockets="disabled").url, "--websocket-again", "1")
    with device.run() as running:
        running.wait_for("live")
        wait_for_way(device, "stream")
        with house.connect() as connection:
            connection.execute("SELECT pg_sleep(4)")  # three trials
        assert_a_booking_arrives(house, running, "one")
        assert len(running.said("connecting")) == 3
        assert running.stop() == 0


def test_a_proxy_that_holds_the_stream_back_is_passed_by_poll(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, NGINX).url)
    with device.run() as running:
        wait_for_way_of_session(device, running, "poll")
        assert_a_booking_arrives(house, running, "one")
        assert running.stop() == 0
    assert "No welcome within 20 s" in running.words  # of the stream, which was open and mute
    with device.run("--once") as running:
        assert running.end() == 0
        assert not running.said("closed")[:-1]


def test_a_proxy_that_cuts_silence_is_passed_by_short_polls(house, plugin, front):
    daemon = house.daemon()
    device = plugin(daemon, front(daemon, HAPROXY, silence="2s", websockets="").url)
    with device.run() as running:
        wait_for_way_of_session(device, running, "poll")
        assert_a_booking_arrives(house, running, "one")
        tries = len(running.said("connecting"))
        with house.connect() as connection:
            connection.execute("SELECT pg_sleep(7)")  # three times the patience of what stands between
        assert_a_booking_arrives(house, running, "two")
        assert len(running.said("connecting")) == tries, running.words
        assert running.stop() == 0


def test_a_server_that_is_away_is_no_reason_to_go_another_way(house, plugin):
    daemon = house.daemon()
    device = plugin(daemon, daemon.url)
    with device.run() as running:
        running.wait_for("live")
        assert_a_booking_arrives(house, running, "one")
        daemon.kill()
        for _ in range(6):
            running.wait_for("waiting")
            running.process.send_signal(signal.SIGUSR1)
        daemon.start()
        running.wait_for("live")
        assert_a_booking_arrives(house, running, "two")
        assert way(device) == "websocket"
        assert running.stop() == 0
