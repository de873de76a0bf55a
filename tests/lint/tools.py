"""Checks by other people's tools: compilers, analysers, linters.

They read build/dev/compile_commands.json where they need the flags that a file
is compiled with, so they come after the build.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import zlib

from tree import Skip

HERE = pathlib.Path(__file__).resolve().parent
CLANG_ONLY = ["-Wno-unknown-warning-option", "-Wno-cast-qual"]


def _need(program):
    if not shutil.which(program):
        raise Skip(f"{program} is not here")
    return program


def _run(command, cwd, stdin=None):
    done = subprocess.run(command, cwd=cwd, input=stdin, text=True, errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def _each(function, items):
    """Problems of all items, worked on by as many threads as there are cores."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [problem for problems in pool.map(function, items) for problem in problems]


def _complaint(returncode, output, whom):
    """A tool's words as problems; one that failed without a word is a problem too."""
    lines = [line for line in output.splitlines() if line.strip()]
    if returncode and not lines:
        lines = [f"{whom}: exit code {returncode}"]
    return lines if returncode else []


def compile_commands(tree):
    """Of each C file of the tree its folder and the compiler's arguments, without output and launcher."""
    if tree.build is None or not (tree.build / "compile_commands.json").exists():
        raise Skip("the tree has not been built")
    commands = {}
    for entry in json.loads((tree.build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        words = shlex.split(entry["command"])
        if "ccache" in words[0]:
            words.pop(0)
        arguments, skip = [], False
        for word in words[1:]:
            if skip or word == "-c" or word == entry["file"]:
                skip = False
            elif word == "-o":
                skip = True
            else:
                arguments.append(word)
        commands[path] = (entry["directory"], arguments)
    return commands


def _ours(tree):
    """compile_commands without what the build generated."""
    root = tree.root.resolve()
    sources = {(root / path).resolve() for path in tree.ending(".c")}
    return {path: command for path, command in compile_commands(tree).items() if path in sources}


def formatting(tree):
    """clang-format would change nothing"""
    program = _need("clang-format-14")  # another version has other tastes

    def check(path):
        code, output = _run([program, "--dry-run", "-Werror", str(path)], tree.root)
        places = output.count("[-Wclang-format-violations]")
        return [f"{path}: {places} places; {program} -i would mend them"] if places else _complaint(code, output, path)

    return _each(check, tree.ending(".c", ".h"))


def every_source_is_built(tree):
    """no C file lies about that no target builds"""
    built = compile_commands(tree)
    # Fuzzers are built by preset fuzz, and run in their own stage.
    return [
        f"{path}: no target builds it"
        for path in tree.ending(".c")
        if (tree.root / path).resolve() not in built and not str(path).startswith("tests/fuzz/")
    ]


def headers_alone(tree):
    """every header compiles alone, and twice"""
    flags = set()
    for _, arguments in compile_commands(tree).values():
        flags.update(word for word in arguments if word.startswith(("-I", "-D")))
        flags.update(f"-isystem{after}" for word, after in zip(arguments, arguments[1:]) if word == "-isystem")

    def check(path):
        twice = f'#include "{path}"\n#include "{path}"\n'
        command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *sorted(flags), "-I.", "-fsyntax-only", "-xc", "-"]
        return _complaint(*_run(command, tree.root, twice), path)

    return _each(check, tree.ending(".h"))


def gcc_warnings(tree):
    """gcc has nothing to say when it optimises, which shows more than the build with sanitizers"""

    def check(item):
        path, (folder, arguments) = item
        kept = [word for word in arguments if not word.startswith(("-fsanitize", "-O", "-U_FORTIFY", "-D_FORTIFY"))]
        command = ["gcc", *kept, "-O2", "-D_FORTIFY_SOURCE=2", "-Werror", "-c", "-o", "/dev/null", str(path)]
        return _complaint(*_run(command, folder), path)

    return _each(check, _ours(tree).items())


def clang_warnings(tree):
    """clang has nothing to say about what gcc compiles"""
    program = _need("clang-14")

    def check(item):
        path, (folder, arguments) = item
        # OpenSSL's macros cast const away in our lines; gcc knows that they are a system header's.
        command = [program, *arguments, "-fsyntax-only", "-Werror", *CLANG_ONLY, str(path)]
        return _complaint(*_run(command, folder), path)

    return _each(check, _ours(tree).items())


def clang_tidy(tree):
    """clang-tidy finds no bug (which checks, and why: tests/lint/clang-tidy.yaml)"""
    program = _need("clang-tidy-14")

    def check(item):
        path, (_, arguments) = item
        command = [program, "--quiet", f"--config-file={HERE}/clang-tidy.yaml", str(path), "--", *arguments,
                   *CLANG_ONLY]
        code, output = _run(command, tree.root)
        lines = [line for line in output.splitlines() if re.search(r": (warning|error): ", line)]
        return lines or _complaint(code, output, path)

    return _each(check, _ours(tree).items())


def cppcheck(tree):
    """cppcheck finds no bug"""
    program = _need("cppcheck")
    _ours(tree)
    # What it knows of macros is not part of its own cache's key.
    known = b"".join((HERE / name).read_bytes() for name in ("utlist.cfg", "cppcheck.txt"))
    cache = tree.build / f"cppcheck-{zlib.crc32(known):08x}"
    cache.mkdir(parents=True, exist_ok=True)
    return _complaint(
        *_run(
            [program, "--quiet", "--enable=warning,performance,portability", "--inline-suppr", "--error-exitcode=1",
             "--std=c11", f"-j{os.cpu_count() or 1}", f"--project={tree.build}/compile_commands.json",
             f"--cppcheck-build-dir={cache}", f"--suppressions-list={HERE}/cppcheck.txt",
             f"--library={HERE}/utlist.cfg",
             "--template={file}:{line}: {severity}: {message} [{id}]"],
            tree.root),
        program)


def shell_scripts(tree):
    """shellcheck finds no bug"""
    program = _need("shellcheck")
    files = [str(path) for path in tree.shell()]
    return _complaint(*_run([program, "-x", "-f", "gcc", *files], tree.root), program) if files else []


def python_scripts(tree):
    """pyflakes finds no bug"""
    files = [str(path) for path in tree.python()]
    if not files:
        return []
    code, output = _run(["/usr/bin/python3", "-m", "pyflakes", *files], tree.root)
    if "No module named pyflakes" in output:
        raise Skip("python3-pyflakes is not here")
    return _complaint(code, output, "pyflakes")


def man_pages(tree):
    """mandoc finds no fault"""
    files = [str(path) for path in tree.files if re.fullmatch(r"\.[1-8]", path.suffix)]
    if not files:
        return []
    program = _need("mandoc")
    return _complaint(*_run([program, "-T", "lint", "-W", "warning", *files], tree.root), program)


CHECKS = [
    formatting,
    every_source_is_built,
    headers_alone,
    gcc_warnings,
    clang_warnings,
    clang_tidy,
    cppcheck,
    shell_scripts,
    python_scripts,
    man_pages,
]
