"""Patches, subclasses and private queues: whoever looks is shown asyncio."""

import asyncio
import collections
import heapq
import socket
import types

import pytest

import ouro


def owner(loop, name):
    """The class that defines a method of the loop."""
    return next(kind for kind in type(loop).__mro__ if name in vars(kind))


def test_a_patched_instance_is_obeyed(same):
    def program(loop, trace):
        call_soon = loop.call_soon

        def spy(callback, *args, **kwargs):
            trace.append("call_soon")
            return call_soon(callback, *args, **kwargs)

        async def main():
            fut = loop.create_future()
            loop.call_later(0.001, fut.set_result, 1)
            loop.call_soon = spy
            trace.append(await fut)
            del loop.call_soon
            await asyncio.sleep(0)
            trace.append("|")

        loop.run_until_complete(main())

    same(program)


def test_a_patched_class_is_obeyed(same):
    def program(loop, trace):
        kind = owner(loop, "call_soon")
        call_soon = kind.call_soon

        def spy(self, callback, *args, **kwargs):
            trace.append("call_soon")
            return call_soon(self, callback, *args, **kwargs)

        async def main():
            fut = loop.create_future()
            loop.call_later(0.001, fut.set_result, 1)
            kind.call_soon = spy
            trace.append(await fut)
            kind.call_soon = call_soon
            await asyncio.sleep(0)
            trace.append("|")

        try:
            loop.run_until_complete(main())
        finally:
            kind.call_soon = call_soon

    same(program)


def test_patches_by_way_of_the_dict(same):
    def program(loop, trace):
        def spy(callback, *args, **kwargs):
            trace.append("call_soon")
            return type(loop).call_soon(loop, callback, *args, **kwargs)

        vars(loop)["call_soon"] = spy
        fut = loop.create_future()
        fut.add_done_callback(trace.append)
        fut.set_result(1)
        trace.clear() if len(trace) > 1 else None

    same(program)


def test_the_fast_path_comes_back(loop):
    steps = ouro._ouro._fast_steps

    def fast():
        before = steps()
        loop.run_until_complete(asyncio.sleep(0))
        return steps() > before

    assert fast()
    loop.call_soon = loop.call_soon
    assert not fast()
    del loop.call_soon
    assert fast()
    kind = owner(loop, "time")
    time = vars(kind)["time"]
    kind.time = lambda self: time(self)
    assert not fast()
    kind.time = time
    assert fast()
    loop.anything_else = 1
    type(loop).anything_else = 2
    assert fast()
    del type(loop).anything_else
    loop.set_debug(True)
    assert not fast()
    loop.set_debug(False)
    assert fast()
    assert loop._ready == collections.deque()
    assert not fast()


def overriding(base, trace):
    class Loop(base):
        def time(self):
            trace.append("time")
            return super().time()

        def call_soon(self, *args, **kwargs):
            trace.append("call_soon")
            return super().call_soon(*args, **kwargs)

        def call_at(self, *args, **kwargs):
            trace.append("call_at")
            return super().call_at(*args, **kwargs)

        def _run_once(self):
            trace.append("_run_once")
            return super()._run_once()

        def _add_callback(self, handle):
            trace.append("_add_callback")
            return super()._add_callback(handle)

        def _process_events(self, events):
            trace.append(("_process_events", len(events)))
            return super()._process_events(events)

        def _write_to_self(self):
            trace.append("_write_to_self")
            return super()._write_to_self()

        def _timer_handle_cancelled(self, handle):
            trace.append("_timer_handle_cancelled")
            return super()._timer_handle_cancelled(handle)

    return Loop


def test_a_subclass_is_obeyed():
    traces = []
    for base in asyncio.SelectorEventLoop, ouro.Loop:
        trace = []
        loop = overriding(base, trace)()
        a, b = socket.socketpair()
        with a, b:
            loop.add_reader(a, lambda: (trace.append("read"), a.recv(1)))
            b.send(b"x")
            loop.call_later(60, print).cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.call_soon_threadsafe(trace.append, "threadsafe")
            loop.run_until_complete(asyncio.sleep(0.001))
            loop.remove_reader(a)
        loop.close()
        # (asyncio keeps cancelled timers, and polls its self-pipe.)
        traces.append([event for event in trace if event != "time"
                       and event[0] != "_process_events"
                       and event != "_add_callback"])
        assert "time" in trace and ("_process_events", 1) in trace
        assert "_add_callback" in trace
    assert "threadsafe" in traces[1]
    for name in ("_run_once", "call_at", "_timer_handle_cancelled",
                 "_write_to_self", "read"):
        assert (name in traces[0]) == (name in traces[1]), name


