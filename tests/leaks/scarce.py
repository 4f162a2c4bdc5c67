"""Runs one scenario again and again, each time with one allocation failing.

usage: scarce.py IMPLEMENTATION SCENARIO|--list

Whatever fails for want of memory raises MemoryError (or reports it to the
loop's exception handler); it loses nothing that was there before: what was
scheduled is called, and the loop goes on.  A crash shows in the status.
"""

import asyncio
import gc
import importlib
import json
import logging
import sys
import warnings

try:
    import _testcapi
except ImportError:
    _testcapi = None

ALLOCATIONS = 150       # so many are made to fail, one in each run
TABLE = {}


def scenario(function):
    TABLE[f"no_memory_{function.__name__}"] = function
    return function


async def result():
    return 1


async def steps():
    for _ in range(3):
        await asyncio.sleep(0)


async def failure():
    raise ValueError("of the test")


def nothing(*args):
    pass


@scenario
def future(loop):
    """Make, fill and drop futures."""
    one, two, three = (loop.create_future() for _ in range(3))
    one.set_result(1)
    two.set_exception(ValueError())
    two.exception()
    three.cancel("message")
    repr(three)


@scenario
def future_callbacks(loop):
    future = asyncio.Future(loop=loop)
    for _ in range(5):
        future.add_done_callback(nothing)
    future.remove_done_callback(nothing)
    future._callbacks
    future.add_done_callback(nothing)
    future.set_result(1)
    future.add_done_callback(nothing)


@scenario
def handle(loop):
    loop.call_soon(nothing, 1, 2)
    loop.call_later(1000, nothing).cancel()
    repr(loop.call_soon(nothing))
    loop.call_soon_threadsafe(nothing)


@scenario
def many_timers(loop):
    handles = []
    try:
        for _ in range(200):
            handles.append(loop.call_later(1000, nothing))
    finally:
        for handle in handles:
            handle.cancel()


@scenario
def task(loop):
    loop.run_until_complete(loop.create_task(result()))


@scenario
def task_steps(loop):
    loop.run_until_complete(steps())


@scenario
def task_waits(loop):
    async def main():
        future = loop.create_future()
        loop.call_soon(future.set_result, 1)
        await future

    loop.run_until_complete(main())


@scenario
def task_fails(loop):
    task = loop.create_task(failure())
    try:
        loop.run_until_complete(task)
    except ValueError:
        pass


@scenario
def task_cancelled(loop):
    task = loop.create_task(asyncio.sleep(1000))
    loop.call_soon(task.cancel)
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass
    finally:
        task.cancel()


@scenario
def gather(loop):
    async def main():
        await asyncio.gather(steps(), result())

    loop.run_until_complete(main())


@scenario
def sleep(loop):
    async def main():
        await asyncio.sleep(1e-6)

    loop.run_until_complete(main())


@scenario
def queue_and_lock(loop):
    async def main():
        queue, lock = asyncio.Queue(), asyncio.Lock()
        task = loop.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait(1)
        await task
        async with lock:
            pass

    loop.run_until_complete(main())


@scenario
def streams(loop):
    async def main():
        import socket
        one, other = socket.socketpair()
        with one, other:
            reader, writer = await asyncio.open_connection(sock=one)
            try:
                other.send(b"line\n")
                await reader.readline()
                writer.write(b"x" * 100)
            finally:
                writer.close()

    loop.run_until_complete(main())


def once(function, number):
    """One run; returns what is wrong with it, or None."""
    loop = asyncio.new_event_loop()
    reported, called = [], []
    loop.set_exception_handler(lambda loop, what: reported.append(
        what.get("exception")))
    loop.call_soon(called.append, 1)
    loop.call_later(0, called.append, 2)
    error = None
    _testcapi.set_nomemory(number, number + 1)
    try:
        function(loop)
    except BaseException as caught:
        error = caught
    finally:
        _testcapi.remove_mem_hooks()
    complaint = None
    if error is not None and not isinstance(error, MemoryError):
        complaint = f"{error!r} came out"
    error = None
    try:
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(0), 10))
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
    except BaseException as caught:
        complaint = complaint or f"afterwards, {caught!r} came out"
    if sorted(called) != [1, 2]:
        complaint = complaint or f"of two callbacks, {called} were called"
    for exception in reported:
        if not isinstance(exception, (MemoryError, type(None))):
            complaint = complaint or f"{exception!r} was reported"
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return complaint


def main():
    implementation, name = sys.argv[1:]
    module = importlib.import_module(implementation)
    if implementation != "asyncio":
        module.install()
    if name == "--list":
        names, notes = list(TABLE), []
        if _testcapi is None:
            names, notes = [], ["no _testcapi: no allocation was made to fail"]
        print(json.dumps({"names": names, "notes": notes}))
        return
    warnings.simplefilter("ignore")
    logging.disable()
    unraisable = []
    sys.unraisablehook = lambda what: unraisable.append(what.exc_value)
    complaints = {}
    once(TABLE[name], 1_000_000)        # imports and caches
    for number in range(ALLOCATIONS):
        complaint = once(TABLE[name], number)
        gc.collect()
        for error in unraisable:
            if not isinstance(error, (MemoryError, type(None))):
                complaint = complaint or f"{error!r} was unraisable"
        unraisable.clear()
        if complaint:
            complaints.setdefault(complaint, []).append(number)
    print(json.dumps({"figures": {}, "complaints": [
        f"{complaint} (allocations {numbers})"
        for complaint, numbers in complaints.items()]}))


if __name__ == "__main__":
    main()
