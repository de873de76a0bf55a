"""slotbell-plugin against a server that means ill, with a good certificate, and against what a guest wrote."""

import gzip
import pathlib
import re
import subprocess
import threading

import pytest

from fake_http import FakeHttp, takes
from fake_server import SECONDS, Answer, FakeServer, booking, cursor
from plugin_process import PROGRAM

pytest_plugins = ["fixtures_plugin"]

WAYS = ["websocket", "stream", "poll"]
# What steers a terminal, turns text round, or cannot be seen.
EVIL = "a\x1b[2J\x7f\x9b2J\x85\u202eexe.\u2066\u200e\u061c\u200b\u2028\ufeff\U000e0041b"
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]")


class Elsewhere(Answer):
    """Where a redirect points to. It notes whoever comes."""

    def __init__(self, context):
        super().__init__(context, "")
        self.visitors = 0

    async def _serve(self, reader, writer):
        self.visitors += 1
        writer.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(start, context, way, status):
    with Elsewhere(context) as elsewhere:
        answer = f"HTTP/1.1 {status} Gone\nLocation: https://127.0.0.1:{elsewhere.port}/v1/session\nContent-Length: 0\nConnection: close\n\n"
        with Answer(context, answer) as server, start(server, "--transport", way).run() as running:
            closed = running.wait_for("closed")
            running.wait_for("waiting")
            running.kill()
        assert elsewhere.visitors == 0
    assert closed["code"] == 1006 and f"HTTP {status}" in closed["reason"]


def test_a_cookie_is_not_kept(start, context):
    async def away(request):
        request.problem(503, "busy", Set_Cookie="who=ada; Path=/; Secure", Retry_After="0")

    with FakeHttp(context, reconnect=away) as server, start(server, "--transport", "poll").run() as running:
        server.wait(lambda: len(server.of("reconnect")) >= 2)
        running.kill()
    assert not any("cookie" in request.headers for request in server.requests)


def test_a_booking_of_an_ill_willed_guest_is_written_and_nothing_of_it_gets_out(start, context):
    evil = f"x\r\nATTENDEE:mailto:eve@evil.example\u2028{EVIL}"

    async def script(session):
        await session.welcome(41)
        await session.live(41)
        for seq, link in ((42, "javascript:alert(1)//personal"), (43, "https://a.example/%0D%0Apersonal"), (44, "https://a.example/ok")):
            await session.send(booking(seq, f"uid-{seq}", subject=evil, location=evil, description=evil, join_url=link, time_zone="x\r\nX:y",
                                       attendees=[{"name": evil + '";ROLE=CHAIR;X="', "email": "eve@evil.example?bcc=all@example.com"}]))
        await session.acked(44)
        await session.closed_by_client()

    with FakeServer(context, script) as server:
        plugin = start(server)
        with plugin.run() as running:
            written = [running.wait_for("written") for _ in range(3)]
            running.wait_for("acked")
            assert running.stop() == 0
    assert [line["subject"] for line in written] == [evil] * 3  # the value is kept
    assert not HARMFUL.search(running.words)
    assert "event 42 is left out" in running.words and "event 43 is left out" in running.words
    assert "event 44" not in running.words and "personal" not in running.words
    for text in plugin.files().values():
        assert len(re.findall("^ATTENDEE", text, re.MULTILINE)) == 1 and not re.search("^X:y", text, re.MULTILINE)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", text)
        assert "?bcc" not in text and "ROLE=CHAIR;X=\"" not in text
    links = [re.findall("^URL.*$", text, re.MULTILINE) for _, text in sorted(plugin.files().items())]
    assert links == [[], [], ["URL:https://a.example/ok"]]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["words", "json"])
