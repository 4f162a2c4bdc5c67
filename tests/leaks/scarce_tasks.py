"""Futures, tasks and what waits for them; the loop's calls."""

import asyncio
import inspect
import socket

from scarce_table import in_loop, nothing, scenario, steps


async def result():
    return 1


async def failure():
    raise ValueError("of the test")


async def waits_for(future):
    return await future


@scenario
def future(loop, begin):
    """Make, fill and drop futures."""
    begin()
    one, two, three = [loop.create_future() for _ in range(3)]
    one.set_result(1)
    two.set_exception(ValueError)
    two.exception()
    three.cancel("message")
    repr(three)


@scenario
def future_callbacks(loop, begin):
    begin()
    future = asyncio.Future(loop=loop)
    for _ in range(5):
        future.add_done_callback(nothing)
    future.remove_done_callback(nothing)
    future._callbacks
    future.add_done_callback(nothing)
    future.set_result(1)
    future.add_done_callback(nothing)


def itself(function):
    return function


@scenario
def handle(loop, begin):
    # (What repr() asks makes a function.)
    unwrap, inspect.unwrap = inspect.unwrap, itself
    begin()
    try:
        loop.call_soon(nothing, 1, 2)
        loop.call_later(1000, nothing).cancel()
        repr(loop.call_soon(nothing))
        loop.call_soon_threadsafe(nothing)
    finally:
        inspect.unwrap = unwrap


@scenario
def many_timers(loop, begin):
    handles = []
    begin()
    try:
        for _ in range(200):
            handles.append(loop.call_later(1000, nothing))
    finally:
        for handle in handles:
            handle.cancel()


@scenario
def task(loop, begin):
    coroutine = result()
    begin()
    loop.run_until_complete(loop.create_task(coroutine))


@scenario
def task_steps(loop, begin):
    coroutine = steps()
    begin()
    loop.run_until_complete(coroutine)


@scenario
def task_waits(loop, begin):
    future = loop.create_future()
    coroutine = waits_for(future)
    begin()
    loop.call_soon(future.set_result, 1)
    loop.run_until_complete(coroutine)


@scenario
def calls_in_a_thread(loop, begin):
    """(Which is there already: threading itself hangs if it cannot start.)"""
    loop.run_until_complete(asyncio.to_thread(nothing))
    coroutine = asyncio.to_thread(nothing, 1, 2)
    begin()
    loop.run_until_complete(loop.run_in_executor(None, nothing, 1))
    loop.run_until_complete(coroutine)


@scenario
def task_fails(loop, begin):
    task = loop.create_task(failure())
    task.add_done_callback(asyncio.Task.exception)
    begin()
    try:
        loop.run_until_complete(task)
    except ValueError:
        pass


@scenario
def task_cancelled(loop, begin):
    task = loop.create_task(asyncio.sleep(1000))
    begin()
    loop.call_soon(task.cancel)
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass


@scenario
def task_foreign(loop, begin):
    """Futures of asyncio's in Python, awaited by a task."""
    future = asyncio.futures._PyFuture(loop=loop)
    coroutine = waits_for(future)
    loop.call_soon(future.set_result, 1)
    begin()
    loop.run_until_complete(coroutine)


@scenario
def sleep(loop, begin):
    coroutine = asyncio.sleep(1e-6)
    begin()
    loop.run_until_complete(coroutine)


@in_loop
async def gathered(begin):
    tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(3)]
    begin()
    await asyncio.gather(*tasks)


@in_loop
async def waited(begin):
    tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(3)]
    begin()
    await asyncio.wait(tasks)
    for future in asyncio.as_completed(tasks):
        await future


@in_loop
async def waited_with_timeout(begin):
    future = asyncio.get_running_loop().create_future()
    begin()
    try:
        await asyncio.wait_for(future, 1e-6)
    except asyncio.TimeoutError:
        pass


@in_loop
async def shielded(begin):
    task = asyncio.ensure_future(asyncio.sleep(0))
    begin()
    await asyncio.shield(task)


@in_loop
async def task_group(begin):
    coroutines = [asyncio.sleep(0) for _ in range(3)]
    begin()
    async with asyncio.TaskGroup() as group:
        while coroutines:
            group.create_task(coroutines.pop())


@in_loop
async def task_group_seen(begin):
    coroutines = [asyncio.sleep(0) for _ in range(3)]
    begin()
    async with asyncio.TaskGroup() as group:
        while coroutines:
            group.create_task(coroutines.pop())
            len(group._tasks)


@in_loop
async def timeout(begin):
    begin()
    try:
        async with asyncio.timeout(1e-6):
            await asyncio.sleep(1000)
    except asyncio.TimeoutError:
        pass


@in_loop
async def descriptors(begin):
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        begin()
        try:
            loop.add_writer(other, nothing)
            loop.add_reader(one, nothing)
            await asyncio.sleep(0)
        finally:
            loop.remove_reader(one)
            loop.remove_writer(other)


@in_loop
async def executor(begin):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, nothing)   # its thread is there
    begin()
    await loop.run_in_executor(None, nothing, 1)


@scenario
def runner(loop, begin):
    coroutine = steps()
    begin()
    try:
        with asyncio.Runner() as runner:
            runner.run(coroutine)
    finally:
        coroutine.close()
        asyncio.set_event_loop(None)
