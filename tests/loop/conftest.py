"""The same program on asyncio's loop and on ouro's; what it left behind."""

import asyncio
import gc
import pathlib
import sys
import warnings

import pytest

import ouro

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from looptrace import Trace, logged  # noqa: E402

FACTORIES = {"asyncio": asyncio.SelectorEventLoop, "ouro": ouro.Loop}


def run(factory, program):
    trace = Trace()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with logged(trace):
            loop = factory()
            try:
                program(loop, trace)
            finally:
                if not loop.is_running():
                    loop.close()
            del loop
            gc.collect()
    return trace


@pytest.fixture
def same():
    """same(program): program(loop, trace) leaves the same trace on both.

    Returns that trace.
    """
    def check(program):
        expected = run(FACTORIES["asyncio"], program)
        assert run(FACTORIES["ouro"], program) == expected
        return expected

    return check


@pytest.fixture
def loop():
    """A loop of ouro's."""
    loop = ouro.Loop()
    yield loop
    if not loop.is_closed():
        loop.close()
