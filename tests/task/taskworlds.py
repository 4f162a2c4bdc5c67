"""Two worlds that run the same program of tasks, futures and time.

A World is a loop on a clock that is moved by hand, futures 0, 1, ... that
programs wait for and complete, the tasks that were started, and a trace of
what happens in which turn.  A Twin drives asyncio's world and another one
through the same steps and compares both after each; what a program consists
of is in scripts.py.
"""

import asyncio
import contextvars
import gc
import itertools
import re
import selectors
import sys
import types

import ouro

NAMES = """
    Future Task create_task current_task all_tasks ensure_future sleep gather
    shield wait wait_for as_completed timeout timeout_at TaskGroup
    isfuture""".split()
EAGER = sys.version_info >= (3, 12)
# (A second cancellation of 3.11's wait_for() has the first as context; ours
# has none.)
CONTEXTS = sys.version_info >= (3, 12)
UNTOLD = ("was never retrieved", "was destroyed but it is pending")


def kit(source):
    """The functions and types of a module that programs are made of."""
    return types.SimpleNamespace(
        **{name: getattr(source, name) for name in NAMES})


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self):
        self.now = 100.0

    def time(self):
        return self.now

    def wait(self, seconds):
        """In the place of waiting for events."""


class StockLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on such a clock."""

    class Selector(selectors.DefaultSelector):
        def select(self, timeout=None):
            return super().select(0)

    def __init__(self, clock):
        super().__init__(self.Selector())
        self._clock_resolution = 1e-9
        self.time = clock.time


def stock_loop(clock):
    return StockLoop(clock)


def native_loop(clock):
    loop = ouro.Loop()
    loop._set_clock(clock.time, clock.wait)
    loop._clock_resolution = 1e-9
    return loop


class DerivedTask(ouro.Task):
    """Overrides nothing."""


class OverridingTask(ouro.Task):
    """Overrides what is then called."""

    def cancel(self, msg=None):
        return super().cancel(msg)

    def uncancel(self):
        return super().uncancel()

    # (Not context=None, which means that of the end, as to asyncio's in C.)
    def add_done_callback(self, callback, **context):
        return super().add_done_callback(callback, **context)

    def result(self):
        return super().result()


def tasks_of(cls):
    def setup(loop):
        def factory(loop, coroutine, **kwargs):
            return cls(coroutine, loop=loop, **kwargs)
        loop.set_task_factory(factory)
    return setup


def eager(module):
    def setup(loop):
        loop.set_task_factory(module.eager_task_factory)
    return setup


def debug(loop):
    loop.set_debug(True)
    loop.slow_callback_duration = 1e9


STOCK, NATIVE = kit(asyncio), kit(ouro)

# name -> ((loop, kit, setup) of asyncio's world, the same of the other)
PLAIN = stock_loop, STOCK, None
FACTORY = stock_loop, STOCK, tasks_of(asyncio.Task)
WORLDS = {
    "native": (PLAIN, (native_loop, NATIVE, None)),
    "native on asyncio's loop": (PLAIN, (stock_loop, NATIVE, None)),
    "native tasks on asyncio's loop": (
        FACTORY, (stock_loop, NATIVE, tasks_of(ouro.Task))),
    "asyncio's on the native loop": (PLAIN, (native_loop, STOCK, None)),
    "asyncio's tasks on the native loop": (
        FACTORY, (native_loop, NATIVE, tasks_of(asyncio.Task))),
    "derived": (FACTORY, (native_loop, NATIVE, tasks_of(DerivedTask))),
    "overriding": (FACTORY, (native_loop, NATIVE, tasks_of(OverridingTask))),
    "debug": ((stock_loop, STOCK, debug), (native_loop, NATIVE, debug)),
}
if EAGER:
    WORLDS["eager"] = ((stock_loop, STOCK, eager(asyncio)),
                       (native_loop, NATIVE, eager(ouro)))
    WORLDS["eager on asyncio's loop"] = (
        (stock_loop, STOCK, eager(asyncio)),
        (stock_loop, NATIVE, eager(ouro)))


def describe(error, depth=0):
    """An exception as text, with its context, cause and parts."""
    if error is None or depth > 5:
        return None
    text = plain(repr(error))
    if isinstance(error, BaseExceptionGroup):
        text += f" of {[describe(e, depth + 1) for e in error.exceptions]}"
    if error.__cause__ is not None:
        text += f" from {describe(error.__cause__, depth + 1)}"
    if CONTEXTS and error.__context__ is not None:
        text += (f" <-{'x' if error.__suppress_context__ else ''} "
                 f"{describe(error.__context__, depth + 1)}")
    return text


def plain(text):
    """A repr without what differs between two objects alike."""
    text = re.sub("0x[0-9a-f]+", "0x", text)
    text = re.sub(r"Task-\d+", "Task-N", text)
    text = re.sub(r"\b(DerivedTask|OverridingTask)\b", "Task", text)
    text = re.sub(r" created at \S+", "", text)
    # What callbacks of asyncio's own are called is no use to anybody.
    text = re.sub(r"_release_waiter\(.*?\)\(\)", "_release_waiter()", text)
    text = re.sub(r"<bound method _AsCompletedIterator.*?>>\(\)",
                  "_AsCompletedIterator._handle_completion()", text)
    text = re.sub(r"\(\) at /[^\],]+", "()", text)
    text = re.sub(r"<\S*?([\w.]+)( object)? at 0x", r"<\1 at 0x", text)
    return text


class World:
    """A loop, futures, tasks and their trace."""

    def __init__(self, loop_factory, kit, setup, futures=4):
        self.clock = Clock()
        self.loop = loop_factory(self.clock)
        self.kit = kit
        if setup is not None:
            setup(self.loop)
        self.trace = []
        self.untold = []
        self.turns = 0
        self.delays = 0
        self.tasks = []
        self.loop.set_exception_handler(self.handle)
        self.variable = contextvars.ContextVar("variable", default=0)
        self.futures = [self.loop.create_future() for _ in range(futures)]

    def log(self, *what):
        self.trace.append((self.turns, *what))

    def handle(self, loop, context):
        # (Arguments are cut where that depends on the lengths of names.)
        what = (context["message"].partition("(<")[0], sorted(context),
                describe(context.get("exception")))
        what = plain(repr(what))
        if any(message in what for message in UNTOLD):
            # When these come depends on when garbage is collected.
            self.untold.append(what)
        else:
            self.log("handler", what)

    def delay(self, ticks):
        """Seconds; no two are the same, to have one order of timers."""
        self.delays += 1
        return ticks + self.delays / 1024

    def attempt(self, name, function, *args, **kwargs):
        """Call it and write down what came of it."""
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            result = describe(error)
        self.log(name, plain(repr(result)))

    # ---- steps -------------------------------------------------------------

    def start(self, script):
        from scripts import run
        number = len(self.tasks)
        self.tasks.append(None)     # (an eager task runs before it is known)
        task = self.loop.create_task(
            run(self, script, f"t{number}"), name=f"t{number}")
        self.tasks[number] = task
        return task

    def turn(self):
        """Run what is ready now."""
        self.turns += 1
        for _ in range(20):
            self.loop.call_soon(self.loop.stop)
            try:
                self.loop.run_forever()
                break
            except BaseException as error:
                self.log("out of the loop", describe(error))

    def advance(self, seconds):
        self.clock.now += seconds
        self.turn()

    def later(self, step):
        """Take a step in the next turn, from a callback."""
        self.loop.call_soon(getattr(self, step[0]), *step[1:])

    def cancel(self, number, message):
        # Mostly one that is not done: it is to come at a bad moment.
        known = [task for task in self.tasks if task is not None]
        pending = [task for task in known if not task.done()]
        among = pending if pending and number < 30 else known
        if among:
            task = among[number % len(among)]
            args = () if message is None else (message,)
            self.attempt("cancel", task.cancel, *args)

    def future(self, number):
        return self.futures[number % len(self.futures)]

    def complete(self, number, how):
        future = self.future(number)
        if how == "result":
            self.attempt(how, future.set_result, f"r{number}")
        elif how == "error":
            self.attempt(how, future.set_exception, KeyError(f"e{number}"))
        elif how == "cancel":
            self.attempt(how, future.cancel)
        else:
            self.attempt(how, future.cancel, how)

    def renew(self, number):
        """A new future in the place of one that is done."""
        if self.future(number).done():
            self.futures[number % len(self.futures)] = (
                self.loop.create_future())

    def callback(self, number, error=None):
        """Of a task or a future: what it sees when it is called."""
        both = [*self.futures, *filter(None, self.tasks)]
        target = both[number % len(both)]

        def called(future):
            self.log("called", number, future is target, future.done(),
                     future.cancelled(), self.variable.get(),
                     self.kit.current_task(self.loop) is None)
            if error is not None:
                raise error(number)

        target.add_done_callback(called)
        if number % 5 == 0:
            self.attempt("removed", target.remove_done_callback, called)

    # ---- looks -------------------------------------------------------------

    def look(self):
        return ([(task.done(), task.cancelled(), task.cancelling())
                 for task in self.tasks if task is not None],
                [plain(repr(future)) for future in self.futures])

    def names(self):
        """Of all tasks that are not done (made within are Task-N)."""
        self.log("all", sorted(plain(task.get_name()) for task
                               in self.kit.all_tasks(self.loop)))

    def reprs(self):
        self.log("reprs", [plain(repr(task)) for task in self.tasks])

    def place(self, task):
        """Of a task in the program, by which both worlds sort them: those
        made within have names of no use (3.13.0's is None with factories)."""
        frame = task.get_coro().cr_frame
        return frame.f_locals["name"] if frame is not None else ""

    def end(self):
        for _ in range(12):
            left = [task for task in self.kit.all_tasks(self.loop)
                    if not task.done()]
            if not left:
                break
            for task in sorted(left, key=self.place):
                task.cancel("the end")
            self.turn()
            self.turn()
            self.clock.now += 50
        self.log("left", len(left))
        for task in left:
            task._log_destroy_pending = False
        outcomes = []
        for task in filter(None, self.tasks):
            if not task.done():
                outcomes.append("pending")
            elif task.cancelled():
                outcomes.append("cancelled")
            else:
                outcomes.append(describe(task.exception())
                                or plain(repr(task.result())))
        self.log("outcomes", outcomes)

    def close(self):
        self.loop.close()
        self.tasks = self.futures = None

    def __del__(self):
        if not self.loop.is_closed():
            self.loop.close()


class Twin:
    """asyncio's world and the one that is compared with it."""

    def __init__(self, name):
        self.worlds = [World(*each) for each in WORLDS[name]]

    def do(self, step):
        for world in self.worlds:
            getattr(world, step[0])(*step[1:])

    def compare(self):
        stock, other = self.worlds
        if other.trace != stock.trace:
            both = itertools.zip_longest(stock.trace, other.trace)
            raise AssertionError(next(
                f"asyncio: {a}\n   ours: {b}" for a, b in both if a != b))
        stock, other = stock.look(), other.look()
        assert other == stock, f"\nasyncio: {stock}\n   ours: {other}"

    def end(self, collect=False):
        self.do(("end",))
        self.compare()
        self.do(("close",))
        if collect:
            gc.collect()
            stock, other = self.worlds
            assert sorted(other.untold) == sorted(stock.untold)
