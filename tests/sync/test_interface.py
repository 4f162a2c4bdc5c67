"""What programs see of locks and queues, compared with asyncio's.

Every expression is evaluated in both worlds, here with asyncio's classes and
there with ours: what comes out, or is raised, must be the same text.
"""

import asyncio
import collections
import copy
import gc
import inspect
import sys
import types
import unittest.mock
import weakref

import pytest
from synccompare import MAKE, outcome, run, same
from syncworlds import NAMES, NATIVE, describe, plain

import ouro

PUBLIC = {name: [member for member in dir(getattr(asyncio, name))
                 if not member.startswith("_")
                 or member in ("__aenter__", "__aexit__")]
          for name in NAMES}
METHODS = [(name, member) for name in NAMES for member in PUBLIC[name]
           if callable(getattr(getattr(asyncio, name), member))]


class Odd:
    """Compares and counts as no number does."""

    def __init__(self, *allowed):
        self.allowed = allowed

    def __lt__(self, other):
        if "<" not in self.allowed:
            raise LookupError("<")
        return False

    def __eq__(self, other):
        return False

    __hash__ = None


def close(value):
    if inspect.iscoroutine(value) or hasattr(value, "cr_frame"):
        value.close()
    return value


# ---- construction ----------------------------------------------------------


@pytest.mark.parametrize("call", [
    *MAKE.values(),
    *(f"k.{name}({args})" for name in NAMES
      for args in ("", "1, 2", "loop=None", "0", "-1", "None", "'a'", "[]",
                   "1.5", "0.0", "True", "10**30", "-10**30", "float('nan')",
                   "float('inf')", "value=3", "maxsize=3", "lock=None",
                   "parties=3", "1, value=1", "1, maxsize=1", "*[], **{}",
                   "Odd()", "Odd('<')")),
    "k.Condition(lock=k.Lock())",
    "k.Condition(lock=k.Semaphore())",
    "k.Condition(lock=object())",
])
def test_construction(call):
    same(lambda k: eval(call, {"k": k, "Odd": Odd}))


@pytest.mark.parametrize("name", NAMES)
def test_initialized_again(name):
    def again(k):
        it = eval(MAKE[name])
        if name.endswith("Queue"):
            it.put_nowait(1)
        elif hasattr(it, "set"):
            it.set()
        it.__init__(*([7] if name[-5:] in ("Queue", "phore", "rrier")
                      else []))
        return it
    same(again)


@pytest.mark.parametrize("name", NAMES)
def test_not_initialized(name):
    """A subclass that forgets super().__init__() fails, and not worse."""
    cls = type("Bad", (getattr(ouro, name),), {"__init__": lambda self: None})
    for member in PUBLIC[name]:
        it = cls()
        try:
            value = getattr(it, member)
            if callable(value):
                value = value(*([1] * (member in ("put_nowait", "put"))))
            if hasattr(value, "send"):
                value.send(None)
        except (AttributeError, TypeError, RuntimeError, StopIteration):
            pass
    it = cls()
    try:
        repr(it)
    except AttributeError:
        pass


# ---- methods --------------------------------------------------------------


@pytest.mark.parametrize("name, member", METHODS)
@pytest.mark.parametrize("args", [
    "", "1", "1, 2", "1, 2, 3", "1, 2, 3, 4", "x=1", "1, x=2", "item=5",
    "n=2", "predicate=bool", "immediate=True", "item=1, immediate=0",
    "None", "*()", "exc_type=1, exc=2, tb=3", "1, exc=2, tb=3"])
def test_calls(name, member, args):
    def call(k):
        it = eval(MAKE[name])
        return close(eval(f"it.{member}({args})", {"it": it}))
    same(call)


@pytest.mark.parametrize("name, member", METHODS)
def test_signatures(name, member):
    # (The self of methods in C is always positional alone.)
    same(lambda k: str(inspect.signature(getattr(getattr(k, name), member)))
         .replace("self, /", "self"))
    same(lambda k: inspect.signature(getattr(eval(MAKE[name]), member)))


@pytest.mark.parametrize("name", NAMES)
def test_class(name):
    same(lambda k: inspect.signature(getattr(k, name)))
    for attribute in ("__name__", "__qualname__", "__module__"):
        same(lambda k: getattr(getattr(k, name), attribute))  # noqa: B023
    same(lambda k: [c.__name__ for c in getattr(k, name).__mro__])
    missing = set(dir(getattr(asyncio, name))) - set(dir(getattr(ouro, name)))
    assert missing <= {"__weakref__", "__firstlineno__",
                       "__static_attributes__"}
    extra = {member for member in dir(getattr(ouro, name))
             if not member.startswith("_")} - set(PUBLIC[name])
    # A Condition's are attributes of the instance in asyncio.
    allowed = {"locked", "acquire", "release"} if name == "Condition" else ()
    assert extra <= set(allowed)


