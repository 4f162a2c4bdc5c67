"""What a program did, in a form that can be compared with another run."""

import asyncio
import contextlib
import logging
import re


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
