"""Cancelled at every await, in every turn around the wake-up, twice, with
messages: what happens is what happens in asyncio, and nothing is lost.

Three wait for the same; the first two of them are disturbed.  The wait is
ended in one turn, and all disturbances before, in, and after that turn are
lived through, by cancellation of the task and, for one that drives the
coroutine by hand, by close(), throw() and dropping it.
"""

import asyncio
import itertools
import re
import sys

import pytest
from cancelcases import CASES

import ouro

WAKE = 2        # the turn in which the wait is ended
TURNS = 7
# (names, loop, tasks): each is compared with asyncio alone.
WORLDS = {
    "native": (ouro, ouro.Loop, None),
    "native on asyncio's loop": (ouro, asyncio.SelectorEventLoop, None),
    "native in asyncio's tasks": (ouro, ouro.Loop, asyncio.Task),
    "asyncio's in native tasks": (asyncio, ouro.Loop, None),
    "native tasks on asyncio's loop": (
        asyncio, asyncio.SelectorEventLoop, ouro.Task),
}
NATIVE = list(WORLDS)[:2]
# (A second cancellation of 3.11's wait_for() has the first as context; ours
# has none.)
CONTEXTS = sys.version_info >= (3, 12)
STOCK = asyncio, asyncio.SelectorEventLoop, asyncio.Task
HAND = [("send", None), ("throw", KeyError), ("close",), ("drop",),
        ("throw", asyncio.CancelledError)]
# (turn, turn of the second or None, before the wake-up?, by a callback?)
SCHEDULES = [
    (first, second, before, soon)
    for first in range(WAKE + 3)
    for second in (None, first, first + 1)
    for before, soon in itertools.product((True, False), repeat=2)
    if WAKE in (first, second) or (before and not soon)]
BY_HAND = [(first, second, before) for first, second, before, soon in SCHEDULES
           if not soon and second in (None, first + 1)]


def describe(error):
    parts = []
    while error is not None and len(parts) < 4:
        text = re.sub("0x[0-9a-f]+", "0x", repr(error))
        parts.append(re.sub(r"\(\) at \S+", "()", text))
        if isinstance(error, BaseExceptionGroup):
            parts.append([describe(each) for each in error.exceptions])
        error = error.__context__ if CONTEXTS else None
    return parts


class World:
    """A loop, those who wait, and their trace."""

    def __init__(self, names, factory, task_class):
        self.k = names
        self.loop = factory()
        if task_class is not None:
            self.loop.set_task_factory(self.make_task)
        self.task_class = task_class
        self.made = []
        self.loop.set_exception_handler(self.handle)
        self.trace = []

    def make_task(self, loop, coroutine, **kwargs):
        task = self.task_class(coroutine, loop=loop, **kwargs)
        self.made.append(task)
        return task

    def age(self, task):
        """Tasks are in the order of their making by this."""
        if self.made:
            return self.made.index(task)
        return int(task.get_name().removeprefix("Task-"))

    def handle(self, loop, context):
        message = context["message"].partition("(<")[0]
        if "never retrieved" not in message:    # (when is up to the collector)
            self.note("handler", re.sub("0x[0-9a-f]+", "0x", message))

    def note(self, *what):
        self.trace.append((self.turn, *what))

    def run_turn(self):
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    async def wait(self, number, again):
        """Wait; after `again` cancellations, wait once more."""
        while True:
            try:
                result = await self.operation()
                self.note(number, "returns", repr(result))
                return
            except asyncio.CancelledError as error:
                self.note(number, describe(error),
                          asyncio.current_task().cancelling())
                if not again:
                    raise
                again -= 1
            except Exception as error:
                self.note(number, describe(error))
                return

    def live(self, case, disturb, before, *args):
        """The trace of three who wait, and are disturbed in each turn before
        or after the wake-up of that turn."""
        self.turn, self.trace = -1, []
        self.operation, self.wake, self.look = (
            self.loop.run_until_complete(case(self.k)))
        tasks, by_hand = [], []
        whom = by_hand if disturb is drive else tasks

        def start():
            if disturb is drive:
                by_hand.append(self.operation())
                self.send(by_hand, "send", None)
            tasks.extend(self.loop.create_task(self.wait(number, *args[:1]))
                         for number in range(3))

        self.loop.call_soon(start)
        self.run_turn()
        for self.turn in range(TURNS):
            if before:
                disturb(self, whom, *args)
            if self.turn in (WAKE, WAKE + 3):
                self.loop.call_soon(self.let_go)
            if not before:
                disturb(self, whom, *args)
            self.run_turn()
            self.note(self.look())
        by_hand.clear()
        self.finish(tasks)
        return self.trace

    def let_go(self):
        try:
            self.wake()
        except Exception as error:
            self.note("wake", describe(error))

    def send(self, by_hand, method, *args):
        """Have the coroutine do a step; there it ends, or waits."""
        try:
            future = getattr(by_hand[0], method)(*args)
        except BaseException as error:
            self.note(method, describe(error))
        else:
            self.note(method, type(future).__name__)

    def finish(self, tasks):
        """Whoever waits still is cancelled; that takes what it takes."""
        left = tasks
        while left:
            for task in left:
                task.cancel()
            self.turn += 1
            self.run_turn()
            left = sorted(asyncio.all_tasks(self.loop), key=self.age)
        self.note([task.cancelled() for task in tasks], self.look())
        for task in tasks:
            if not task.cancelled():
                task.exception()
        self.made.clear()


def cancel(world, tasks, again, first, second, soon):
    """Tasks are cancelled in these turns, the second time two of them."""
    for turn, number, args in ((first, 0, ("first",)), (second, 0, ()),
                               (second, 1, ("other",))):
        if turn != world.turn:
            continue
        if soon:
            world.loop.call_soon(tasks[number].cancel, *args)
        else:
            world.note("cancel", number, tasks[number].cancel(*args))


def drive(world, by_hand, again, first, second, how):
    """One drives the coroutine by hand, as greenlets do."""
    method, *args = how
    for turn in first, second:
        if turn != world.turn:
            continue
        if method == "drop":
            world.loop.call_soon(by_hand.clear)
        else:
            world.loop.call_soon(world.send, by_hand, *how)


@pytest.fixture(scope="module")
def worlds():
    """asyncio's, and a dict of the others."""
    others = {name: World(*WORLDS[name]) for name in WORLDS}
    stock = World(*STOCK)
    yield stock, others
    for world in stock, *others.values():
        world.loop.close()


def compare(worlds, names, name, *schedule):
    stock, others = worlds
    expected = stock.live(CASES[name], *schedule)
    for where in names:
        world = others[where]
        trace = world.live(CASES[name], *schedule)
        assert trace == expected, (where, schedule)


@pytest.mark.parametrize("name", CASES)
def test_cancelled_at_any_turn(worlds, name):
    for first, second, before, soon in SCHEDULES:
        # Who is cancelled twice waits once more in between.
        again = 0 if second is None else 1
        compare(worlds, WORLDS, name, cancel, before, again, first, second,
                soon)


# (What is closed may complain that it was not waited for to the end.)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CASES)
def test_driven_by_hand(worlds, name):
    for how, (first, second, before) in itertools.product(HAND, BY_HAND):
        compare(worlds, NATIVE, name, drive, before, 0, first, second, how)
