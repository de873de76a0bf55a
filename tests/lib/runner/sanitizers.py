"""Whether AddressSanitizer works on this machine, how to start it, and what it found.

Three things are known to keep it from working: no ptrace (then leaks cannot be
looked for), a kernel that randomises addresses more than the library of gcc 12
can take (then programs run without that), and everything else (then the tests
run without sanitizers). Each is said in the summary, none is silent.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

TRIES = 20  # a clash with the kernel's randomisation shows now and then only

# All that LeakSanitizer says, if it says a word, when its process is killed while it looks: no finding.
KILLED = re.compile(r"==\d+==Unable to get registers from thread \d+\.")


class Sanitizers:
    def __init__(self, reports):
        """`reports`: the folder that programs write what they find into; emptied."""
        self.reports = pathlib.Path(reports)
        shutil.rmtree(self.reports, ignore_errors=True)
        self.reports.mkdir(parents=True)
        self.prefix = []  # what commands are started with
        self.works = True
        self.leaks = True
        self.notes = []
        self._told = set()
        with tempfile.TemporaryDirectory() as folder:
            self._probe(pathlib.Path(folder))

    def _probe(self, folder):
        program = folder / "probe"
        (folder / "probe.c").write_text("#include <stdlib.h>\nint main(void)\n{\n\tfree(malloc(1));\n\treturn 0;\n}\n")
        built = subprocess.run(["gcc", "-fsanitize=address,undefined", "-o", program, folder / "probe.c"],
                               capture_output=True, check=False)
        if built.returncode:
            self._without("gcc cannot link its sanitizers")
        elif not self._runs([program], "detect_leaks=0"):
            if shutil.which("setarch") and self._runs(["setarch", "-R", program], "detect_leaks=0"):
                self.prefix = ["setarch", "-R"]
                self.notes.append("address space randomisation: AddressSanitizer clashes with this kernel's, so off")
            else:
                self._without("programs built with AddressSanitizer do not start here")
        if self.works and not self._runs([*self.prefix, program], "detect_leaks=1", tries=1):
            self.leaks = False
            self.notes.append("looking for leaks: LeakSanitizer cannot run here (it needs ptrace)")

    def _without(self, why):
        self.works = self.leaks = False
        self.notes.append(f"AddressSanitizer and UndefinedBehaviorSanitizer: {why}")

    def _runs(self, command, options, tries=TRIES):
        environment = dict(os.environ, ASAN_OPTIONS=options)
        return all(subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
                   for _ in range(tries))

    def environment(self):
        path = f"log_path='{self.reports}/report'"  # quoted: the tree may lie under any path
        return {
            "ASAN_OPTIONS": f"halt_on_error=1:detect_leaks={int(self.leaks)}:detect_stack_use_after_return=1:{path}",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:{path}",
        }

    def new_reports(self):
        """[(file, what it says in a line)] of what was written since the last call."""
        found = []
        for path in sorted(self.reports.iterdir()):
            if path.name not in self._told:
                self._told.add(path.name)
                lines = path.read_text(errors="replace").splitlines()
                if all(KILLED.fullmatch(line) for line in lines):
                    continue
                telling = [line for line in lines if "SUMMARY:" in line or "runtime error:" in line]
                found.append((path, (telling or lines)[0].strip()))
        return found
