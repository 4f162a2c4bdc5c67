"""Locks, events, conditions, semaphores, barriers and queues."""

import asyncio

from scarce_table import in_loop, scenario


async def uses_queue(begin):
    queue = asyncio.Queue()
    begin()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(1)
    await task


@scenario
def queue(loop, begin):
    loop.run_until_complete(uses_queue(begin))


async def uses_lock(begin):
    lock = asyncio.Lock()
    begin()
    async with lock:
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
    await task


@scenario
def lock(loop, begin):
    loop.run_until_complete(uses_lock(begin))


@in_loop
async def event(begin):
    event = asyncio.Event()
    task = asyncio.ensure_future(event.wait())
    await asyncio.sleep(0)
    begin()
    event.set()
    await task
    await event.wait()


@in_loop
async def semaphore(begin):
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    task = asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    begin()
    semaphore.release()
    await task


@in_loop
async def condition(begin):
    condition = asyncio.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    begin()
    async with condition:
        condition.notify_all()
    await task


@in_loop
async def barrier(begin):
    barrier = asyncio.Barrier(2)
    task = asyncio.ensure_future(barrier.wait())
    await asyncio.sleep(0)
    begin()
    try:
        await barrier.wait()
    finally:
        task.cancel()


@in_loop
async def queues(begin):
    begin()
    for kind in asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue:
        queue = kind(2)
        queue.put_nowait(1)
        await queue.put(2)
        await queue.get()
        queue.task_done()
