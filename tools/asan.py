#!/usr/bin/env python3
"""Runs the tests on an extension built with AddressSanitizer and UBSan.

usage: asan.py [tests/run.py's parts]        (py and cpython if none is named)

The interpreter itself is not instrumented: the runtime is preloaded, and
Python's own allocator is out of the way, so that each object is a block
that the sanitizer knows.  Leaks are looked for in the engine's tests (make
test-sys) and by growth (make leaks): what Python itself leaves behind at
exit drowns them here.
"""

import os
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent


def runtime(name):
    """The path of one of the compiler's libraries."""
    return subprocess.run(
        [os.environ.get("CC", "gcc"), f"-print-file-name={name}"],
        capture_output=True, text=True, check=True).stdout.strip()


def main():
    version = "{}.{}".format(*sys.version_info)
    build = TOP / "build" / f"asan-{version}"
    build.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, TOP / "tools" / "dev_build.py", TOP, build,
               "asan"]
    if subprocess.run(command).returncode:
        return 1
    environment = {
        **os.environ,
        "PYTHONPATH": str(build),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": " ".join(map(runtime, ("libasan.so", "libubsan.so"))),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }
    parts = sys.argv[1:] or ["py", "cpython"]
    return subprocess.run([sys.executable, TOP / "tests" / "run.py", *parts],
                          env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
