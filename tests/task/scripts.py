"""What tasks do: programs as data, drawn at random and run in a World.

A script is a tuple (kind, ...), with scripts inside.  `run` carries it out:
the same coroutine for asyncio's functions and ours, which writes down what
it gets and what is raised.
"""

import asyncio
import sys

from hypothesis import strategies as st
from taskworlds import describe, plain

ASYNC_COMPLETED = sys.version_info >= (3, 13)
MODES = [asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION,
         asyncio.ALL_COMPLETED]


# ---- drawing ---------------------------------------------------------------

number = st.integers(0, 7)
ticks = st.sampled_from([0, 1, 1, 2, 3, -1])
limit = st.sampled_from([None, 0, 1, 1, 2, 3, -1])
message = st.sampled_from([None, None, "first", "second", 7])
how = st.sampled_from(["result", "result", "error", "cancel", "with message"])

simple = st.one_of(
    st.just(("sleep",)), st.just(("sleep",)),
    st.tuples(st.just("delay"), ticks),
    st.tuples(st.just("await"), st.sampled_from(["future", "task"]), number),
    st.tuples(st.just("await"), st.sampled_from(["future", "task"]), number),
    st.tuples(st.just("do"), st.one_of(
        st.tuples(st.just("cancel"), number, message),
        st.tuples(st.just("complete"), number, how),
        st.tuples(st.just("callback"), number,
                  st.sampled_from([None, None, ValueError])),
        st.tuples(st.just("renew"), number),
        st.just(("names",)), st.just(("reprs",)))),
    st.tuples(st.just("cancel myself"), message),
    st.just(("uncancel",)),
    st.just(("who",)),
    st.tuples(st.just("raise"), st.sampled_from(
        [ValueError, KeyError, asyncio.CancelledError, asyncio.TimeoutError,
         StopIteration])),
    st.tuples(st.just("return"), number),
    st.tuples(st.just("leave"), st.sampled_from(
        [KeyboardInterrupt, SystemExit])),
)


def compound(script):
    child = st.one_of(
        st.tuples(st.just("coroutine"), script),
        st.tuples(st.just("new task"), script),
        st.tuples(st.just("future"), number),
        st.tuples(st.just("task"), number))
    children = st.lists(child, max_size=4)
    return st.one_of(
        st.tuples(st.just("do all"), st.lists(script, max_size=4)),
        st.tuples(st.just("do all"), st.lists(script, max_size=4)),
        st.tuples(st.just("catch"), script, st.sampled_from(
            ["go on", "uncancel", "again", "other"]), script),
        st.tuples(st.just("finally"), script, script),
        st.tuples(st.just("spawn"), script),
        st.tuples(st.just("gather"), children, st.booleans()),
        st.tuples(st.just("wait"), children, st.sampled_from(MODES), limit),
        st.tuples(st.just("wait_for"), child, limit),
        st.tuples(st.just("shield"), child),
        st.tuples(st.just("completed"), children, limit, st.booleans()),
        st.tuples(st.just("timeout"), script, limit, st.sampled_from(
            ["", "", "at", "reschedule", "expire", "never"])),
        st.tuples(st.just("group"), st.lists(script, max_size=3), script),
        st.tuples(st.just("group"), st.lists(script, max_size=3), script),
    )


scripts = st.recursive(simple, compound, max_leaves=12)

steps = st.one_of(
    st.tuples(st.just("start"), scripts),
    st.tuples(st.just("start"), scripts),
    st.just(("turn",)), st.just(("turn",)), st.just(("turn",)),
    st.tuples(st.just("advance"), st.sampled_from([.5, 1.01, 2.02])),
    st.tuples(st.just("cancel"), st.integers(0, 35), message),
    st.tuples(st.just("complete"), number, how),
    st.tuples(st.just("callback"), number,
              st.sampled_from([None, None, ValueError])),
    st.tuples(st.just("renew"), number),
    st.tuples(st.just("later"), st.one_of(
        st.tuples(st.just("cancel"), st.integers(0, 35), message),
        st.tuples(st.just("complete"), number, how))),
    st.just(("names",)),
)


# ---- running ---------------------------------------------------------------


def awaitable(world, what, name):
    """A future, a task or a coroutine for what was drawn.

    No two tasks have one name: World.end() cancels them in that order.
    """
    kind, arg = what
    if kind == "future":
        return world.future(arg)
    if kind == "task":
        # One that was started before: no two wait for each other.
        older = int(name[1:].partition(".")[0])
        known = list(filter(None, world.tasks[:older]))
        return known[arg % len(known)] if known else world.future(arg)
    coroutine = run(world, arg, name)
    if kind == "new task":
        return world.loop.create_task(coroutine)
    return coroutine


def awaitables(world, children, name):
    return [awaitable(world, child, f"{name}.{i}")
            for i, child in enumerate(children)]


async def run(world, script, name):
    """Carry out a script; what it ends with is written down."""
    kind, *args = script
    function = KINDS[kind]
    try:
        result = await function(world, name, *args)
    except BaseException as error:
        world.log(name, kind, "raises", describe(error))
        raise
    world.log(name, kind, plain(repr(result)))
    return result


async def sleep(world, name):
    return await world.kit.sleep(0, name)


