"""The admin listener: metrics that Prometheus' own parsers take, health, readiness, and what strangers and nonsense get."""

import contextlib
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
from admin_client import CLASSIC, OPENMETRICS, admin_port, get, metrics, needs_promtool, promtool, value
from ctl_support import wait_until
from prometheus_client import parser as classic
from prometheus_client.openmetrics import parser as openmetrics
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def daemon(house):
    return house.daemon(listen__admin="127.0.0.1:0")


def test_metrics_tell_of_a_booking_from_commit_to_ack(house, daemon):
    token = house.enrol(ADA)

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            for _ in range(3):
                house.publish(ADA)
                booking = await client.receive("booking")
                await client.ack(booking["cursor"])
                await client.acked(booking["cursor"])
            found = metrics(daemon)
            assert value(found, "slotbell_sessions", state="live") == 1
            assert value(found, "slotbell_mailboxes") == 1
            assert value(found, "slotbell_connections") == 1
            assert value(found, "slotbell_events_sent_total", transport="websocket") == 3
            assert value(found, "slotbell_acks_saved_total") == 3
            for name in ("slotbell_commit_to_sent_seconds", "slotbell_commit_to_acked_seconds"):
                assert value(found, f"{name}_count") == 3
                assert 0 < value(found, f"{name}_sum") < 60
                assert value(found, f"{name}_bucket", le="+Inf") == value(found, f"{name}_bucket", le="60.0") == 3
            assert value(found, "slotbell_handshakes_total", kind="full") >= 1
            assert value(found, "slotbell_database_up") == 1
            assert value(found, "slotbell_store_seconds_count", query="authenticate") == 1
            assert value(found, "slotbell_store_batch_size_sum", query="ack") == 3
            assert value(found, "slotbell_store_asked_total", query="ack") == 3
            assert 0 <= value(found, "slotbell_notify_queue_usage") < 0.1
            assert value(found, "slotbell_limit", key="sessions.max") == 15000
            assert value(found, "slotbell_certificate_expires_seconds") > time.time()
            assert 1e6 < value(found, "process_resident_memory_bytes") < 1e10
            assert value(found, "process_cpu_seconds_total") > 0
            assert abs(value(found, "process_start_time_seconds") - time.time()) < 300
            assert value(found, "process_max_fds") > 16

    run(story())
    wait_until(lambda: value(metrics(daemon), "slotbell_closes_total", reason="bye") == 1, "the close is counted")
    assert value(metrics(daemon), "slotbell_sessions", state="live") == 0


