"""What tasks do with a primitive, and what is done to it from outside.

The first are coroutine functions (it, log, ...), the others plain functions
(it, ...); both are given to a World (syncworlds.py).
"""

import asyncio
import sys

SHUTDOWN = sys.version_info >= (3, 13)


# ---- by tasks --------------------------------------------------------------


async def acquire(it, log):
    return await it.acquire()


async def hold(it, log, turns):
    async with it as value:
        log("has", value)
        for _ in range(turns):
            await asyncio.sleep(0)


async def wait(it, log):
    return await it.wait()


async def wait_with_lock(it, log, turns):
    async with it:
        for _ in range(turns):
            await asyncio.sleep(0)
        log("waits")
        value = await it.wait()
        log("woken", value)
        for _ in range(turns):
            await asyncio.sleep(0)


async def wait_for(it, log, times):
    """True when it has been asked a number of times."""
    asked = []

    def predicate():
        asked.append(0)
        return len(asked) > times

    async with it:
        value = await it.wait_for(predicate)
        log("held", value, len(asked))


async def notify(it, log, count):
    async with it:
        return it.notify(count)


async def notify_all(it, log):
    async with it:
        return it.notify_all()


async def reset(it, log):
    return await it.reset()


async def abort(it, log):
    return await it.abort()


async def get(it, log):
    return await it.get()


async def put(it, log, item):
    return await it.put(item)


async def join(it, log):
    return await it.join()


# ---- from outside ----------------------------------------------------------


def release(it):
    return it.release()


def locked(it):
    return it.locked()


def waiters(it):
    """Look at the line: from then on, it is a deque."""
    line = it._waiters
    if line is None:
        return None
    return type(line).__name__, [(w.done(), w.cancelled()) for w in line]


def set_event(it):
    return it.set()


def clear(it):
    return it.clear()


def is_set(it):
    return it.is_set()


def notify_now(it, count):
    return it.notify(count)


def barrier_state(it):
    return it._state.value, it._count, it.n_waiting, it.parties, it.broken


def get_nowait(it):
    return it.get_nowait()


def put_nowait(it, item):
    return it.put_nowait(item)


def task_done(it):
    return it.task_done()


def sizes(it):
    return it.qsize(), it.empty(), it.full(), it.maxsize, str(it)


def look_inside(it):
    return (type(it._queue).__name__, list(it._queue),
            it._unfinished_tasks, it._finished.is_set())


def lines(it):
    return [[(w.done(), w.cancelled()) for w in line]
            for line in (it._getters, it._putters)]


def throw_away(it):
    return it._queue.clear()


def shutdown(it, immediate):
    return it.shutdown(immediate)
