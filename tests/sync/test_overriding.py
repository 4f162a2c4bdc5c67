"""What programs put in the place of methods is called, as asyncio calls it.

The same subclasses and patches on asyncio's classes and on ours; every call
that reaches a replaced method is written down, and both lists are compared.
"""

import asyncio
import heapq
import unittest.mock

import pytest
from synccompare import KITS, MAKE, USE, outcome, run, turns
from syncworlds import NAMES, NATIVE

import ouro

OVERRIDABLE = {
    "Lock": ["_get_loop", "_wake_up_first", "acquire", "release", "locked"],
    "Event": ["_get_loop", "is_set", "set", "clear", "wait"],
    "Condition": ["_get_loop", "wait", "wait_for", "notify", "notify_all",
                  "_notify", "acquire", "release", "locked"],
    "Semaphore": ["_get_loop", "locked", "acquire", "release",
                  "_wake_up_next"],
    "BoundedSemaphore": ["_get_loop", "locked", "acquire", "release",
                         "_wake_up_next"],
    "Barrier": ["_get_loop", "wait", "reset", "abort", "_block", "_wait",
                "_release", "_exit"],
    "Queue": ["_get_loop", "_init", "_get", "_put", "_wakeup_next", "_format",
              "qsize", "empty", "full", "put", "put_nowait", "get",
              "get_nowait", "task_done", "join", "shutdown"],
}
OVERRIDABLE["PriorityQueue"] = OVERRIDABLE["LifoQueue"] = OVERRIDABLE["Queue"]


def noted(name, function, calls):
    """The function, which notes its calls."""
    def replacement(*args, **kwargs):
        calls.append(name)
        return function(*args, **kwargs)
    return replacement


CASES = [(name, method) for name in NAMES for method in OVERRIDABLE[name]]


async def with_calls(name, it, calls):
    result = await USE[name](it)
    return result, calls


@pytest.mark.parametrize("name, method", CASES)
def test_overridden_in_a_subclass(name, method):
    async def use(k):
        cls, calls = getattr(k, name), []
        if not hasattr(cls, method) or hasattr(
                getattr(cls, method), "__set__"):
            return None
        sub = type("Sub", (cls,), {})
        setattr(sub, method, noted(method, getattr(cls, method), calls))
        it = eval(MAKE[name].replace(f"k.{name}", "Sub"),
                  {"k": k, "Sub": sub})
        return await with_calls(name, it, calls)
    run(use)


@pytest.mark.parametrize("name", NAMES)
def test_everything_overridden(name):
    async def use(k):
        cls, calls = getattr(k, name), []
        sub = type("Sub", (cls,), {
            method: noted(method, getattr(cls, method), calls)
            for method in OVERRIDABLE[name] if hasattr(cls, method)
            and not hasattr(getattr(cls, method), "__set__")})
        it = eval(MAKE[name].replace(f"k.{name}", "Sub"),
                  {"k": k, "Sub": sub})
        return await with_calls(name, it, calls)
    run(use)


@pytest.mark.parametrize("name, method", CASES)
def test_set_on_the_instance(name, method):
    async def use(k):
        it, calls = eval(MAKE[name], {"k": k}), []
        if not hasattr(it, method):
            return None
        setattr(it, method, noted(method, getattr(it, method), calls))
        return await with_calls(name, it, calls)
    run(use)


@pytest.mark.parametrize("name, method", CASES)
def test_put_into_the_dict(name, method):
    async def use(k):
        it, calls = eval(MAKE[name], {"k": k}), []
        if not hasattr(type(it), method) or hasattr(
                getattr(type(it), method), "__set__"):
            return None
        it.__dict__[method] = noted(method, getattr(it, method), calls)
        return await with_calls(name, it, calls)
    run(use)


