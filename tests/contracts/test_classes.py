"""What programs do with classes of asyncio's: isinstance, match, dispatch,
pickling, copying, mocks.  With ouro installed and as it is."""

import pytest

PROGRAM = """
import abc, asyncio, collections.abc, copy, functools, inspect, pickle
from unittest import mock

async def nothing():
    return 1

@functools.singledispatch
def kind(it):
    return "other"

if installed:       # (else singledispatch takes a task for asyncio's)
    kind.register(k.Task)(lambda it: "task")
kind.register(k.Future)(lambda it: "future")
kind.register(k.Queue)(lambda it: "queue")

def matched(it):
    match it:
        case k.Task():
            return "task"
        case k.Future():
            return "future"
        case k.Lock():
            return "lock"
    return "other"

class Base(abc.ABC):
    pass

Base.register(k.Future)

async def main():
    loop = k.get_running_loop()
    task = k.create_task(nothing())
    it = {"task": task, "future": loop.create_future(), "lock": k.Lock(),
          "queue": k.Queue(), "event": k.Event(), "handle":
          loop.call_soon(int), "reader": k.StreamReader(loop=loop)}
    await task
    for name, thing in it.items():
        print(name, kind(thing) if installed else "", matched(thing),
              isinstance(thing, Base))
        for cls in ("Task", "Future", "Lock", "Queue", "Event", "Handle",
                    "StreamReader"):
            there = isinstance(thing, getattr(k, cls))
            assert there == issubclass(type(thing), getattr(k, cls))
            if there:
                print("   is a", cls, thing.__class__.__name__)
        print("   awaitable", isinstance(thing, collections.abc.Awaitable),
              inspect.isawaitable(thing), asyncio.isfuture(thing))
        for function in (pickle.dumps, copy.copy, copy.deepcopy):
            if name in ("handle", "reader"):    # (ours cannot be copied)
                continue
            if function is pickle.dumps and not installed:
                continue    # (pickle finds asyncio's class by the name)
            try:
                result = function(thing)
                print("  ", function.__name__, type(result).__name__)
            except Exception as error:
                print("  ", function.__name__, type(error).__name__)
        fake = mock.Mock(spec=thing)
        print("   mock", isinstance(fake, type(thing)),
              hasattr(fake, "nonsense"), sorted(
                  n for n in dir(fake) if not n.startswith("_")
                  and n not in dir(mock.Mock())))
        fake = mock.create_autospec(type(thing), instance=True)
        print("  ", isinstance(fake, type(thing)))
    assert isinstance(task, asyncio.Task) and asyncio.isfuture(task)

runner(main())
"""


@pytest.mark.parametrize("mode", ["installed", "as it is"])
def test_classes(python, mode):
    ways = {"installed": "import ouro; ouro.install()\n"
                         "import asyncio as k; runner = k.run\n",
            "as it is": "import ouro as k; runner = k.run\n"}
    program = f"installed = {mode == 'installed'}\n" + PROGRAM
    stock = python("-c", "import asyncio as k; runner = k.run\n" + program)
    ours = python("-c", ways[mode] + program)
    assert (ours.stderr, ours.returncode, stock.returncode) == ("", 0, 0)
    assert ours.stdout == stock.stdout


LATE = """
import asyncio
from asyncio import (Event, Future, Lock, Queue, Task, TaskGroup, gather,
                     get_running_loop, run, sleep, timeout, wait_for)
{install}

async def main():
    lock, event, queue = Lock(), Event(), Queue()

    async def worker(number):
        async with lock:
            await sleep(0)
        await event.wait()
        await queue.put(number)
        return number

    tasks = [asyncio.create_task(worker(0)), Task(worker(1)),
             asyncio.get_running_loop().create_task(worker(2))]
    await sleep(0)
    asyncio.get_running_loop().call_soon(event.set)
    print(await wait_for(gather(*tasks), 10))
    async with timeout(10), TaskGroup() as group:
        task = group.create_task(worker(3))
    print(task.result(), [await queue.get() for _ in range(4)])
    future = Future()
    asyncio.get_running_loop().call_soon(future.set_result, 5)
    print(await asyncio.shield(future), get_running_loop() is
          asyncio.get_running_loop(), await asyncio.to_thread(int, "6"))

for runner in run, asyncio.run:
    runner(main())
"""


def test_names_bound_before_install(python):
    stock = python("-c", LATE.format(install=""))
    ours = python("-c", LATE.format(install="import ouro; ouro.install()"))
    assert (stock.returncode, stock.stderr) == (0, "")
    assert (ours.returncode, ours.stderr, ours.stdout) == (
        0, "", stock.stdout)
