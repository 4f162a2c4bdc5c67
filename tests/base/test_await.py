"""Coroutine objects in C behave as the coroutine objects of Python do."""

import asyncio
import collections.abc
import gc
import inspect
import pickle
import re
import sys
import types
import warnings
import weakref

import pytest

from ouro import _ouro

VERSION = sys.version_info[:2]
ITERATES = "__iter__", "__next__"


@pytest.fixture
def loop():
    """A loop of asyncio's own that counts as running: coroutines are driven
    by hand."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    yield loop
    asyncio._set_running_loop(None)
    loop.close()


@pytest.fixture(params=[asyncio.Future, _ouro.Future], ids=["C", "ouro"])
def fut(request):
    loop = asyncio.new_event_loop()
    yield request.param(loop=loop)
    loop.close()


class Gate(_ouro.Barrier):
    """Entering it awaits what wait() returns."""

    def __init__(self, awaitable):
        super().__init__(1)
        self.awaitable = awaitable

    def wait(self):
        return self.awaitable


def waiting(awaitable):
    """A coroutine of ouro's that awaits anything and returns its result."""
    return Gate(awaitable).__aenter__()


def finish(coroutine):
    """The value that a coroutine returns at its next step."""
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    return caught.value.value


# ---- what it is ------------------------------------------------------


def test_type():
    coroutine = _ouro.sleep(0)
    assert type(coroutine).__name__ == "coroutine"
    assert re.fullmatch("<coroutine object sleep at 0x[0-9a-f]+>",
                        repr(coroutine))
    assert asyncio.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    assert isinstance(coroutine, collections.abc.Coroutine)
    for other in "Generator", "Iterator", "Iterable", "AsyncIterator":
        assert not isinstance(coroutine, getattr(collections.abc, other))
    for name in dir(_native()):
        assert hasattr(coroutine, name) or name == "__class_getitem__", name
    assert not any(hasattr(coroutine, name) for name in ITERATES)
    with pytest.raises(TypeError, match="not iterable"):
        iter(coroutine)
    with pytest.raises(TypeError, match="cannot create '.*coroutine' inst"):
        type(coroutine)()
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Sub", (type(coroutine),), {})
    with pytest.raises(TypeError, match="cannot pickle '.*coroutine' object"):
        pickle.dumps(coroutine)
    with pytest.raises(AttributeError):
        coroutine.nonsense = 1
    coroutine.close()


def _native():
    async def function():
        pass

    coroutine = function()
    coroutine.close()
    return coroutine


def test_names():
    coroutine = _ouro.Queue().get()
    assert coroutine.__name__ == "get"
    assert coroutine.__qualname__ == "Queue.get"
    coroutine.__name__ = "take"
    coroutine.__qualname__ = "Shop.take"
    assert coroutine.__name__ == "take"
    assert repr(coroutine).startswith("<coroutine object Shop.take at 0x")
    for name in "__name__", "__qualname__":
        with pytest.raises(TypeError,
                           match=f"{name} must be set to a string object"):
            setattr(coroutine, name, 1)
        with pytest.raises(TypeError):
            delattr(coroutine, name)
    coroutine.close()
    del coroutine
    # What is made from its memory has nothing of it.
    other = _ouro.Queue().get()
    assert other.__name__ == "get"
    other.close()


def test_states(fut):
    coroutine = waiting(fut)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    assert not coroutine.cr_running
    assert not coroutine.cr_suspended
    assert coroutine.cr_await is None
    coroutine.send(None)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_SUSPENDED
    assert coroutine.cr_suspended
    assert coroutine.cr_await is not None
    coroutine.close()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert not coroutine.cr_suspended
    assert coroutine.cr_await is None


def test_frame_and_code(fut):
    coroutine = waiting(fut)
    code, frame = coroutine.cr_code, coroutine.cr_frame
    assert isinstance(code, types.CodeType)
    assert code.co_name == "__aenter__"
    assert code.co_qualname == "Barrier.__aenter__"
    assert isinstance(frame, types.FrameType)
    assert frame is coroutine.cr_frame
    assert frame.f_code is code is coroutine.cr_code
    assert frame.f_lineno == 1
    assert frame.f_back is None
    coroutine.close()
    assert coroutine.cr_frame is None
    assert coroutine.cr_code is code
    assert isinstance(frame.f_globals, dict)
    if sys.version_info < (3, 14):
        # From then on it is a stand-in's frame, which stays suspended.
        frame.clear()


