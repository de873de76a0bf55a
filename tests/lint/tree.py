"""The files of a source tree, as the lint checks want them."""

import os
import pathlib
import re

NOT_OURS = {".git", "build", ".cache", "__pycache__", "node_modules", ".pytest_cache"}


class Skip(Exception):
    """A check cannot run here; its text says why."""


class Tree:
    """A source tree and, if it has been built, where its compile_commands.json lies."""

    def __init__(self, root, build=None):
        self.root = pathlib.Path(root)
        self.build = pathlib.Path(build) if build else None
        self.files = sorted(self._walk())

    def _walk(self):
        for folder, subfolders, names in os.walk(self.root):
            subfolders[:] = [name for name in subfolders if name not in NOT_OURS]
            for name in names:
                path = pathlib.Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path.relative_to(self.root)

    def ending(self, *suffixes):
        return [path for path in self.files if path.suffix in suffixes]

    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def _interpreter(self, path):
        with open(self.root / path, "rb") as file:
            first = file.readline(80)
        return first if first.startswith(b"#!") else b""

    def scripts(self, word):
        """Files without a suffix, or any other, whose first line calls this interpreter."""
        return [path for path in self.files if word in self._interpreter(path)]

    def shell(self):
        # bash reads completions itself, so they have no first line of that kind.
        completions = {path for path in self.files if path.parent.name == "completion"}
        return sorted(set(self.ending(".sh")) | set(self.scripts(b"bash")) | set(self.scripts(b"/sh")) | completions)

    def python(self):
        return sorted(set(self.ending(".py")) | set(self.scripts(b"python")))

    def c_code(self, path):
        """The text with comments and the insides of literals blanked, lines kept."""
        return _TOKEN.sub(_blank, self.text(path))


_TOKEN = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def _blank(match):
    token = match.group()
    if token[0] in "\"'":
        return token[0] * 2
    return "\n" * token.count("\n")