def test_handshakes_are_counted_by_how_they_end(daemon):
    before = metrics(daemon)
    tls = daemon.tls()
    session = None
    for _ in range(2):
        with socket.create_connection((daemon.address, daemon.port), 20) as plain:
            with tls.wrap_socket(plain, server_hostname=daemon.address, session=session) as secure:
                secure.sendall(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
                assert secure.recv(4096)
                session = secure.session
    with socket.create_connection((daemon.address, daemon.port), 20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS at all
        with contextlib.suppress(OSError):
            plain.recv(4096)
    with socket.create_connection((daemon.address, daemon.port), 20) as plain:
        plain.sendall(b"\x16\x03\x01")  # the beginning of one
    with socket.create_connection((daemon.address, daemon.port), 20):
        pass  # not a word, as a balancer's probe

    def seen(kind):
        return value(metrics(daemon), "slotbell_handshakes_total", kind=kind) - value(before, "slotbell_handshakes_total", kind=kind)

    assert (seen("full"), seen("resumed")) == (1, 1)
    wait_until(lambda: seen("failed") == 3, "all that failed are counted")


def test_the_older_format_says_the_same(daemon):
    status, kind, text = get(daemon, "/metrics")
    assert (status, kind) == (200, CLASSIC) and "# EOF" not in text
    names = {family.name: family for family in classic.text_string_to_metric_families(text)}
    assert names["slotbell_closes"].type == "counter" and names["slotbell_sessions"].type == "gauge"
    newer = {family.name: family.type for family in openmetrics.text_string_to_metric_families(get(daemon, "/metrics", OPENMETRICS)[2])}
    assert newer == {name: family.type for name, family in names.items()}


def test_every_metric_is_in_the_documentation_with_its_kind_and_labels_and_no_other(daemon):
    page = (ROOT / "docs/operating.md").read_text()
    told = {name: (kind, labels.strip()) for name, labels, kind in
            re.findall(r"^\| `([a-z_]+)`(?: by ([a-z]+))? \| (counter|gauge|histogram) \|", page, re.M)}
    found = {}
    for family in openmetrics.text_string_to_metric_families(get(daemon, "/metrics", OPENMETRICS)[2]):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = (family.type, " ".join(labels))
    assert found == told


def test_names_keep_to_what_prometheus_asks_of_them(daemon):
    text = get(daemon, "/metrics")[2]
    for family in classic.text_string_to_metric_families(text):
        assert re.fullmatch(r"(slotbell|process)_[a-z_]+", family.name)
        assert family.documentation.endswith("."), f"{family.name}: no sentence"
        assert not re.search(r"_(ms|milliseconds|minutes|kilobytes)$", family.name), "base units only"


@needs_promtool
def test_promtool_has_nothing_to_say_of_the_metrics(daemon):
    promtool("check", "metrics", input=get(daemon, "/metrics")[2])


def test_health_is_the_loop_and_readiness_the_database(house):
    daemon = house.daemon(listen__admin="127.0.0.1:0", drain__seconds=60, sessions__return_per_second=1)
    daemon.wait_log('event="database up"')
    assert get(daemon, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert get(daemon, "/readyz")[::2] == (200, "ready\n")
    assert get(daemon, "/readyz?verbose")[0] == 200

    house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS false")
    house.cluster.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{house.name}'")
    daemon.wait_log('event="database down"')
    status, _, words = get(daemon, "/readyz")
    assert status == 503 and words.startswith("the database is away: ") and words.endswith("\n")
    assert get(daemon, "/healthz")[0] == 200
    assert value(metrics(daemon), "slotbell_database_up") == 0
    house.cluster.psql(f"ALTER DATABASE {house.name} ALLOW_CONNECTIONS true")
    wait_until(lambda: get(daemon, "/readyz")[0] == 200, "it is ready again")
    assert value(metrics(daemon), "slotbell_database_ups_total") == 2

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(house.client(daemon, None)) for _ in range(5)]
            daemon.process.terminate()
            daemon.wait_log('event="draining"')
            assert get(daemon, "/readyz")[::2] == (503, "draining\n")
            assert get(daemon, "/healthz")[0] == 200
            assert value(metrics(daemon), "slotbell_draining") == 1
            assert await clients[-1].closed() == 1012

    run(story())
    assert daemon.process.wait(60) == 0


def test_a_loop_that_does_not_turn_is_not_healthy(house, daemon):
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        with socket.create_connection(("127.0.0.1", admin_port(daemon)), 20) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            plain.settimeout(0.5)
            with pytest.raises(TimeoutError):
                plain.recv(1)
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_reloads_are_counted(daemon):
    daemon.reload(sessions__max=77)
    daemon.reload("reload refused", sessions__max=0)
    found = metrics(daemon)
    assert value(found, "slotbell_reloads_total", result="taken") == 1
    assert value(found, "slotbell_reloads_total", result="refused") == 1
    assert value(found, "slotbell_limit", key="sessions.max") == 77
    daemon.configure(sessions__max=77)


def raw(daemon, request):
    """Everything that comes back for these bytes, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", admin_port(daemon)), 20) as plain:
        plain.sendall(request)
        with plain.makefile("rb") as file:
            return file.read()


@pytest.mark.parametrize("request_line, status", [
    (b"GET /healthz HTTP/1.1", 200), (b"GET /healthz HTTP/1.0", 200), (b"GET /healthz?x=1 HTTP/1.1", 200),
    (b"GET / HTTP/1.1", 404), (b"GET /metricsx HTTP/1.1", 404), (b"GET /%6detrics HTTP/1.1", 404), (b"GET //metrics HTTP/1.1", 404),
    (b"GET /" + b"x" * 3000 + b" HTTP/1.1", 404),
    (b"POST /metrics HTTP/1.1", 405), (b"HEAD /metrics HTTP/1.1", 405), (b"OPTIONS /metrics HTTP/1.1", 405),
    (b"GET /healthz HTTP/2.0", 505), (b"GET /healthz HTTP/0.9", 505),
    (b"get /healthz HTTP/1.1", 400), (b"GET  /healthz HTTP/1.1", 400), (b"GET /healthz  HTTP/1.1", 400), (b"GET /healthz", 400),
    (b"GET http://127.0.0.1/healthz HTTP/1.1", 400), (b"GET /healthz HTTP/1.12", 400), (b"GET /healthz HTTP/1.1 x", 400),
    (b" GET /healthz HTTP/1.1", 400), (b"", 400), (b"GET", 400), (b"GET /he\0althz HTTP/1.1", 400), (b"GET /\x1b[2J HTTP/1.1", 400),
    (b"GET /healthz HTTP/1.1\nX: y", 400), (b"GET /healthz HTTP/1.1\rX: y", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
])  # fmt: skip
def test_a_request_line_is_read_strictly(shared_daemon, request_line, status):
    answer = raw(shared_daemon, request_line + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head and b"Connection: close" in head
    assert (b"Allow: GET" in head) == (status == 405)


@pytest.fixture(scope="module")
def shared_daemon(daemon_cluster, daemon_template, certificates, tmp_path_factory):
    """One for many small questions."""
    from fixtures_daemon import House

    daemon_cluster.create_database("admin_shared", daemon_template)
    house = House(daemon_cluster, "admin_shared", tmp_path_factory.mktemp("admin"), certificates)
    yield house.daemon(listen__admin="127.0.0.1:0")
    house.close()


def test_a_request_has_4096_bytes_and_no_more(shared_daemon):
    start, end = b"GET /healthz HTTP/1.1\r\nX: ", b"\r\n\r\n"
    whole = start + b"y" * (4096 - len(start) - len(end)) + end
    assert raw(shared_daemon, whole).startswith(b"HTTP/1.1 200 ")
    assert raw(shared_daemon, start + b"y" + whole[len(start):]).startswith(b"HTTP/1.1 431 ")
    assert raw(shared_daemon, b"y" * 100000).startswith(b"HTTP/1.1 431 ")


def test_the_accept_header_decides_whatever_its_case(shared_daemon):
    for header in (b"accept: application/openmetrics-text", b"ACCEPT:text/plain, application/openmetrics-text;version=1.0.0"):
        assert OPENMETRICS.encode() in raw(shared_daemon, b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
    for header in (b"X-Accept: application/openmetrics-text", b"Accept: */*"):
        assert CLASSIC.encode() in raw(shared_daemon, b"GET /metrics HTTP/1.1\r\n" + header + b"\r\n\r\n")


def test_who_is_slow_is_cut_and_only_so_many_are_served_at_once(house, daemon):
    port = admin_port(daemon)
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(16)]
        for plain in slow:
            plain.sendall(b"GET /hea")
        # Their places are taken until then, and the daemon goes on.
        with socket.create_connection(("127.0.0.1", port), 30) as one_more:
            with contextlib.suppress(ConnectionResetError):
                assert one_more.recv(1) == b""
        for plain in slow:
            assert plain.recv(1) == b""
    assert 4 < time.monotonic() - begun < 25

    def is_served():  # a place is free a moment after its connection was seen to end
        with contextlib.suppress(ConnectionError):
            return get(daemon, "/healthz")[0] == 200
        return False

    wait_until(is_served, "a place is free again")


def test_who_does_not_read_its_answer_holds_nobody_up(daemon):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.connect(("127.0.0.1", admin_port(daemon)))
        deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        for _ in range(20):
            assert get(daemon, "/metrics")[0] == 200


def test_an_address_that_is_taken_or_none_is_said(house, daemon):
    other = house.daemon(start=False, listen__admin=f"127.0.0.1:{admin_port(daemon)}")
    other.configure()
    command = [str(other.program), "--config", str(other.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and 'key=listen.admin problem="127.0.0.1:' in done.stderr and "Address already in use" in done.stderr
    other.configure(listen__admin="9464", listen__address="localhost:1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "[listen] admin = 9464: not ADDRESS:PORT" in done.stderr and "[listen] address = localhost:1: not ADDRESS:PORT" in done.stderr


def test_refusals_are_counted_by_their_reason(house):
    daemon = house.daemon(listen__admin="127.0.0.1:0", sessions__unauthenticated_per_address=2)

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(house.client(daemon, None))
            async with house.client(daemon, None) as third:
                assert await third.closed() == 4429
        async with house.client(daemon, "sbd_1_" + "A" * 43) as guesser:
            await guesser.hello()
            assert await guesser.closed() == 4401

    before = metrics(daemon)
    run(story())
    found = metrics(daemon)
    assert value(found, "slotbell_refusals_total", reason="unauthenticated") == 1
    assert value(found, "slotbell_tokens_refused_total") == 1
    assert value(found, "slotbell_accepted_total") - value(before, "slotbell_accepted_total") == 4
    assert value(found, "slotbell_limit", key="sessions.unauthenticated_per_address") == 2
