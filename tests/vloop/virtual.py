"""What a worker does besides, for the run on a virtual clock.

Owns the loop that takes the place of CPython's TestLoop: not a mock but the
loop under test itself, whose clock stands still while anything is to be run
and then moves on to the next timer.  From the tests flows back how many
steps tasks took on the fast path: each test in which a task of ours ran must
have taken some, or stand in the list of those that cannot.

TestLoop is given a generator that says by how much time is to move on after
a timer was set.  A clock that moves by itself comes to the same time, which
the tests assert; the generator is not used.
"""

import asyncio
import fnmatch
import functools
import pathlib
import selectors
import threading
import time
import tomllib
import unittest

POLL = 0.001    # seconds: how long to wait for other threads and descriptors


class Clock:
    """Time in seconds that passes when `wait` is called."""

    def __init__(self):
        self.now = 0.0
        self.threads = threading.active_count()

    def time(self):
        return self.now

    def wait(self, seconds):
        """In the place of waiting for events, `None` without a limit."""
        if seconds is None:
            time.sleep(POLL)
        elif threading.active_count() > self.threads:
            # A thread may have an answer before that: no jump.
            seconds = min(seconds, POLL)
            time.sleep(seconds)
            self.now += seconds
        else:
            self.now += seconds

    def advance(self, seconds):
        if seconds:
            self.now += seconds


def virtual_loop(gen=None):
    """A new loop, of the exact type that is tested, on a clock of its own."""
    clock = Clock()
    if hasattr(asyncio.SelectorEventLoop, "_set_clock"):
        loop = asyncio.SelectorEventLoop()
        loop._set_clock(clock.time, clock.wait)
    else:
        loop = StockLoop(clock)
    loop.advance_time = clock.advance
    return loop


class StockLoop(asyncio.SelectorEventLoop):
    """asyncio's own on such a clock, to test the tests."""

    class Selector(selectors.DefaultSelector):
        clock = None

        def select(self, timeout=None):
            events = super().select(0)
            if not events and timeout != 0:
                self.clock.wait(timeout)
            return events

    def __init__(self, clock):
        self._clock = clock
        selector = self.Selector()
        selector.clock = clock
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self):
        return self._clock.now


class FastSteps:
    """Holds each test's fast steps against what was expected of it."""

    def __init__(self, count):
        self.count = count
        path = pathlib.Path(__file__).with_name("exclusions.toml")
        self.faithful = tomllib.loads(path.read_text())["faithful"]
        self.tests = self.steps = 0

    def start(self, test):
        self.before = self.count()

    def stop(self, test, outcome):
        """Returns why a test that has passed is to fail, or None."""
        steps = self.count() - self.before
        self.steps += steps
        self.tests += steps > 0
        if steps or outcome != "pass" or self._may_be_faithful(test):
            return None
        return "no task took a step on the fast path"

    def _may_be_faithful(self, test):
        return any(fnmatch.fnmatchcase(test, glob)
                   for globs in self.faithful.values() for glob in globs)


class Setup:
    """See worker.py: `setup`."""

    def __init__(self, implementation):
        count = getattr(getattr(implementation, "_ouro", None),
                        "_fast_steps", None)
        self.fast = count and FastSteps(count)

    def prepare(self):
        from test.test_asyncio import utils
        utils.TestLoop = virtual_loop
        # Debug mode is not the fast path.
        unittest.IsolatedAsyncioTestCase._setupAsyncioRunner = _setup_runner

    def loaded(self, modules):
        tests = modules.get("test.test_asyncio.test_tasks")
        if tests:
            tests.BaseTaskTests.setUp = _without_factories(
                tests.BaseTaskTests.setUp)
            tests.GatherTestsBase._run_loop = _run_some_turns

    def start(self, test):
        if self.fast:
            self.fast.start(test)

    def stop(self, test, outcome):
        return self.fast.stop(test, outcome) if self.fast else None

    def finish(self, send):
        if self.fast:
            send("fact", **{"tests on the fast path": self.fast.tests,
                            "steps on the fast path": self.fast.steps})


def _setup_runner(self):
    assert self._asyncioRunner is None
    self._asyncioRunner = asyncio.Runner(debug=False,
                                         loop_factory=virtual_loop)


def _run_some_turns(self, loop):
    """As often as was enough while `_ready` could be looked at: reading it
    takes a loop off the fast path."""
    from test.test_asyncio import utils
    for _ in range(5):
        utils.run_briefly(loop)


def _without_factories(original):
    """Test the loop's own create_task() and create_future() where the class
    is about the types that these make anyhow."""

    @functools.wraps(original)
    def setUp(self):
        original(self)
        if self.Task is asyncio.Task and self.Future is asyncio.Future:
            self.loop.set_task_factory(None)
            del self.loop.create_future

    return setUp
