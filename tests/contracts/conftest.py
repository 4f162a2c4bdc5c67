"""Runs one program as it is, and under `python -m ouro`."""

import pathlib
import re
import sys
import textwrap

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.register_assert_rewrite("worlds")


def comparable(text):
    """Without what differs between two runs that are alike."""
    text = re.sub("0x[0-9a-f]+", "0x", text)
    text = re.sub(r"(?m)^.*(tracemalloc|RuntimeWarning).*\n", "", text)
    return re.sub(r"\b(_UnixSelectorEventLoop|Loop)\b", "EventLoop", text)


@pytest.fixture
def both(python, tmp_path):
    """both(program, *options): run the program on asyncio and on ouro.

    Both must write the same to standard output and end with the same status,
    and no crash or ignored exception may show.  Returns what ouro's run gave.
    """

    def run(program, *options, errors=False, timeout=200):
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(program))
        stock = python(*options, file, timeout=timeout)
        ours = python(*options, "-m", "ouro", file, timeout=timeout)
        for result in (stock, ours):
            assert "Fatal Python error" not in result.stderr, result.stderr
        assert ours.returncode == stock.returncode, ours.stderr
        assert comparable(ours.stdout) == comparable(stock.stdout)
        if errors:
            assert comparable(ours.stderr) == comparable(stock.stderr)
        elif not stock.stderr:
            assert not ours.stderr
        return ours

    return run
