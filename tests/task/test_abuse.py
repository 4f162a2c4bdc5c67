"""What no program should do to futures and tasks, and some do: it may fail,
but nothing crashes, and the loop runs on."""

import sys

import pytest

PRELUDE = """
import asyncio, contextvars, gc, sys, warnings
stock = asyncio.SelectorEventLoop
import ouro
ouro.install()
warnings.simplefilter("ignore")
loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
foreign = stock()
reported = []
for each in loop, other, foreign:
    each.set_exception_handler(lambda loop, what: reported.append(what))

class Broken(Exception):
    pass

async def wait_for(what):
    return await what

async def count(times):
    for n in range(times):
        await asyncio.sleep(0)
    return times

def turn(loop, times=1):
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()

def fail(future):
    raise Broken

def end():
    for each in loop, other, foreign:
        assert each.run_until_complete(count(3)) == 3
    loop.close()
    other.close()
    foreign.close()
    gc.collect()
    print("ok")
"""

# From Python 3.14 __init__ of an initialized future is refused.
AGAIN = {
    "a future, with its callbacks on their way": """
for elsewhere in other, foreign:
    future = loop.create_future()
    seen = []
    future.add_done_callback(seen.append)
    future.add_done_callback(fail)
    future.set_result(1)
    future.__init__(loop=elsewhere)
    turn(loop)
    assert seen == [future]
    assert isinstance(reported.pop()["exception"], Broken)
""",
    "a future, while a task waits for it": """
for elsewhere in loop, other, foreign:
    future = loop.create_future()
    task = loop.create_task(wait_for(future))
    turn(loop)
    future.__init__(loop=elsewhere)
    future.set_result(1)
    turn(loop, 3)
    assert not task.done()
    task.cancel()
    turn(loop, 3)
""",
    "a future, in the destructor of what it held": """
class Again:
    def __del__(self):
        future.done() and future.result()
        future.cancel()
        future.add_done_callback(lambda future: None)
        if len(reinit) < 3:
            reinit.append(future.__init__(loop=other))
for elsewhere in loop, other, foreign:
    reinit = []
    future = loop.create_future()
    future.set_result(Again())
    future.__init__(loop=elsewhere)
    repr(future)
    turn(loop, 2)
""",
    "a task that is scheduled": """
for elsewhere in loop, other, foreign:
    task = loop.create_task(count(3))
    task.__init__(count(4), loop=elsewhere)
    turn(loop, 2)
    turn(elsewhere, 8)
    turn(loop, 8)
    assert task.done()
""",
    "a task that waits": """
for elsewhere in loop, other, foreign:
    future = loop.create_future()
    task = loop.create_task(wait_for(future))
    turn(loop)
    task.__init__(count(4), loop=elsewhere)
    future.set_result(1)
    turn(loop, 3)
    turn(elsewhere, 8)
    assert task.done()
""",
    "a task that is about to be woken": """
for elsewhere in loop, other, foreign:
    future = loop.create_future()
    task = loop.create_task(wait_for(future))
    turn(loop)
    future.set_result(1)
    task.__init__(wait_for(elsewhere.create_future()), loop=elsewhere)
    turn(loop, 3)
    turn(elsewhere, 3)
    task.cancel()
    turn(elsewhere, 3)
    turn(loop, 3)
""",
    "a task, in its own step": """
async def again(elsewhere):
    task = asyncio.current_task()
    task.__init__(count(4), loop=elsewhere,
                  context=contextvars.copy_context())
    gc.collect()
    await asyncio.sleep(0)
for elsewhere in loop, other, foreign:
    task = loop.create_task(again(elsewhere))
    turn(loop, 3)
    turn(elsewhere, 8)
    turn(loop, 3)
    assert task.done()
""",
    "a future that is gathered": """
for elsewhere in loop, other, foreign:
    futures = [loop.create_future() for _ in range(3)]
    all = asyncio.gather(*futures)
    for future in futures:
        future.set_result(1)
        future.__init__(loop=elsewhere)
    turn(loop)
    assert not all.done() or all.exception()
""",
    "a future that is shielded, and waited for": """
async def use(how, future):
    await how(future)
for elsewhere in loop, other, foreign:
    for how in (asyncio.shield, lambda future: asyncio.wait([future]),
                lambda future: asyncio.wait_for(future, 100)):
        future = loop.create_future()
        task = loop.create_task(use(how, future))
        turn(loop, 2)
        future.set_result(1)
        future.__init__(loop=elsewhere)
        turn(loop, 3)
        task.cancel()
        turn(loop, 3)
""",
    "a task, with what is none": """
for bad in (5, None, wait_for):
    task = loop.create_task(count(3))
    try:
        task.__init__(bad, loop=other)
    except TypeError:
        pass
    turn(loop, 6)
    turn(other, 6)
    task.cancel()
    turn(other, 2)
""",
    "a task as a future": """
for elsewhere in loop, other, foreign:
    task = loop.create_task(count(3))
    asyncio.Future.__init__(task, loop=elsewhere)
    turn(loop, 5)
    turn(elsewhere, 5)
    assert task.done()
""",
    "with the running loop hidden": """
def hide():
    asyncio._set_running_loop(None)
sys.unraisablehook = lambda what: None
future, seen = loop.create_future(), []
future.add_done_callback(seen.append)
future.add_done_callback(fail)
task = loop.create_task(count(1))
future.set_result(1)
loop.call_soon(hide)
future.__init__(loop=foreign)
task.__init__(count(1), loop=foreign)
turn(loop, 3)
turn(foreign, 3)
assert seen == [future]
""",
}

