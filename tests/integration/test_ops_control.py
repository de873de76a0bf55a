"""The control socket: what slotbellctl asks and tells a running daemon, and what strangers and nonsense get."""

import contextlib
import json
import os
import select
import socket
import stat
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from ctl_support import wait_until
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"


@pytest.fixture
def path():
    """A path of a socket that is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        yield Path(folder) / "control.sock"


def connect(path):
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(20)
    plain.connect(str(path))
    return plain


def ask(path, line):
    """What comes back for these bytes, up to the end of a line."""
    with connect(path) as plain:
        plain.sendall(line)
        with plain.makefile("rb") as file:
            return json.loads(file.readline())


def ctl(house, path, *words, **more):
    return house.ctl.run("--socket", path, *words, **more)


def test_status_says_how_it_is(house, path):
    daemon, token = house.daemon(control__socket=path), house.enrol(ADA)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            house.publish(ADA)
            booking = await client.receive("booking")
            await client.ack(booking["cursor"])
            await client.acked(booking["cursor"])
            (status,) = house.ctl.json("--socket", path, "status")
            assert (status["state"], status["port"], status["pid"]) == ("ready", daemon.port, daemon.pid)
            assert (status["sessions"], status["states"]["live"], status["mailboxes"]) == (1, 1, 1)
            assert status["events_sent"]["websocket"] == 1 and status["acks_saved"] == 1
            assert status["handshakes"]["full"] >= 1 and status["database"] == {"up": True, "problem": ""}
            text = ctl(house, path, "status").stdout
            assert "1 of 15000: 1 live" in text and "state" in text and "ready, version" in text

    run(story())
    assert daemon.stop() == 0
    assert not path.exists(), "its socket is left behind"


def test_sessions_are_listed_over_pages_and_one_is_kicked(house, path):
    daemon, token = house.daemon(control__socket=path, sessions__unauthenticated_per_address=0,
                                 sessions__hello_seconds=300), house.enrol(ADA)  # fmt: skip

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(300):  # more than a page
                await stack.enter_async_context(house.client(daemon, None))
            client = await stack.enter_async_context(house.client(daemon, token))
            welcome = await client.welcome()
            await client.receive("live")
            sessions = house.ctl.json("--socket", path, "sessions")
            assert len(sessions) == 301 and len({session["session"] for session in sessions}) == 301
            assert sessions[-1] == {"session": welcome["session"], "state": "live", "transport": "websocket", "acked": 0,
                                    "device": house.device_of(token), "mailbox": 1, "sent": 0, "head": 0}
            table = ctl(house, path, "sessions").stdout.splitlines()
            assert table[0].split() == ["SESSION", "STATE", "TRANSPORT", "DEVICE", "MAILBOX", "ACKED", "HEAD"]
            assert len(table) == 302
            assert "no such session here" in ctl(house, path, "kick", "00000000-1", expect=1).stderr
            assert house.ctl.json("--socket", path, "kick", welcome["session"]) == [{"session": welcome["session"]}]
            assert await client.closed() == 1012 and client.goodbye["reconnect_after_ms"] >= 500

    run(story())


def test_reload_says_what_changed_what_needs_a_restart_or_what_is_wrong(house, path):
    daemon = house.daemon(control__socket=path)
    daemon.configure(log__level="debug", sessions__window=7)
    (answer,) = house.ctl.json("--socket", path, "reload")
    assert answer == {"reloaded": True, "changed": ["log.level"], "needs_restart": ["sessions.window"]}
    assert "needs a restart: sessions.window" in ctl(house, path, "reload").stderr
    daemon.configure(sessions__max=0, tls__key="/nowhere")
    done = ctl(house, path, "reload", expect=1)
    assert "max = 0: must be a whole number" in done.stderr and "/nowhere: cannot be read" in done.stderr
    done = ctl(house, path, "--json", "reload", expect=1)
    answer = json.loads(done.stdout)
    assert answer["reloaded"] is False and len(answer["problems"]) == 2
    daemon.configure(sessions__max=10, tls__key=house.certificates / "server.key")


def test_drain_ends_it_and_again_hurries_it(house, path):
    daemon = house.daemon(control__socket=path, sessions__return_per_second=1, drain__seconds=3600)

    async def story():
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(house.client(daemon, None)) for _ in range(20)]
            assert house.ctl.json("--socket", path, "drain") == [{"connections": 20, "seconds": 3600}]
            (status,) = house.ctl.json("--socket", path, "status")
            assert status["state"] == "draining"
            assert await clients[0].closed() == 1012
            assert "again: faster" in ctl(house, path, "drain").stderr
            assert await clients[-1].closed() == 1012

    run(story())
    assert daemon.process.wait(30) == 0


def test_top_shows_a_line_a_time_and_survives_a_restart(house, path):
    daemon = house.daemon(control__socket=path)
    lines = ctl(house, path, "top", "--interval", 1, "--count", 2).stdout.splitlines()
    assert lines[0].split() == ["STATE", "SESSIONS", "LIVE", "SENT/S", "ACKED/S", "HANDSHAKES/S"]
    assert [line.split()[0] for line in lines[1:]] == ["ready", "ready"]
    (first,) = house.ctl.json("--socket", path, "top", "--count", 1)
    assert first["per_second"] == {"events_sent": 0.0, "acks_saved": 0.0, "handshakes": 0.0}
    top = house.ctl.start("--socket", path, "--json", "top", "--interval", 1)
    try:
        assert json.loads(top.stdout.readline())["pid"] == daemon.pid
        old = daemon.pid
        daemon.stop()
        daemon.start()
        while json.loads(top.stdout.readline())["pid"] == old:
            pass
    finally:
        top.terminate()
        assert top.wait(20) == 0


def test_top_draws_the_screen_anew_on_a_terminal(house, path):
    house.daemon(control__socket=path)
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as screen:
        house.ctl.run("--socket", path, "top", "--count", 1, stdout=theirs)
        os.close(theirs)
        assert select.select([screen], [], [], 20)[0]
        text = screen.read(4096).decode()
    assert text.startswith("\033[H\033[2J") and "events sent, 0.0 acks saved" in text


def test_the_socket_of_a_killed_daemon_is_taken_over_and_that_of_a_living_one_is_not(house, path):
    first = house.daemon(control__socket=path)
    second = house.daemon(start=False, control__socket=path)
    second.configure()
    done = subprocess.run([str(second.program), "--config", str(second.config)], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 1
    assert f'key=control.socket problem="{path}: another slotbelld answers there"' in done.stderr
    first.kill()
    assert path.exists()
    second.start()
    assert house.ctl.json("--socket", path, "status")[0]["pid"] == second.pid


def test_the_longest_path_that_the_kernel_takes(house, path):
    """107 characters, as test_daemon_problems.py has them checked: there it listens, and there it is found."""
    longest = path.with_name("x" * (107 - len(str(path.parent)) - 1))
    daemon = house.daemon(control__socket=longest)
    assert len(str(longest)) == 107 and house.ctl.json("--socket", longest, "status")[0]["pid"] == daemon.pid


@pytest.mark.parametrize("socket_path, code, words", [
    ("/nowhere/control.sock", 1, 'key=control.socket problem="/nowhere/control.sock: no such file or directory"'),
    ("/tmp/" + "x" * 104, 3, "must be a path that begins with / and has at most 107 characters"),
    ("/etc/passwd", 1, 'key=control.socket problem="/etc/passwd: file exists"'),
], ids=["no folder", "too long", "a file"])
def test_a_path_that_is_no_good_is_said_at_the_start(house, socket_path, code, words):
    daemon = house.daemon(start=False, control__socket=socket_path)
    daemon.configure()
    done = subprocess.run([str(daemon.program), "--config", str(daemon.config)], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == code and words in done.stderr.lower()


def test_slotbellctl_says_what_is_the_matter_when_nobody_answers(house, path):
    assert "No such file or directory; is it running" in ctl(house, path, "status", expect=1).stderr
    assert "is longer than 107" in ctl(house, "x" * 200, "status", expect=1).stderr
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        assert "Connection refused" in ctl(house, path, "status", expect=1).stderr
        mute.listen()

        def hang_up():
            for _ in range(2):
                mute.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert "gave no answer" in ctl(house, path, "status", expect=1).stderr
        assert "gave no answer" in ctl(house, path, "top", expect=1).stderr
        thread.join()
    for words in (("kick",), ("status", "x"), ("top", "--interval", "0"), ("top", "--count", "x")):
        ctl(house, path, *words, expect=2)
    done = house.ctl.run("status", env={"SLOTBELL_CONTROL_SOCKET": str(path)}, expect=1)
    assert f"cannot reach slotbelld at {path}" in done.stderr


def test_an_instance_of_the_unit_is_named_by_what_stands_after_its_at_sign(house):
    """The socket's folder is systemd's, so here nobody answers; tests/system has instances that do."""
    longest = "x" * 64
    for name in ("nobody", "a.b-c_d:9", longest):
        for words in (("--instance", name, "status"), ("status", "--instance", name)):
            done = house.ctl.run(*words, expect=1, env={"SLOTBELL_CONTROL_SOCKET": "/elsewhere"})
            assert f"/run/slotbell/{name}/control.sock: " in done.stderr
    for name in ("", longest + "x", "../1", ".", "1/2", "1 2"):
        assert "an instance is what stands after the @" in house.ctl.run("--instance", name, "status", expect=2).stderr
    for words in (("--instance", "1", "--socket", "/x"), ("--socket", "/x", "--instance", "1")):
        assert "either --instance or --socket" in house.ctl.run(*words, "status", expect=2).stderr


def test_nonsense_gets_a_clear_answer_and_harms_nobody(house, path):
    house.daemon(control__socket=path)
    for line in (b"\n", b"[]\n", b"{}x\n", b'{"command":"status","command":"drain"}\n', b"\xff\xfe\n", b"\0\n",
                 b"[" * 4000 + b"\n"):
        assert ask(path, line) == {"ok": False, "error": "not a JSON object on a line"}, line
    for line in (b"{}\n", b'{"command":1}\n', b'{"command":"dance"}\n'):
        assert ask(path, line)["error"] == "no such command; there are: status sessions kick drain reload"
    assert ask(path, b'{"command":"kick"}\n')["error"].startswith("kick needs")
    assert ask(path, b'{"command":"kick","session":7}\n')["error"].startswith("kick needs")
    for after in (-1, 2**62, "x", None):
        answer = ask(path, json.dumps({"command": "sessions", "after": after}).encode() + b"\n")
        assert answer == {"ok": True, "sessions": [], "next": 0}


def test_a_request_has_4096_bytes_and_no_more(house, path):
    house.daemon(control__socket=path)
    request = b'{"command":"status"' + b" " * (4096 - 21) + b"}\n"
    assert len(request) == 4096
    assert ask(path, request)["ok"]
    with connect(path) as plain:
        plain.sendall(request[:-2] + b" }\n")
        with plain.makefile("rb") as file:
            assert json.loads(file.readline())["error"] == "a request over 4096 bytes"
            assert file.read() == b"", "and then it hangs up"


def test_requests_in_pieces_and_in_one_piece_are_answered_in_order(house, path):
    house.daemon(control__socket=path)
    with connect(path) as plain, plain.makefile("rb") as file:
        for byte in b'{"command":"status"}\n':
            plain.sendall(bytes([byte]))
        assert json.loads(file.readline())["state"]
        plain.sendall(b'{"command":"sessions"}\n{"command":"nothing"}\n{"command":"status"}\n{"comm')
        assert "sessions" in json.loads(file.readline())
        assert "no such command" in json.loads(file.readline())["error"]
        assert "state" in json.loads(file.readline())
        plain.sendall(b'and":"sessions"}\n')
        assert "sessions" in json.loads(file.readline())
        # Who asks and closes its side is answered all the same.
        plain.sendall(b'{"command":"reload"}\n')
        plain.shutdown(socket.SHUT_WR)
        assert json.loads(file.readline())["reloaded"] is True


def test_sixteen_may_be_connected_and_one_more_is_turned_away(house, path):
    house.daemon(control__socket=path)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(path)) for _ in range(16)]
        held[-1].sendall(b'{"command":"status"}\n')
        assert held[-1].recv(65536)
        with connect(path) as one_more:
            assert one_more.recv(1) == b""
        held.pop().close()

        def is_served():
            try:
                return ask(path, b'{"command":"status"}\n')["ok"]
            except (OSError, ValueError):
                return False  # the one that left is not gone yet

        wait_until(is_served, "a place that was left is given to the next")


def test_two_reloads_at_once_are_not_mixed_up_and_one_who_left_is_no_matter(house, path):
    daemon = house.daemon(control__socket=path)
    with connect(path) as gone:
        gone.sendall(b'{"command":"reload"}\n')
    with contextlib.ExitStack() as stack:
        files = []
        for _ in range(8):
            plain = stack.enter_context(connect(path))
            plain.sendall(b'{"command":"reload"}\n')
            files.append(stack.enter_context(plain.makefile("rb")))
        answers = [json.loads(file.readline()) for file in files]
        assert all(answer.get("reloaded") or "under way" in answer["error"] for answer in answers)
    daemon.wait_log('event="reloaded"')
    daemon.process.terminate()
    assert daemon.process.wait(30) == 0


def test_it_ends_with_a_reload_under_way(house, path):
    daemon = house.daemon(control__socket=path, drain__seconds=0)
    with connect(path) as plain, plain.makefile("rb"):
        plain.sendall(b'{"command":"drain"}\n{"command":"reload"}\n')
        assert daemon.process.wait(30) == 0
