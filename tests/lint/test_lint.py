"""The lint tested: each check finds a planted mistake, and leaves what is good alone."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import text  # noqa: E402
import tools  # noqa: E402
from tree import Skip, Tree  # noqa: E402

GOOD_C = '/* Adds. */\n#include "protocol/add.h"\n\nint sb_add(int a, int b)\n{\n\treturn a + b;\n}\n'
GOOD_H = "/* Adds. */\n#ifndef SB_ADD_H\n#define SB_ADD_H\n\nint sb_add(int a, int b);\n\n#endif\n"
GOOD = {
    "protocol/add.c": GOOD_C,
    "protocol/add.h": GOOD_H,
    "run.sh": "#!/usr/bin/env bash\n# Says a word.\necho one\n",
    "run.py": '"""Says a word."""\n\nprint("one")\n',
    "page.md": "[the code](protocol/add.c) and [elsewhere](https://example.com/)\n",
    "page.1": ".Dd November 24, 2026\n.Dt PAGE 1\n.Os\n.Sh NAME\n.Nm page\n.Nd says a word\n",
    "data.json": "{}\n",
    "tests/lib/packages.list": "# goals\nbuild cmake\n",
    "docs/dependencies.md": "| `cmake` | builds |\n",
}


def plant(folder, files):
    for name, content in {**GOOD, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    shutil.copy(HERE.parent.parent / ".clang-format", folder)
    build = folder / "build/dev"
    build.mkdir(parents=True, exist_ok=True)
    (build / "compile_commands.json").write_text(json.dumps([
        {"directory": str(build), "file": str(folder / "protocol/add.c"),
         "command": f"/usr/bin/ccache /usr/bin/cc -I{folder} -Wall -Wextra -std=gnu11 -o add.o -c {folder}/protocol/add.c"}]))
    return Tree(folder, build)


def problems(check, tree):
    try:
        return check(tree)
    except Skip as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("check", text.CHECKS + tools.CHECKS, ids=lambda check: check.__name__)
def test_a_good_tree_passes(check, tmp_path):
    assert problems(check, plant(tmp_path, {})) == []


BAD = [
    (text.layers, {"protocol/add.c": GOOD_C.replace('"protocol/add.h"', "<uv.h>")}),
    (text.layers, {"daemon/core/x.c": '/* */\n#include "daemon/store/pg.h"\n'}),
    (text.layers, {"daemon/core/x.c": "/* */\n#include <openssl/ssl.h>\n"}),
    (text.layers, {"daemon/edge/x.c": '/* */\n#include "daemon/store/pg.h"\n'}),
    (text.layers, {"daemon/store/x.h": '/* */\n#  include "daemon/ops/log.h"\n'}),
    (text.layers, {"plugin-stub/x.c": '/* */\n#include "daemon/base/log.h"\n'}),
    (text.banned_functions, {"protocol/add.c": GOOD_C.replace("a + b", "atoi (a)")}),
    (text.banned_functions, {"daemon/edge/x.c": "/* */\nvoid f(void)\n{\n\tusleep(1);\n}\n"}),
    (text.file_lengths, {"protocol/long.c": "/* */\n" + "\n" * 450}),
    (text.opening_comments, {"protocol/add.h": GOOD_H.partition("\n")[2]}),
    (text.opening_comments, {"run.py": "print('one')\n" * 30}),
    (text.whitespace, {"protocol/add.c": GOOD_C.replace("{\n", "{ \n")}),
    (text.whitespace, {"page.md": "no newline"}),
    (text.json_files, {"data.json": "{,}\n"}),
    (text.links, {"page.md": "[gone](protocol/gone.c)\n"}),
    (text.dependencies, {"tests/lib/packages.list": "build cmake\nbuild gone\n"}),
    (text.dependencies, {"docs/dependencies.md": "| `cmake` |\n| `gone` |\n"}),
    (tools.formatting, {"protocol/add.c": GOOD_C.replace("\treturn", "  return")}),
    (tools.every_source_is_built, {"daemon/core/x.c": "/* */\n"}),
    (tools.headers_alone, {"protocol/add.h": GOOD_H.replace("int a", "size_t a")}),
    (tools.headers_alone, {"protocol/add.h": "/* */\nstruct twice {\n\tint a;\n};\n"}),
    (tools.clang_warnings, {"protocol/add.c": GOOD_C.replace("{\n", "{\n\tint unused;\n")}),
    (tools.clang_tidy, {"protocol/add.c": GOOD_C.replace("a + b", "a == a ? b : 0")}),
    (tools.clang_tidy, {"protocol/add.c": GOOD_C.replace("a + b", "a + (int)(sizeof(int *) / sizeof(&b) / sizeof(char))")}),
    (tools.gcc_warnings, {"protocol/add.c": GOOD_C.replace("{\n", "{\n\tint c;\n\tif (a > 1)\n\t\tc = b;\n\ta += c;\n")}),
    (tools.cppcheck, {"protocol/add.c": GOOD_C.replace("{\n", "{\n\tint c[2];\n\tc[2] = a;\n\tb = c[0];\n")}),
    (text.man_references, {"page.1": GOOD["page.1"] + ".Xr page.conf 5\n"}),
    (text.man_references, {"page.1": GOOD["page.1"] + ".Sh SEE ALSO\n.Xr other 8\n", "other.8": GOOD["page.1"]}),
    (tools.shell_scripts, {"run.sh": "#!/bin/bash\n# Says.\nfor f in $(ls *); do echo $f; done\n"}),
    (tools.shell_scripts, {"completion/run": "# shellcheck shell=bash\n# Says.\nfor f in $(ls *); do echo $f; done\n"}),
    (tools.python_scripts, {"run.py": '"""Says."""\nimport os\n'}),
    (tools.man_pages, {"page.1": ".Dd November 24, 2026\n.Dt PAGE 1\n.Os\n.Sh NAME\n.Nosuch page\n"}),
]


@pytest.mark.parametrize("check, files", BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_planted_mistake_is_found(check, files, tmp_path):
    assert problems(check, plant(tmp_path, files))


@pytest.mark.parametrize("line", ["x->system(1)", "sb_system(1)", "a.rand()", '"system(1)"', "/* system(1) */ 0", "fgets(a, 1, b)"])
def test_a_name_that_only_looks_banned_is_left_alone(line, tmp_path):
    assert text.banned_functions(plant(tmp_path, {"protocol/add.c": GOOD_C.replace("a + b", line)})) == []


def test_a_check_can_be_run_by_name_and_an_unknown_one_is_refused():
    run = [str(HERE / "run")]
    assert subprocess.run([*run, "no_such"], capture_output=True, check=False).returncode == 2
    done = subprocess.run([*run, "json_files"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].startswith(("PASS lint json_files: ", "FAIL lint json_files: "))
