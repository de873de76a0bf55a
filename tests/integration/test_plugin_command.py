"""slotbell-plugin's command line: exit codes, and words for what cannot be used. No server is needed."""

import re
import subprocess

import pytest
from fake_server import Certificates
from plugin_process import PROGRAM, ROOT, TOKEN

URL = "wss://127.0.0.1:1"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    return tmp_path


def run(folder, *options, **more):
    """The process's result; options as {name: value} replace what is needed, None leaves it out."""
    needed = {"url": URL, "token-file": folder / "token", "calendar": folder / "calendar", **more}
    words = [word for name, value in needed.items() if value is not None for word in (f"--{name}", str(value))]
    return subprocess.run([PROGRAM, *words, *options], capture_output=True, text=True, timeout=60, check=False)


def test_help_and_version_are_0_and_on_standard_output(folder):
    for option, beginning in (("--help", "Usage: slotbell-plugin --url"), ("--version", "slotbell-plugin ")):
        done = run(folder, option)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(beginning)


def test_help_and_manual_page_name_every_option(folder):
    source = (ROOT / "plugin-stub/options.c").read_text()
    options = re.findall(r'{"([a-z-]+)", (?:required|no)_argument', source)
    assert len(options) == 13
    text, page = run(folder, "--help").stdout, (ROOT / "docs/man/slotbell-plugin.1").read_text()
    for name in options:
        assert re.search(rf"--{name}\b", text) and re.search(rf"^\.It Fl -{name}\b", page, re.MULTILINE), name
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("options,more,words", [
    ([], {"url": None}, "--url: is missing"),
    ([], {"url": "https://bell"}, "--url: it does not begin with wss://"),
    (["--no-such"], {}, "unrecognized option"),
    (["--proxy"], {}, "requires an argument"),
    (["word"], {}, "there are no arguments but options"),
])
def test_what_cannot_be_meant_is_2(folder, options, more, words):
    done = run(folder, *options, **more)
    assert done.returncode == 2 and words in done.stderr and "--help" in done.stderr


@pytest.mark.parametrize("more,words", [
    ({"token-file": "none"}, "cannot read the token file {0}/none: No such file"),
    ({"token-file": "empty"}, "the token file {0}/empty is empty"),
    ({"calendar": "none/calendar"}, "cannot open the calendar folder {0}/none/calendar: No such file"),
    ({"calendar": "token"}, "cannot open the calendar folder {0}/token: Not a directory"),
    ({"state": "none/state.json"}, "cannot open the state file {0}/none/state.json: No such file"),
    ({"ca": "none"}, "--ca {0}/none: there are no certificates (PEM)"),
    ({"ca": "token"}, "--ca {0}/token: there are no certificates (PEM)"),
])
def test_a_file_or_folder_that_cannot_be_used_is_3(folder, more, words):
    (folder / "empty").write_text("")
    done = run(folder, **{name: folder / value for name, value in more.items()})
    assert done.returncode == 3 and words.format(folder) in done.stderr


def test_a_server_that_is_not_there_is_1_in_the_end(folder):
    done = run(folder, "--once", ca=Certificates(folder / "ca").ca)
    assert done.returncode == 1 and "Not caught up after 5 connections; giving up" in done.stderr
    # For people, where --json does not say otherwise.
    assert done.stdout.count(f"Connecting to {URL}\n") == 5 and "Coming back in " in done.stdout