def test_while_it_runs():
    condition = _ouro.Condition()
    seen = []

    def predicate():
        seen.append(coroutine.cr_running)
        for drive in (lambda: coroutine.send(None), coroutine.close,
                      lambda: coroutine.throw(KeyError)):
            with pytest.raises(ValueError,
                               match="^coroutine already executing$"):
                drive()
        return "done"

    coroutine = condition.wait_for(predicate)
    assert finish(coroutine) == "done"
    assert seen == [True]


def test_reprs_of_tasks():
    async def main():
        task = asyncio.ensure_future(_ouro.Queue().get())
        await asyncio.sleep(0)
        assert "coro=<Queue.get() running at <ouro>:1>" in repr(task)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["get"]
        task.cancel()
        await asyncio.wait([task])
        assert "coro=<Queue.get() done, defined at <ouro>:1>" in repr(task)

    asyncio.run(main())


# ---- send, throw, close ----------------------------------------------


def test_reuse(fut):
    coroutine = _ouro.sleep(0, "value")
    assert coroutine.send(None) is None
    assert finish(coroutine) == "value"
    for drive in (lambda: coroutine.send(None), lambda: coroutine.send(1),
                  lambda: coroutine.throw(KeyError("x"))):
        with pytest.raises(RuntimeError, match=(
                "^cannot reuse already awaited coroutine$")):
            drive()
    assert coroutine.close() is None


def test_first_send():
    coroutine = _ouro.sleep(0)
    with pytest.raises(TypeError, match=(
            "^can't send non-None value to a just-started coroutine$")):
        coroutine.send(1)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    coroutine.close()


def test_awaited_already(fut):
    coroutine = waiting(fut)
    coroutine.send(None)

    async def another():
        await coroutine

    for outer in another(), waiting(coroutine):
        with pytest.raises(RuntimeError, match=(
                "^coroutine is being awaited already$")):
            outer.send(None)
    coroutine.close()


def test_a_coroutine_that_is_awaited_already(fut):
    async def function():
        await fut

    inner = function()
    inner.send(None)
    with pytest.raises(RuntimeError, match=(
            "^coroutine is being awaited already$")):
        waiting(inner).send(None)
    inner.close()


def test_resumed_too_early(fut):
    coroutine = waiting(fut)
    assert coroutine.send(None) is fut
    assert fut._asyncio_future_blocking
    with pytest.raises(RuntimeError,
                       match="^await wasn't used with future$"):
        coroutine.send(None)


def test_throw_before_the_start():
    coroutine = _ouro.sleep(0)
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        coroutine.throw(error)
    assert caught.value is error
    with pytest.raises(RuntimeError):
        coroutine.send(None)


def test_throw_of_three(fut):
    coroutine = waiting(fut)
    coroutine.send(None)
    try:
        raise ValueError
    except ValueError as error:
        traceback = error.__traceback__
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(KeyError, match="x") as raised:
            coroutine.throw(KeyError, "x", traceback)
    assert raised.value.__traceback__ is not None
    assert [entry.category for entry in caught] == (
        [DeprecationWarning] if VERSION >= (3, 12) else [])


@pytest.mark.parametrize("args", [
    (), (1,), (KeyError, 1, 1), (KeyError("x"), 1), (KeyError, 1, None, 1)])
def test_throw_of_nonsense(args):
    native, coroutine = _native_sleep(), _ouro.sleep(0)
    native.send(None), coroutine.send(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TypeError) as theirs:
            native.throw(*args)
        with pytest.raises(TypeError) as ours:
            coroutine.throw(*args)
    assert str(ours.value) == str(theirs.value)
    native.close(), coroutine.close()


async def _native_sleep():
    await asyncio.sleep(0)


def test_what_is_thrown_is_not_chained_to_the_driver(fut):
    coroutine = waiting(fut)
    coroutine.send(None)
    with pytest.raises(KeyError) as caught:
        try:
            raise ValueError
        except ValueError:
            coroutine.throw(KeyError("x"))
    assert caught.value.__context__ is None


# ---- results ---------------------------------------------------------


@pytest.mark.parametrize("value", [
    None, (), (1, 2), KeyError("x"), StopIteration(3), ValueError, [None]],
    ids=repr)
