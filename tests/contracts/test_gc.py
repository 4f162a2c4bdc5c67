"""What can still be woken is kept; what nothing can wake is garbage, and is
reported as asyncio reports it."""

import contextlib
import gc
import logging
import socket
import time
import weakref

import pytest

import ouro as asyncio


@pytest.fixture
def reports():
    """What loops of this test tell their exception handlers."""
    return []


@pytest.fixture
def loop(reports):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(
        lambda loop, context: reports.append(context["message"]))
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()


def turns(loop, number=3):
    for _ in range(number):
        loop.call_soon(loop.stop)
        loop.run_forever()


async def waits_for(awaitable):
    return await awaitable


def started(loop, coroutine):
    """A weak reference to a task that nobody holds, and that has begun."""
    task = weakref.ref(loop.create_task(coroutine))
    turns(loop, 1)
    return task


def test_a_task_nothing_can_wake(loop, reports):
    task = started(loop, waits_for(loop.create_future()))
    gc.collect()
    assert task() is None
    assert reports == ["Task was destroyed but it is pending!"]


def test_a_task_that_waits_for_a_timer(loop):
    task = started(loop, asyncio.sleep(0.01))
    gc.collect()
    assert task() is not None
    loop.run_until_complete(task())


def test_a_task_whose_future_is_held(loop):
    future = loop.create_future()
    task = started(loop, waits_for(future))
    gc.collect()
    assert task() is not None
    future.set_result(1)
    turns(loop)
    assert task() is None or task().done()


@pytest.mark.parametrize("wait", ["read", "readline", "readexactly"])
def test_a_task_that_reads_a_stream(loop, reports, wait):
    """Fire and forget: only the loop knows of the connection."""
    one, other = socket.socketpair()
    lines = []

    async def reads():
        reader, writer = await asyncio.open_connection(sock=one)
        arguments = (3,) if wait == "readexactly" else ()
        lines.append(await getattr(reader, wait)(*arguments))
        writer.close()

    with other, contextlib.suppress(OSError):
        task = weakref.ref(loop.create_task(reads()))
        turns(loop, 6)
        gc.collect()
        assert task() is not None
        other.send(b"ab\n")
        other.shutdown(socket.SHUT_WR)
        for _ in range(100):
            turns(loop)
            if lines:
                break
    assert lines == [b"ab\n"]
    assert reports == []


def test_a_task_that_waits_for_a_socket(loop):
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        got = []

        async def receives():
            got.append(await loop.sock_recv(one, 10))

        task = weakref.ref(loop.create_task(receives()))
        turns(loop)
        gc.collect()
        assert task() is not None
        other.send(b"x")
        turns(loop, 5)
        assert got == [b"x"]


def test_a_task_that_waits_for_a_thread(loop):
    task = weakref.ref(loop.create_task(asyncio.to_thread(gc.collect)))
    turns(loop)
    gc.collect()
    loop.run_until_complete(asyncio.sleep(0.05))
    assert task() is None or task().done()


def test_tasks_that_wait_for_each_other(loop, reports):
    async def waits(tasks, other):
        await asyncio.sleep(0)
        await tasks[other]

    def start():
        tasks = []
        tasks += [loop.create_task(waits(tasks, other)) for other in (1, 0)]
        return [weakref.ref(task) for task in tasks]

    tasks = start()
    turns(loop)
    gc.collect()
    assert [task() for task in tasks] == [None, None]
    assert reports == ["Task was destroyed but it is pending!"] * 2


def test_a_loop_with_an_armed_timer():
    loop = asyncio.new_event_loop()
    loop.call_later(1000, loop.stop)
    loop.call_soon(loop.stop)
    loop.own = loop
    seen = weakref.ref(loop)
    del loop
    with pytest.warns(ResourceWarning):
        gc.collect()
    gc.collect()    # what the warning has shown to pytest
    assert seen() is None


def test_a_loop_with_all_there_is():
    """One of each, all in one cycle."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    one, other = socket.socketpair()
    task = loop.create_task(asyncio.sleep(1000))
    loop.run_until_complete(loop.create_connection(
        asyncio.Protocol, sock=one))
    # (As long as a thread has a call it holds the loop.)
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.add_reader(other, print, loop)
    loop.call_soon_threadsafe(print, loop)
    future = loop.create_future()
    future.add_done_callback(lambda future, loop=loop: loop)
    future.own = task, loop
    seen = [weakref.ref(item) for item in (loop, task, future)]
    executor = loop._default_executor
    del loop, task, future
    with pytest.warns(ResourceWarning) as warned:
        # What runs in a thread holds the loop until it has been run.
        for _ in range(1000):
            gc.collect()
            if warned:
                break
            time.sleep(0.01)
    del warned      # it has been shown the loop
    gc.collect()
    assert [item() for item in seen] == [None] * 3
    other.close()
    if executor is not None:
        executor.shutdown()


def test_a_cycle_through_a_future(loop):
    future = loop.create_future()
    future.set_result(future)
    other = loop.create_future()
    other.add_done_callback(lambda done, other=other: other)
    failed = loop.create_future()
    failed.set_exception(ValueError(failed))
    failed.exception()
    failed.exception().own = failed
    seen = [weakref.ref(item) for item in (future, other, failed)]
    del future, other, failed
    gc.collect()
    assert [item() for item in seen] == [None] * 3


def test_a_cycle_through_handles(loop):
    handles = [loop.call_later(1000, print), loop.call_at(1e9, print)]
    for handle in handles:
        handle.cancel()
    known = []
    soon = loop.call_soon(id, known)
    known.append(soon)
    turns(loop)
    seen = [weakref.ref(item) for item in (*handles, soon)]
    del handles, handle, soon, known
    gc.collect()
    assert [item() for item in seen] == [None] * 3


def test_an_exception_keeps_no_task(loop):
    """Once it is done, what a task ran with can be freed."""
    class Thing:
        pass

    thing = Thing()

    async def fails(thing):
        raise ValueError

    task = loop.create_task(fails(thing))
    with contextlib.suppress(ValueError):
        loop.run_until_complete(task)
    seen = weakref.ref(thing)
    del thing, task
    gc.collect()
    assert seen() is None


def test_arguments_of_a_cancelled_handle(loop):
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    handle = loop.call_later(1000, print, thing)
    del thing
    handle.cancel()
    assert seen() is None


def test_a_stream_that_waits_for_nothing(loop):
    """Rooted while an operation is parked on it, and no longer."""
    one, other = socket.socketpair()
    with other:
        reader, writer = loop.run_until_complete(
            asyncio.open_connection(sock=one))
        transport = weakref.ref(writer.transport)
        loop.run_until_complete(asyncio.sleep(0))
        transport().abort()
        turns(loop)
        del reader, writer
        gc.collect()
        assert transport() is None


def test_nothing_is_logged_for_what_is_done(loop, caplog):
    with caplog.at_level(logging.DEBUG, "asyncio"):
        loop.run_until_complete(asyncio.wait(
            [loop.create_task(asyncio.sleep(0)) for _ in range(10)]))
        gc.collect()
    assert not caplog.records
