"""The same expression or coroutine with asyncio's primitives and with ours.

What comes out, or is raised, is compared as text.  USE has a short life of
each primitive: a coroutine function that does with it what can be done.
"""

import asyncio

from syncworlds import NATIVE, STOCK, describe, plain

import ouro

KITS = [STOCK, NATIVE]
MAKE = {
    "Lock": "k.Lock()",
    "Event": "k.Event()",
    "Condition": "k.Condition()",
    "Semaphore": "k.Semaphore(2)",
    "BoundedSemaphore": "k.BoundedSemaphore(2)",
    "Barrier": "k.Barrier(2)",
    "Queue": "k.Queue(2)",
    "PriorityQueue": "k.PriorityQueue(2)",
    "LifoQueue": "k.LifoQueue(2)",
}


def outcome(function):
    try:
        return plain(repr(function()))
    except BaseException as error:
        return "raises " + plain(describe(error))


def same(function):
    """function(kit) has the same outcome for asyncio's kit and ours."""
    stock, native = (outcome(lambda kit=kit: function(kit)) for kit in KITS)
    assert native == stock
    return stock


def run(function):
    """The same of an async function, each on a loop of its own."""
    def call(kit):
        loop = asyncio.SelectorEventLoop() if kit is STOCK else ouro.Loop()
        try:
            return loop.run_until_complete(
                asyncio.wait_for(function(kit), 60))
        finally:
            loop.close()
    return same(call)


# ---- short lives -----------------------------------------------------------


async def turns(count=6):
    for _ in range(count):
        await asyncio.sleep(0)


async def use_lock(it):
    async with it:
        tasks = [asyncio.ensure_future(it.acquire()) for _ in range(3)]
        await turns(2)
        tasks[0].cancel()
    await turns()
    return tasks[1].done(), tasks[2].done(), tasks[2].cancel(), repr(it)[-12:]


async def use_event(it):
    tasks = [asyncio.ensure_future(it.wait()) for _ in range(3)]
    await turns(2)
    tasks[0].cancel()
    it.set()
    await turns()
    it.clear()
    return [task.done() for task in tasks], it.is_set()


async def use_condition(it):
    async def wait():
        async with it:
            return await it.wait()

    async def wait_for(seen=[0]):   # noqa: B006
        async with it:
            seen[0] += 1
            return await it.wait_for(lambda: seen[0] > 1)

    tasks = [asyncio.ensure_future(wait()) for _ in range(3)]
    tasks.append(asyncio.ensure_future(wait_for()))
    await turns(3)
    tasks[0].cancel()
    async with it:
        it.notify()
    await turns()
    async with it:
        it.notify_all()
    await turns()
    done = [task.done() for task in tasks]
    for task in tasks:
        task.cancel()
    await turns(3)
    return done, repr(it)[-12:]


async def use_semaphore(it):
    async with it, it:
        tasks = [asyncio.ensure_future(it.acquire()) for _ in range(3)]
        await turns(2)
        tasks[0].cancel()
    await turns()
    it.release()
    await turns()
    return [task.done() for task in tasks], repr(it)[-12:]


async def use_barrier(it):
    async def meet():
        async with it as index:
            return index

    tasks = [asyncio.ensure_future(meet()) for _ in range(5)]
    await turns(12)
    await it.reset()
    await turns()
    await it.abort()
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def use_queue(it):
    tasks = [asyncio.ensure_future(it.get()) for _ in range(2)]
    await turns(2)
    tasks[0].cancel()
    it.put_nowait(5)
    await it.put(3)
    await turns()
    putters = [asyncio.ensure_future(it.put(i)) for i in range(4)]
    await turns()
    putters[1].cancel()
    got = [it.get_nowait(), await it.get()]
    await turns()
    full = it.full(), it.empty(), it.qsize(), str(it)
    joiner = asyncio.ensure_future(it.join())
    await turns(1)
    while not joiner.done() and not it.empty():
        it.get_nowait()
        it.task_done()
        await turns(2)
    while it._unfinished_tasks:
        it.task_done()
    await turns(3)
    waiting = asyncio.ensure_future(it.get())
    await turns(1)
    if hasattr(it, "shutdown"):
        it.shutdown(immediate=True)
    await turns(2)
    done = waiting.done(), joiner.done()
    waiting.cancel()
    await asyncio.gather(waiting, *putters, return_exceptions=True)
    return got, full, done, tasks[1].result()


USE = {"Lock": use_lock, "Event": use_event, "Condition": use_condition,
       "Semaphore": use_semaphore, "BoundedSemaphore": use_semaphore,
       "Barrier": use_barrier, "Queue": use_queue,
       "PriorityQueue": use_queue, "LifoQueue": use_queue}
