"""What an await of ours tells the frame at its end, and who sees it.

From 3.12 that is a StopIteration of the module's own, which nobody may see:
not trace functions, not sys.monitoring, not who calls next() himself.
"""

import asyncio
import gc
import itertools
import sys
import weakref

import pytest

import ouro


class Thing:
    pass


def run(coroutine):
    """Drive what never waits; its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def queue_with(*items):
    queue = ouro.Queue()
    for item in items:
        queue.put_nowait(item)
    return queue


@pytest.mark.parametrize("value", [
    None, 0, (1, 2), (), StopIteration(3), ValueError("no"), "text"])
def test_any_value_arrives(value):
    async def main():
        queue = queue_with(value, value)
        return await queue.get(), await queue.get()

    first, second = run(main())
    assert first is value and second is value


def test_values_are_not_kept():
    async def main():
        queue = queue_with(Thing(), Thing())
        for _ in range(2):
            thing = await queue.get()
            reference = weakref.ref(thing)
            del thing
            assert reference() is None

    run(main())


def test_result_of_a_task_is_not_kept():
    async def make():
        return Thing()

    async def main():
        task = asyncio.get_running_loop().create_task(make())
        thing = await task
        reference = weakref.ref(thing)
        del task, thing
        gc.collect()
        assert reference() is None

    ouro.run(main())


def test_awaits_within_awaits():
    class Waits:
        def __init__(self, queue):
            self.queue = queue

        def __await__(self):
            got = yield from self.queue.get().__await__()
            return [got]

    class Chained:
        def __await__(self):
            return itertools.chain(queue_with(5).get().__await__())

    async def main():
        assert await Waits(queue_with("x")) == ["x"]
        assert await Chained() is None
        assert await queue_with("y").get() == "y"

    run(main())


def test_next_raises_a_plain_one():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.set_result("value")
        for steps in (future.__await__(), iter(future),
                      queue_with("value").get().__await__()):
            with pytest.raises(StopIteration) as caught:
                next(steps)
            assert type(caught.value) is StopIteration
            assert caught.value.args == ("value",)
        assert await future == "value"

    ouro.run(main())


def traced_exceptions(main):
    """What a trace function of that frame is told of."""
    seen = []

    def trace(frame, event, arg):
        if event == "exception" and frame.f_code is main.__code__:
            seen.append((arg[0], arg[1].args))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run(main())
    finally:
        sys.settrace(before)
    return seen


def test_trace_functions_see_plain_ones():
    async def main():
        await queue_with("value").get()

    run(main())
    for kind, args in traced_exceptions(main):
        assert kind is StopIteration and args == ("value",)
    assert run(main()) is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs 3.12")
def test_monitoring_sees_plain_ones():
    seen = []

    async def main():
        await queue_with("value").get()
        return True

    monitoring = sys.monitoring
    tool = monitoring.DEBUGGER_ID
    events = monitoring.events
    monitoring.use_tool_id(tool, "test")
    try:
        for event in (events.RAISE, events.STOP_ITERATION):
            monitoring.register_callback(
                tool, event, lambda code, offset, error: seen.append(error))
        monitoring.set_events(tool, events.RAISE | events.STOP_ITERATION
                              | events.PY_START | events.LINE)
        assert run(main())
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    for error in seen:
        assert not isinstance(error, StopIteration) or (
            type(error) is StopIteration)


def test_no_handled_exception_is_touched():
    async def main():
        try:
            raise KeyError("handled")
        except KeyError as error:
            assert await queue_with("value").get() == "value"
            assert sys.exc_info()[1] is error
            assert error.__context__ is None

    run(main())
