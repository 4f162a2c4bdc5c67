#!/usr/bin/env python3
"""Compiles each source with warnings as errors and gcc's -fanalyzer.

usage: analyze.py [source ...]      (all of src/ if none is named)

The analyzer follows paths through a function and what it calls in the same
file: leaks, double frees, use of what has been freed, NULL dereferences.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import sysconfig

import flags

TOP = pathlib.Path(__file__).resolve().parent.parent


def analyze(source):
    command = [os.environ.get("CC", "gcc"), *flags.STANDARD, *flags.OPTIMIZE,
               *flags.WARNINGS, "-fanalyzer", f"-I{TOP / 'src'}",
               "-isystem", sysconfig.get_paths()["include"],
               "-c", str(source), "-o", "/dev/null"]
    done = subprocess.run(command, cwd=TOP, text=True, capture_output=True)
    if done.returncode or done.stderr:
        print(done.stderr, end="", flush=True)
        return 1
    return 0


def main():
    sources = sys.argv[1:] or sorted(
        str(path.relative_to(TOP)) for path in TOP.glob("src/**/*.c"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = sum(pool.map(analyze, sources))
    print(f"{len(sources)} files analyzed, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
