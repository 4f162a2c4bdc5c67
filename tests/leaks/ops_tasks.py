"""Tasks, and what waits for several."""

import asyncio
import contextlib
import contextvars
import gc

from table import failure, forever, loop, operation, result


class OwnTask(asyncio.Task):
    pass


@operation(debug=True)
async def task():
    await asyncio.create_task(result())


@operation(debug=True)
async def task_many_steps():
    async def steps():
        for _ in range(5):
            await asyncio.sleep(0)

    await asyncio.gather(steps(), steps())


@operation(debug=True)
async def task_failing():
    with contextlib.suppress(ValueError):
        await asyncio.create_task(failure())


@operation()
async def task_failing_unseen():
    asyncio.create_task(failure())
    await asyncio.sleep(0)


@operation(debug=True)
async def task_cancel():
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel("message")
    task.cancelling()
    task.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def task_cancel_unstarted():
    task = asyncio.create_task(forever())
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def task_attributes():
    task = asyncio.create_task(forever(), name="of the test")
    task.get_name(), task.set_name(1), task.get_coro(), task.get_stack()
    await asyncio.sleep(0)
    task.get_stack(), repr(task), task._fut_waiter, task._must_cancel
    task.own = task
    asyncio.current_task(), asyncio.all_tasks()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation(times=200)
async def task_destroyed_pending():
    asyncio.create_task(forever())
    await asyncio.sleep(0)
    gc.collect()


@operation()
async def task_context():
    await asyncio.create_task(result(), context=contextvars.copy_context())


@operation()
async def task_bad_yield():
    class Bad:
        def __await__(self):
            yield 42

    async def bad():
        await Bad()

    with contextlib.suppress(RuntimeError):
        await asyncio.create_task(bad())


@operation()
async def task_subclass():
    await OwnTask(result(), loop=loop())


@operation()
async def task_factory():
    loop().set_task_factory(
        lambda loop, coro, **keywords: OwnTask(coro, loop=loop, **keywords))
    try:
        await loop().create_task(result())
    finally:
        loop().set_task_factory(None)


@operation(since=(3, 12))
async def task_eager():
    loop().set_task_factory(asyncio.eager_task_factory)
    try:
        await asyncio.create_task(result())
        await asyncio.create_task(asyncio.sleep(0))
        with contextlib.suppress(ValueError):
            await asyncio.create_task(failure())
    finally:
        loop().set_task_factory(None)


@operation()
async def sleep():
    await asyncio.sleep(0)
    await asyncio.sleep(1e-6, object())


@operation()
async def sleep_cancelled():
    task = asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def unawaited():
    asyncio.sleep(0)
    asyncio.Queue().get()
    result().close()


@operation(times=200)
async def gather():
    await asyncio.gather(result(), result(), asyncio.sleep(0))
    await asyncio.gather(failure(), result(), return_exceptions=True)
    with contextlib.suppress(ValueError):
        await asyncio.gather(failure(), asyncio.sleep(0))
    outer = asyncio.gather(forever(), forever())
    outer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outer


@operation(times=200)
async def wait():
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
    await asyncio.wait(tasks)
    await asyncio.wait([asyncio.create_task(forever_until(0.001))],
                       timeout=0)


async def forever_until(seconds):
    await asyncio.sleep(seconds)


@operation(times=200)
async def wait_for():
    await asyncio.wait_for(result(), 1000)
    await asyncio.wait_for(asyncio.sleep(0), 1000)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(forever(), 1e-6)


@operation(times=200)
async def as_completed():
    for next_done in asyncio.as_completed([result(), asyncio.sleep(0)]):
        await next_done


@operation(times=200)
async def shield():
    await asyncio.shield(result())
    inner = asyncio.ensure_future(asyncio.sleep(0))
    outer = asyncio.shield(inner)
    outer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outer
    await inner


@operation(times=200)
async def timeout():
    async with asyncio.timeout(1000) as scope:
        scope.reschedule(loop().time() + 500)
        repr(scope), scope.when(), scope.expired()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await forever()


@operation(times=200)
async def task_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(result())
        group.create_task(asyncio.sleep(0))
    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(failure())
            group.create_task(forever())


class TellingGroup(asyncio.TaskGroup):
    """Its private methods are its own."""

    def _on_task_done(self, task):
        super()._on_task_done(task)

    def _abort(self):
        super()._abort()

    def _is_base_error(self, error):
        return super()._is_base_error(error)


@operation(times=200)
async def task_group_overridden():
    async with TellingGroup() as group:
        group.create_task(asyncio.sleep(0))
    with contextlib.suppress(BaseExceptionGroup):
        async with TellingGroup() as group:
            group.create_task(failure())
            group.create_task(forever())
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
        assert len(group._tasks) == 1
        group.create_task(forever())
        group._abort()
