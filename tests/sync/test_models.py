"""Locks and queues against asyncio's, driven with the same random schedules.

Tasks are started and cancelled, methods called from outside and from within
the loop, between turns of which each runs what is ready: so also in the turn
of a wake-up, and twice.  After every step both worlds must have the same
trace: the order of wake-ups, results, exceptions and messages, and the repr.
"""

import asyncio
import os

import pytest

hypothesis = pytest.importorskip("hypothesis")

import syncactions as do  # noqa: E402
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

# EXAMPLES=2000 is for a long look, SEED=anything for another one.
SETTINGS = settings(max_examples=int(os.environ.get("EXAMPLES", 30)),
                    stateful_step_count=40, deadline=None,
                    derandomize="SEED" not in os.environ)
small = st.integers(0, 3)
counts = st.integers(-1, 3)
STEPS = [("send", None), ("close",), ("drop",), ("throw", KeyError),
         ("throw", asyncio.CancelledError)]


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

    @rule(data=st.data())
    def drive(self, data):
        self.twin.do("drive", *self.draw(data, self.actions))

    @rule(number=small, what=st.sampled_from(STEPS))
    def step_by_hand(self, number, what):
        self.twin.do("later", number, *what)

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


class LockMachine(Machine):
    actions = [(do.acquire,), (do.hold, small)]
    operations = [(do.release,), (do.locked,), (do.waiters,)]

    @initialize()
    def make(self):
        self.twin.make(lambda kit: kit.Lock())


class SemaphoreMachine(Machine):
    actions = [(do.acquire,), (do.hold, small)]
    operations = [(do.release,), (do.locked,), (do.waiters,)]

    @initialize(value=small, bounded=st.booleans())
    def make(self, value, bounded):
        self.twin.make(
            lambda kit: (kit.BoundedSemaphore if bounded
                         else kit.Semaphore)(value))


class EventMachine(Machine):
    actions = [(do.wait,)]
    operations = [(do.set_event,), (do.clear,), (do.is_set,), (do.waiters,)]

    @initialize()
    def make(self):
        self.twin.make(lambda kit: kit.Event())


class ConditionMachine(Machine):
    actions = [(do.acquire,), (do.hold, small), (do.wait,),
               (do.wait_with_lock, small), (do.wait_with_lock, small),
               (do.wait_for, small), (do.notify, counts), (do.notify_all,)]
    operations = [(do.release,), (do.locked,), (do.waiters,),
                  (do.notify_now, counts)]

    @initialize(own=st.booleans())
    def make(self, own):
        self.twin.make(
            lambda kit: kit.Condition(kit.Lock() if own else None))


class BarrierMachine(Machine):
    actions = [(do.wait,), (do.wait,), (do.hold, small), (do.reset,),
               (do.abort,)]
    operations = [(do.barrier_state,)]

    @initialize(parties=st.integers(1, 3))
    def make(self, parties):
        self.twin.make(lambda kit: kit.Barrier(parties))


class QueueMachine(Machine):
    kind = "Queue"
    actions = [(do.get,), (do.get,), (do.put, small), (do.put, small),
               (do.join,)]
    operations = [(do.get_nowait,), (do.put_nowait, small), (do.task_done,),
                  (do.sizes,), (do.look_inside,), (do.lines,),
                  (do.throw_away,)]
    if do.SHUTDOWN:
        operations.append((do.shutdown, st.booleans()))

    @initialize(maxsize=small)
    def make(self, maxsize):
        self.twin.make(
            lambda kit: getattr(kit, self.kind)(maxsize))


class PriorityQueueMachine(QueueMachine):
    kind = "PriorityQueue"


class LifoQueueMachine(QueueMachine):
    kind = "LifoQueue"


class OwnQueueMachine(QueueMachine):
    """A queue as programs derive it: the newest comes first, twice the same
    only once, and who gets is noted."""

    @initialize(maxsize=small)
    def make(self, maxsize):
        def make(kit):
            class Own(kit.Queue):
                def _init(self, maxsize):
                    self._queue = []
                    self.got = 0

                def _put(self, item):
                    if item not in self._queue:
                        self._queue.append(item)

                def _get(self):
                    self.got += 1
                    return self._queue.pop()
            return Own(maxsize)
        self.twin.make(make)


MACHINES = [LockMachine, EventMachine, ConditionMachine, SemaphoreMachine,
            BarrierMachine, QueueMachine, PriorityQueueMachine,
            LifoQueueMachine, OwnQueueMachine]


# (What is closed may complain that it was not waited for to the end.)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
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
