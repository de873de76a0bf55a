"""A daemon is killed under a crowd: all of it comes back, each with what it missed. tests/bench/storm.py measures the same."""

import json
import subprocess
import sys

import pytest

from ctl_support import wait_until
from slotbelld import ENVIRONMENT, ROOT, built

sys.path.insert(0, str(ROOT / "tests/bench"))

from bench_house import enrol  # noqa: E402
from storm import publish_one_each  # noqa: E402

pytest_plugins = ["fixtures_daemon"]
CROWD = 300


def bench(daemon, tokens, command, *words):
    return subprocess.Popen(
        [str(word) for word in (built("slotbell-bench"), command, "--url", daemon.url, "--ca", daemon.ca, "--tokens", tokens, *words)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def said(process, event):
    line = json.loads(process.stdout.readline() or "{}")
    assert line.get("event") == event, line
    return line


def end(process):
    process.stdin.close()
    process.stdout.read()
    process.wait(30)


def test_a_crowd_comes_back_after_a_kill_and_has_what_it_missed(house, tmp_path):
    (tmp_path / "tickets").write_bytes(bytes(range(80)))
    (tmp_path / "tickets").chmod(0o600)
    daemon = house.daemon(sessions__unauthenticated_per_address=0, tls__ticket_keys=tmp_path / "tickets")
    (tmp_path / "tokens").write_text("\n".join(enrol(house.ctl.url, CROWD)) + "\n")
    crowd = bench(daemon, tmp_path / "tokens", "storm", "--resume")
    try:
        assert said(crowd, "live")["live"] == CROWD
        daemon.kill()
        assert publish_one_each(house.ctl.url) >= CROWD
        daemon.start()
        back = said(crowd, "back")
        assert (back["live"], back["bookings"]) == (CROWD, CROWD)
        assert back["resumed"] == CROWD, "the tickets of the one that was killed are good at the next"
        with house.connect() as connection:
            wait_until(lambda: connection.execute(
                "SELECT count(*) FROM slotbell.device d JOIN slotbell.mailbox m ON m.id = d.mailbox_id WHERE d.acked < m.head",
            ).fetchone() == (0,), "all are acked")
    finally:
        end(crowd)
    assert crowd.returncode == 0


def test_a_storm_ends_after_the_seconds_that_were_given(house, tmp_path):
    """Its standard input stays open."""
    daemon = house.daemon()
    (tmp_path / "tokens").write_text("\n".join(enrol(house.ctl.url, 3)) + "\n")
    crowd = bench(daemon, tmp_path / "tokens", "storm", "--seconds", 1)
    try:
        assert said(crowd, "live")["live"] == 3
        assert said(crowd, "stayed")["live"] == 3
        assert crowd.wait(30) == 0
    finally:
        end(crowd)


@pytest.mark.parametrize("keep", [False, True], ids=["by a connection each", "by kept ones"])
def test_questions_at_a_rate_are_all_answered_and_disturb_no_session(house, tmp_path, keep):
    daemon = house.daemon(sessions__unauthenticated_per_address=0)
    (tmp_path / "tokens").write_text("\n".join(enrol(house.ctl.url, 20)) + "\n")
    crowd = bench(daemon, tmp_path / "tokens", "idle")
    asking = None
    try:
        assert said(crowd, "live")["live"] == 20
        asking = bench(daemon, tmp_path / "tokens", "ask", "--rate", 100, "--seconds", 3, "--resume", *(["--keep"] if keep else []))
        asked = said(asking, "asked")
        assert asked["ok"] == asked["answers"] >= 100 and asked["lost"] == 0
        assert asked["connections"] == (20 if keep else asked["answers"])
        assert asked["resumed"] == asked["connections"] - 1, "only the first one shook hands in full"
    finally:
        if asking:
            end(asking)
        end(crowd)
    assert asking.returncode == 0
    assert crowd.returncode == 0, "nobody was lost"
