"""Programs that do everything at once, disturbed at random (chaos.py)."""

import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parent
CERTIFICATE = FOLDER.parent / "net" / "localhost.pem"


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("loop", ["fast", "debug", "subclass", "poll"])
def test_nothing_is_lost(python, loop, seed):
    done = python("-m", "ouro", FOLDER / "chaos.py", loop, seed, 400,
                  CERTIFICATE)
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0, done.stderr
