"""Does a box hold what box.py says of it?"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

import pytest
from box import ROOT, Box, BoxError

MAKER = """
import sys
sys.path.insert(0, {folder!r})
from box import Box
with Box("killed") as box:
    print(box.leader, flush=True)
    sys.stdin.read()
"""


def test_systemd_runs_and_nothing_of_the_machine_does(box):
    assert box.run("systemctl is-system-running").strip() == "running"
    services = box.run("systemctl list-units --type=service --state=running --plain --no-legend").splitlines()
    assert [line.split()[0] for line in services] == ["systemd-journald.service"]


def test_a_socket_made_inside_is_seen_there_and_nowhere_else(box):
    with box.inside(socket.create_server, ("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with box.inside(socket.create_connection, address, 5):
            pass
        with pytest.raises(OSError):
            socket.create_connection(address, 1)
    with pytest.raises(ZeroDivisionError):
        box.inside(lambda: 1 // 0)


def test_files_go_both_ways_and_not_to_the_machine(box):
    box.write("/etc/slotbell-box-test", "words\n", 0o640, "daemon:games")
    assert box.run("stat -c '%U:%G %a' /etc/slotbell-box-test; cat /etc/slotbell-box-test") == "daemon:games 640\nwords\n"
    box.run("echo more >>/etc/slotbell-box-test")
    assert box.path("/etc/slotbell-box-test").read_text() == "words\nmore\n"
    assert not os.path.exists("/etc/slotbell-box-test")


def test_a_command_that_fails_says_so(box):
    with pytest.raises(BoxError, match="no such thing"):
        box.run("echo no such thing; exit 3")
    assert box.result("exit 3").returncode == 3
    assert box.run("cat; exit 3", check=False, stdin="in") == "in"


def test_the_journal_tells_of_a_unit_and_from_a_moment_on(box):
    box.run("systemd-run --quiet --wait --unit=speaker echo before")
    after = box.cursor()
    box.run("systemd-run --quiet --wait --unit=speaker echo behind")
    assert box.wait_journal("behind", "speaker.service", after)
    messages = [entry["MESSAGE"] for entry in box.journal("speaker.service", after)]
    assert any(message.startswith("Started speaker.service") for message in messages)
    assert "behind" in messages and "before" not in messages
    assert "before" in [entry["MESSAGE"] for entry in box.journal("speaker.service")]


def test_a_package_is_installed_with_its_scripts_run(box, tmp_path):
    control = tmp_path / "box-test/DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text("Package: box-test\nVersion: 1\nArchitecture: all\nMaintainer: N <n@example.com>\n"
                                     "Description: of a test\n")
    (control / "postinst").write_text("#!/bin/sh\nsystemctl is-system-running >/var/lib/box-test\n")
    (control / "postinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tmp_path / "box-test", tmp_path / "box-test.deb"],
                   check=True, capture_output=True)
    box.install_packages(tmp_path / "box-test.deb")
    assert box.path("/var/lib/box-test").read_text() == "running\n"
    assert "ok installed" in box.run("dpkg -s box-test")
    assert subprocess.run(["dpkg", "-s", "box-test"], capture_output=True, check=False).returncode == 1


def test_a_box_ends_with_its_maker_however_that_ends(box):
    folder = str(ROOT / "tests/system")
    with subprocess.Popen([sys.executable, "-c", MAKER.format(folder=folder)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        leader = int(maker.stdout.readline())
        handle = os.pidfd_open(leader)
        try:
            maker.send_signal(signal.SIGKILL)
            assert select.select([handle], [], [], 30)[0], "the box's systemd goes on"
        finally:
            os.close(handle)
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
    with Box("next") as after:  # which takes away what the dead one left
        assert after.leader != box.leader
    assert not [name for name in os.listdir("/run") if name.startswith("slotbell-killed")]
