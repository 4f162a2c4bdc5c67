"""Every program of examples/ says the same on asyncio and on ouro."""

import json
import pathlib

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py")
                  if path.name != "main_job.py")


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_output(name, python):
    stock = python(EXAMPLES / name)
    assert (stock.returncode, stock.stderr) == (0, "")
    assert stock.stdout
    ours = python("-m", "ouro", EXAMPLES / name)
    assert (ours.stdout, ours.stderr, ours.returncode) == (
        stock.stdout, stock.stderr, 0)


def test_the_main_job_does_the_same_work(python):
    arguments = (EXAMPLES / "main_job.py", "--clients", 10, "--requests", 10,
                 "--tasks", 100, "--messages", 2000)
    work = []
    for command in (), ("-m", "ouro"):
        done = python(*command, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        lines = map(json.loads, done.stdout.splitlines())
        work.append([{key: line[key] for key in ("part", "done", "steps")
                      if key in line} for line in lines])
    assert work[0] == work[1]
    assert work[0][-1] == {"part": "messages", "steps": 2000}
