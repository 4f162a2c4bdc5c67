"""The same program with asyncio's names on asyncio's loop, and with ours.

A program is called with a World: the names, a loop of that kind, and a list
to note in what is to be the same.
"""

import asyncio
import gc
import logging
import re
import types
import warnings

import ouro


def plain(what):
    """A text without what differs between two runs that are alike."""
    text = re.sub("0x[0-9a-f]+", "0x", str(what))
    text = re.sub(r"Task-\d+", "Task-N", text)
    text = re.sub(r"\bfd=\d+", "fd=N", text)
    text = re.sub(r"\b_?(Unix)?SelectorEventLoop\b|\bLoopCore\b", "Loop", text)
    text = re.sub(r"\b(asyncio|ouro|_asyncio)(\.\w+)*\.(?=\w)", "", text)
    return re.sub(r"\b_ouro\.", "", text)


class World(types.SimpleNamespace):
    """asyncio's names (k), a loop and a list of notes."""

    def note(self, *what):
        self.notes.append(tuple(map(plain, what)))

    def attempt(self, function, *args, **kwargs):
        """Note the result or the exception of a call."""
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self.note("raised", type(error).__name__, error)
            return error
        self.note("returned", result)
        return result

    def turn(self, count=1):
        """Run what is ready, to the end although errors leave the loop."""
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.run()

    def run(self):
        while True:
            try:
                self.loop.run_forever()
                return
            except BaseException as error:
                self.note("left the loop", type(error).__name__, error)
                self.loop.stop()

    def handle(self, loop, context):
        """An exception handler that notes what it is told."""
        self.note("handler", context["message"].partition("(<")[0],
                  sorted(context), repr(context.get("exception")))


KINDS = {"asyncio": (asyncio, asyncio.SelectorEventLoop),
         "ouro": (ouro, ouro.Loop)}


def lived(kind, program):
    """The notes of a program in one of the worlds."""
    names, factory = KINDS[kind] if isinstance(kind, str) else kind
    logger = logging.getLogger("asyncio")
    level = logger.level
    logger.setLevel(100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = World(k=names, loop=factory(), notes=[])
        world.loop.set_exception_handler(world.handle)
        asyncio.set_event_loop(world.loop)
        try:
            program(world)
        finally:
            asyncio.set_event_loop(None)
            if not world.loop.is_running():
                world.loop.close()
            logger.setLevel(level)
        notes = world.notes
        del world
        gc.collect()
    return notes


def same(program, kinds=("asyncio", "ouro")):
    """Both worlds must note the same; returns what they noted."""
    expected, *others = [lived(kind, program) for kind in kinds]
    for other in others:
        assert other == expected
    return expected
