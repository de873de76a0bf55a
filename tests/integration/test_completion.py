"""bash completion, as bash does it, held against what the programs say of themselves."""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest
from slotbelld import ENVIRONMENT, ROOT, built

SECONDS = 30
PROGRAMS = ("slotbelld", "slotbellctl", "slotbell-plugin")

# What bash would offer goes into a pipe, and not on the line.
WRAPPER = """
seen() {{
	local name=${{1##*/}}
	COMPREPLY=()
	"_${{name//-/_}}" "$@"
	printf '%s\\n' "${{COMPREPLY[@]}}" '(end)' >{pipe}
	COMPREPLY=()
}}
bind 'set bell-style none'
{sources}
complete -F seen {programs}
echo >{pipe}
"""


class Bash:
    """An interactive one on a terminal of its own, with the completions loaded."""

    def __init__(self, folder):
        self.pipe = folder / "pipe"
        os.mkfifo(self.pipe)
        setup = folder / "setup"
        sources = "\n".join(f"source {ROOT / 'config/completion' / name}" for name in PROGRAMS)
        setup.write_text(WRAPPER.format(pipe=self.pipe, sources=sources, programs=" ".join(PROGRAMS)))
        environment = ENVIRONMENT | {"PATH": f"{built('slotbellctl').parent}:{ENVIRONMENT['PATH']}", "TERM": "dumb"}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        self.answers = os.open(self.pipe, os.O_RDWR)  # both, so that it never ends between two writers
        self.type(f"source {setup}\n")
        self.read_until("\n")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def read_until(self, ending):
        """What comes through the pipe; what bash shows meanwhile is taken off the terminal, or it would wait for that."""
        text, deadline = "", time.monotonic() + SECONDS
        while not text.endswith(ending):
            ready, _, _ = select.select([self.answers, self.terminal], [], [], deadline - time.monotonic())
            assert ready, f"bash did not answer: {text!r}"
            if self.terminal in ready:
                os.read(self.terminal, 4096)
            if self.answers in ready:
                text += os.read(self.answers, 65536).decode()
        return text

    def completed(self, line, cwd=None):
        """What bash would offer at the end of this line, in the order in which it comes."""
        if cwd:
            self.type(f"cd {cwd} && echo >{self.pipe}\n")
            self.read_until("\n")
        self.type(f"{line}\t")
        found = self.read_until("(end)\n").splitlines()[:-1]
        self.type("\x15")  # Ctrl-U: the line is gone
        return [word for word in found if word]

    def close(self):
        os.close(self.answers)
        os.close(self.terminal)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    bash = Bash(tmp_path_factory.mktemp("bash"))
    yield bash.completed
    bash.close()


def helped(*words):
    run = subprocess.run([built(words[0]), *words[1:], "--help"], env=ENVIRONMENT, capture_output=True, text=True, timeout=30,
                         check=True)  # fmt: skip
    return run.stdout


def options_in(text):
    """Every option that stands where help lists options; not those that its sentences mention."""
    listed = re.findall(r"^  +(-.*?)(?:   *\S.*)?$", text, re.MULTILINE)
    return {option for line in listed for option in re.findall(r"(?:^|[ ,])(--?[a-z][a-z-]*)", line)}


def commands():
    """slotbellctl's commands, by the usage line of each: what is no command has none."""
    found = []
    for line in helped("slotbellctl").partition("For every command")[0].splitlines():
        words = re.match(r"  ([a-z]+)(?: ([a-z-]+))? ", line)
        if words:
            found.append(tuple(word for word in words.groups() if word))
    assert ("device", "enrol") in found and ("status",) in found, found
    return found


COMMANDS = commands()


def test_the_words_of_commands_are_offered(completed):
    assert completed("slotbellctl ") == sorted({command[0] for command in COMMANDS})
    for group in {command[0] for command in COMMANDS if len(command) > 1}:
        assert completed(f"slotbellctl {group} ") == sorted(command[1] for command in COMMANDS if command[0] == group)
    assert completed("slotbellctl dev") == ["device"]
    assert completed("slotbellctl --json --database postgresql:///x device r") == ["revoke", "rotate"]
    assert completed("slotbellctl --database=postgresql:///x device en") == ["enrol"]
    assert completed("slotbellctl nonsense ") == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_options_of_a_command_are_those_of_its_help(completed, command):
    listed = options_in(helped("slotbellctl", *command))
    assert {"--json", "--database", "--socket", "--help", "--version"} <= listed
    assert set(completed(f"slotbellctl {' '.join(command)} --")) == listed
    unknown = set()
    for option in listed | {"--nonsense"}:
        run = subprocess.run([built("slotbellctl"), *command, option, "--help"], env=ENVIRONMENT, capture_output=True, text=True,
                             timeout=30, check=False)  # fmt: skip
        if "there is no option" in run.stderr:
            unknown.add(option)
    assert unknown == {"--nonsense"}  # what is offered is taken


def test_options_before_a_command(completed):
    assert set(completed("slotbellctl --")) == options_in(helped("slotbellctl"))


def test_values_of_slotbellctl(completed, tmp_path):
    (tmp_path / "one.sock").touch()
    assert completed("slotbellctl publish ada --change ") == ["created", "updated", "cancelled"]
    assert completed("slotbellctl publish ada --change=c") == ["created", "cancelled"]
    assert completed("slotbellctl publish ada --change=") == ["created", "updated", "cancelled"]
    assert completed("slotbellctl --socket o", tmp_path) == ["one.sock"]
    assert completed("slotbellctl device enrol ada --label ") == []
    assert completed("slotbellctl device enrol ada --label x --exp") == ["--expires"]


