"""The table of operations that are repeated, and what they share.

An operation is a function, shown under its name.  An `async def` runs in a
loop, awaited again and again; a plain function is called with no loop
running.  The files ops_*.py fill the table, a subject each.
"""

import asyncio
import contextlib
import inspect
import sys
import warnings

TABLE = {}      # name -> Operation

warnings.simplefilter("ignore")


class Operation:
    def __init__(self, function, times, debug):
        self.function = function
        self.times = times
        self.debug = debug

    @contextlib.contextmanager
    def ready(self):
        """A function of how often to do it."""
        if not inspect.iscoroutinefunction(self.function):
            yield self._repeat
            return

        async def repeat(times):
            for _ in range(times):
                await self.function()

        with asyncio.Runner(debug=self.debug) as runner:
            runner.get_loop().set_exception_handler(lambda loop, what: None)
            yield lambda times: runner.run(repeat(times))

    def _repeat(self, times):
        for _ in range(times):
            self.function()


def operation(times=500, debug=False, since=(3, 11)):
    def register(function):
        if sys.version_info >= since:
            TABLE[function.__name__] = Operation(function, times, False)
            if debug:   # which takes other ways: besides, in debug mode
                TABLE[function.__name__ + "_debug"] = Operation(
                    function, max(min(times, 50), times // 5), True)
        return function
    return register


def loop():
    return asyncio.get_running_loop()


def nothing(*args):
    pass


async def result(value=None):
    return value


async def failure():
    raise ValueError("of the test")


async def forever():
    await loop().create_future()