def test_nothing_that_is_printed_steers_a_terminal(start, context, options):
    async def script(session):
        await session.welcome(41, session=EVIL, mailbox=EVIL)
        await session.live(41)
        await session.send(booking(42, EVIL, subject=EVIL))  # cannot be an appointment: its uid has controls
        await session.send(booking(43, "\u202eb", subject=EVIL))
        await session.acked(43)
        await session.send({"type": "error", "code": EVIL[:9], "detail": EVIL})
        await session.send({"type": "goodbye", "reason": EVIL[:9], "reconnect_after_ms": 1})
        await session.close(4401, EVIL)

    with FakeServer(context, script) as server:
        plugin = start(server)
        run = subprocess.run([PROGRAM, *options, "--url", server.url, "--token-file", plugin.folder / "token", "--ca", plugin.ca,
                              "--calendar", plugin.folder / f"calendar{EVIL.replace('/', '')}"],
                             capture_output=True, timeout=SECONDS, check=False)  # fmt: skip
    for text in (run.stdout.decode(), run.stderr.decode()):
        assert text and not HARMFUL.search(text), text
    assert run.returncode == 1  # 4401 is final


@pytest.mark.parametrize("option", [f"--{EVIL}", f"--once={EVIL}", EVIL])
def test_nor_does_what_was_typed(option):
    run = subprocess.run([PROGRAM, option], capture_output=True, timeout=SECONDS, check=False)
    assert run.returncode == 2 and not HARMFUL.search(run.stderr.decode())


@pytest.mark.parametrize("after_ms", [10**18, 2**32, 2**63, -1, 1e3, "1"])
def test_a_goodbye_with_a_time_that_is_none_is_no_goodbye(start, context, after_ms):
    codes = []

    async def script(session):
        await session.welcome()
        await session.send({"type": "goodbye", "reason": "busy", "reconnect_after_ms": after_ms})
        codes.append(await session.closed_by_client())

    with FakeServer(context, script) as server, start(server).run() as running:
        assert running.wait_for("closed")["code"] == 4400
        assert running.wait_for("waiting")["ms"] <= 60000
        running.kill()
    assert codes == [4400]


def test_numbers_beyond_what_javascript_counts_are_exact(start, context):
    last = 2**63 - 1

    async def script(session):
        await session.welcome(2**53, head=last)
        await session.send(booking(last, "one"))
        await session.live(last)
        await session.acked(last)
        await session.closed_by_client()

    with FakeServer(context, script) as server:
        plugin = start(server)
        with plugin.run("--once") as running:
            written = running.wait_for("written")
            assert running.end() == 0
    assert written["seq"] == written["version"] == last and written["cursor"] == cursor(last)
    assert plugin.saved()["cursor"] == cursor(last)
    assert f"\nX-SLOTBELL-VERSION:{last}\n" in plugin.files()["one.ics"]


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "Transfer-Encoding: gzip"])
def test_an_answer_that_unpacks_to_something_huge_is_no_answer(start, context, header):
    bomb = gzip.compress(bytes(256 * 1024 * 1024), 9)

    async def polls(request):
        request.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{header}\r\nConnection: close\r\n\r\n")
        request.writer.write(bomb)

    with FakeHttp(context, bookings=polls) as server, start(server, "--transport", "poll").run() as running:
        assert running.wait_for("closed")["code"] == 1006
        peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{running.process.pid}/status").read_text())
        assert int(peak.group(1)) < 192 * 1024
        running.kill()


def test_a_stream_without_line_ends_is_left(start, context):
    async def endless(request):
        request.welcome()
        try:
            for _ in range(64):
                request.write("data: " + "x" * 65536)
                await request.writer.drain()
            await request.gone()
        except OSError:
            pass

    with FakeHttp(context, stream=endless, acks=takes) as server, start(server, "--transport", "stream").run() as running:
        assert running.wait_for("closed")["code"] == 1009
        running.kill()


def test_a_proxy_s_password_is_not_seen_in_the_list_of_processes(start, context):
    done = threading.Event()

    async def script(session):
        await session.wait(done)
        await session.break_off()

    with FakeServer(context, script) as server:
        with start(server, "--proxy", "http://ada:secret-word@127.0.0.1:9").run() as running:
            running.wait_for("connecting")
            line = pathlib.Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
            running.kill()
        done.set()
    assert b"secret-word" not in line and b"--proxy\0http://***" in line and b"@127.0.0.1:9\0" in line
