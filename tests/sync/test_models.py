"""Locks and queues against asyncio's, driven with the same random schedules.

Tasks are started and cancelled, methods called from outside and from within
the loop, between turns of which each runs what is ready: so also in the turn
of a wake-up, and twice.  After every step both worlds must have the same
trace: the order of wake-ups, results, exceptions and messages, and the repr.
"""

import asyncio
import os
import sys

import pytest

hypothesis = pytest.importorskip("hypothesis")

from hypothesis import settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import (  # noqa: E402
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from syncworlds import WORLDS, Twin  # noqa: E402

SHUTDOWN = sys.version_info >= (3, 13)
SETTINGS = settings(max_examples=int(os.environ.get("EXAMPLES", 40)),
                    stateful_step_count=40, deadline=None,
                    derandomize=True)
small = st.integers(0, 3)
counts = st.integers(-1, 3)


class Machine(RuleBasedStateMachine):
    """The steps that are the same for all primitives."""

    twin = None         # set for the test
    actions = []        # (coroutine function, strategies of its arguments)
    operations = []     # (function, ...) the same

    @rule(data=st.data(), times=st.integers(1, 3))
    def start(self, data, times):
        what = self.draw(data, self.actions)
        for _ in range(times):
            self.twin.do("start", *what)

    @rule(data=st.data())
    def now(self, data):
        self.twin.do("now", *self.draw(data, self.operations))

    @rule(data=st.data())
    def soon(self, data):
        self.twin.do("soon", *self.draw(data, self.operations))

    @rule(number=st.integers(0, 35), soon=st.booleans(),
          message=st.sampled_from([None, None, "first", 7]))
    def cancel(self, number, soon, message):
        self.twin.do("cancel", number, message, soon)

    @rule()
    def turn(self):
        self.twin.do("turn")

    @rule()
    def another_turn(self):
        self.twin.do("turn")

    @invariant()
    def same(self):
        self.twin.compare()

    def teardown(self):
        self.twin.end()

    def draw(self, data, table):
        function, *strategies = data.draw(st.sampled_from(table))
        return function, *map(data.draw, strategies)


# ---- what is done with them ------------------------------------------------


async def acquire(it, log):
    return await it.acquire()


async def hold(it, log, turns):
    async with it as value:
        log("has", value)
        for _ in range(turns):
            await asyncio.sleep(0)


async def wait(it, log):
    return await it.wait()


def release(it):
    return it.release()


def locked(it):
    return it.locked()


def waiters(it):
    """Look at the line: from then on, it is a deque."""
    line = it._waiters
    if line is None:
        return None
    return type(line).__name__, [(w.done(), w.cancelled()) for w in line]


class LockMachine(Machine):
    actions = [(acquire,), (hold, small)]
    operations = [(release,), (locked,), (waiters,)]

    @initialize()
    def make(self):
        self.twin.make(lambda kit: kit.Lock())


class SemaphoreMachine(Machine):
    actions = [(acquire,), (hold, small)]
    operations = [(release,), (locked,), (waiters,)]

    @initialize(value=small, bounded=st.booleans())
    def make(self, value, bounded):
        self.twin.make(
            lambda kit: (kit.BoundedSemaphore if bounded
                         else kit.Semaphore)(value))


def set_event(it):
    return it.set()


def clear(it):
    return it.clear()


def is_set(it):
    return it.is_set()


class EventMachine(Machine):
    actions = [(wait,)]
    operations = [(set_event,), (clear,), (is_set,), (waiters,)]

    @initialize()
    def make(self):
        self.twin.make(lambda kit: kit.Event())


async def wait_with_lock(it, log, turns):
    async with it:
        for _ in range(turns):
            await asyncio.sleep(0)
        log("waits")
        value = await it.wait()
        log("woken", value)
        for _ in range(turns):
            await asyncio.sleep(0)


async def wait_for(it, log, times):
    """True when it has been asked a number of times."""
    asked = []

    def predicate():
        asked.append(0)
        return len(asked) > times

    async with it:
        value = await it.wait_for(predicate)
        log("held", value, len(asked))


async def notify(it, log, count):
    async with it:
        return it.notify(count)


async def notify_all(it, log):
    async with it:
        return it.notify_all()


def notify_now(it, count):
    return it.notify(count)


class ConditionMachine(Machine):
    actions = [(acquire,), (hold, small), (wait,), (wait_with_lock, small),
               (wait_with_lock, small), (wait_for, small), (notify, counts),
               (notify_all,)]
    operations = [(release,), (locked,), (waiters,), (notify_now, counts)]

    @initialize(own=st.booleans())
    def make(self, own):
        self.twin.make(
            lambda kit: kit.Condition(kit.Lock() if own else None))


async def reset(it, log):
    return await it.reset()


async def abort(it, log):
    return await it.abort()


def barrier_state(it):
    return it._state.value, it._count, it.n_waiting, it.parties, it.broken


class BarrierMachine(Machine):
    actions = [(wait,), (wait,), (hold, small), (reset,), (abort,)]
    operations = [(barrier_state,)]

    @initialize(parties=st.integers(1, 3))
    def make(self, parties):
        self.twin.make(lambda kit: kit.Barrier(parties))


async def get(it, log):
    return await it.get()


async def put(it, log, item):
    return await it.put(item)


async def join(it, log):
    return await it.join()


def get_nowait(it):
    return it.get_nowait()


def put_nowait(it, item):
    return it.put_nowait(item)


def task_done(it):
    return it.task_done()


def sizes(it):
    return it.qsize(), it.empty(), it.full(), it.maxsize, str(it)


def look_inside(it):
    return (type(it._queue).__name__, list(it._queue),
            it._unfinished_tasks, it._finished.is_set())


def lines(it):
    return [[(w.done(), w.cancelled()) for w in line]
            for line in (it._getters, it._putters)]


def throw_away(it):
    return it._queue.clear()


def shutdown(it, immediate):
    return it.shutdown(immediate)


class QueueMachine(Machine):
    kind = "Queue"
    actions = [(get,), (get,), (put, small), (put, small), (join,)]
    operations = [(get_nowait,), (put_nowait, small), (task_done,), (sizes,),
                  (look_inside,), (lines,), (throw_away,)]
    if SHUTDOWN:
        operations.append((shutdown, st.booleans()))

    @initialize(maxsize=small)
    def make(self, maxsize):
        self.twin.make(
            lambda kit: getattr(kit, self.kind)(maxsize))


class PriorityQueueMachine(QueueMachine):
    kind = "PriorityQueue"


class LifoQueueMachine(QueueMachine):
    kind = "LifoQueue"


MACHINES = [LockMachine, EventMachine, ConditionMachine, SemaphoreMachine,
            BarrierMachine, QueueMachine, PriorityQueueMachine,
            LifoQueueMachine]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
@pytest.mark.parametrize("world", WORLDS)
def test_same_as_asyncio(machine, world):
    twin = Twin(world)
    try:
        run_state_machine_as_test(
            type(machine.__name__, (machine,), {"twin": twin}),
            settings=SETTINGS)
    finally:
        twin.close()
