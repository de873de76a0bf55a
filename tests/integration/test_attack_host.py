"""What a daemon that was taken over tries at slotbellctl, beside what test_ctl_taken_over.py has."""

import json
import socket
import subprocess
import threading

import pytest
from ctl_support import program


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
