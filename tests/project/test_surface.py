"""docs/surface.md names an owner for each public name of asyncio."""

import importlib.util
import sys

import pytest

from ouro._info import NOBODY, surface


def test_everything_has_an_owner():
    assert not [row[:2] for row in surface() if row[2] == NOBODY]


def test_the_file_is_up_to_date(top, python):
    done = python(top / "tools" / "surface.py", "--check")
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("name", ["surface"])
def test_reads_what_it_writes(name, top):
    spec = importlib.util.spec_from_file_location(
        name, top / "tools" / f"{name}.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    rows = tool.read()
    assert tool.write(rows) == tool.FILE.read_text()
    assert "%d.%d" % sys.version_info[:2] in tool.VERSIONS
