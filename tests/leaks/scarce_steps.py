"""Loops whose private steps somebody has overridden, without memory.

(create_connection() is not among them: on such a loop it is asyncio's code,
and one of its allocations, if it fails, leaves it waiting.  Whose fault that
is has not been found out.)
"""

import asyncio
import functools
import os
import signal

from ops_steps import STEPS, pair
from scarce_table import nothing, scenario, turns


def stepped(function):
    """The scenario of an `async def` of such a loop, begin and two sockets.
    """
    def run(loop, begin):
        kind = type(loop)
        for name in STEPS:
            if hasattr(kind, name):
                setattr(loop, name,
                        functools.partial(getattr(kind, name), loop))
        with pair() as (one, other):
            loop.run_until_complete(function(loop, begin, one, other))
    run.__name__ = "steps_" + function.__name__
    scenario(run)
    return function


@stepped
async def calls(loop, begin, one, other):
    begin()
    loop.call_soon(nothing)
    loop.call_later(0, nothing)
    loop.call_soon_threadsafe(nothing)
    await asyncio.sleep(0)


@stepped
async def signals(loop, begin, one, other):
    begin()
    loop.add_signal_handler(signal.SIGUSR1, nothing)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0)
    loop.remove_signal_handler(signal.SIGUSR1)


@stepped
async def streams(loop, begin, one, other):
    begin()
    waiting = loop.create_task(loop.sock_recv(one, 9))
    await asyncio.sleep(0)
    await loop.sock_sendall(other, b"x")
    await waiting


@stepped
async def serving(loop, begin, one, other):
    begin()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    server.close()


@stepped
async def watching(loop, begin, one, other):
    begin()
    loop.add_reader(one, nothing)
    loop.remove_reader(one)


@scenario
def steps_of_turns(loop, begin):
    loop._check_running = functools.partial(type(loop)._check_running, loop)
    loop._process_self_data = functools.partial(
        type(loop)._process_self_data, loop)
    begin()
    loop.call_soon_threadsafe(nothing)
    turns(loop, 2)