async def delay(world, name, ticks):
    return await world.kit.sleep(world.delay(ticks), name)


async def wait_for_one(world, name, kind, number):
    return await awaitable(world, (kind, number), name)


async def do(world, name, step):
    getattr(world, step[0])(*step[1:])


async def cancel_myself(world, name, message):
    task = world.kit.current_task()
    return task.cancel() if message is None else task.cancel(message)


async def uncancel(world, name):
    task = world.kit.current_task()
    return task.cancelling(), task.uncancel()


async def who(world, name):
    value = world.variable.get()
    world.variable.set(value + 1)
    return plain(world.kit.current_task().get_name()), value


async def throw(world, name, error):
    raise error(name)


async def give(world, name, number):
    return number


async def leave(world, name, error):
    raise error(name)


async def do_all(world, name, scripts):
    return [await run(world, script, f"{name}.{i}")
            for i, script in enumerate(scripts)]


async def catch(world, name, body, reaction, then):
    try:
        return await run(world, body, f"{name}.b")
    except asyncio.CancelledError:
        if reaction == "uncancel":
            world.log(name, world.kit.current_task().uncancel())
        await run(world, then, f"{name}.c")
        if reaction == "again":
            raise
        if reaction == "other":
            raise LookupError(name) from None
    except Exception:
        if reaction == "again":
            raise


async def do_finally(world, name, body, end):
    try:
        return await run(world, body, f"{name}.b")
    finally:
        await run(world, end, f"{name}.f")


async def spawn(world, name, script):
    return plain(world.start(script).get_name())


async def gather(world, name, children, return_exceptions):
    return await world.kit.gather(*awaitables(world, children, name),
                                  return_exceptions=return_exceptions)


async def wait(world, name, children, mode, limit):
    children = [world.kit.ensure_future(each, loop=world.loop)
                for each in awaitables(world, children, name)]
    timeout = None if limit is None else world.delay(limit)
    try:
        done, pending = await world.kit.wait(
            children, timeout=timeout, return_when=mode)
    finally:
        for child in children:
            if len(child._callbacks or []) > 3:
                world.log(name, "callbacks", len(child._callbacks))
    return ([child in done for child in children],
            [child in pending for child in children])


async def wait_for(world, name, child, limit):
    timeout = None if limit is None else world.delay(limit)
    return await world.kit.wait_for(awaitable(world, child, f"{name}.w"),
                                    timeout)


async def shield(world, name, child):
    return await world.kit.shield(awaitable(world, child, f"{name}.s"))


async def completed(world, name, children, limit, asynchronous):
    timeout = None if limit is None else world.delay(limit)
    children = awaitables(world, children, name)
    if len(children) > 1:
        # The order of several that are done is that of their addresses.
        children = [world.kit.ensure_future(child, loop=world.loop)
                    for child in children]
        done = [child for child in children if child.done()]
        children = [child for child in children if child not in done[1:]]
    results = []
    each = world.kit.as_completed(children, timeout=timeout)
    if asynchronous and ASYNC_COMPLETED:
        async for child in each:
            results.append((child in children, outcome(child)))
    else:
        for child in each:
            try:
                results.append(await child)
            except Exception as error:
                results.append(describe(error))
    return results


def outcome(future):
    if future.cancelled():
        return "cancelled"
    return describe(future.exception()) or plain(repr(future.result()))


async def timeout(world, name, body, limit, how):
    delay = None if limit is None else world.delay(limit)
    if how == "at" and delay is not None:
        manager = world.kit.timeout_at(world.loop.time() + delay)
    else:
        manager = world.kit.timeout(delay)
    try:
        async with manager as inside:
            if how == "reschedule":
                inside.reschedule(world.loop.time() + world.delay(1))
            elif how == "expire":
                inside.reschedule(world.loop.time() - 1)
            elif how == "never":
                inside.reschedule(None)
            try:
                return await run(world, body, f"{name}.b")
            finally:
                world.log(name, plain(repr(inside)), inside.expired())
    finally:
        world.log(name, plain(repr(manager)), manager.expired(),
                  world.kit.current_task().cancelling())


class InOrder(dict):
    """A set whose order is not that of addresses."""

    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)


async def group(world, name, children, body):
    manager = world.kit.TaskGroup()
    if isinstance(manager, asyncio.TaskGroup):
        manager._tasks = InOrder()
    try:
        async with manager as inside:
            for i, child in enumerate(children):
                coroutine = run(world, child, f"{name}.{i}")
                try:
                    inside.create_task(coroutine, name=f"{name}.{i}")
                except RuntimeError as error:
                    coroutine.close()
                    world.log(name, describe(error))
            result = await run(world, body, f"{name}.b")
            world.log(name, plain(repr(inside)))
            return result
    finally:
        world.log(name, plain(repr(manager)),
                  world.kit.current_task().cancelling())


KINDS = {
    "sleep": sleep, "delay": delay, "await": wait_for_one, "do": do,
    "cancel myself": cancel_myself, "uncancel": uncancel, "who": who,
    "raise": throw, "return": give, "leave": leave, "do all": do_all,
    "catch": catch, "finally": do_finally, "spawn": spawn, "gather": gather,
    "wait": wait, "wait_for": wait_for, "shield": shield,
    "completed": completed, "timeout": timeout, "group": group,
}
