"""Chromium, from a page on another origin: by websocket, by stream and by poll, where it may and where it may not."""

import base64
import functools
import hashlib
import http.server
import json
import pathlib
import subprocess
import threading

import pytest
from ctl_support import wait_until
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

pytest_plugins = ["fixtures_daemon"]

HERE = pathlib.Path(__file__).resolve().parent
ADA = "ada@example.com"
SECONDS = 30
# Nothing that asks the network, and nothing that this page does not need.
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"]


class Page(http.server.SimpleHTTPRequestHandler):
    """An empty page that loads page.js."""

    def do_GET(self):
        body = (HERE / "page.js").read_bytes() if self.path == "/page.js" else b"<script src=page.js></script>"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if self.path == "/page.js" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origins():
    """Two sites: their origins."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Page)) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"http://localhost:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def key_hash(certificates):
    """Of the daemon's public key, as --ignore-certificate-errors-spki-list wants it: this one key is trusted, no other."""
    public = subprocess.run(["openssl", "x509", "-in", certificates / "server.pem", "-noout", "-pubkey"], check=True,
                            capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


@pytest.fixture(scope="module")
def browser(certificates, tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
                 f"--ignore-certificate-errors-spki-list={key_hash(certificates)}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    driver.set_script_timeout(SECONDS)
    yield driver
    driver.quit()


def call(browser, name, *args):
    return browser.execute_async_script("call(arguments[0], arguments[1], arguments[2])", name, list(args))


def types(texts):
    return [json.loads(text)["type"] for text in texts]


@pytest.fixture
def stage(house, origins, browser):
    """A daemon that allows the first site's pages, and the browser on one of them."""
    house.live = house.daemon(listen__origins=origins[0])
    browser.get(origins[0])
    return house


def test_a_page_gets_its_bookings_by_all_three_ways_the_same(stage, browser):
    daemon = stage.live
    tokens = [stage.enrol(ADA) for _ in range(3)]
    for subject in ("Intro call", "Grüße, 世界"):
        stage.publish(ADA, subject=subject, attendees='[{"name": "Grace", "email": "grace@example.com"}]')
    by_websocket = call(browser, "byWebsocket", daemon.url, tokens[0], "live")
    assert types(by_websocket) == ["welcome", "booking", "booking", "live"]
    site = daemon.url.replace("wss:", "https:")
    by_stream = call(browser, "byStream", site, tokens[1], "live")
    assert by_stream[1:3] == by_websocket[1:3] and types(by_stream) == types(by_websocket)
    by_poll = call(browser, "byPoll", site, tokens[2], 0)
    assert by_poll["status"] == 200
    assert by_poll["body"]["messages"][:2] == [json.loads(text) for text in by_websocket[1:3]]


@pytest.mark.parametrize("way", ["byWebsocket", "byStream"])
def test_a_page_that_waits_is_rung(stage, browser, way):
    token = stage.enrol(ADA)
    url = stage.live.url if way == "byWebsocket" else stage.live.url.replace("wss:", "https:")
    browser.execute_script("window.ring = window[arguments[0]](arguments[1], arguments[2], 'booking')", way, url, token)
    wait_until(lambda: stage.ctl.query("SELECT 1 FROM slotbell.device WHERE session_no > 0"), "it comes in")
    uid = stage.publish(ADA)
    texts = browser.execute_async_script("window.ring.then(arguments[0])")
    assert json.loads(texts[-1])["booking"]["uid"] == uid


def test_a_page_acks_by_fetch_and_asks_how_it_stands(stage, browser):
    token = stage.enrol(ADA)
    stage.publish(ADA)
    site = stage.live.url.replace("wss:", "https:")
    cursor = call(browser, "byPoll", site, token, 0)["body"]["messages"][0]["cursor"]
    assert call(browser, "reconnect", site, token)["pending"] == 1
    assert call(browser, "ack", site, token, cursor) == {"type": "acked", "cursor": cursor}
    assert call(browser, "reconnect", site, token)["pending"] == 0
    assert call(browser, "reconnect", site, None)["state"] == "ready"


def test_a_page_may_read_when_to_come_back(stage, browser):
    stage.live.stop()
    stage.live.configure(sessions__max=1)
    stage.live.start()
    first, second = stage.enrol(ADA), stage.enrol(ADA)
    site = stage.live.url.replace("wss:", "https:")
    browser.execute_script("window.held = open(arguments[0], arguments[1])", stage.live.url, first)
    assert json.loads(browser.execute_async_script("window.held.next().then(arguments[0])"))["type"] == "welcome"
    answer = call(browser, "byPoll", site, second, 0)
    assert answer["status"] == 503 and int(answer["retryAfter"]) >= 1
    browser.execute_script("window.held.close()")


def test_a_page_of_another_origin_gets_nothing(stage, browser, origins):
    token = stage.enrol(ADA)
    stage.publish(ADA)
    site = stage.live.url.replace("wss:", "https:")
    browser.get(origins[1])
    assert call(browser, "byWebsocket", stage.live.url, token, "live") == {"closed": 1006}
    for way in ("byStream", "byPoll", "reconnect", "ack"):
        answer = call(browser, way, site, token, "x")
        assert "Failed to fetch" in answer["error"], (way, answer)
    assert stage.ctl.query("SELECT session_no, acked FROM slotbell.device") == [(0, 0)]


def test_a_page_with_a_bad_token_is_told_so_by_the_close_code(stage, browser):
    browser.execute_script("window.bad = open(arguments[0], arguments[1])", stage.live.url, "sbd_1_" + "A" * 43)
    error = json.loads(browser.execute_async_script("window.bad.next().then(arguments[0])"))
    assert error["type"] == "error" and error["code"] == "bad-token"
    assert browser.execute_async_script("window.bad.next().then(arguments[0])") == {"closed": 4401}
