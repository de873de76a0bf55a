"""A pytest plugin that says each test's outcome in a line that tests/run counts.

`PASS integration integration/test_file.py::case (0.12 s)`, FAIL or SKIP alike.
A test fails once, whether its set-up, its body or its tear-down did. The
stage's word comes from the environment, SLOTBELL_STAGE.
"""

import os

import pytest

STAGE = os.environ.get("SLOTBELL_STAGE", "pytest")


class Lines:
    def __init__(self, reporter):
        self.reporter = reporter
        self.outcomes = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report):
        # No dots: they would share our lines.
        if report.passed and report.when != "call":
            return "", "", ""
        return report.outcome, "", ""

    def pytest_runtest_logreport(self, report):
        word, seconds, why = self.outcomes.get(report.nodeid, ("PASS", 0.0, ""))
        seconds += report.duration
        if report.failed:
            word, why = "FAIL", "" if report.when == "call" else f": in {report.when}"
        elif report.skipped and word == "PASS":
            word, why = "SKIP", f": {report.longrepr[2] if isinstance(report.longrepr, tuple) else 'expected to fail'}"
        self.outcomes[report.nodeid] = (word, seconds, why)
        if report.when == "teardown":
            name = report.nodeid.removeprefix("tests/").replace(" ", "_")
            self.reporter.write_line(f"{word} {STAGE} {name}{why} ({seconds:.2f} s)")
            self.reporter.flush()
            del self.outcomes[report.nodeid]

    def pytest_collectreport(self, report):
        # A file that cannot be imported has no tests, and must not pass for that.
        if report.failed:
            self.reporter.write_line(f"FAIL {STAGE} {report.nodeid.removeprefix('tests/')}: cannot be collected")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:  # a worker of pytest-xdist has none: its tests are told of by the one that it works for
        config.pluginmanager.register(Lines(reporter), "slotbell-lines")
