"""A loop of anybody's need have few methods for our futures and tasks: these,
and nothing else is asked for."""

import asyncio
import collections
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
        self.do_call_soon(callback, *args, context=context)
        return asyncio.Handle(callback, args, self)

    do_call_later = do_call_at

    def do_create_future(self):
        return asyncio.Future(loop=self)


def own(loop, name):
    return object.__getattribute__(loop, name)


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


@pytest.mark.parametrize("program", [futures, tasks, failing, gathered])
def test_what_futures_and_tasks_ask(program):
    asked = []
    results = []
    for k in asyncio, ouro:
        loop = Small()
        results.append(program(k, loop))
        asked.append({name for name in own(loop, "asked")
                      if not name.startswith("do_")})
    assert results[0] == results[1]
    assert asked[1] <= ALWAYS
    assert asked[1] <= asked[0] | {"get_debug"}


@pytest.mark.parametrize("what", ["sleep", "wait", "timeout"])
def test_what_timers_ask(what):
    async def sleep(k, loop):
        return await k.sleep(1, "slept")

    async def wait(k, loop):
        done, pending = await k.wait([k.Future(loop=loop)], timeout=1)
        return len(done), len(pending)

    async def timeout(k, loop):
        async with k.timeout(None):
            return True

    asked = []
    results = []
    for k in asyncio, ouro:
        loop = Small(*TIMED)
        task = k.Task(locals()[what](k, loop), loop=loop)
        run(loop)
        results.append(task.result())
        asked.append({name for name in own(loop, "asked")
                      if not name.startswith("do_")})
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
        assert {name for name in own(loop, "asked")
                if not name.startswith("do_")} <= ALWAYS | EAGER
