#!/usr/bin/env python3
"""What each operation leaves behind, and what happens when memory runs out.

usage: run.py [--impl ouro|asyncio] [--match GLOB,...] [--jobs N] [--verbose]

Each operation of ops_*.py runs many times in a process of its own
(measure.py), which counts objects, blocks, bytes, descriptors and references
between the rounds; one that grows in every round has failed.  Each scenario
of scarce.py runs again and again with one allocation after the other
failing: MemoryError may come out of that, and nothing else.

The last line is 'N passed, N failed'; the exit status is 0 if none failed.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT = 120       # seconds for one process


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--impl", default="ouro", help="asyncio, or a module with install()")
    add("--match", type=lambda text: text.split(","), default=["*"])
    add("--jobs", type=int, default=os.cpu_count())
    add("--verbose", action="store_true", help="show the figures of all")
    return parser.parse_args()


def child(script, *arguments):
    """Run a script; returns (its result as JSON, or None; what it wrote)."""
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    try:
        process = subprocess.run(
            [sys.executable, "-P", HERE / script, *arguments], text=True,
            errors="replace", capture_output=True, timeout=TIMEOUT,
            stdin=subprocess.DEVNULL, env=environment)
    except subprocess.TimeoutExpired:
        return None, f"no end after {TIMEOUT} s"
    lines = process.stdout.splitlines()
    if process.returncode == 0 and lines:
        return json.loads(lines[-1]), process.stderr
    return None, f"status {process.returncode}\n{process.stderr[-3000:]}"


def run_one(implementation, script, name):
    """(name, complaints, figures)"""
    result, written = child(script, implementation, name)
    if result is None:
        return name, [written], {}
    return name, result["complaints"], result["figures"]


def main():
    options = parse_arguments()
    work, notes = [], []
    # (asyncio's own code does not survive the second.)
    scripts = ["measure.py", "scarce.py"][:1 + (options.impl != "asyncio")]
    for script in scripts:
        names, written = child(script, options.impl, "--list")
        if names is None:
            sys.exit(f"{script} cannot list its operations: {written}")
        notes += names["notes"]
        work += [(script, name) for name in names["names"]
                 if any(fnmatch.fnmatchcase(name, glob)
                        for glob in options.match)]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, complaints, figures in pool.map(
                lambda item: run_one(options.impl, *item), work):
            failed += bool(complaints)
            passed += not complaints
            if complaints:
                print(f"FAILED {name}")
                for complaint in complaints:
                    print("    " + complaint.rstrip().replace("\n", "\n    "))
            elif options.verbose:
                shown = ", ".join(f"{key} {value:g}"
                                  for key, value in figures.items())
                print(f"{name}: {shown}")
            sys.stdout.flush()
    for note in notes:
        print(f"note: {note}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
