"""The same program on asyncio's loop and on ouro's, and what it left behind."""

import asyncio
import contextlib
import gc
import logging
import re
import warnings

import pytest

import ouro

FACTORIES = {"asyncio": asyncio.SelectorEventLoop, "ouro": ouro.Loop}


def plain(text):
    """A text without what differs between two runs that are alike."""
    text = re.sub("0x[0-9a-f]+", "0x", str(text))
    text = re.sub(r"\b_?(Unix)?SelectorEventLoop\b|\bLoopCore\b", "Loop", text)
    return re.sub(r"\bwhen=[0-9.]+", "when=T", text)


class Trace(list):
    """What happened, in order."""

    def errors(self, *calls):
        """The result, or the exception, of each call."""
        for call in calls:
            try:
                self.append(plain(repr(call())))
            except (Exception, asyncio.CancelledError) as error:
                self.append(plain(f"{type(error).__name__}: {error}"))


class Log(logging.Handler):
    """Collects what asyncio logs."""

    def __init__(self, trace):
        super().__init__()
        self.trace = trace

    def emit(self, record):
        error = record.exc_info and repr(record.exc_info[1])
        self.trace.append((record.levelname, plain(record.getMessage()),
                           error))


@contextlib.contextmanager
def logged(trace):
    """Within it, what asyncio logs goes into the trace, and nowhere else."""
    logger = logging.getLogger("asyncio")
    handler = Log(trace)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


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
