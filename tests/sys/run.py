#!/usr/bin/env python3
"""Builds each tests/sys/*.c with the engine, plain and sanitized, and runs it.

usage: run.py [name ...]        (test_timer: only that program)

The engine is plain C: no Python header is on the path.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tools"))
import flags  # noqa: E402

OUT = TOP / "build" / "sys"
MODES = {"plain": [*flags.OPTIMIZE, "-g"], "asan": flags.SANITIZE}
TIMEOUT = 120


def build(mode):
    """Compile the engine's objects; returns them."""
    folder = OUT / mode
    folder.mkdir(parents=True, exist_ok=True)

    def compile_one(source):
        target = folder / source.with_suffix(".o").name
        cc(mode, "-c", str(source), "-o", str(target))
        return str(target)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sorted(TOP.glob("src/sys/*.c"))))


def cc(mode, *arguments):
    command = [os.environ.get("CC", "gcc"), *flags.STANDARD, *flags.WARNINGS,
               *MODES[mode], f"-I{TOP / 'src'}", *arguments]
    if subprocess.run(command).returncode:
        sys.exit(f"{arguments[-1]}: does not compile\n0 passed, 1 failed")


def run(program, mode, objects):
    """Run one program; (passed, failed) as it says in its last line."""
    target = OUT / mode / program.stem
    cc(mode, str(program), *objects, "-o", str(target))
    try:
        done = subprocess.run([target], stdout=subprocess.PIPE, text=True,
                              timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return 0, 1
    count = re.findall(r"(\d+) passed, (\d+) failed", done.stdout)
    passed, failed = map(int, count[-1]) if count else (0, 1)
    if done.returncode and not failed:
        failed = 1
    print(f"{program.stem} ({mode}): {passed} passed, {failed} failed",
          flush=True)
    return passed, failed


def main():
    programs = [program for program in
                sorted((TOP / "tests" / "sys").glob("*.c"))
                if not sys.argv[1:] or program.stem in sys.argv[1:]]
    passed = failed = 0
    for mode in MODES:
        objects = build(mode)
        for program in programs:
            some_passed, some_failed = run(program, mode, objects)
            passed += some_passed
            failed += some_failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