@pytest.mark.parametrize("name, member", METHODS)
def test_coroutine_functions(name, member):
    for check in (asyncio.iscoroutinefunction, inspect.iscoroutinefunction):
        if check is inspect.iscoroutinefunction and sys.version_info < (3, 12):
            continue
        same(lambda k: check(getattr(getattr(k, name), member)))  # noqa: B023
        same(lambda k: check(                                     # noqa: B023
            getattr(eval(MAKE[name], {"k": k}), member)))


@pytest.mark.parametrize("name", NAMES)
def test_autospec(name):
    for of in (lambda k: getattr(k, name), lambda k: eval(MAKE[name])):
        for member in PUBLIC[name]:
            if name == "Condition" and not hasattr(asyncio.Condition, member):
                continue
            same(lambda k: type(getattr(                        # noqa: B023
                unittest.mock.create_autospec(of(k)), member)).__name__)
    same(lambda k: type(getattr(unittest.mock.create_autospec(
        k.Condition()), "acquire")).__name__)


@pytest.mark.parametrize("name", NAMES)
def test_generic_alias(name):
    def alias(k):
        alias = getattr(k, name)[int]
        return type(alias), alias.__args__, alias.__origin__.__name__
    same(alias)


@pytest.mark.parametrize("name", NAMES)
def test_instances(name):
    def attributes(k):
        it = eval(MAKE[name])
        it.anything = 5
        reference = weakref.ref(it)
        values = it.anything, reference() is it, it == it, hash(it) == hash(it)
        del it.anything
        return values, hasattr(it, "anything")
    same(attributes)
    it = eval(MAKE[name], {"k": NATIVE})
    reference = weakref.ref(it)
    it.itself = it
    del it
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", NAMES)
def test_copies(name):
    def copies(k, how):
        it = eval(MAKE[name], {"k": k})
        if name.endswith("Queue"):
            it.put_nowait(1)
        return how(it)
    same(lambda k: copies(k, copy.copy))
    same(lambda k: copies(k, copy.deepcopy))


@pytest.mark.parametrize("name", NAMES)
def test_other_class(name):
    """__class__ can be assigned, and methods of the new class are called."""
    def other(k):
        cls = getattr(k, name)
        sub = type("Sub", (cls,), {"_get_loop": lambda self: 1 / 0})
        it = eval(MAKE[name], {"k": k})
        it.__class__ = sub
        return type(it).__name__, it._get_loop()
    same(other)


# ---- private attributes ---------------------------------------------------


PRIVATE = {
    "Lock": ["_waiters", "_locked", "_loop"],
    "Event": ["_waiters", "_value", "_loop"],
    "Condition": ["_waiters", "_lock", "_loop"],
    "Semaphore": ["_waiters", "_value", "_loop"],
    "BoundedSemaphore": ["_waiters", "_value", "_bound_value", "_loop"],
    "Barrier": ["_cond", "_parties", "_state", "_count", "_loop"],
    "Queue": ["_queue", "_getters", "_putters", "_maxsize",
              "_unfinished_tasks", "_finished", "_loop", "_is_shutdown"],
}
PRIVATE["PriorityQueue"] = PRIVATE["LifoQueue"] = PRIVATE["Queue"]


@pytest.mark.parametrize("name, attribute", [
    (name, attribute) for name in NAMES for attribute in PRIVATE[name]])
def test_private(name, attribute):
    same(lambda k: getattr(eval(MAKE[name]), attribute))


@pytest.mark.parametrize("name, attribute, value", [
    (name, attribute, value) for name in NAMES for attribute in PRIVATE[name]
    for value in ("None", "3", "2.5", "True", "collections.deque([1])", "[]")
    if (attribute, value) not in [("_is_shutdown", v) for v in
                                  ("None", "3", "2.5", "[]",
                                   "collections.deque([1])")]
    and not (attribute == "_is_shutdown" and sys.version_info < (3, 13))])
