"""Runs one scenario again and again, each time with one allocation failing.

usage: scarce.py IMPLEMENTATION SCENARIO|--list [NUMBER...]

Whatever fails for want of memory raises MemoryError (or reports it to the
loop's exception handler); it loses nothing that was there before: what was
scheduled is called, and the loop goes on.  A crash shows in the status;
with NUMBERs these allocations alone fail, one in each run.
"""

import asyncio
import faulthandler
import functools
import gc
import importlib
import json
import logging
import os
import pathlib
import re
import sys
import warnings

try:
    import _testcapi
except ImportError:
    _testcapi = None

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE))
import scarce_table as table  # noqa: E402

# What fails there is not ours: modules that asyncio uses, in Python.
CPYTHONS = {"collections.abc", "contextlib", "enum", "os", "selectors",
            "signal", "socket", "ssl", "subprocess", "threading"}
NEVER = 1_000_000_000   # that allocation is not reached


async def cancel_all():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Log:
    """What a run has called, and reported."""

    def __init__(self, loop):
        self.called = [False, False]
        self.reported = []
        loop.set_exception_handler(self._report)
        # These need no memory.
        loop.call_soon(self.called.__setitem__, 0, True)
        loop.call_later(0, self.called.__setitem__, 1, True)

    def _report(self, loop, context):
        # (Not its handle: a task that could not be stepped is garbage.)
        self.reported.append(context.get("exception"))

    def complaint(self):
        for error in self.reported:
            if not is_want_of_memory(error):
                return f"{error!r} was reported"
        if not all(self.called) and not any(self.reported):
            return f"callbacks were lost, or not: {self.called}"
        return None


def raised_in(error):
    """The name of the module whose Python code it comes from, or None."""
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_globals.get("__name__", "")


def is_of_cpython(error):
    """Is it what the interpreter itself makes of want of memory?

    It does not say that a frame of Python code had none, if that is called by
    Python code of the standard library; and locks have an error of their own.
    """
    module = raised_in(error)
    if isinstance(error, SystemError) and error.__cause__ is not None:
        # getpeercert() of _ssl makes an SSLError with the MemoryError set.
        return isinstance(error.__cause__, MemoryError) and str(error) == (
            "<class 'ssl.SSLError'> returned a result with an exception set")
    if isinstance(error, AttributeError):
        # Looking an attribute up in a type is what had no memory.
        return hasattr(error.obj, error.name or "")
    if isinstance(error, SystemError):
        return module in CPYTHONS and bool(re.match(
            "error return without exception set$|<.* returned "
            "NULL without setting an exception$", str(error)))
    return (isinstance(error, RuntimeError) and module in CPYTHONS
            and str(error) == "can't allocate lock")


def is_want_of_memory(error):
    """Also None, and what a TaskGroup makes of it."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_want_of_memory, error.exceptions))
    return (error is None or isinstance(error, MemoryError)
            or is_of_cpython(error))


def closed_late(error):
    """A child's transport whose maker had no memory for the rest is closed
    when it is collected; that is after the loop here, as with asyncio."""
    return (isinstance(error, RuntimeError)
            and str(error) == "Event loop is closed")


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def once(function, number):
    """One run; returns what is wrong with it, or None."""
    before = descriptors()
    loop = asyncio.new_event_loop()
    log = Log(loop)
    error = None
    try:
        function(loop, functools.partial(_testcapi.set_nomemory, number,
                                         number + 1))
    except BaseException as caught:
        error = caught
    finally:
        _testcapi.remove_mem_hooks()
    if not is_want_of_memory(error):
        return f"{error!r} came out of {raised_in(error)}"
    error = None
    loop.set_debug(False)
    try:
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(0.001), 10))
        loop.run_until_complete(cancel_all())
    except BaseException as caught:
        return f"afterwards, {caught!r} came out"
    finally:
        loop.close()
    complaint = log.complaint()
    del loop, log
    gc.collect()
    if descriptors() > before:
        complaint = complaint or "descriptors were left open"
    return complaint


def complaints_of(name, numbers):
    """{what is wrong: the allocations that it came of}"""
    unraisable, complaints = [], {}
    sys.unraisablehook = lambda what: unraisable.append(what.exc_value)
    function, allocations = table.TABLE[name]
    once(function, NEVER)       # imports and caches
    for number in numbers or range(allocations):
        complaint = once(function, number)
        for error in unraisable:
            if not is_want_of_memory(error) and not closed_late(error):
                complaint = complaint or f"{error!r} was unraisable"
        unraisable.clear()
        if complaint:
            complaints.setdefault(complaint, []).append(number)
    return complaints


def main():
    implementation, name, *numbers = sys.argv[1:]
    module = importlib.import_module(implementation)
    if implementation != "asyncio":
        module.install()
    for file in sorted(HERE.glob("scarce_*.py")):
        importlib.import_module(file.stem)
    if name == "--list":
        names, notes = list(table.TABLE), []
        if _testcapi is None:
            names, notes = [], ["no _testcapi: no allocation was made to fail"]
        print(json.dumps({"names": names, "notes": notes}))
        return
    faulthandler.dump_traceback_later(110, exit=True)
    warnings.simplefilter("ignore")
    logging.disable()
    complaints = complaints_of(name, [int(number) for number in numbers])
    print(json.dumps({"figures": {}, "complaints": [
        f"{complaint} (allocations {numbers})"
        for complaint, numbers in complaints.items()]}))


if __name__ == "__main__":
    main()