@pytest.mark.skipif(not pathlib.Path("/usr/share/zoneinfo/tzdata.zi").exists(), reason="the list of time zones, of tzdata, is not there")
def test_time_zones_are_offered(completed):
    assert completed("slotbellctl publish --time-zone Europe/Berl") == ["Europe/Berlin"]


@pytest.mark.parametrize("program", ["slotbelld", "slotbell-plugin"])
def test_the_options_of_the_other_programs_are_those_of_their_help(completed, program):
    assert set(completed(f"{program} -")) == options_in(helped(program))


def keys():
    """All keys of the configuration: each stands in the shipped file, which test_ops_config holds against the code."""
    section, found = "", []
    for line in (ROOT / "config/slotbelld.conf").read_text().splitlines():
        section = (re.findall(r"^\[([a-z]+)\]$", line) or [section])[0]
        found += [f"{section}.{key}" for key in re.findall(r"^#?([a-z_]+) =", line)]
    return found


def test_the_keys_of_set_are_those_of_the_file(completed):
    offered = completed("slotbelld --set ")
    assert len(keys()) > 20 and sorted(offered) == sorted(f"{key}=" for key in keys())
    assert completed("slotbelld -s drain.") == ["drain.seconds="]


def test_values_of_slotbelld(completed, tmp_path):
    (tmp_path / "my.conf").touch()
    assert completed("slotbelld --config ", tmp_path) == ["my.conf"]
    assert completed("slotbelld --config=m", tmp_path) == ["my.conf"]
    assert completed("slotbelld --set tls.key=", tmp_path) == ["my.conf"]
    # Those that the program takes, by its own words.
    run = subprocess.run([built("slotbelld"), "-c", "/dev/null", "--set", "log.level=x", "--set", "log.format=x", "--check-config"],
                         env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
    for key in ("level", "format"):
        (words,) = re.findall(rf"\[log\] {key} = x: must be one of: ([a-z, ]+)", run.stderr)
        assert sorted(completed(f"slotbelld --set log.{key}=")) == sorted(re.findall(r"\b(?!or\b)[a-z]+", words))


def test_values_of_the_plug_in(completed, tmp_path):
    (tmp_path / "calendar").mkdir()
    (tmp_path / "token").touch()
    assert completed("slotbell-plugin --calendar ", tmp_path) == ["calendar"]
    assert completed("slotbell-plugin --token-file to", tmp_path) == ["token"]
    assert completed("slotbell-plugin --url ") == []
    offered = completed("slotbell-plugin --transport ")
    run = subprocess.run([built("slotbell-plugin"), "--transport", "x"], env=ENVIRONMENT, capture_output=True, text=True, timeout=30,
                         check=False)  # fmt: skip
    assert sorted(offered) == sorted(re.findall(r"\b(?!is\b|or\b)[a-z]+", run.stderr.splitlines()[0].partition("--transport: ")[2]))


# ---- nothing that is typed, or that lies in a folder, is ever run ----

# What would run `touch FILE`, if it became part of a program of sed, or were expanded by bash.
ATTACKS = [
    "'x|x|;1e touch FILE #' ", "'x|touch FILE|e;#' ", "-e '1e touch FILE' ", "'x|x|;w FILE' ", "'x/e touch FILE' ",
    "$(touch FILE) ", "`touch FILE` ", "'$(touch FILE)' ", "'`touch FILE`' ", "'; touch FILE' ",
    "$(touch FILE)", "`touch FILE`", "'$(touch FILE)", '"$(touch FILE)', '"`touch FILE`/x', '"$((a[$(touch FILE)]))/x', '"${a[$(touch FILE)]}/x',
    "~$(touch FILE)/x", "<(touch FILE)", "* ", "d?vice ", "[d]evice ", "{device,x} ",
]  # fmt: skip
PLACES = ["slotbellctl ", "slotbellctl device ", "slotbellctl --database ", "slotbellctl --socket ", "slotbellctl doctor --user ",
          "slotbellctl publish --time-zone ", "slotbellctl publish --change=", "slotbelld --config ", "slotbelld --set ",
          "slotbelld --set tls.key=", "slotbell-plugin --ca ", "slotbell-plugin --calendar=", "slotbell-plugin --transport "]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_what_is_typed_is_never_run(completed, place, tmp_path):
    file = tmp_path / "ran"
    (tmp_path / "device").touch()  # what a pattern could become
    for attack in ATTACKS:
        completed(place + attack.replace("FILE", str(file)), tmp_path)
        assert not file.exists(), attack


def test_a_program_that_was_typed_is_not_run(completed, tmp_path):
    """It may lie in a folder of somebody else's."""
    (tmp_path / "slotbellctl").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho '  evil $(touch {tmp_path}/ran) x'\n")
    (tmp_path / "slotbellctl").chmod(0o755)
    assert "device" in completed("./slotbellctl ", tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["slotbellctl --socket ", "slotbelld --config ", "slotbell-plugin --ca ", "slotbell-plugin --calendar "])
def test_names_of_files_are_offered_as_they_are(completed, place, tmp_path):
    names = ["$(touch ran)", "`touch ran`", "a b", "*", "-e", "'q", '"d', "\\x", "$((a[$(touch ran)]))", "; touch ran"]
    for name in names:
        (tmp_path / name).mkdir()
    assert sorted(completed(place, tmp_path)) == sorted(names)
    assert completed(place + "a", tmp_path) == ["a b"]
    assert not (tmp_path / "ran").exists() and sorted(os.listdir(tmp_path)) == sorted(names)