@pytest.mark.parametrize("name, method", CASES)
def test_patched_on_the_class(name, method):
    """And when the patch is gone, everything is as before."""
    async def use(k):
        cls, calls = getattr(k, name), []
        if not hasattr(cls, method) or hasattr(
                getattr(cls, method), "__set__"):
            return None
        it = eval(MAKE[name], {"k": k})
        with unittest.mock.patch.object(
                cls, method, noted(method, getattr(cls, method), calls)):
            first = await with_calls(name, it, list(calls))
        it = eval(MAKE[name], {"k": k})
        return first, len(calls), await with_calls(name, it, [])
    run(use)


def test_patched_on_the_mixin():
    for kit in KITS:
        mixin = next(c for c in kit.Lock.__mro__
                     if c.__name__ == "_LoopBoundMixin")
        calls = []

        async def use(kit=kit):
            event = kit.Event()
            task = asyncio.ensure_future(event.wait())
            await asyncio.sleep(0)
            event.set()
            return await task

        with unittest.mock.patch.object(
                mixin, "_get_loop",
                noted("_get_loop", mixin._get_loop, calls)):
            loop = ouro.Loop()
            loop.run_until_complete(use())
            loop.close()
        assert calls == ["_get_loop"]


# ---- subclasses as programs have them --------------------------------------


def subclasses(k):
    class Unique(k.Queue):
        """Drops what is in it already."""

        def _init(self, maxsize):
            self._queue = []
            self.seen = set()

        def _put(self, item):
            if item not in self.seen:
                self.seen.add(item)
                self._queue.append(item)

        def _get(self):
            return self._queue.pop(0)

    class Heap(k.Queue):
        """Items in something that is not named _queue."""

        def _init(self, maxsize):
            self.items = []

        def _put(self, item):
            heapq.heappush(self.items, -item)

        def _get(self):
            return -heapq.heappop(self.items)

        def qsize(self):
            return len(self.items)

        def empty(self):
            return not self.items

    class Loud(k.Queue):
        def _format(self):
            return f"{super()._format()} loud"

    class Counting(k.Queue):
        def __init__(self, maxsize=0, *, start=0):
            self.count = start
            super().__init__(maxsize)

        def _put(self, item):
            self.count += 1
            super()._put((self.count, item))

    class Own(k.LifoQueue):
        def _get(self):
            return super()._get() * 2

    class Small(k.PriorityQueue):
        def _put(self, item):
            super()._put(-item)

        def _get(self):
            return -super()._get()

    return [Unique, Heap, Loud, Counting, Own, Small]


@pytest.mark.parametrize("index", range(6))
def test_queues_of_programs(index):
    async def use(k):
        queue = subclasses(k)[index](2)
        got = []

        async def produce(start):
            for i in range(start, start + 6):
                await queue.put(i % 4)

        async def consume():
            while True:
                got.append(await queue.get())
                queue.task_done()

        consumer = asyncio.ensure_future(consume())
        producers = [asyncio.ensure_future(produce(s)) for s in (0, 3)]
        await asyncio.gather(*producers)
        # (One that drops items never comes to the end of its tasks.)
        for _ in range(10):
            await asyncio.sleep(0)
        consumer.cancel()
        queue.put_nowait(1)
        return got, str(queue), queue._unfinished_tasks
    run(use)


def test_lock_with_two_bases():
    class Named:
        def __init__(self, name="n", **rest):
            super().__init__(**rest)
            self.name = name

        def __repr__(self):
            return f"<named {self.name}>"

    async def use(k):
        class Both(k.Lock, Named):
            def __init__(self):
                k.Lock.__init__(self)
                Named.__init__(self, "x")

        class Other(Named, k.Semaphore):
            pass

        async with Both() as nothing:
            pass
        return repr(Both()), repr(Other(value=3)), nothing
    run(use)


