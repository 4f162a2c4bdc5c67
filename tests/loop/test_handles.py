"""Handles next to asyncio's."""

import asyncio
import contextvars
import functools
import gc
import inspect
import sys
import weakref

import pytest

import ouro

PAIRS = [(asyncio.Handle, asyncio.TimerHandle),
         (ouro._ouro.Handle, ouro._ouro.TimerHandle)]


def test_they_are_ours(loop):
    assert type(loop.call_soon(print)) is ouro._ouro.Handle
    assert type(loop.call_later(1, print)) is ouro._ouro.TimerHandle
    assert isinstance(loop.call_soon(print), asyncio.Handle)
    assert isinstance(loop.call_later(1, print), asyncio.TimerHandle)


def test_surface(loop):
    for theirs, ours in zip(*PAIRS):
        for name in dir(theirs):
            if not name.startswith("__") or name in ("__lt__", "__eq__"):
                assert hasattr(ours, name), name
        assert (inspect.signature(ours).parameters
                == inspect.signature(theirs).parameters)


@pytest.mark.parametrize("debug", [False, True])
def test_repr(same, debug):
    def program(loop, trace):
        loop.set_debug(debug)
        method = loop.stop
        for callback in (print, trace.append, same, method,
                         functools.partial(print, 1, end="")):
            for handle in (loop.call_soon(callback, 1, "x"),
                           loop.call_later(60, callback, 2),
                           loop.call_at(70, callback)):
                trace.append(repr(handle).replace("LoopCore", "Loop"))
                handle.cancel()
                trace.append(repr(handle).replace("LoopCore", "Loop"))
                handle.cancel()

    def shown(loop, trace):
        program(loop, trace)
        trace[:] = [text.replace("BaseEventLoop", "Loop")
                    for text in map(strip, trace)]

    same(shown)


def strip(text):
    """Of a Python function asyncio shows the source, of ours there is none;
    and times differ."""
    import re
    text = re.sub(r"when=[0-9.]+", "when=T", text)
    return re.sub(r"(stop\(.*?\)) at \S+base_events.py:\d+", r"\1", text)


def test_attributes(same):
    def program(loop, trace):
        context = contextvars.copy_context()
        handle = loop.call_soon(print, context=context)
        trace.append((handle._callback is print, handle._args,
                      handle._context is context, handle._loop is loop,
                      handle._cancelled, handle._source_traceback,
                      handle._repr))
        trace.append((loop.call_soon(print, 1)._args,
                      loop.call_soon(print, 1, 2)._args,
                      loop.call_soon(print, (1,))._args))
        timer = loop.call_at(5, print, 1)
        trace.append((timer._when, timer.when(), timer._scheduled, hash(timer),
                      type(loop.call_at(5.5, print).when()).__name__,
                      type(loop.call_at(6, print).when()).__name__))
        for each in handle, timer:
            each.cancel()
            trace.append((each._callback, each._args, each.cancelled()))
        if hasattr(handle, "get_context"):
            trace.append(handle.get_context() is context)
        handle = loop.call_soon(print)
        handle._callback, handle._args = trace.append, ("set",)
        loop.run_until_complete(asyncio.sleep(0))

    same(program)


def test_comparing(same):
    def program(loop, trace):
        def make(when, callback=print, *args):
            return loop.call_at(when, callback, *args)

        handles = [make(1), make(1), make(2), make(1, len), make(1, print, 3),
                   make(1.0)]
        handles.append(make(1))
        handles[-1].cancel()
        for a in handles:
            trace.append([(a < b, a <= b, a > b, a >= b, a == b, a != b)
                          for b in handles])
        trace.append((handles[0] == 5, handles[0] != 5))
        trace.errors(lambda: handles[0] < 5)

    same(program)


@pytest.mark.parametrize("kinds", PAIRS, ids=["asyncio", "ouro"])
def test_on_a_loop_of_somebody(kinds):
    class Loop:
        told = []

        def get_debug(self):
            return False

        def call_exception_handler(self, context):
            self.told.append(context)

        def _timer_handle_cancelled(self, handle):
            self.told.append(handle)

    loop = Loop()
    ran = []
    for make in kinds[0], functools.partial(kinds[1], 5):
        handle = make(ran.append, (1,), loop)
        handle._run()
        assert ran.pop() == 1
        handle = make(int, ("x",), loop)
        handle._run()
        context = loop.told.pop()
        assert context["handle"] is handle
        assert context["message"].startswith("Exception in callback int(")
        assert sorted(context) == ["exception", "handle", "message"]
        handle.cancel()
    assert loop.told == [handle]
    assert weakref.ref(handle)() is handle


def test_subclasses(same):
    def program(loop, trace):
        kind = type(loop.call_soon(trace.append, 0))

        class Handle(kind):
            def _run(self):
                trace.append("_run")
                super()._run()

            def _repr_info(self):
                return [*super()._repr_info(), "more"]

        handle = Handle(trace.append, (1,), loop)
        trace.append(repr(handle))
        loop._add_callback(handle)
        loop.run_until_complete(asyncio.sleep(0))

    same(program)


@pytest.mark.parametrize("kinds", PAIRS, ids=["asyncio", "ouro"])
def test_wrong_calls(kinds):
    errors = []
    for call in (kinds[0], lambda: kinds[0](1, 2), lambda: kinds[1](1, 2, 3),
                 lambda: kinds[0](1, 2, 3, 4, 5), lambda: kinds[0](x=1)):
        try:
            call()
        except (TypeError, AttributeError) as error:
            errors.append(str(error))
    test_wrong_calls.seen = getattr(test_wrong_calls, "seen", errors)
    assert errors == test_wrong_calls.seen


def test_arguments_live_no_longer_than_needed(loop):
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    handle = loop.call_soon(id, thing)
    timer = loop.call_later(60, id, thing)
    del thing
    handle.cancel()
    timer.cancel()
    gc.collect()
    assert seen() is None


def test_many_handles_come_and_go(loop):
    """Freed handles are used again, and carry nothing over."""
    before = sys.getrefcount(None)
    for _ in range(3):
        handles = [loop.call_soon(print, None) for _ in range(2000)]
        timers = [loop.call_later(60, print, None) for _ in range(2000)]
        references = [weakref.ref(handle) for handle in handles]
        for handle in handles + timers:
            handle.cancel()
        del handle, handles, timers
        loop.run_until_complete(asyncio.sleep(0))
        assert not any(reference() for reference in references)
    assert abs(sys.getrefcount(None) - before) < 100


def test_when_is_the_handle_itself(loop):
    handle = loop.call_later(1000, print)
    handle._when = handle
    with pytest.raises(RecursionError):
        hash(handle)
    handle.cancel()


def test_a_cycle_by_way_of_the_text(loop):
    class Text:
        pass

    text = Text()
    text.handle = loop.call_soon(print)
    text.handle.cancel()
    text.handle._repr = text
    gone = weakref.ref(text)
    del text
    loop.call_soon(loop.stop)
    loop.run_forever()
    gc.collect()
    assert gone() is None
