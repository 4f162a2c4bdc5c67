"""The table of scenarios that run without memory, and what they share.

A scenario is a function of a loop and of begin(), which lets allocations fail
from then on.  Making a function is not for that part: if it cannot, the
interpreter gives its code back twice and crashes later, when that runs again
(MAKE_FUNCTION of 3.12 and 3.13).  The files scarce_*.py fill the table, a room
each.
"""

import asyncio

ALLOCATIONS = 120       # so many are made to fail, one in each run
TABLE = {}              # name -> (scenario, how many allocations)


def scenario(function, allocations=ALLOCATIONS):
    """function(loop, begin): allocations fail from begin() on."""
    TABLE[f"no_memory_{function.__name__}"] = function, allocations
    return function


def in_loop(function, allocations=ALLOCATIONS):
    """The scenario of an `async def` of begin.

    What it has begun and not ended is cancelled afterwards.
    """
    def run(loop, begin):
        loop.run_until_complete(function(begin))
    run.__name__ = function.__name__
    scenario(run, allocations)
    return function


async def steps():
    for _ in range(3):
        await asyncio.sleep(0)


def nothing(*args):
    pass


def turns(loop, count):
    for _ in range(count):
        loop.stop()
        loop.run_forever()