def test_a_subclass_in_a_run_loop_of_its_own(same):
    def program(loop, trace):
        # What GUI integrations do with 3.13's two methods, and before.
        if hasattr(loop, "_run_forever_setup"):
            loop._run_forever_setup()
            trace.append(loop.is_running())
            loop.call_soon(trace.append, 1)
            loop._run_once()
            loop._run_forever_cleanup()
        else:
            loop.call_soon(trace.append, 1)
            loop._run_once()
        trace.append(loop.is_running())

    same(program)


def test_ready_is_the_queue(same):
    def program(loop, trace):
        for i in range(4):
            loop.call_soon(trace.append, i)
        ready = loop._ready
        trace.append((type(ready).__name__, len(ready), ready is loop._ready,
                      [handle._args for handle in ready]))
        del ready[1]
        ready.rotate(1)
        loop.call_soon(trace.append, "more")
        trace.append(len(ready))
        loop.call_later(0, trace.append, "timer")

        async def main():
            await asyncio.sleep(0)
            trace.append("task")

        loop.run_until_complete(main())
        trace.append(len(ready))
        loop.call_soon(trace.append, "never")
        loop._ready.clear()
        loop.run_until_complete(asyncio.sleep(0))

    same(program)


def test_ready_read_in_the_middle_of_a_turn(same):
    def program(loop, trace):
        loop.call_soon(lambda: trace.append(
            [handle._args for handle in loop._ready]))
        loop.call_soon(trace.append, 1)
        loop.call_soon(lambda: (loop.call_soon(trace.append, 3), loop.stop()))
        loop.call_soon(trace.append, 2)
        loop.run_forever()
        trace.append("|")
        loop.run_until_complete(asyncio.sleep(0))

    same(program)


def test_ready_holds_the_tasks_that_were_on_the_ring(loop):
    trace = []

    async def child(number):
        trace.append(number)

    tasks = [loop.create_task(child(i)) for i in range(3)]
    ready = loop._ready
    assert len(ready) == 3
    ready.reverse()
    loop.run_until_complete(asyncio.wait(tasks))
    assert trace == [2, 1, 0]


def test_an_assigned_ready_is_used(same):
    def program(loop, trace):
        loop.call_soon(trace.append, "dropped")
        loop._ready = collections.deque()
        loop.call_soon(trace.append, 1)
        trace.append(len(loop._ready))
        loop.run_until_complete(asyncio.sleep(0))

    same(program)


def test_handles_of_others_in_ready(same):
    def program(loop, trace):
        context = types.SimpleNamespace(run=lambda call, *args: call(*args))
        handle = types.SimpleNamespace(
            _cancelled=False, _run=lambda: trace.append("run"))
        loop._add_callback(handle)
        stock = asyncio.Handle(trace.append, ("stock",), loop)
        loop._add_callback(stock)
        loop._add_callback(stock)
        odd = asyncio.Handle(trace.append, ["odd"], loop, context)
        loop._add_callback_signalsafe(odd)
        cancelled = asyncio.Handle(trace.append, ("never",), loop)
        loop._add_callback(cancelled)
        cancelled.cancel()
        loop.run_until_complete(asyncio.sleep(0))

    assert same(program) == ["run", "stock", "stock", "odd"]


def test_scheduled_is_the_heap(same):
    def program(loop, trace):
        for i in 3, 1, 2:
            loop.call_later(i / 1000, trace.append, i)
        timers = loop._scheduled
        trace.append((type(timers).__name__, len(timers),
                      timers is loop._scheduled,
                      [timer._args for timer in sorted(timers)],
                      [timer._scheduled for timer in timers]))
        first = heapq.heappop(timers)
        loop.call_later(0.0025, trace.append, 2.5)
        late = loop.call_later(60, trace.append, "never")
        loop.call_later(0.005, loop.stop)
        late.cancel()
        loop.run_forever()
        trace.append((first._args, len(loop._scheduled)))
        late = loop.call_later(60, trace.append, "never")
        loop._scheduled.clear()
        loop.call_later(0.001, loop.stop)
        loop.run_forever()

    same(program)


def test_what_is_ready_does_not_wait_for_the_scheduled(same):
    def program(loop, trace):
        loop._scheduled                 # is Python's list from here on
        late = loop.call_later(60, loop.stop)
        loop.call_later(30, trace.append, "late")
        task = loop.create_task(asyncio.sleep(40))
        task.add_done_callback(lambda task: loop.stop())
        for _ in range(3):
            loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        loop.run_forever()
        trace.append((task.cancelled(), late.cancelled()))

    assert same(program) == [(True, False)]


