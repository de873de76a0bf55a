"""The code's table of keys, config/slotbelld.conf and slotbelld.conf(5) say the same of each key.

The code speaks through --print-config, whose comment above each key is
    # WHAT IT IS (MIN to MAX UNIT, default: DEFAULT, restart)
"""

import re
import subprocess
from typing import NamedTuple

import pytest
from command_support import slotbelld
from slotbelld import ROOT

pytest_plugins = ["fixtures_command"]

FILE = ROOT / "config/slotbelld.conf"
PAGE = ROOT / "docs/man/slotbelld.conf.5"
NEEDED = {"tls.certificate", "tls.key", "database.url"}
WORDS = {"log.level": "error, warning, notice, info or debug", "log.format": "text json auto"}


class Key(NamedTuple):
    what: str  # in words
    range: str  # "1 to 256 events"; "" where it is no number
    default: str  # "none": an empty one
    restart: bool


@pytest.fixture(scope="module")
def printed(certificates):
    run = slotbelld("-c", "/dev/null", "--print-config", "--set", f"tls.certificate={certificates / 'server.pem'}",
                    "--set", f"tls.key={certificates / 'server.key'}", "--set", "database.url=postgresql:///x")
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def code(printed):
    """section.key -> Key, in the code's order."""
    section, comment, found = "", "", {}
    for line in printed.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line.startswith("# "):
            comment = line[2:]
        elif line:
            words = re.fullmatch(r"(.+) \((?:(\d+ to \d+ \w+), )?default: (.*?)(, restart)?\)", comment)
            assert words, comment
            what, limits, default, restart = words.groups()
            name = f"{section}.{line.partition(' = ')[0]}"
            assert name not in found
            found[name] = Key(what, limits or "", default, bool(restart))
    return found


def in_file():
    """section.key -> (comment, value, whether the key is commented out), in the file's order."""
    section, comment, found = "", "", {}
    for line in FILE.read_text().partition("\n\n")[2].splitlines():
        key = re.fullmatch(r"(#?)([a-z_]+) =(?: (.*))?", line)
        if re.fullmatch(r"\[[a-z]+\]", line):
            section, comment = line.strip("[]"), ""
        elif key:
            found[f"{section}.{key.group(2)}"] = (comment, key.group(3) or "none", key.group(1) == "#")
            comment = ""
        elif line.startswith("# "):
            comment += line[1:]
        else:
            assert line == "", f"neither key nor comment: {line}"
    return found


def in_page():
    """section.key -> what the page says of it, as a reader sees it."""
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=900", PAGE], check=True, capture_output=True, text=True).stdout
    text = re.sub(r".\x08", "", text)  # bold and underlined
    section, key, found = "", "", {}
    for line in text.splitlines():
        if re.fullmatch(r" {3}\[[a-z]+\]", line):
            section, key = line.strip(" []"), ""
        elif section and re.match(r"\S", line):
            break  # the next heading
        elif section and (item := re.match(r" {5}([a-z_]+)(?: +(\S.*))?$", line)) and not line.startswith(" " * 6):
            key = f"{section}.{item.group(1)}"
            found[key] = item.group(2) or ""
        elif key and line.strip():
            found[key] += " " + line.strip()
    return found


def test_all_three_have_the_same_keys_in_the_same_order(code):
    assert len(code) > 20
    assert list(code) == list(in_file())
    assert list(code) == list(in_page())


def test_each_key_has_its_default(code):
    page = in_page()
    for name, (_, value, is_off) in in_file().items():
        assert is_off == (name not in NEEDED)
        if name in NEEDED:
            assert page[name].endswith("Needed.")
        else:
            assert value == code[name].default, name
            assert page[name].endswith(f"Default: {code[name].default}."), (name, page[name])


def test_each_number_has_range_and_unit(code):
    page = in_page()
    for name, (comment, _, _) in in_file().items():
        limits = code[name].range
        for words in (comment, page[name]):
            assert limits in words, (name, words)
            if not limits:
                assert not re.search(r"\b\d+ to \d+\b(?! of them)", words), (name, words)
    assert sum(bool(key.range) for key in code.values()) > 10


def test_each_choice_has_its_words(code):
    page = in_page()
    for name, words in WORDS.items():
        for word in re.findall(r"\b(?!or\b)[a-z]+", words):
            assert word in in_file()[name][0] and word in page[name] and word in code[name].what


def test_each_key_is_explained_and_marked_where_it_needs_a_restart(code):
    page = in_page()
    for name, (comment, _, _) in in_file().items():
        for words in (comment, page[name]):
            assert len(words) > 20 and ("(restart)" in words) == code[name].restart, (name, words)


def test_no_two_keys_are_explained_by_the_same_words(code):
    assert len({key.what for key in code.values()}) == len(code)


def test_what_is_printed_is_a_configuration_that_prints_the_same(printed, tmp_path):
    file = tmp_path / "printed.conf"
    file.write_text(printed)
    again = slotbelld("-c", file, "--print-config")
    assert again.returncode == 0 and again.stdout == printed, again.stderr
