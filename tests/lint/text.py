"""Checks that need nothing but the text: layers, lengths, words, links."""

import json
import re

# folder -> what it may include of ours, and which libraries. The longest match
# counts. docs/architecture.md says why; the linker cannot, for headers.
LAYERS = {
    "protocol/": (["protocol/"], ["jansson", "openssl"]),
    "daemon/base/": (["daemon/base/"], []),
    "daemon/core/": (["protocol/", "daemon/base/", "daemon/core/"], []),
    "daemon/store/": (["protocol/", "daemon/base/", "daemon/core/", "daemon/store/"], ["libpq", "libuv"]),
    "daemon/edge/": (
        ["protocol/", "daemon/base/", "daemon/core/", "daemon/edge/"],
        ["libwebsockets", "libuv", "openssl", "jansson"],
    ),
    "daemon/ops/": (["protocol/", "daemon/base/", "daemon/core/", "daemon/ops/"], ["libsystemd", "libuv", "inih", "jansson"]),
    # schema_version.h is a number that the daemon and slotbellctl must agree on, conninfo.h what both may show; doctor reads the daemon's
    # configuration by the daemon's code.
    "daemon/ctl/": (
        ["protocol/", "daemon/base/", "daemon/ctl/", "daemon/store/schema_version.h", "daemon/store/conninfo.h", "daemon/ops/config.h",
         "daemon/ops/credential.h", "daemon/ops/descriptors.h"],
        ["libpq", "jansson", "openssl"],
    ),
    "plugin-stub/": (["protocol/", "plugin-stub/"], ["libwebsockets", "libuv", "libical", "jansson", "openssl"]),
}
LIBRARIES = {
    "libuv": re.compile(r"uv(\.h|/)"),
    "libwebsockets": re.compile(r"libwebsockets(\.h|/)"),
    "libpq": re.compile(r"(libpq-fe\.h|libpq/|postgres)"),
    "openssl": re.compile(r"openssl/"),
    "jansson": re.compile(r"jansson\.h"),
    "libsystemd": re.compile(r"systemd/"),
    "inih": re.compile(r"ini\.h"),
    "libical": re.compile(r"libical/"),
    "cmocka": re.compile(r"cmocka\.h"),
}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)

LINES_MAX = 450

# What has bitten C programmers often enough, and what to take instead.
BANNED = {
    r"strcpy|strcat|stpcpy|strncpy|strncat": "snprintf or memcpy with a known length",
    r"sprintf|vsprintf": "snprintf",
    r"gets|scanf|sscanf|fscanf": "a parser that says what is wrong",
    r"atoi|atol|atoll|atof": "strtoll with its errors looked at",
    r"strtok": "strtok_r or memchr",
    r"system|popen": "posix_spawn with an argument list",
    r"alloca": "the heap, with a bound",
    r"rand|srand|random|srandom|drand48": "getrandom or RAND_bytes",
    r"tmpnam|tempnam|mktemp": "mkstemp",
    r"gmtime|localtime|ctime|asctime": "the _r variant",
}
BANNED_IN_THE_LOOP = {
    r"sleep|usleep|nanosleep": "a uv_timer: nothing blocks the loop",
    r"getaddrinfo|gethostbyname|gethostbyaddr": "uv_getaddrinfo: nothing blocks the loop",
    r"PQexec|PQexecParams|PQconnectdb": "the asynchronous calls: nothing blocks the loop",
}
LOOP_FOLDERS = ("daemon/base/", "daemon/core/", "daemon/store/", "daemon/edge/", "daemon/ops/")


def _line(text, position):
    return text.count("\n", 0, position) + 1


def layers(tree):
    """each layer includes only what lies below it"""
    problems = []
    for path in tree.ending(".c", ".h"):
        folder = next((name for name in sorted(LAYERS, key=len, reverse=True) if str(path).startswith(name)), None)
        if folder is None:
            continue
        ours, libraries = LAYERS[folder]
        text = tree.text(path)
        for match in INCLUDE.finditer(text):
            name = match.group(2)
            where = f"{path}:{_line(text, match.start())}"
            if match.group(1) == '"':
                if not name.startswith(tuple(ours)):
                    problems.append(f"{where}: {folder} must not include {name}")
                continue
            for library, pattern in LIBRARIES.items():
                if pattern.match(name) and library not in libraries:
                    problems.append(f"{where}: {folder} must not use {library} ({name})")
    return problems