def test_results(value):
    async def nested():
        return await waiting(waiting(_ouro.sleep(0, value)))

    async def main():
        task = asyncio.create_task(_ouro.sleep(0, value))
        return [await _ouro.sleep(0, value), await nested(), await task]

    assert all(result is value for result in asyncio.run(main()))
    coroutine = _ouro.sleep(0, value)
    coroutine.send(None)
    assert finish(coroutine) is value


# ---- what can be awaited ---------------------------------------------


class Iterator:
    """An awaitable whose iterator logs what is done to it."""

    def __init__(self, *values):
        self.values = list(values)
        self.log = []

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        self.log.append("next")
        if not self.values:
            raise StopIteration("end")
        return self.values.pop(0)


class Generator(Iterator):
    def send(self, value):
        self.log.append(("send", value))
        return next(self)

    def throw(self, error):
        self.log.append(("throw", error))
        return next(self)

    def close(self):
        self.log.append("close")


def test_delegation():
    inner = Generator(1, 2, 3, 4)
    coroutine = waiting(inner)
    error = KeyError("x")
    assert coroutine.send(None) == 1
    assert coroutine.cr_await is inner
    assert coroutine.send("x") == 2
    assert coroutine.throw(error) == 3
    assert coroutine.send(None) == 4
    assert finish(coroutine) == "end"
    assert inner.log == ["next", ("send", "x"), "next", ("throw", error),
                         "next", "next", "next"]


def test_thrown_into_what_cannot_catch():
    inner = Iterator(1)
    coroutine = waiting(inner)
    coroutine.send(None)
    with pytest.raises(KeyError):
        coroutine.throw(KeyError)
    assert inner.log == ["next"]


@pytest.mark.parametrize("stop", ["close", "throw", "drop"])
def test_closing_what_is_awaited(stop):
    inner = Generator(1)
    coroutine = waiting(inner)
    coroutine.send(None)
    if stop == "close":
        assert coroutine.close() is None
    elif stop == "throw":
        with pytest.raises(GeneratorExit):
            coroutine.throw(GeneratorExit)
    else:
        del coroutine
    assert inner.log == ["next", "close"]


def test_ignoring_the_close():
    async def deaf():
        while True:
            try:
                await asyncio.sleep(0)
            except GeneratorExit:
                pass

    inner = deaf()
    coroutine = waiting(inner)
    coroutine.send(None)
    with pytest.raises(RuntimeError, match=(
            "^coroutine ignored GeneratorExit$")):
        coroutine.close()
    with pytest.raises(KeyError):
        inner.throw(KeyError)


class Returns:
    def __init__(self, value):
        self.value = value

    def __await__(self):
        return self.value


@pytest.mark.parametrize("awaitable", [
    3, Returns(3), Returns(_native()), object], ids=repr)
def test_what_cannot_be_awaited(awaitable):
    async def native():
        await awaitable

    with pytest.raises(TypeError) as theirs:
        native().send(None)
    with pytest.raises(TypeError) as ours:
        waiting(awaitable).send(None)
    assert str(ours.value) == str(theirs.value)


def test_generator_based_coroutines():
    @types.coroutine
    def generator():
        return (yield 1), "end"

    coroutine = waiting(generator())
    assert coroutine.send(None) == 1
    with pytest.raises(StopIteration) as caught:
        coroutine.send(2)
    assert caught.value.value == (2, "end")


def test_dunder_await():
    coroutine = _ouro.sleep(0, "value")
    iterator = coroutine.__await__()
    assert type(iterator).__name__ == "coroutine_wrapper"
    assert iter(iterator) is iterator

    def generator():
        return (yield from iterator)

    driven = generator()
    assert next(driven) is None
    with pytest.raises(StopIteration, match="value"):
        next(driven)
    iterator = _ouro.sleep(0).__await__()
    assert iterator.send(None) is None
    with pytest.raises(KeyError):
        iterator.throw(KeyError)
    iterator.close()

    class Delegating:
        def __await__(self):
            return _ouro.sleep(0, (1, 2)).__await__()

    async def main():
        return await Delegating()

    assert asyncio.run(main()) == (1, 2)


# ---- tasks of all kinds ----------------------------------------------


@pytest.mark.parametrize("task_type", [
    asyncio.tasks._CTask, asyncio.tasks._PyTask, _ouro.Task],
    ids=["C", "Python", "ouro"])