@pytest.mark.parametrize("name, values", [
    ("_thread_id", [None, 7]),
    ("_stopping", [False, True]),
    ("_clock_resolution", [0.5]),
    ("_task_factory", [None]),
    ("_exception_handler", [None]),
    ("_default_executor", [None, 5]),
    ("_current_handle", [None]),
    ("_debug", [True, False]),
    ("_asyncgens_shutdown_called", [True, False]),
    ("_executor_shutdown_called", [True, False]),
    ("_timer_cancelled_count", [1, 0]),
    ("slow_callback_duration", [5, 0.1]),
])
def test_private_attributes(loop, name, values):
    theirs = asyncio.SelectorEventLoop()
    assert getattr(loop, name) == getattr(theirs, name)
    theirs.close()
    for value in values:
        setattr(loop, name, value)
        assert getattr(loop, name) == value
    loop._thread_id = loop._default_executor = None


def test_a_loop_that_is_made_reentrant():
    """Its class is given another _run_once and run_until_complete, which
    work on the queues and the selector, and run while it runs."""
    class Reentrant(ouro.Loop):
        def _run_once(self):
            scheduled, ready = self._scheduled, self._ready
            timeout = 0 if ready else max(
                scheduled[0]._when - self.time(), 0) if scheduled else None
            self._process_events(self._selector.select(timeout))
            while scheduled and (scheduled[0]._when
                                 < self.time() + self._clock_resolution):
                ready.append(heapq.heappop(scheduled))
            for _ in range(len(ready)):
                if ready:
                    handle = ready.popleft()
                    current = asyncio.current_task(self)
                    if current is not None:
                        asyncio.tasks._leave_task(self, current)
                    try:
                        handle._run()
                    finally:
                        if current is not None:
                            asyncio.tasks._enter_task(self, current)

        def run_until_complete(self, future):
            before = asyncio._get_running_loop()
            asyncio._set_running_loop(self)
            try:
                task = asyncio.ensure_future(future, loop=self)
                while not task.done():
                    self._run_once()
                return task.result()
            finally:
                asyncio._set_running_loop(before)

    async def over_a_socket():
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            asyncio.get_running_loop().call_later(0.01, right.send, b"x")
            return await asyncio.get_running_loop().sock_recv(left, 1)

    async def nested(depth):
        await asyncio.sleep(0.001)
        if depth:
            loop = asyncio.get_running_loop()
            task = asyncio.current_task()
            result = loop.run_until_complete(nested(depth - 1))
            assert asyncio.current_task() is task
            return result
        return await over_a_socket()

    loop = Reentrant()
    assert loop.run_until_complete(nested(3)) == b"x"
    loop.close()


def test_patched_clock(same):
    def program(loop, trace):
        now = [100.0]
        loop.time = lambda: now[0]
        loop.call_later(5, trace.append, "due")
        loop.call_later(6, trace.append, "not due")
        trace.append(loop.call_at(105.5, print).when())
        now[0] = 105
        loop.stop()
        loop.run_forever()

    same(program)


def test_a_clock_that_fails(same):
    def program(loop, trace):
        def time():
            raise ZeroDivisionError

        loop.call_later(60, print)
        loop.time = time
        trace.errors(loop.run_forever, lambda: loop.call_later(1, print))
        del loop.time
        loop.run_until_complete(asyncio.sleep(0))

    same(program)


class Item:
    """What is compared in _scheduled: it replaces the list."""

    _cancelled = False

    def __init__(self, loop):
        self.loop = loop
        self._when = loop.time() + 1000

    def __lt__(self, other):
        self.loop._scheduled = []
        return True

    __gt__ = __lt__


def test_scheduled_replaced_while_it_is_sorted(loop):
    loop._scheduled.extend(Item(loop) for _ in range(5))
    handle = loop.call_later(1000, print)
    assert loop._scheduled == []
    handle.cancel()


def test_ready_replaced_while_it_is_filled(loop):
    class Replacing(collections.deque):
        def append(self, item):
            loop._ready = collections.deque()
            super().append(item)

    for _ in range(3):
        loop.call_soon(print)
    loop._ready = Replacing()
    loop.call_soon(print)
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_patched_task_type_gets_all_arguments(same, monkeypatch):
    def program(loop, trace):
        def make(coro, *, loop, **kwargs):
            trace.append(kwargs)
            return task_type(coro, loop=loop, **kwargs)

        async def nothing():
            pass

        task_type = asyncio.Task
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.tasks, "Task", make)
            for kwargs in ({}, {"name": "x"}, {"context": None}):
                loop.run_until_complete(loop.create_task(nothing(), **kwargs))

    same(program)