LISTS = {
    "a collection changes the list while it is shown": """
class Weird:
    def __call__(self, future): pass

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        for function in functions:
            future.remove_done_callback(function)
        functions.clear()

future = loop.create_future()
for number in range(300):
    functions = [Weird() for _ in range(50)]
    for function in functions:
        future.add_done_callback(function)
    del function
    Cycle()
    gc.set_threshold(1 + number % 60, 10, 10)
    future._callbacks if number % 2 else repr(future)
    gc.set_threshold(700, 10, 10)
    for function in list(functions):
        future.remove_done_callback(function)
    gc.collect()
""",
    "comparing changes the list that is compared": """
class Weird:
    def __call__(self, future): pass
    def __eq__(self, other):
        change[0]()
        return True
    def __hash__(self):
        return 1
future = loop.create_future()
changes = [
    lambda: future.remove_done_callback(5),
    lambda: future.add_done_callback(print),
    lambda: future.cancel(),
    lambda: (change.__setitem__(0, lambda: None),
             future.remove_done_callback(Weird())),
    gc.collect,
]
if sys.version_info < (3, 14):
    changes.append(lambda: future.__init__(loop=other))
for one in changes:
    for fresh in range(2):
        change = [lambda: None]
        future = loop.create_future()
        for _ in range(5):
            future.add_done_callback(Weird())
        once = iter([one])
        change[0] = lambda: next(once, lambda: None)()
        future.remove_done_callback(Weird())
        future._callbacks
turn(loop, 2)
turn(other, 2)
""",
    "a callback's repr changes the list": """
class Weird:
    def __call__(self, future): pass
    def __repr__(self):
        future.remove_done_callback(self)
        future.cancel()
        gc.collect()
        return "weird"
for number in range(4):
    future = loop.create_future()
    for _ in range(number):
        future.add_done_callback(Weird())
    repr(future)
    repr(future)
turn(loop)
""",
    "a destructor adds what was dropped": """
class Weird:
    def __call__(self, future): pass
    def __del__(self):
        if len(dropped) < 100:
            dropped.append(1)
            future.add_done_callback(Weird())
dropped = []
future = loop.create_future()
for _ in range(3):
    future.add_done_callback(Weird())
for _ in range(30):
    for function, context in future._callbacks:
        future.remove_done_callback(function)
    del function
future.cancel()
turn(loop, 40)
""",
}

GROUPS = """
class Weird(asyncio.Task):
    def __hash__(self):
        if hashing:
            hashing.pop()
            for task in tasks:
                asyncio.Task.__init__(task, count(1), loop=loop)
        return id(self)
async def main():
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            tasks.append(group.create_task(wait_for(loop.create_future())))
        await asyncio.sleep(0)
        hashing.append(1)
        assert group._tasks <= set(tasks)
        group._tasks.clear()
hashing, tasks = [], []
loop.set_task_factory(
    lambda loop, coro, **options: Weird(coro, loop=loop, **options))
loop.run_until_complete(main())
loop.set_task_factory(None)
"""


def run(python, program):
    done = python("-X", "faulthandler", "-c", PRELUDE + program + "\nend()")
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr[-2000:]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is refused")
@pytest.mark.parametrize("name", AGAIN)
def test_initialized_again(name, python):
    run(python, AGAIN[name])


@pytest.mark.parametrize("name", LISTS)
def test_lists(name, python):
    run(python, LISTS[name])


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is refused")
def test_hashing_changes_the_group(python):
    run(python, GROUPS)
