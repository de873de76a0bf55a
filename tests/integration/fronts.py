"""Proxies that end TLS with a certificate of the test's authority, as a company's do, and speak HTTP with the daemon."""

import contextlib
import shutil
import socket
import tempfile

from ctl_support import wait_until
from plugin_process import SECONDS
from slotbelld import free_port, spawn, stop

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

# Both, where operators let them keep connections to the daemon, which all clients share then, websockets too.
SHARING_HAPROXY = HAPROXY.replace("option http-server-close", "http-reuse always")
SHARING_NGINX = NGINX.replace("    server {{", """    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream slotbelld {{
        server 127.0.0.1:{daemon.port};
        keepalive 16;
    }}
    server {{""").replace("https://127.0.0.1:{daemon.port};", """https://slotbelld;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;""")


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
        program, options = ("haproxy", ["-db", "-f"]) if "frontend" in text else ("nginx", ["-c"])
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


def way(device):
    """What its state says that it goes by."""
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
