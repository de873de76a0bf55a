"""The test runner tested: what it counts, and that it does not overlook what fails."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
import types

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from runner import readers, watch  # noqa: E402
from runner.readers import Case  # noqa: E402
from runner.report import Report  # noqa: E402
from runner.sanitizers import Sanitizers  # noqa: E402


def read(reader, text):
    cases = [case for line in textwrap.dedent(text).splitlines() for case in reader.feed(line)]
    return cases + reader.finish()


def test_lines_of_the_stage_are_cases_and_nothing_else_is():
    cases = read(readers.Lines("fuzz"), """\
        INFO: seed corpus
        PASS fuzz cursor 120000 runs/s
        FAIL fuzz hello: crash-da39a3
        PASS lint cursor
        SKIP fuzz token: no clang
        """)
    assert cases == [
        Case("pass", "cursor", "", "120000 runs/s"),
        Case("fail", "hello", "", "crash-da39a3"),
        Case("skip", "token", "", "no clang"),
    ]


CTEST = """\
    test 1
        Start 1: test_good

    1: Test command: /somewhere/test_good
    1: [==========] Running 2 test(s).
    1: [ RUN      ] a_case
    1: [       OK ] a_case
    1: [ RUN      ] another_case
    1: [       OK ] another_case
    1: [==========] 2 test(s) run.
    1: [  PASSED  ] 2 test(s).
    1/4 Test #1: test_good ........................   Passed    0.01 sec
    test 2
        Start 2: test_bad
    2: [==========] Running 1 test(s).
    2: [ RUN      ] a_case
    2: [  ERROR   ] --- 1 != 2
    2: [   LINE   ] --- test_bad.c:7: error: Failure!
    2: [  FAILED  ] a_case
    2: [==========] 1 test(s) run.
    2: [  PASSED  ] 0 test(s).
    2: [  FAILED  ] tests: 1 test(s), listed below:
    2: [  FAILED  ] a_case
    2/4 Test #2: test_bad .........................***Failed    0.01 sec
    test 3
        Start 3: test_crash
    3: [==========] Running 2 test(s).
    3: [ RUN      ] a_case
    3: [       OK ] a_case
    3/4 Test #3: test_crash .......................***Exception: SegFault  0.01 sec
    test 4
        Start 4: test_empty
    4: [==========] Running 0 test(s).
    4: [==========] 0 test(s) run.
    4/4 Test #4: test_empty .......................   Passed    0.01 sec
    """


def test_cmocka_cases_are_counted_once_and_a_crash_or_an_empty_program_fails():
    cases = read(readers.Cmocka("unit"), CTEST)
    assert [(case.outcome, case.name) for case in cases] == [
        ("pass", "test_good::a_case"),
        ("pass", "test_good::another_case"),
        ("fail", "test_bad::a_case"),
        ("pass", "test_crash::a_case"),
        ("fail", "test_crash"),
        ("fail", "test_empty"),
    ]


def test_the_summary_names_what_failed_and_ends_with_the_counts():
    out = io.StringIO()
    report = Report(out)
    report.begin("unit", "some", "no.log")
    report.case(Case("pass", "p::a", "p"))
    report.case(Case("fail", "p::b", "p"))
    report.case(Case("skip", "p::c", "p", "no ptrace"))
    report.end()
    assert report.summary() == 1
    lines = out.getvalue().splitlines()
    assert lines[-1] == "1 passed, 1 failed"
    assert "  unit p::b  (no.log)" in lines
    assert "  unit p::c: no ptrace" in lines


SECONDS = 20


def run_here(tmp_path, script, seen):
    with open(tmp_path / "log", "wb") as log:
        return watch.run(["bash", "-c", script], os.environ, tmp_path, log, SECONDS, seen.append, lambda: None)


def test_a_command_is_heard_line_by_line_to_the_last(tmp_path):
    seen = []
    assert run_here(tmp_path, "echo one; printf two; exit 3", seen) == 3
    assert seen == ["one", "two"]
    assert (tmp_path / "log").read_text() == "one\ntwo"


def has_ended(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return ") Z" in pathlib.Path(f"/proc/{pid}/stat").read_text()  # dead and not yet reaped by init
    return True


def test_a_command_that_takes_too_long_is_ended_with_all_its_children(tmp_path, monkeypatch):
    seen = []
    # Its time is over as soon as it has said its child's pid, however long that took.
    clock = types.SimpleNamespace(monotonic=lambda: 2 * SECONDS if seen else 0, sleep=time.sleep)
    monkeypatch.setattr(watch, "time", clock)
    assert run_here(tmp_path, "sleep 600 & echo $!; wait", seen) is None
    deadline = time.monotonic() + SECONDS
    while not has_ended(seen[0]):  # it was sent its signal: the kernel may need a moment
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_outlives_its_stage_is_found_and_ended(tmp_path):
    # In a process of its own: the runner adopts every orphan of whoever imports it.
    program = f"""\
import os, pathlib, sys
sys.path.insert(0, {str(HERE)!r})
from runner import watch
watch.adopt_orphans()
with open("log", "wb") as log:
    code = watch.run(["bash", "-c", "setsid sleep 600 >/dev/null & exit 0"], os.environ, ".", log, 20, print, lambda: None)
print(code, watch.end_orphans(patience=0.2), watch.end_orphans(patience=0))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "0 ['sleep'] []"


def test_a_sanitizers_report_is_found_once(tmp_path):
    reports = tmp_path / "with space"
    sanitizers = Sanitizers(reports)
    if not sanitizers.works:
        pytest.skip("no sanitizer here")
    (tmp_path / "bad.c").write_text("#include <stdlib.h>\nint main(void)\n{\n\tchar *p = malloc(1);\n\tfree(p);\n\treturn *p;\n}\n")
    subprocess.run(["gcc", "-w", "-fsanitize=address", "-o", tmp_path / "bad", tmp_path / "bad.c"], check=True)
    environment = dict(os.environ, **sanitizers.environment())
    assert subprocess.run([*sanitizers.prefix, tmp_path / "bad"], env=environment, check=False).returncode not in (0, -signal.SIGSEGV)
    found = sanitizers.new_reports()
    assert len(found) == 1 and "heap-use-after-free" in found[0][1]
    assert sanitizers.new_reports() == []


def test_a_process_that_was_killed_while_it_looked_for_leaks_is_no_finding(tmp_path):
    sanitizers = Sanitizers(tmp_path / "reports")
    notice = "==8326==Unable to get registers from thread 8314.\n"
    (sanitizers.reports / "report.1").write_text(notice)
    (sanitizers.reports / "report.2").write_text("")
    assert sanitizers.new_reports() == []
    (sanitizers.reports / "report.3").write_text(notice + "==8326==ERROR: LeakSanitizer: detected memory leaks\n")
    assert [path.name for path, _ in sanitizers.new_reports()] == ["report.3"]
