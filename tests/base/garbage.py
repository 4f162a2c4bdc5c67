"""Calls everything that ouro has with garbage.

usage: garbage.py SEED

Each type is made without __init__, by a subclass that forgets it, and by
arguments that make no sense; then each of its methods is called, and each of
its attributes read, set and deleted.  Any exception is right but SystemError,
which tells that an error was returned without one.  Where it ends in a crash,
`garbage.py SEED trace` writes each call before it is made.
"""

import asyncio
import contextvars
import faulthandler
import gc
import logging
import random
import socket
import sys
import warnings

import ouro
from ouro import _ouro

# They wait for something, or end the process.
BLOCKING = {"run_forever", "run_until_complete", "_run_once", "serve_forever",
            "run", "run_in_executor", "subprocess_exec", "subprocess_shell",
            "shutdown_default_executor", "main"}
NOT_OURS = {"__class__", "__dict__", "__init_subclass__", "__subclasshook__",
            "__reduce__", "__reduce_ex__", "__getstate__", "__sizeof__"}
KEYWORDS = ["loop", "x", "context", "msg", "n", "sock", "limit", "name",
            "timeout"]

complaints = set()
generator = random.Random(int(sys.argv[1]))
tracing = sys.argv[2:] == ["trace"]


class Odd:
    """Has every attribute, and fails in all else."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args, **kwargs):
        return self

    def __eq__(self, other):
        return True

    def __hash__(self):
        raise ValueError

    def __repr__(self):
        raise LookupError

    def __bool__(self):
        raise KeyError

    def __index__(self):
        raise OverflowError

    def __iter__(self):
        return iter([self])

    def __next__(self):
        raise StopIteration

    def __await__(self):
        return iter([None])     # (or what waits for it would not end)


class Quiet(Odd):
    def __bool__(self):
        return False

    def __hash__(self):
        return 5

    def __index__(self):
        return -1

    def __repr__(self):
        return "quiet"


async def coroutine():
    pass


def values():
    closed = coroutine()
    closed.close()
    return [
        None, 0, 1, -1, 2**70, 1.5, float("nan"), "", "x", b"", b"abc",
        bytearray(b"x"), (), (1, 2), [], {}, {"a": 1}, object(), Odd(),
        Quiet(), sum, len, int, type, closed, asyncio.Future, Ellipsis,
        ValueError, ValueError(), StopIteration, KeyboardInterrupt,
        socket.AF_INET, slice(None), memoryview(b"q"), iter([]), "127.0.0.1",
        lambda *args, **kwargs: None, contextvars.copy_context()]


def own_types():
    found, todo = {object}, [object]
    while todo:
        new = set(type.__subclasses__(todo.pop())) - found
        found |= new
        todo += new
    # (The WeakSet of all tasks is a Python class with two methods of ours.)
    types = [each for each in found
             if str(each.__module__).partition(".")[0] == "ouro"
             and each.__name__ != "WeakSet"]
    return sorted(types, key=lambda each: each.__qualname__)


def attempt(function, *args, **kwargs):
    """Call it; a coroutine is driven a little."""
    name = getattr(function, "__qualname__", str(type(function)))
    if tracing:
        print(name, *map(object.__repr__, args), flush=True)
    try:
        result = function(*args, **kwargs)
        if asyncio.iscoroutine(result):
            for _ in range(3):
                result.send(None)
            result.close()
        return result
    except SystemError as error:
        complaints.add(f"{name}: {error!r}")
    except BaseException:
        pass


def poke(it):
    names = sorted(set(dir(type(it))) - BLOCKING - NOT_OURS)
    generator.shuffle(names)
    for name in names:
        member = attempt(getattr, it, name)
        if callable(member) and not isinstance(member, type):
            attempt(member)
            for _ in range(4):
                attempt(member, *some(4, it))
            attempt(member,
                    **{generator.choice(KEYWORDS): generator.choice(VALUES)})
        else:
            attempt(setattr, it, name, generator.choice(VALUES))
            if generator.random() < 0.2:
                attempt(delattr, it, name)
    for function in (repr, str, iter, len, hash, next, bool, list,
                     gc.get_referents):
        attempt(function, it)


def some(most, *more):
    return generator.choices(VALUES + [*more],
                             k=generator.randrange(1, most + 1))


def instances(cls):
    yield attempt(cls.__new__, cls)
    forgetful = {"__init__": lambda self, *args, **kwargs: None}
    subclass = attempt(type, "Subclass", (cls,), forgetful)
    if subclass is not None:
        yield attempt(subclass, *some(2))
    for _ in range(5):
        it = attempt(cls, *some(4))
        if it is not None:
            yield it
            break


def main():
    faulthandler.enable()
    faulthandler.dump_traceback_later(250, exit=True)
    warnings.simplefilter("ignore")
    logging.disable()
    sys.unraisablehook = lambda what: None
    types = own_types()
    generator.shuffle(types)
    for cls in types:
        for it in instances(cls):
            if isinstance(it, tuple(types)):
                poke(it)
                attempt(it.__init__)
                attempt(it.__init__, *some(2))
                poke(it)
        for name in sorted(set(dir(cls)) - BLOCKING - NOT_OURS):
            member = attempt(getattr, cls, name)
            if callable(member) and not name.startswith("__"):
                attempt(member, generator.choice(VALUES))
                attempt(member, asyncio.Future.__new__(asyncio.Future))
    functions = [name for name in dir(_ouro) if name not in BLOCKING
                 and callable(getattr(_ouro, name))
                 and not isinstance(getattr(_ouro, name), type)]
    generator.shuffle(functions)
    for name in functions:
        function = getattr(_ouro, name)
        attempt(function)
        for _ in range(12):
            attempt(function, *some(3))
        attempt(function,
                **{generator.choice(KEYWORDS): generator.choice(VALUES)})
    asyncio._set_running_loop(None)
    gc.collect()
    for complaint in sorted(complaints):
        print(complaint)
    print(f"{len(types)} types, {len(functions)} functions")


ouro.install()
VALUES = values()
if __name__ == "__main__":
    main()