def test_context_manager_mixin_alone():
    """Libraries build locks of their own on asyncio's private mixins."""
    async def use(k):
        mixin = next(c for c in k.Lock.__mro__
                     if c.__name__ == "_ContextManagerMixin")

        class Other:
            pass

        class Mine(Other, mixin):
            def __init__(self):
                self.calls = []

            async def acquire(self):
                self.calls.append("acquire")
                return 7

            def release(self):
                self.calls.append("release")

        mine = Mine()
        async with mine as value:
            mine.calls.append(value)
        return mine.calls
    run(use)


def test_loop_bound_mixin_alone():
    async def use(k):
        mixin = next(c for c in k.Lock.__mro__
                     if c.__name__ == "_LoopBoundMixin")

        class Mine(mixin):
            __slots__ = ("x",)

            def __init__(self, x):
                self.x = x

        mine = Mine(3)
        loop = mine._get_loop()
        return loop is asyncio.get_running_loop(), mine._loop is loop, mine.x
    run(use)


def test_condition_over_locks_of_programs():
    async def use(k):
        class Mine:
            def __init__(self):
                self.held = False
                self.calls = []

            def locked(self):
                return self.held

            async def acquire(self):
                while self.held:
                    await asyncio.sleep(0)
                self.calls.append("acquire")
                self.held = True
                return True

            def release(self):
                self.calls.append("release")
                self.held = False

        lock = Mine()
        cond = k.Condition(lock)
        result = await USE["Condition"](cond)
        return result, lock.calls, cond._lock is lock
    run(use)


def test_condition_attributes_are_those_of_the_lock():
    for k in KITS:
        lock = k.Lock()
        cond = k.Condition(lock)
        for name in "locked", "acquire", "release":
            assert getattr(cond, name) == getattr(lock, name)
            assert getattr(cond, name).__self__ is lock
        cond._lock = None
        assert cond._lock is None and cond.locked() is False


def test_two_conditions_of_one_lock():
    async def use(k):
        lock = k.Lock()
        first, second = k.Condition(lock), k.Condition(lock)
        trace = []

        async def wait(cond, name):
            async with cond:
                await cond.wait()
                trace.append(name)

        tasks = [asyncio.ensure_future(wait(c, n))
                 for c, n in ((first, 1), (second, 2), (first, 3))]
        await turns()
        async with second:
            second.notify_all()
            first.notify(1)
        await turns()
        done = [task.done() for task in tasks]
        for task in tasks:
            task.cancel()
        return trace, done
    run(use)


def test_finished_event_of_a_queue_replaced():
    async def use(k):
        queue, calls = k.Queue(), []
        event = k.Event()
        for name in "set", "clear", "wait":
            setattr(event, name, noted(name, getattr(event, name), calls))
        queue._finished = event
        queue.put_nowait(1)
        task = asyncio.ensure_future(queue.join())
        await turns(2)
        queue.get_nowait()
        queue.task_done()
        await task
        return calls
    run(use)


def test_wakeup_next_sees_the_deques():
    async def use(k):
        seen = []

        class Mine(k.Queue):
            def _wakeup_next(self, waiters):
                seen.append((type(waiters).__name__, len(waiters),
                             waiters is self._getters))
                super()._wakeup_next(waiters)

        queue = Mine(1)
        task = asyncio.ensure_future(queue.get())
        await turns(1)
        queue.put_nowait(3)
        return await task, seen
    run(use)


def test_patches_do_not_outlive_themselves():
    """A class that is whole again is on the fast path again: nothing of the
    Python functions that had been in between is called."""
    calls = []
    for name in NAMES:
        cls = getattr(NATIVE, name)
        original = cls._get_loop
        cls._get_loop = noted("_get_loop", original, calls)
        del cls._get_loop
        cls.something_else = 5
        del cls.something_else

    async def use():
        event = NATIVE.Event()
        task = asyncio.ensure_future(event.wait())
        await asyncio.sleep(0)
        event.set()
        await task

    asyncio.run(use())
    assert not calls
    assert outcome(lambda: ouro.Event()._get_loop()) == "None"
