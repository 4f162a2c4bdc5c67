"""Callbacks and steps in contexts of all kinds, and how wake-ups look."""

import asyncio
import contextvars
import re

import pytest

import ouro

KITS = {asyncio: asyncio.SelectorEventLoop, ouro: ouro.Loop}
variable = contextvars.ContextVar("variable", default=0)


class Context:
    """One by its method run() alone."""

    def run(self, function, *args):
        variable.set(variable.get() + 1)
        return function(*args)


def same(function):
    """function(module, loop, log) does the same with asyncio and ouro."""
    logs = []
    for module, factory in KITS.items():
        loop, log = factory(), []
        loop.set_exception_handler(lambda loop, context, log=log: log.append(
            (context["message"].partition("(")[0].partition(" at ")[0],
             repr(context.get("exception")))))
        try:
            contextvars.copy_context().run(
                loop.run_until_complete, function(module, loop, log))
        finally:
            loop.close()
        logs.append([re.sub(r"0x\w+|ouro\._ouro\.|_asyncio\.", "", str(each))
                     for each in log])
    assert logs[0] == logs[1]
    assert logs[0]


@pytest.mark.parametrize("context", [None, 5, Context(),
                                     contextvars.copy_context()],
                         ids=["None", "a number", "with run()", "a real one"])
@pytest.mark.parametrize("early", [True, False])
def test_contexts_of_callbacks(context, early):
    async def use(module, loop, log):
        variable.set(0)
        future = loop.create_future()
        if not early:
            future.set_result(1)
        future.add_done_callback(lambda done: log.append("first"))
        future.add_done_callback(
            lambda done: log.append(("given", variable.get())),
            context=context)
        waits = loop.create_task(module.wait_for(future, 10))
        future.add_done_callback(lambda done: log.append("last"))
        variable.set(7)
        if early:
            await module.sleep(0)
            future.set_result(1)
        variable.set(8)
        await module.sleep(0)
        log.append(await waits)
    same(use)


@pytest.mark.parametrize("context", [5, Context(), None],
                         ids=["a number", "with run()", "None"])
def test_contexts_of_tasks(context):
    async def use(module, loop, log):
        async def work(future):
            log.append((variable.get(), await future, variable.get()))

        variable.set(0)
        future = loop.create_future()
        coroutine = work(future)
        try:
            task = loop.create_task(coroutine, context=context)
        except TypeError as error:
            log.append(str(error))
            coroutine.close()
            return
        await module.sleep(0)
        future.set_result(1)
        for _ in range(3):
            await module.sleep(0)
        log.append(task.done())
        if not task.done():
            task._log_destroy_pending = False
            coroutine.close()
    same(use)


def test_a_subclass_that_passes_its_default_on():
    """add_done_callback(callback, context=None), and shield() uses it."""
    async def use(module, loop, log):
        class Task(module.Task):
            def add_done_callback(self, callback, *, context=None):
                super().add_done_callback(callback, context=context)

        async def work():
            return 1

        log.append(await module.shield(Task(work(), loop=loop)))
        log.append(await module.gather(Task(work(), loop=loop)))
        log.append(await Task(work(), loop=loop))
    same(use)


def test_looks_of_a_wakeup():
    async def use(module, loop, log):
        future = loop.create_future()
        task = loop.create_task(module.wait_for(future, None))
        await module.sleep(0)
        wakeup = future._callbacks[0][0]
        log += [future, wakeup.__name__, wakeup.__qualname__,
                wakeup.__self__ is task, wakeup == future._callbacks[0][0]]
        for args, kwargs in [((), {}), ((1, 2), {}), ((), {"fut": 1})]:
            try:
                wakeup(*args, **kwargs)
            except TypeError as error:
                log.append(error)
        future.set_result(1)
        log.append(await task)
    same(use)
