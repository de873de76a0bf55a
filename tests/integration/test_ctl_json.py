"""--json on every command there is: objects on standard output, one a line, and nothing else."""

import json
import re
import tempfile
from pathlib import Path

import pytest
from session_client import run

pytest_plugins = ["fixtures_daemon"]

ADA = "ada@example.com"
BOOK = ["publish", ADA, "--subject", "x", "--starts-at", "2027-01-01T00:00Z", "--minutes", "30", "--uid", "known@test"]
# In this order: device 1 and a booking are there when they are asked for, and drain ends the daemon.
COMMANDS = {
    "db init": [], "db upgrade": [], "device enrol": [ADA], "device list": [], "device rotate": ["1"], "publish": BOOK[1:],
    "tail": [ADA, "--no-follow"], "trace": ["known@test"], "status": [], "top": ["--count", "1"], "sessions": [], "kick": None,
    "reload": [], "doctor": None, "device revoke": ["1"], "db new-epoch": [], "drain": [],
}  # fmt: skip


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="sb-", dir="/tmp") as folder:
        yield Path(folder) / "control.sock"


def objects(text):
    found = [json.loads(line) for line in text.splitlines()]
    assert found and all(isinstance(one, dict) for one in found), text
    return found


def test_every_command_speaks_json(house, path):
    listed = re.findall(r"^  ([a-z]+(?: [a-z-]+)?)  ", house.ctl.run("--help").stdout.partition("For every command")[0], re.M)
    assert sorted(" ".join(words.split()) for words in listed) == sorted(COMMANDS)
    daemon = house.daemon(control__socket=path)
    for command, options in COMMANDS.items():
        if options is not None:
            words = [*command.split(), *options]
            done = house.ctl.run("--socket", path, "--json", *words)
            # An empty house has no sessions.
            assert command == "sessions" or objects(done.stdout)
    assert daemon.process.wait(60) == 0


def test_kick_and_sessions_speak_json(house, path):
    daemon = house.daemon(control__socket=path)

    async def story():
        async with house.client(daemon, house.enrol(ADA)) as client:
            welcome = await client.welcome()
            await client.receive("live")
            (session,) = objects(house.ctl.run("--socket", path, "sessions", "--json").stdout)
            assert session["session"] == welcome["session"]
            assert objects(house.ctl.run("kick", welcome["session"], "--json", "--socket", path).stdout)

    run(story())


def test_two_daemons_are_told_apart_by_their_sockets(house, path):
    first, second = house.daemon(control__socket=path), house.daemon(control__socket=path.with_name("2.sock"))
    for daemon, socket in ((first, path), (second, path.with_name("2.sock"))):
        (status,) = objects(house.ctl.run("--socket", socket, "status", "--json").stdout)
        assert status["pid"] == daemon.pid and status["descriptors"]["limit"] > 100
        (status,) = objects(house.ctl.run("--json", "status", env={"SLOTBELL_CONTROL_SOCKET": str(socket)}).stdout)
        assert status["pid"] == daemon.pid
    house.ctl.run("--socket", path.with_name("2.sock"), "drain")
    assert second.process.wait(60) == 0 and first.process.poll() is None
