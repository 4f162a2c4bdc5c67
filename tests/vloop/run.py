#!/usr/bin/env python3
"""CPython's tests of tasks and what is built on them, on a real loop.

Most of those tests run on a loop of their own (TestLoop), or in debug mode,
so that the fast path is never taken.  Here they run on the loop under test,
out of debug mode, on a virtual clock, and the steps that tasks take on the
fast path are counted: a test without any has failed, unless exclusions.toml
says why there can be none.  Options as tests/cpython/run.py has them.

The last line is 'N passed, N failed'; the exit status is 0 if none failed.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cpython"))

import run  # noqa: E402

LAYERS = ["futures", "tasks", "timeouts", "taskgroups", "locks", "queues"]


def main():
    layers = run.Layers()
    layers.enabled = LAYERS
    exclusions = run.Exclusions()
    exclusions.add(HERE / "exclusions.toml")
    return run.main("On a virtual clock", __doc__, str(HERE / "virtual.py"),
                    layers, exclusions)


if __name__ == "__main__":
    sys.exit(main())