def banned_functions(tree):
    """no function that is known for its accidents"""
    problems = []
    for path in tree.ending(".c", ".h"):
        code = tree.c_code(path)
        words = dict(BANNED)
        if str(path).startswith(LOOP_FOLDERS):
            words.update(BANNED_IN_THE_LOOP)
        for names, instead in words.items():
            for match in re.finditer(rf"(?<![\w.>])({names})\s*\(", code):
                if match.group(1) == "getaddrinfo" and "AI_NUMERICHOST" in code:
                    continue  # asks nobody
                problems.append(f"{path}:{_line(code, match.start())}: {match.group(1)}: take {instead}")
    return problems


def file_lengths(tree):
    """no file over 450 lines"""
    problems = []
    for path in sorted(set(tree.ending(".c", ".h", ".sql", ".js")) | set(tree.python()) | set(tree.shell())):
        count = tree.text(path).count("\n")
        if count > LINES_MAX:
            problems.append(f"{path}: {count} lines; split it by what comes in")
    return problems


def opening_comments(tree):
    """every file opens by saying what it is"""
    problems = []
    starts = {".c": ("/*",), ".h": ("/*",), ".sql": ("--", "/*"), ".js": ("/*", "//")}
    for path in tree.ending(*starts):
        if not tree.text(path).lstrip().startswith(starts[path.suffix]):
            problems.append(f"{path}:1: no comment that says what this file is")
    for path in sorted(set(tree.python()) | set(tree.shell())):
        text = tree.text(path)
        if text.startswith("#!"):
            text = text.partition("\n")[2]
        if text.strip() and len(text) > 200 and not text.lstrip().startswith(("#", '"""', 'r"""')):
            problems.append(f"{path}:1: no comment that says what this file is")
    return problems


def whitespace(tree):
    """lines end cleanly, files with a newline"""
    problems = []
    kinds = tree.ending(".c", ".h", ".sql", ".js", ".md", ".json", ".yaml", ".yml", ".cmake", ".conf", ".txt")
    for path in sorted(set(kinds) | set(tree.python()) | set(tree.shell())):
        if "fuzz/corpus" in str(path) or "vectors" in str(path):
            continue
        text = tree.text(path)
        if text and not text.endswith("\n"):
            problems.append(f"{path}: no newline at the end")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                problems.append(f"{path}:{number}: white space at the end of the line")
    return problems


def json_files(tree):
    """every .json file is JSON"""
    problems = []
    for path in tree.ending(".json"):
        try:
            json.loads(tree.text(path))
        except ValueError as error:
            problems.append(f"{path}: {error}")
    return problems


def links(tree):
    """every link from page to page leads somewhere"""
    problems = []
    for path in tree.ending(".md"):
        text = re.sub(r"```.*?```", lambda m: "\n" * m.group().count("\n"), tree.text(path), flags=re.DOTALL)
        for match in re.finditer(r"\]\(([^)\s]+)\)", text):
            target = match.group(1).partition("#")[0]
            if not target or re.match(r"[a-z]+:", target):
                continue
            if not (tree.root / path.parent / target).exists():
                problems.append(f"{path}:{_line(text, match.start())}: {target} does not exist")
    return problems


def man_references(tree):
    """a man page that refers to one of ours names one that there is, and each is listed under SEE ALSO of another"""
    pages = {path.name: tree.text(path) for path in tree.files if re.fullmatch(r"\.[1-8]", path.suffix)}
    ours = {name.partition(".")[0] for name in pages}
    problems, listed = [], set()
    for name, text in pages.items():
        for match in re.finditer(r"^\.Xr (\S+) ([1-8])", text, re.MULTILINE):
            other = f"{match.group(1)}.{match.group(2)}"
            if match.group(1).partition(".")[0] in ours and other not in pages:
                problems.append(f"{name}:{_line(text, match.start())}: there is no page {other}")
            if match.start() > text.find(".Sh SEE ALSO") >= 0 and other != name:
                listed.add(other)
    if len(pages) > 1:
        problems += [f"{name}: no other page lists it under SEE ALSO" for name in sorted(set(pages) - listed)]
    return problems


def dependencies(tree):
    """docs/dependencies.md and tests/lib/packages.list name the same packages"""
    listed = {line.split()[1] for line in tree.text("tests/lib/packages.list").splitlines() if line[:1] not in ("", "#")}
    told = set(re.findall(r"^\| `([a-z0-9.+-]+)`", tree.text("docs/dependencies.md"), re.MULTILINE))
    return [f"{name}: in packages.list, not in docs/dependencies.md" for name in sorted(listed - told)] + [
        f"{name}: in docs/dependencies.md, not in packages.list" for name in sorted(told - listed)
    ]


CHECKS = [layers, banned_functions, file_lengths, opening_comments, whitespace, json_files, links, man_references, dependencies]
