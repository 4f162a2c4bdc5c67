"""What all tests share: which ouro is tested, and how to start a Python."""

import os
import sys

# `python -m pytest` puts the current folder first; a build that PYTHONPATH
# names is what is meant to be tested.
_named = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)
          if path]
sys.path[:] = _named + [path for path in sys.path if path not in _named]

import gc  # noqa: E402
import pathlib  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402

import pytest  # noqa: E402

import ouro  # noqa: E402

sys.path.append(str(pathlib.Path(__file__).parent))

from older_asyncio import skip_what_is_older  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent


def pytest_configure():
    """What a shell starts in the background would ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    skip_what_is_older(items)


def pytest_collection_finish():
    """Thousands of tests are objects too, and many tests collect garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def top():
    """The folder of the source tree."""
    return TOP


@pytest.fixture
def python(tmp_path):
    """Runs this Python with the ouro that is tested, in an empty folder.

    python(*arguments, input=None, options=()) returns a CompletedProcess
    with text.
    """
    folder = os.path.dirname(os.path.dirname(os.path.abspath(ouro.__file__)))
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("PYTHON")
                   or name == "PYTHONMALLOC"}     # (make asan sets it)
    environment["PYTHONPATH"] = folder

    def run(*arguments, input="", cwd=tmp_path, timeout=200, env=()):
        return subprocess.run(
            [sys.executable, *map(str, arguments)], input=input, text=True,
            capture_output=True, cwd=cwd, timeout=timeout,
            env={**environment, **dict(env)})

    return run
