"""StreamReader against asyncio's, driven with the same random schedules.

Tasks read in every way and are cancelled, data comes in pieces, the stream
ends or fails, the transport is paused and resumed: after every step both
must have the same trace, in the same turns, and look the same.
"""

import asyncio
import os
import random
import sys

import pytest

import ouro

# EXAMPLES=5000 is for a long look, SEED=5000 for one that begins there.
FIRST = int(os.environ.get("SEED", 0))
SEEDS = range(FIRST, FIRST + int(os.environ.get("EXAMPLES", 150)))
STEPS = 40
TUPLES = sys.version_info >= (3, 13)


class Derived(ouro.StreamReader):
    """Overrides nothing."""


class Overriding(ouro.StreamReader):
    """Overrides what it then calls."""

    async def readuntil(self, *args, **kwargs):
        return await super().readuntil(*args, **kwargs)

    async def read(self, n=-1):
        return await super().read(n)

    async def _wait_for_data(self, name):
        return await super()._wait_for_data(name)

    def _wakeup_waiter(self):
        return super()._wakeup_waiter()

    def _maybe_resume_transport(self):
        return super()._maybe_resume_transport()


class Patched(ouro.StreamReader):
    """Made of the exact class, with an attribute on the instance."""

    def __new__(cls, *args, **kwargs):
        reader = ouro.StreamReader(*args, **kwargs)
        reader.readuntil = lambda *a: ouro.StreamReader.readuntil(reader, *a)
        return reader


class Looked(ouro.StreamReader):
    """Somebody holds its buffer."""

    def __new__(cls, *args, **kwargs):
        reader = ouro.StreamReader(*args, **kwargs)
        reader.held = reader._buffer
        del reader.held
        return reader


WORLDS = {
    "native": (ouro.Loop, ouro.StreamReader),
    "native on asyncio's loop": (asyncio.SelectorEventLoop,
                                 ouro.StreamReader),
    "derived": (ouro.Loop, Derived),
    "overriding": (ouro.Loop, Overriding),
    "patched": (ouro.Loop, Patched),
    "looked at": (ouro.Loop, Looked),
    "asyncio's on the native loop": (ouro.Loop, asyncio.StreamReader),
}


class Transport:
    """Remembers what it is told."""

    def __init__(self, trace, pauses):
        self.trace, self.pauses = trace, pauses

    def pause_reading(self):
        if not self.pauses:
            raise NotImplementedError
        self.trace.append("pause")

    def resume_reading(self):
        self.trace.append("resume")

    def __repr__(self):
        return "<Transport>"


def describe(error):
    parts = []
    while error is not None and len(parts) < 4:
        extra = {name: getattr(error, name) for name in
                 ("partial", "expected", "consumed") if hasattr(error, name)}
        parts.append((type(error).__name__, error.args, extra))
        error = error.__context__
    return parts


class World:
    def __init__(self, loop_factory, reader_class, limit, pauses):
        self.loop = loop_factory()
        self.trace = []
        self.tasks = []
        self.turns = 0
        self.reader = reader_class(limit=limit, loop=self.loop)
        if pauses is not None:
            self.reader.set_transport(Transport(self.trace, pauses))

    def read(self, method, *args):
        number = len(self.tasks)

        async def run():
            try:
                result = await getattr(self.reader, method)(*args)
            except BaseException as error:
                result = describe(error)
            self.trace.append((self.turns, number, method, args, result))

        self.tasks.append(self.loop.create_task(run()))

    def call(self, method, *args):
        try:
            result = getattr(self.reader, method)(*args)
        except Exception as error:
            result = describe(error)
        self.trace.append((method, result))

    def soon(self, method, *args):
        self.loop.call_soon(self.call, method, *args)

    def cancel(self, number):
        if self.tasks:
            self.tasks[number % len(self.tasks)].cancel("enough")

    def turn(self):
        self.turns += 1
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def look(self):
        reader = self.reader
        waiter = reader._waiter
        return (reader.at_eof(), reader._eof, reader._paused,
                reader._transport is None, repr(reader.exception()),
                waiter if waiter is None else waiter.done(),
                repr(reader).partition(" waiter=")[0])

    def buffer(self):
        self.trace.append(bytes(self.reader._buffer))

    def close(self):
        for task in self.tasks:
            task.cancel()
        for _ in range(4):
            self.turn()
        self.loop.close()


def draw_read(rng):
    separators = [b"\n", b"\n\n", b"ab", bytearray(b"b"), b"", b"aba"]
    if TUPLES:
        separators += [(b"a", b"\n"), (b"ab", b"bab"), (), (b"", b"a")]
    return rng.choice([
        ("read", rng.choice([-1, 0, 1, 2, 5, 100, True])),
        ("read",),
        ("readexactly", rng.choice([-1, 0, 1, 2, 3, 7, 20])),
        ("readline",),
        ("readuntil", rng.choice(separators)),
        ("readuntil",),
        ("__anext__",),
        ("_wait_for_data", "somebody"),
    ])


def draw_call(rng):
    piece = bytes(rng.choice(b"ab\n") for _ in range(rng.randrange(8)))
    return rng.choices([
        ("feed_data", rng.choice([bytes, bytearray, memoryview])(piece)),
        ("feed_eof",),
        ("set_exception", OSError(5, "broken")),
        ("_maybe_resume_transport",),
    ], [20, 1, 1, 1])[0]


def draw(rng):
    kind = rng.choice(["read", "read", "call", "call", "soon", "turn", "turn",
                       "cancel"])
    if kind == "read":
        return "read", *draw_read(rng)
    if kind in ("call", "soon"):
        return kind, *draw_call(rng)
    if kind == "cancel":
        return kind, rng.randrange(10)
    return (kind,)


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("looks", [False, True],
                         ids=["", "with looks at the buffer"])
def test_same_as_asyncio(name, looks):
    for seed in SEEDS:
        rng = random.Random(seed)
        limit = rng.choice([1, 3, 4, 8, 100])
        pauses = rng.choice([None, True, True, False])
        stock = World(asyncio.SelectorEventLoop, asyncio.StreamReader, limit,
                      pauses)
        other = World(*WORLDS[name], limit, pauses)
        steps = []
        for _ in range(STEPS):
            step = ("buffer",) if looks and rng.random() < .1 else draw(rng)
            steps.append(step)
            for world in stock, other:
                getattr(world, step[0])(*step[1:])
            assert other.trace == stock.trace, (seed, steps)
            assert other.look() == stock.look(), (seed, steps)
        stock.close()
        other.close()
        assert other.trace == stock.trace, (seed, steps)
        stock.buffer()
        other.buffer()
        assert other.trace[-1] == stock.trace[-1], (seed, steps)
