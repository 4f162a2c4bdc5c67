"""What is awaited where it is called and is ready makes no coroutine, and
nobody can tell: whoever gets hold of what was called has a coroutine.
"""

import asyncio
import contextvars
import functools
import gc
import inspect
import operator
import sys
import types
import weakref

import pytest

import ouro

TIMES = 100  # the interpreter specializes what has run a few times


class Thing:
    pass


def run(coroutine):
    """Drive what never waits; its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def queue_with(*items):
    queue = ouro.Queue()
    for item in items:
        queue.put_nowait(item)
    return queue


async def all_kinds():
    """A bit of everything that may be ready at once."""
    queue, lock = ouro.Queue(), ouro.Lock()
    few, bounded = ouro.Semaphore(2), ouro.BoundedSemaphore(1)
    told = []
    for number in range(5):
        told.append(await queue.put(number))
        told.append(await queue.get())
        told.append(await lock.acquire())
        told.append(lock.locked())
        lock.release()
        async with lock as entered, few as permit, bounded:
            told.append((entered, permit, lock.locked(), few._value,
                         bounded.locked()))
        told.append((lock.locked(), few._value, bounded.locked()))
        try:
            async with lock:
                raise KeyError(number)
        except KeyError as error:
            told.append((error.args, lock.locked()))
        get, put = queue.get, queue.put
        await put(item=number)
        told.append(await get())
    return told


def test_all_kinds():
    told = run(all_kinds())
    assert told[:9] == [None, 0, True, True, (None, None, True, 1, True),
                        (False, 2, False), ((0,), False), 0, None]
    assert all(run(all_kinds()) == told for _ in range(TIMES))


@pytest.mark.parametrize("watch", [sys.settrace, sys.setprofile])
def test_somebody_watches(watch):
    expected = run(all_kinds())
    seen = set()

    def look(frame, event, arg):
        seen.add(event)
        return look

    before = sys.gettrace() if watch is sys.settrace else sys.getprofile()
    watch(look)
    try:
        told = run(all_kinds())
    finally:
        watch(before)
    assert told == expected and seen
    assert run(all_kinds()) == expected


def test_timeouts():
    async def main():
        for _ in range(TIMES):
            async with ouro.timeout(10) as timeout:
                assert not timeout.expired() and timeout.when() > 10
            with pytest.raises(RuntimeError, match="already been entered"):
                async with timeout:
                    pass
            with pytest.raises(KeyError):
                async with ouro.timeout(10):
                    raise KeyError
        with pytest.raises(TimeoutError):
            async with ouro.timeout(0.001):
                await ouro.sleep(30)

    async def outside():
        async with ouro.timeout(10):
            pass

    ouro.run(main())
    for _ in range(TIMES):
        with pytest.raises(RuntimeError, match="no running event loop"):
            run(outside())


def test_what_must_wait_waits():
    async def main():
        queue, lock = ouro.Queue(1), ouro.Lock()

        async def other():
            for number in range(TIMES):
                await queue.put(number)
                async with lock:
                    await ouro.sleep(0)

        task = ouro.create_task(other())
        got = []
        for _ in range(TIMES):
            got.append(await queue.get())
            async with lock:
                pass
        await task
        assert got == list(range(TIMES))

    ouro.run(main())


def is_coroutine(thing):
    assert asyncio.iscoroutine(thing) and inspect.isawaitable(thing)
    return True


def test_who_calls_in_c_gets_coroutines():
    """Functions in C between the frame and us, awaited at once."""
    get = operator.methodcaller("get")

    def seen(thing):
        return is_coroutine(thing)

    async def main():
        queue = ouro.Queue()
        for number in range(TIMES):
            for _ in range(6):
                queue.put_nowait(number)
            assert await next(map(get, [queue])) == number
            assert await next(filter(seen, map(get, [queue]))) == number
            assert await functools.partial(queue.get)() == number
            assert await functools.partial(ouro.Queue.get, queue)() == number
            assert await contextvars.copy_context().run(queue.get) == number
            assert await ouro.wait_for(queue.get(), 10) == number
            assert queue.empty()

    ouro.run(main())


class Keeps(functools.partial):
    """Called in C; what it calls is looked at."""

    def __call__(self, *args):
        coroutine = super().__call__(*args)
        assert is_coroutine(coroutine)
        return coroutine


def test_who_calls_in_python_gets_coroutines():
    async def main():
        queue = queue_with(*[1] * 3 * TIMES)
        for _ in range(TIMES):
            assert await Keeps(queue.get)() == 1
            assert await (lambda: queue.get())() == 1
            coroutine = queue.get()
            assert is_coroutine(coroutine)
            assert await coroutine == 1
            with pytest.raises(RuntimeError, match="already awaited"):
                await coroutine

    run(main())


def test_subclasses():
    class Loud(ouro.Lock):
        async def acquire(self):
            told.append("acquire")
            return await super().acquire()

        def release(self):
            told.append("release")
            super().release()

    async def main():
        lock = Loud()
        for _ in range(TIMES):
            async with lock:
                assert lock.locked()
            assert not lock.locked()

    told = []
    run(main())
    assert told == ["acquire", "release"] * TIMES


def test_wrong_arguments():
    async def main():
        queue = queue_with(1)
        for _ in range(TIMES):
            with pytest.raises(TypeError):
                await queue.get(1)
            with pytest.raises(TypeError):
                await queue.put()
            with pytest.raises(TypeError):
                await ouro.Queue.get(ouro.Lock())
        assert queue.qsize() == 1

    run(main())


def test_a_frame_that_is_left_meanwhile():
    """Thrown into between the call and the await: nothing is lost there."""
    @types.coroutine
    def pause():
        yield

    async def main():
        queue = queue_with(Thing())
        await pause()
        thing = await queue.get()
        reference = weakref.ref(thing)
        del thing
        gc.collect()
        return reference()

    coroutine = main()
    coroutine.send(None)
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert end.value.value is None
