"""ouro's coroutines and asyncio's, driven by hand in the same random ways.

Whatever a driver does to both, sends, throws, closes, wakes, it gets the same
answers, and the primitives are left in the same state.
"""

import asyncio
import gc
import random
import re

import pytest

from ouro import _ouro

SEEDS = range(150)


def get(room):
    queue = room.Queue()
    return queue, queue.get, lambda: queue.put_nowait(1)


def put(room):
    queue = room.Queue(1)
    queue.put_nowait(0)
    return queue, lambda: queue.put((1, 2)), queue.get_nowait


def join(room):
    queue = room.Queue()
    queue.put_nowait(0)
    return queue, queue.join, queue.task_done


def event(room):
    event = room.Event()
    return event, event.wait, event.set


def lock(room):
    lock = room.Lock()
    take(lock.acquire())
    return lock, lock.acquire, lock.release


def enter(room):
    lock = room.Lock()
    take(lock.acquire())
    return lock, lock.__aenter__, lock.release


def semaphore(room):
    semaphore = room.Semaphore(0)
    return semaphore, semaphore.acquire, semaphore.release


def condition(room):
    condition = room.Condition()
    take(condition.acquire())
    return condition, condition.wait, condition.notify


def condition_for(room):
    condition = room.Condition()
    take(condition.acquire())
    flags = iter([0, 0, "yes"])
    return (condition, lambda: condition.wait_for(lambda: next(flags)),
            condition.notify)


def barrier(room):
    barrier = room.Barrier(2)
    return barrier, barrier.wait, lambda: take(barrier.wait())


def sleep(room):
    return None, lambda: room.sleep(0, ("slept",)), lambda: None


KINDS = [get, put, join, event, lock, enter, semaphore, condition,
         condition_for, barrier, sleep]


def take(coroutine):
    """Run a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("it waits")


def picture(value):
    """What can be compared of a value, whichever room it comes from."""
    if isinstance(value, BaseException):
        return (type(value).__name__, *map(picture, value.args),
                getattr(value, "value", None) and picture(value.value),
                picture(value.__cause__))
    if asyncio.isfuture(value):
        return "future", value._asyncio_future_blocking, value.done()
    return re.sub(r"0x\w+|asyncio\.\w+\.|ouro\.(_ouro\.)?", "", repr(value))


def random_error(choice):
    return choice([KeyError("x"), KeyError, asyncio.CancelledError("why"),
                   GeneratorExit(), RuntimeError("y"), StopIteration(5)])


def drive(room, kind, seed):
    """Everything that was seen while coroutines were driven at random."""
    choice = random.Random(seed).choice
    primitive, make, wake = kind(room)
    coroutines, futures, seen = [make()], [], []

    def step(what):
        coroutine = choice(coroutines)
        if what == "make":
            coroutines.append(make())
        elif what == "wake":
            return wake()
        elif what == "finish" and futures:
            future = choice(futures)
            if not future.done():
                future.set_result(True)
        elif what == "cancel" and futures:
            return choice(futures).cancel()
        elif what == "send":
            return coroutine.send(choice([None, None, None, 1]))
        elif what == "throw":
            return coroutine.throw(random_error(choice))
        elif what == "close":
            return coroutine.close()

    for _ in range(12):
        what = choice(["make", "wake", "finish", "cancel", "send", "send",
                       "send", "send", "throw", "close"])
        try:
            result = step(what)
        except BaseException as error:
            result = error
        if asyncio.isfuture(result):
            futures.append(result)
        seen.append((what, picture(result), picture(primitive),
                     [(c.cr_running, c.cr_suspended) for c in coroutines]))
        if asyncio.isfuture(result):
            result._asyncio_future_blocking = False
    for coroutine in coroutines:
        try:
            coroutine.close()
        except BaseException as error:
            seen.append(picture(error))
    seen.append(picture(primitive))
    return seen


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_driving(kind):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    asyncio._set_running_loop(loop)
    try:
        for seed in SEEDS:
            theirs = drive(asyncio, kind, seed)
            ours = drive(_ouro, kind, seed)
            for number, (their, our) in enumerate(zip(theirs, ours)):
                assert our == their, (seed, number)
            assert len(ours) == len(theirs)
    finally:
        asyncio._set_running_loop(None)
        loop.close()
        gc.collect()
