"""What a daemon that was taken over, and members of slotbell-admin, try beside what the other tests have."""

import json
import socket
import subprocess
import threading

import pytest
from ctl_support import program
from slotbelld import ENVIRONMENT, built


@pytest.fixture
def counting_daemon(tmp_path):
    """It answers each question with an empty page of sessions, and says that there is another one."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "control.sock"))
        server.listen()

        def serve():
            with server.accept()[0] as client:
                for number, _ in enumerate(client.makefile("rb"), 1):
                    try:
                        client.sendall(json.dumps({"ok": True, "sessions": [], "next": number}).encode() + b"\n")
                    except OSError:
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()


def test_a_list_of_sessions_with_ever_another_page_has_an_end(counting_daemon):
    done = subprocess.run([program(), "--socket", counting_daemon, "sessions"], capture_output=True, check=False, timeout=20)
    assert done.returncode == 1 and b"gave no answer" in done.stderr


@pytest.mark.parametrize("rest", ["c2VzYW1l==@db/x", "c2VzYW1l:y@db/x", "c2VzYW1l = 1"])
def test_a_password_on_a_line_of_its_own_is_in_no_message(tmp_path, rest):
    """A reload tells members of slotbell-admin what is wrong with the configuration, which they may not read."""
    (tmp_path / "conf").write_text(f"[database]\nurl = postgresql://slotbell:\n{rest}\n")
    done = subprocess.run([built("slotbelld"), "--config", tmp_path / "conf", "--check-config"], env=ENVIRONMENT, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert "conf:3: [database] (no name): no such key" in done.stderr and "c2VzYW1l" not in done.stdout + done.stderr
