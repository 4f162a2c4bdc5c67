"""Whatever is passed to whatever there is: an exception, and no crash."""

import pathlib
import re

import pytest

PROGRAM = pathlib.Path(__file__).with_name("garbage.py")


@pytest.mark.parametrize("seed", [*range(4), 9, 10, 13, 23, 47])
def test_garbage(seed, python):
    done = python("-X", "faulthandler", PROGRAM, seed, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    # (Some of what is called prints.)
    found = re.search(r"(\d+) types, (\d+) functions\n$", done.stdout)
    assert found, done.stdout[-3000:]
    assert "SystemError" not in done.stdout, done.stdout[-3000:]
    assert int(found[1]) > 30 and int(found[2]) > 20
