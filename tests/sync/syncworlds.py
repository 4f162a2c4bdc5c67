"""Two worlds that live through the same: what the model tests are driven by.

A World is a loop with one primitive on it, and a trace of all that happens:
what tasks start, get and raise, in which turn, and what the primitive looks
like.  A Twin drives asyncio's world and another one through the same steps
and compares the traces after each.
"""

import asyncio
import contextlib
import re
import types

import ouro

NAMES = """
    Lock Event Condition Semaphore BoundedSemaphore Barrier
    Queue PriorityQueue LifoQueue""".split()


def kit(source):
    """The primitives of a module, or what a function of a name returns."""
    find = source if callable(source) else lambda name: getattr(source, name)
    return types.SimpleNamespace(**{name: find(name) for name in NAMES})


def derived(name):
    """A subclass in Python that replaces nothing."""
    return type(name, (getattr(ouro, name),), {})


STOCK = kit(asyncio)
NATIVE = kit(ouro)
DERIVED = kit(derived)

# name -> (loop, primitives, type of the tasks, if it is not the loop's): each
# is compared with asyncio alone.
WORLDS = {
    "native": (ouro.Loop, NATIVE, None),
    "native on asyncio's loop": (asyncio.SelectorEventLoop, NATIVE, None),
    "native in asyncio's tasks": (ouro.Loop, NATIVE, asyncio.Task),
    "asyncio's on the native loop": (ouro.Loop, STOCK, None),
    "asyncio's in native tasks": (asyncio.SelectorEventLoop, STOCK,
                                  ouro.Task),
    "derived": (ouro.Loop, DERIVED, None),
    "derived on asyncio's loop": (asyncio.SelectorEventLoop, DERIVED, None),
}


def describe(error):
    """An exception as text, with what it was raised in the context of."""
    parts = []
    while error is not None and len(parts) < 5:
        text = re.sub("0x[0-9a-f]+", "0x", repr(error))
        parts.append(text)
        error = error.__context__
    return " <- ".join(parts)


def plain(text):
    """A repr without what differs between two objects alike."""
    text = re.sub("0x[0-9a-f]+", "0x", text)
    return re.sub(r"<\S*?(\w+)( object)? at 0x", r"<\1 at 0x", text)


class World:
    """A loop, a primitive, tasks 0, 1, ... that use it, and their trace."""

    def __init__(self, loop, primitives, task_class, make):
        self.loop = loop
        self.task_class = task_class
        self.trace = []
        self.tasks = []
        self.by_hand = []
        self.turns = 0
        self.kit = primitives
        self.it = make(primitives)

    def log(self, *what):
        self.trace.append((self.turns, *what))

    def start(self, action, *args):
        """A task for the coroutine function action(world, log, *args)."""
        number = len(self.tasks)

        def log(*what):
            self.log(number, *what)

        async def run():
            log("starts", action.__name__)
            try:
                log("returns", await action(self.it, log, *args))
            except BaseException as error:
                log("raises", describe(error))

        if self.task_class is None:
            self.tasks.append(self.loop.create_task(run()))
        else:
            self.tasks.append(self.task_class(run(), loop=self.loop))

    def drive(self, action, *args):
        """A coroutine that no task runs: its first step, in the next turn."""
        def first():
            number = len(self.by_hand)
            self.by_hand.append(action(
                self.it, lambda *what: self.log("hand", number, *what),
                *args))
            self.step(number, "send", None)

        self.loop.call_soon(first)

    def step(self, number, method, *args):
        """One of those goes on, or ends."""
        if not self.by_hand:
            return
        number %= len(self.by_hand)
        if method == "drop":
            self.by_hand[number] = None
        elif self.by_hand[number] is not None:
            try:
                result = getattr(self.by_hand[number], method)(*args)
            except BaseException as error:
                self.log("hand", number, method, describe(error))
            else:
                self.log("hand", number, method, type(result).__name__)

    def later(self, *what):
        """Such a step in the next turn."""
        self.loop.call_soon(self.step, *what)

    def now(self, operation, *args):
        """Call operation(it, *args) from outside, between two turns."""
        try:
            self.log(operation.__name__, operation(self.it, *args))
        except Exception as error:
            self.log(operation.__name__, describe(error))

    def soon(self, operation, *args):
        self.loop.call_soon(self.now, operation, *args)

    def cancel(self, number, message, soon):
        if not self.tasks:
            return

        # Mostly one that is not done: it is to come at a bad moment.
        pending = [task for task in self.tasks if not task.done()]
        tasks = pending if pending and number < 30 else self.tasks
        task = tasks[number % len(tasks)]
        args = () if message is None else (message,)

        def cancel():
            self.log("cancel", task.cancel(*args))

        if soon:
            self.loop.call_soon(cancel)
        else:
            cancel()

    def turn(self):
        """Run what is ready now."""
        self.turns += 1
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def look(self):
        """How the primitive looks without touching it."""
        return plain(repr(self.it))

    def end(self):
        """Cancel what goes on; what cannot be stopped is written down."""
        for number in range(len(self.by_hand)):
            self.later(number, "close")
            self.later(number, "drop")
        for _ in range(10):
            if all(task.done() for task in self.tasks):
                break
            for task in self.tasks:
                task.cancel()
            self.turn()
            self.turn()
        left = [number for number, task in enumerate(self.tasks)
                if not task.done()]
        self.log("left", left)
        for number in left:
            self.tasks[number]._log_destroy_pending = False


class Twin:
    """asyncio's world and the one that is compared with it."""

    def __init__(self, name):
        loop_factory, self.primitives, self.task_class = WORLDS[name]
        self.loops = asyncio.SelectorEventLoop(), loop_factory()
        self.worlds = []

    def make(self, make):
        """Two new worlds, with the primitive that make(kit) returns."""
        stock, other = self.loops
        self.worlds = [World(stock, STOCK, None, make),
                       World(other, self.primitives, self.task_class, make)]

    def do(self, method, *args):
        for world in self.worlds:
            getattr(world, method)(*args)

    def compare(self):
        if not self.worlds:
            return
        stock, other = self.worlds
        assert other.trace == stock.trace
        assert other.look() == stock.look()

    def end(self):
        if self.worlds:
            self.do("end")
            self.compare()
        self.worlds = []

    def close(self):
        self.worlds = []
        for loop in self.loops:
            with contextlib.suppress(RuntimeError):
                loop.close()