def test_assigned(name, attribute, value):
    """What is assigned is there, and used: the methods do as asyncio's."""
    calls = {"Queue": ["full()", "empty()", "qsize()", "put_nowait(5)",
                       "get_nowait()", "task_done()"],
             "Lock": ["locked()", "release()"],
             "Event": ["is_set()", "set()", "clear()"],
             "Semaphore": ["locked()", "release()"]}
    calls["PriorityQueue"] = calls["LifoQueue"] = calls["Queue"]
    calls["BoundedSemaphore"] = calls["Semaphore"]

    def assign(k):
        it = eval(MAKE[name])
        setattr(it, attribute, eval(value))
        results = [outcome(lambda: getattr(it, attribute))]
        for call in calls.get(name, []):
            results.append(outcome(lambda c=call: eval(f"it.{c}",
                                                       {"it": it})))
        return results, outcome(lambda: repr(it))
    same(assign)


@pytest.mark.parametrize("name", NAMES)
def test_containers_are_the_storage(name):
    async def use(k):
        it = eval(MAKE[name], {"k": k})
        if not name.endswith("Queue"):
            return None
        it.put_nowait(2)
        it.put_nowait(1)
        seen = it._queue
        first = list(seen)
        it.get_nowait()
        assert it._queue is seen
        seen.clear()
        task = asyncio.ensure_future(it.get())
        await asyncio.sleep(0)
        getters = it._getters
        counts = len(getters), isinstance(getters, collections.deque)
        getters.clear()
        it.put_nowait(9)
        await asyncio.sleep(0)
        done = task.done()
        task.cancel()
        return first, counts, done, it
    run(use)


def test_waiters_of_a_lock():
    async def use(k):
        lock = k.Lock()
        await lock.acquire()
        before = lock._waiters
        task = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)
        line = lock._waiters
        lock.release()
        await task
        return before, type(line), len(line), line is lock._waiters
    run(use)


# ---- the loop -------------------------------------------------------------


WAITS = {
    "Lock": "acquire", "Event": "wait", "Semaphore": "acquire",
    "BoundedSemaphore": "acquire", "Queue": "get", "PriorityQueue": "get",
    "LifoQueue": "get",
}


def block(k, name):
    """A primitive that one has to wait for."""
    it = eval(MAKE[name], {"k": k})
    if hasattr(it, "_locked"):
        it._locked = True
    if hasattr(it, "_bound_value") or name == "Semaphore":
        it._value = 0
    return it


@pytest.mark.parametrize("name", WAITS)
def test_bound_to_another_loop(name):
    def two_loops(k):
        it = block(k, name)

        async def wait():
            await asyncio.wait_for(getattr(it, WAITS[name])(), 0.01)

        results = []
        for _ in range(2):
            loop = asyncio.SelectorEventLoop()
            try:
                results.append(
                    outcome(lambda: loop.run_until_complete(wait())))
            finally:
                loop.close()
        return results
    assert "is bound to a different event loop" in same(two_loops)


@pytest.mark.parametrize("name", WAITS)
def test_without_a_loop(name):
    same(lambda k: getattr(block(k, name), WAITS[name])().send(None))
    same(lambda k: block(k, name)._get_loop())


def test_condition_of_a_lock_of_another_loop():
    def use(k):
        lock = k.Lock()
        loop = asyncio.SelectorEventLoop()

        async def hold():
            async with lock:
                await asyncio.wait_for(lock.acquire(), 0.01)

        async def wait():
            cond = k.Condition(lock)
            lock._locked = True
            await asyncio.wait_for(cond.acquire(), 0.01)

        try:
            loop.run_until_complete(hold())
        except asyncio.TimeoutError:
            pass
        loop.close()
        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(wait())
        finally:
            loop.close()
    same(use)


# ---- coroutines -----------------------------------------------------------


@pytest.mark.parametrize("name", WAITS)
def test_driven_by_hand(name):
    """send, throw and close of the coroutine while it waits."""
    for end in ("throw(KeyError(1))", "throw(asyncio.CancelledError('m'))",
                "close()", "throw(GeneratorExit)", "send(None)"):
        async def drive(k, end=end):
            it = block(k, name)
            coro = getattr(it, WAITS[name])()
            waiter = coro.send(None)
            result = outcome(lambda: eval(
                f"coro.{end}", {"coro": coro, "asyncio": asyncio}))
            again = outcome(lambda: coro.send(None))
            return (result, again, plain(repr(it)), waiter.done(),
                    waiter.cancelled())
        run(drive)


