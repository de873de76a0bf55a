"""What slotbelld finds wrong in its configuration: all of it at once, each with its place and with what would be right."""

import re
import subprocess

import pytest
from authority import issued
from command_support import slotbelld
from slotbelld import folded

pytest_plugins = ["fixtures_command"]


def problems(*arguments, **environment):
    """Each line that it says of a bad configuration, but the last, which counts them."""
    run = slotbelld("--check-config", *arguments, **environment)
    assert run.returncode == 3 and run.stdout == "", run.stdout + run.stderr
    *lines, last = run.stderr.splitlines()
    assert last == f"slotbelld: the configuration has {len(lines)} problem{'s' if len(lines) != 1 else ''}"
    return lines


def test_what_is_wrong_anywhere_hides_nothing_else(tmp_path):
    """Of syntax, keys, values, what values mean, and the files that they name."""
    file = tmp_path / "bad.conf"
    lines = {
        1: "max = 3",
        2: "[listen]",
        3: "address = nowhere",
        4: "admin = 127.0.0.1",
        5: "origins = addin.example.com https://good.example https://x.example/",
        6: "trusted_proxies = 10.0.0.1/8, host",
        7: "this is no line of it",
        8: "[tls]",
        9: "certificate = /nowhere/server.pem",
        10: "key = /nowhere/server.key",
        11: "ticket_keys = /nowhere/tickets",
        12: "[database]",
        13: "url = mysql://x",
        14: "[sessions]",
        15: "max = many",
        16: "maxx = 3",
        17: "[retention]",
        18: "days = 100",
        19: "[control]",
        20: "socket = relative.sock",
        21: "[log",
    }
    file.write_text("\n".join(lines.values()) + "\n")
    right = {
        1: ["max stands before any [section]"],
        3: ["[listen] address = nowhere: not ADDRESS:PORT, as in"],
        4: ["[listen] admin = 127.0.0.1: not ADDRESS:PORT, as in"],
        5: ["[listen] origins = addin.example.com: not an origin, as in https://addin.example.com",
            "[listen] origins = https://x.example/: not an origin, as in"],
        6: ["[listen] trusted_proxies = 10.0.0.1/8 is an address within its network; write the network with zeros at its end; "
            "host is neither ADDRESS nor ADDRESS/BITS, as in"],
        7: ["neither [section], key = value nor # comment"],
        9: ["[tls] certificate = /nowhere/server.pem: cannot be read: No such file or directory"],
        10: ["[tls] key = /nowhere/server.key: cannot be read: No such file or directory"],
        11: ["[tls] ticket_keys = /nowhere/tickets: cannot be read: No such file or directory"],
        13: ["[database] url is not a PostgreSQL URL (postgresql://user@host:port/database)"],
        15: ["[sessions] max = many: must be a whole number from 1 to 1000000 sessions (default 15000): sessions at once"],
        16: ["[sessions] maxx: no such key; there are: window, heartbeat_seconds"],
        20: ["[control] socket = relative.sock: must be a path that begins with / and has at most 107 characters"],
        21: ["neither [section], key = value nor # comment"],
    }  # fmt: skip
    left = problems("-c", file)
    for number, expected in right.items():
        for words in expected:
            found = [line for line in left if line.startswith(f"{file}:{number}: {words}")]
            assert len(found) == 1, (number, words, left)
            left.remove(found[0])
    # Nobody has said receipts_days: it is its default that days = 100 is above of.
    assert len(left) == 1 and left[0].startswith("default: [retention] receipts_days = 90: must not be below days = 100")


def test_where_a_value_came_from_is_where_it_is_wrong(file):
    found = problems("-c", file, "--set", "listen.admin=x", SLOTBELL_LISTEN_ADDRESS="y", SLOTBELL_TLS_KEY="/nowhere")
    assert [line.partition(" = ")[0] for line in found] == [
        "SLOTBELL_LISTEN_ADDRESS: [listen] address", "--set: [listen] admin", "SLOTBELL_TLS_KEY: [tls] key"]


def test_both_files_of_a_pair_are_told(file, tmp_path):
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish\n")
    found = problems("-c", file, "--set", f"tls.certificate={rubbish}", "--set", f"tls.key={rubbish}")
    assert [line.rpartition(": ")[0] for line in found] == [
        f"--set: [tls] certificate = {rubbish}: not a certificate in PEM", f"--set: [tls] key = {rubbish}: not a private key in PEM"]
    # With no certificate to compare it with, a key is looked at all the same.
    (line,) = problems("-c", file, "--set", f"tls.certificate={rubbish}")
    assert "certificate" in line


def test_a_key_of_another_certificate(file, tmp_path):
    for command in ("ecparam -name prime256v1 -genkey -noout -out other.key", "genrsa -out other.rsa 2048"):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    for name in ("other.key", "other.rsa"):
        (line,) = problems("-c", file, "--set", f"tls.key={tmp_path / name}")
        assert line.startswith(f"--set: [tls] key = {tmp_path / name}: does not belong to the certificate")


def test_a_certificate_that_has_expired_is_not_good(file, tmp_path):
    """A reload would refuse it, and so does the check; a start has no better one, and warns."""
    folder = issued(tmp_path / "old", start="20200101000000Z", end="20200201000000Z")
    old = folder / "server.pem"
    run = slotbelld("-c", file, "--check-config", "--set", f"tls.certificate={old}", "--set", f"tls.key={folder / 'server.key'}")
    assert run.returncode == 3 and run.stdout == ""
    assert run.stderr == f"--set: [tls] certificate = {old}: has expired, by this machine's clock\n"


@pytest.mark.parametrize("origin, good", [
    ("https://addin.example.com", True), ("HTTPS://Addin.Example.com:8443", True), ("http://127.0.0.1:3000", True), ("null", True),
    ("https://", False), ("https://a.example/", False), ("https://a.example/path", False), ("a.example", False),
    ("ftp://a.example", False), ("*", False), ("nul", False),
])  # fmt: skip
def test_an_origin_that_no_browser_sends_is_told(file, origin, good):
    run = slotbelld("-c", file, "--check-config", "--set", f"listen.origins=https://b.example, {origin}")
    assert (run.returncode == 0) == good, run.stderr


@pytest.mark.parametrize("length, good", [(107, True), (108, False)])
def test_a_socket_path_has_as_many_characters_as_the_kernel_takes(file, length, good):
    run = slotbelld("-c", file, "--check-config", "--set", f"control.socket=/{'x' * (length - 1)}")
    assert (run.returncode == 0) == good, run.stderr
    assert good or re.search(r"at most 107 characters", run.stderr)


def test_a_folded_value_is_wrong_where_it_begins(file):
    file.write_text(file.read_text() + f"[listen]\norigins = {folded('x' * 300)}\n")
    lines = file.read_text().splitlines()
    (line,) = problems("-c", file)
    assert line.startswith(f"{file}:{lines.index('[listen]') + 2}: [listen] origins = {'x' * 300}: not an origin")
