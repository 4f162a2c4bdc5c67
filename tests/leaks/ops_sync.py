"""Locks and their kin, queues."""

import asyncio
import contextlib

from table import operation


@operation()
async def lock():
    lock = asyncio.Lock()
    async with lock:
        task = asyncio.create_task(lock.acquire())
        other = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        other.cancel()
        repr(lock)
    await task
    lock.release()
    with contextlib.suppress(RuntimeError):
        lock.release()


@operation()
async def event():
    event = asyncio.Event()
    task = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    event.set()
    await task
    event.clear()


@operation()
async def condition():
    condition = asyncio.Condition()

    async def waiter():
        async with condition:
            await condition.wait()

    tasks = [asyncio.create_task(waiter()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks, return_exceptions=True)


@operation()
async def semaphore():
    semaphore = asyncio.BoundedSemaphore(1)
    async with semaphore:
        task = asyncio.create_task(semaphore.acquire())
        await asyncio.sleep(0)
    await task
    semaphore.release()
    with contextlib.suppress(ValueError):
        semaphore.release()


@operation(times=200)
async def barrier():
    barrier = asyncio.Barrier(2)
    await asyncio.gather(barrier.wait(), barrier.wait())
    task = asyncio.create_task(barrier.wait())
    await asyncio.sleep(0)
    await barrier.abort()
    await asyncio.gather(task, return_exceptions=True)


@operation()
async def queue():
    queue = asyncio.Queue(2)
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(object())
    await task
    for _ in range(2):
        await queue.put(object())
    putter = asyncio.create_task(queue.put(object()))
    await asyncio.sleep(0)
    for _ in range(4):
        queue.task_done()
        with contextlib.suppress(asyncio.QueueEmpty):
            queue.get_nowait()
        await asyncio.sleep(0)
        if putter.done():
            break
    await putter
    repr(queue), queue.qsize(), queue.empty(), queue.full()


@operation()
async def queue_cancelled():
    queue = asyncio.Queue()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def queue_join():
    queue = asyncio.Queue()
    queue.put_nowait(1)
    task = asyncio.create_task(queue.join())
    await asyncio.sleep(0)
    queue.task_done()
    await task


@operation()
async def queue_kinds():
    for kind in (asyncio.PriorityQueue, asyncio.LifoQueue):
        queue = kind()
        for number in (3, 1, 2):
            await queue.put(number)
        await queue.get()


@operation(since=(3, 13))
async def queue_shutdown():
    queue = asyncio.Queue()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.shutdown()
    await asyncio.gather(task, return_exceptions=True)
