"""A loop of anybody's need have few methods for our futures and tasks: these,
and nothing else is asked for."""

import asyncio
import collections
import concurrent.futures
import sys

import pytest

import ouro

# What asyncio asks as well.
ALWAYS = {"get_debug", "call_soon", "call_exception_handler"}
TIMED = {"time", "call_later", "call_at", "create_future",
         "call_soon_threadsafe"}
EAGER = {"is_running"}


class Small:
    """A loop of few methods, which notes each attribute that it is asked."""

    def __init__(self, *more):
        self.asked = set()
        self.known = ALWAYS | set(more)
        self.queue = collections.deque()
        self.told = []

    def __getattribute__(self, name):
        get = object.__getattribute__
        if not name.startswith("__"):
            get(self, "asked").add(name)
            if name in ALWAYS | TIMED | EAGER | {"create_task"}:
                if name not in get(self, "known"):
                    raise AttributeError(name)
                return get(self, "do_" + name)
        return get(self, name)

    def do_get_debug(self):
        return False

    def do_is_running(self):
        return True

    def do_call_soon(self, callback, *args, context=None):
        object.__getattribute__(self, "queue").append(
            (callback, args, context))

    do_call_soon_threadsafe = do_call_soon

    def do_call_exception_handler(self, context):
        object.__getattribute__(self, "told").append(sorted(context))

    def do_time(self):
        return 0.0

    def do_call_at(self, when, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.do_call_soon(lambda: handle.cancelled() or handle._run())
        return handle

    do_call_later = do_call_at

    def do_create_future(self):
        return asyncio.Future(loop=self)


def own(loop, name):
    return object.__getattribute__(loop, name)


def asked_of(loop):
    """What it was asked for."""
    return {name for name in own(loop, "asked")
            if not name.startswith("do_")}


def run(loop):
    asyncio._set_running_loop(loop)
    try:
        queue = own(loop, "queue")
        while queue:
            callback, args, context = queue.popleft()
            if context is None:
                callback(*args)
            else:
                context.run(callback, *args)
    finally:
        asyncio._set_running_loop(None)


def futures(k, loop):
    future = k.Future(loop=loop)
    future.add_done_callback(lambda f: None)
    future.set_result(1)
    run(loop)
    other = k.Future(loop=loop)
    other.set_exception(ValueError())
    del other
    return future.result()


def tasks(k, loop):
    future = k.Future(loop=loop)

    async def main():
        return await future, k.current_task() in k.all_tasks()

    async def cancelled():
        await k.Future(loop=loop)

    task, other = k.Task(main(), loop=loop), k.Task(cancelled(), loop=loop)
    run(loop)
    future.set_result(2)
    other.cancel("why")
    run(loop)
    return task.result(), other.cancelled()


def failing(k, loop):
    async def main():
        raise ValueError
    k.Task(main(), loop=loop)
    run(loop)
    return own(loop, "told")


def gathered(k, loop):
    one, other = k.Future(loop=loop), k.Future(loop=loop)
    both = k.gather(one, other)
    one.set_result(1)
    other.set_result(2)
    run(loop)
    return both.result()


def shielded(k, loop):
    inner = k.Future(loop=loop)

    async def main():
        return await k.shield(inner)

    task, other = k.Task(main(), loop=loop), k.Task(main(), loop=loop)
    run(loop)
    other.cancel()
    run(loop)
    inner.set_result(3)
    run(loop)
    return task.result(), other.cancelled(), inner.cancelled()


def shielded_and_lost(k, loop):
    """The loop is told of what nobody waits for any more."""
    inner = k.Future(loop=loop)
    outer = k.shield(inner)
    outer.cancel()
    inner.set_exception(ValueError())
    run(loop)
    return outer.cancelled(), own(loop, "told")


def waited_for(k, loop):
    """Without a timeout, no time is asked for."""
    inner = k.Future(loop=loop)

    async def main():
        done, pending = await k.wait([inner])
        return len(done), len(pending)

    task = k.Task(main(), loop=loop)
    run(loop)
    inner.set_result(1)
    run(loop)
    return task.result()


@pytest.mark.parametrize("program", [
    futures, tasks, failing, gathered, shielded, shielded_and_lost,
    waited_for])
def test_what_futures_and_tasks_ask(program):
    asked = []
    results = []
    for k in asyncio, ouro:
        loop = Small("create_future")
        results.append(program(k, loop))
        asked.append(asked_of(loop))
    assert results[0] == results[1]
    assert asked[1] <= asked[0] | {"get_debug"}


@pytest.mark.parametrize("fails", [False, True])
def test_what_coroutines_from_other_threads_ask(fails):
    async def main(k):
        await k.sleep(0)
        if fails:
            raise KeyError("key")
        return "result"

    results = []
    for k in asyncio, ouro:
        loop = Small(*TIMED, "create_task")
        loop.do_create_task = lambda coro, k=k, loop=loop, **kwargs: (
            k.Task(coro, loop=loop, **kwargs))
        future = k.run_coroutine_threadsafe(main(k), loop)
        assert isinstance(future, concurrent.futures.Future)
        run(loop)
        results.append(repr(future.exception()) if fails else future.result())
        assert asked_of(loop) <= ALWAYS | TIMED | {"create_task"}
    assert results[0] == results[1]


@pytest.mark.parametrize("what", [
    "sleep", "wait", "timeout", "timeout that is over", "timeout in time",
    "rescheduled", "wait_for", "wait_for in vain"])
def test_what_timers_ask(what):
    async def sleep(k, loop):
        return await k.sleep(1, "slept")

    async def wait(k, loop):
        done, pending = await k.wait([k.Future(loop=loop)], timeout=1)
        return len(done), len(pending)

    async def timeout(k, loop):
        async with k.timeout(None):
            return True

    async def timeout_that_is_over(k, loop):
        try:
            async with k.timeout(1):
                await k.Future(loop=loop)
        except TimeoutError:
            return loop.time()

    async def timeout_in_time(k, loop):
        async with k.timeout_at(1) as inside:
            return inside.when()

    async def rescheduled(k, loop):
        async with k.timeout(None) as inside:
            inside.reschedule(5)
            return inside.when()

    async def wait_for(k, loop):
        return await k.wait_for(k.Future(loop=loop), None)

    async def wait_for_in_vain(k, loop):
        try:
            await k.wait_for(k.Future(loop=loop), 1)
        except TimeoutError as error:
            return repr(error)

    asked = []
    results = []
    for k in asyncio, ouro:
        loop = Small(*TIMED)
        task = k.Task(locals()[what.replace(" ", "_")](k, loop), loop=loop)
        run(loop)
        if not task.done():
            own(loop, "told").append(task.cancel())
            run(loop)
        results.append(task.cancelled() or task.result())
        asked.append(asked_of(loop))
    assert results[0] == results[1]
    assert asked[1] <= ALWAYS | TIMED


@pytest.mark.skipif(sys.version_info < (3, 12), reason="from 3.12 on")
def test_what_eager_tasks_ask():
    async def main():
        return 1

    for k in asyncio, ouro:
        loop = Small(*EAGER)
        asyncio._set_running_loop(loop)
        try:
            task = k.Task(main(), loop=loop, eager_start=True)
        finally:
            asyncio._set_running_loop(None)
        assert task.result() == 1
        assert asked_of(loop) <= ALWAYS | EAGER