@pytest.mark.parametrize("name", WAITS)
def test_dropped_while_it_waits(name):
    async def drop(k):
        it = block(k, name)
        coro = getattr(it, WAITS[name])()
        coro.send(None)
        del coro
        gc.collect()
        return plain(repr(it))
    run(drop)


def test_never_awaited():
    for name in WAITS:
        def forget(k, name=name):
            with pytest.warns(RuntimeWarning) as caught:
                getattr(eval(MAKE[name], {"k": k}), WAITS[name])()
                gc.collect()
            return [str(w.message) for w in caught]
        same(forget)


def test_names_of_coroutines():
    for name, member in METHODS:
        def names(k, name=name, member=member):
            method = getattr(eval(MAKE[name], {"k": k}), member)
            args = {"put": [1], "wait_for": [bool], "__aexit__": [1, 2, 3],
                    "put_nowait": [1]}
            coro = method(*args.get(member, []))
            if not hasattr(coro, "cr_await"):
                return None
            coro.close()
            return coro.__name__, coro.__qualname__
        same(names)


# ---- bad predicates, heaps, items ------------------------------------------


def test_predicates():
    async def use(k, predicate):
        cond = k.Condition()
        async with cond:
            return await cond.wait_for(predicate)

    def broken():
        raise ValueError("predicate")

    class Untrue:
        def __bool__(self):
            raise ValueError("truth")

    for predicate in (broken, lambda: 7, lambda: Untrue(), None, 3):
        run(lambda k, p=predicate: use(k, p))


def test_condition_without_its_lock():
    async def use(k):
        cond = k.Condition()
        results = []
        for call in (cond.notify, cond.notify_all, cond.release):
            results.append(outcome(call))
        for call in (cond.wait, lambda: cond.wait_for(lambda: False)):
            try:
                await call()
            except Exception as error:
                results.append(describe(error))
        return results
    run(use)


@pytest.mark.parametrize("count", ["0", "-1", "2.5", "None", "'a'",
                                   "10**30", "True"])
def test_notify_counts(count):
    async def use(k):
        cond = k.Condition()

        async def wait():
            async with cond:
                return await cond.wait()

        tasks = [asyncio.ensure_future(wait()) for _ in range(4)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with cond:
            result = outcome(lambda: cond.notify(eval(count)))
        for _ in range(8):
            await asyncio.sleep(0)
        done = [task.done() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
        return result, done
    run(use)


def test_items_that_do_not_compare():
    def use(k):
        queue = k.PriorityQueue()
        queue.put_nowait(1)
        results = [outcome(lambda: queue.put_nowait("a"))]
        results.append(plain(repr(queue)))
        queue._queue[:] = [1, "a", 2]
        results.append(outcome(queue.get_nowait))
        return results, plain(repr(queue))
    same(use)


def test_heap_with_equal_items():
    class Item:
        def __init__(self, priority, name):
            self.priority, self.name = priority, name

        def __lt__(self, other):
            return self.priority < other.priority

    def use(k):
        queue = k.PriorityQueue()
        for i in range(30):
            queue.put_nowait(Item(i * 7 % 5, i))
        return [queue.get_nowait().name for _ in range(30)]
    same(use)


def test_queue_not_a_heap():
    same(lambda k: (lambda q: (setattr(q, "_queue", (1, 2)),
                               q.put_nowait(1)))(k.PriorityQueue()))


def test_loops_own_items():
    """A queue in its own items is collected; its repr does not recurse."""
    queue = ouro.Queue()
    queue.put_nowait(queue)
    with pytest.raises(RecursionError):
        repr(queue)
    reference = weakref.ref(queue)
    del queue
    gc.collect()
    assert reference() is None


def test_deep_nesting_is_freed():
    queue = ouro.Queue()
    for _ in range(200_000):
        outer = ouro.Queue()
        outer.put_nowait(queue)
        queue = outer
    del queue, outer


def test_wakeup_next_of_any_container():
    def use(k):
        queue = k.Queue()
        waiters = collections.deque([1])
        return (outcome(lambda: queue._wakeup_next(waiters)), len(waiters),
                outcome(lambda: queue._wakeup_next([])),
                outcome(lambda: queue._wakeup_next(None)),
                outcome(lambda: queue._wakeup_next(5)))
    same(use)


def test_barrier_arguments():
    async def leave(k):
        return await k.Barrier(1).__aexit__(), await k.Barrier(1).__aexit__(
            1, 2, 3, 4, 5)
    run(leave)
    assert isinstance(ouro.Queue[int], types.GenericAlias)
