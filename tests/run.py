#!/usr/bin/env python3
"""Runs all tests, or the parts named: sys, py, cpython, vloop.

    sys      the engine's own tests, in C, plain and under the sanitizers
    py       pytest over tests/
    cpython  CPython's tests of asyncio
    vloop    those of tasks once more, on a real loop with a virtual clock

Each part prints what it prints; the last line of all is the sum of what was
run: 'N passed, N failed'.  A part that ends badly without saying how many
tests failed counts as one failure.
"""

import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
COUNT = re.compile(r"\b(\d+) (passed|failed|errors?)\b")

PARTS = {
    "sys": ["make", "--no-print-directory", "test-sys-only"],
    "py": [sys.executable, "-m", "pytest", "-q"],
    "cpython": [sys.executable, str(TOP / "tests/cpython/run.py")],
    "vloop": [sys.executable, str(TOP / "tests/vloop/run.py")],
}


def run(command):
    """Run a part; returns how many tests passed and failed."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, cwd=TOP, env=environment, text=True,
                               errors="replace", stdout=subprocess.PIPE)
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        if re.search(r"\d+ (passed|failed|error)", line):
            last = line
    status = process.wait()
    counts = {"passed": 0, "failed": 0}
    for number, what in COUNT.findall(last):
        counts["passed" if what == "passed" else "failed"] += int(number)
    if status and not counts["failed"] or not sum(counts.values()):
        print(f"{command[1:]}: ended with status {status} and counted "
              f"{counts['passed']} tests")
        counts["failed"] += 1
    return counts["passed"], counts["failed"]


def main():
    passed = failed = 0
    for part in sys.argv[1:] or PARTS:
        print(f"== {part} (Python {sys.version.split()[0]})", flush=True)
        part_passed, part_failed = run(PARTS[part])
        passed += part_passed
        failed += part_failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