def test_tasks(task_type):
    async def main():
        loop = asyncio.get_running_loop()
        queue, event = _ouro.Queue(), _ouro.Event()
        getter = task_type(queue.get(), loop=loop)
        waiter = task_type(event.wait(), loop=loop)
        victim = task_type(_ouro.Queue().get(), loop=loop)
        await asyncio.sleep(0)
        assert victim.cancel("why")
        queue.put_nowait((1, 2))
        event.set()
        assert await getter == (1, 2)
        assert await waiter is True
        with pytest.raises(asyncio.CancelledError, match="^why$"):
            await victim

    asyncio.run(main())


# ---- the end of life -------------------------------------------------


def test_never_awaited():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ouro.Queue().get()
        gc.collect()
    assert [str(entry.message) for entry in caught] == [
        "coroutine 'Queue.get' was never awaited"]
    assert caught[0].category is RuntimeWarning


def test_never_awaited_with_origin():
    def make():
        return _ouro.Queue().get()

    sys.set_coroutine_origin_tracking_depth(2)
    try:
        coroutine = make()
        line = inspect.currentframe().f_lineno - 1
    finally:
        sys.set_coroutine_origin_tracking_depth(0)
    (file, _, name), outer = coroutine.cr_origin
    assert (file, name) == (__file__, "make")
    assert outer == (__file__, line, "test_never_awaited_with_origin")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del coroutine
    message = str(caught[0].message)
    assert message.startswith("coroutine 'Queue.get' was never awaited\n"
                              "Coroutine created at (most recent call last)")
    assert "in make\n" in message


def test_origin_is_not_recorded_else():
    coroutine = _ouro.sleep(0)
    assert coroutine.cr_origin is None
    coroutine.close()


def test_never_awaited_as_an_error(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _ouro.Queue().get()
    assert [str(entry.exc_value) for entry in seen] == [
        "coroutine 'Queue.get' was never awaited"]


@pytest.mark.parametrize("change", [
    "warnings._warn_unawaited_coroutine = 0",
    "del sys.modules['warnings']", "sys.modules['warnings'] = None"])
def test_never_awaited_without_the_module(change, python):
    result = python("-c", f"""
import sys, warnings
import ouro
{change}
ouro.Queue().get()
""")
    assert "coroutine 'Queue.get' was never awaited" in result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize("how", ["close", "send", "throw"])
def test_no_warning_once_it_is_used(how):
    coroutine = _ouro.sleep(0)
    if how == "close":
        coroutine.close()
    elif how == "send":
        coroutine.send(None)
    else:
        with pytest.raises(KeyError):
            coroutine.throw(KeyError)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del coroutine


def test_dropping_one_that_waits(loop):
    queue = _ouro.Queue()
    coroutine = queue.get()
    coroutine.send(None)
    assert "_getters[1]" in repr(queue)
    del coroutine
    assert "_getters" not in repr(queue)


def test_errors_while_it_is_dropped(monkeypatch):
    class Angry(Generator):
        def close(self):
            raise KeyError("angry")

    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    coroutine = waiting(Angry(1))
    coroutine.send(None)
    del coroutine
    assert [repr(entry.exc_value) for entry in seen] == ["KeyError('angry')"]


def test_dropping_keeps_the_current_exception(loop):
    coroutine = _ouro.Queue().get()
    coroutine.send(None)
    holder = [coroutine]
    del coroutine
    with pytest.raises(KeyError, match="x"):
        raise KeyError("x", holder.clear())


def test_garbage_collection(loop):
    queue = _ouro.Queue()
    coroutine = queue.get()
    coroutine.send(None)
    queue_reference = weakref.ref(queue)
    reference = weakref.ref(coroutine)
    queue.cycle = coroutine
    del queue, coroutine
    gc.collect()
    assert reference() is None
    assert queue_reference() is None


def test_cycle_of_one_never_awaited():
    queue = _ouro.Queue()
    queue.cycle = queue.get()
    reference = weakref.ref(queue.cycle)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del queue
        gc.collect()
    assert len(caught) == 1
    caught.clear()      # it holds the coroutine
    gc.collect()
    assert reference() is None


def test_references_are_dropped_at_the_end():
    class Value:
        pass

    value = Value()
    reference = weakref.ref(value)
    coroutine = _ouro.sleep(0, value)
    coroutine.send(None)
    finish(coroutine)
    del value
    gc.collect()
    assert reference() is None
