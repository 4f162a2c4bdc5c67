"""What asyncio has from Python 3.14 on."""

import asyncio
import contextvars
import gc
import inspect
import io
import socket
import sys
import threading

import pytest

import ouro

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14),
                                reason="came with 3.14")


@pytest.fixture
def loop():
    loop = ouro.Loop()
    yield loop
    loop.close()


def test_threadsafe_handles(loop):
    """cancelled() of another thread waits for the callback's end."""
    started, log = threading.Event(), []
    asked = threading.Event()

    def callback():
        started.set()
        asked.wait(10)
        log.append("called")

    def other():
        handle = loop.call_soon_threadsafe(callback)
        assert isinstance(handle, asyncio.Handle)
        started.wait(10)
        threading.Timer(0.01, asked.set).start()
        log.append(handle.cancelled())
        handle.cancel()
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()
    assert log == ["called", False]


def test_threadsafe_handles_in_their_own_thread(loop):
    log = []

    def callback():
        handle.cancel()
        log.append(handle.cancelled())
        loop.stop()

    handle = loop.call_soon_threadsafe(callback)
    loop.run_forever()
    cancelled = loop.call_soon_threadsafe(log.append, "never")
    cancelled.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert log == [True]


def test_child_watcher(loop):
    stock = asyncio.unix_events._UnixSelectorEventLoop()
    try:
        assert type(loop._watcher) is type(stock._watcher)
        assert loop._watcher is loop._watcher
        loop._watcher = None
        assert loop._watcher is None
    finally:
        stock.close()


@pytest.mark.skipif(sys.version_info < (3, 15), reason="came with 3.15")
def test_watches_in_a_context(loop):
    variable = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, "seen")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handle = loop._add_reader(ours, print, context=context)
        assert handle._context is context
        loop._remove_reader(ours)


# ---- call graphs -------------------------------------------------------

GRAPH_NAMES = "capture_call_graph", "format_call_graph", "print_call_graph"


def run(main):
    with asyncio.Runner(loop_factory=ouro.Loop) as runner:
        return runner.run(main())


def test_call_graphs_are_native():
    for name in GRAPH_NAMES:
        assert type(getattr(ouro, name)).__name__ == (
            "builtin_function_or_method")


def test_call_graph_of_the_current_task():
    async def inner():
        return ouro.capture_call_graph(), ouro.format_call_graph()

    async def main():
        asyncio.current_task().set_name("Main")
        return await inner()

    graph, text = run(main)
    names = [entry.frame.f_code.co_name for entry in graph.call_stack]
    assert names == ["inner", "main"]
    assert graph.awaited_by == ()
    first, second, *lines = text.splitlines()
    assert first.startswith("* Task(name='Main', id=0x")
    assert second == "  + Call stack:"
    assert lines[0].endswith(
        "in async test_call_graph_of_the_current_task.<locals>.inner()")


@pytest.mark.parametrize("limit", [None, 0, 1, 2, -1, 5])
def test_call_graph_of_another(limit):
    """Frames, limits and edges are those that asyncio's functions find."""
    def flat(graph):
        return (graph.future.get_name(),
                [(entry.frame.f_code.co_qualname,
                  entry.frame.f_generator is None)
                 for entry in graph.call_stack],
                sorted(map(flat, graph.awaited_by)))

    async def main():
        queue = ouro.Queue()

        async def deeper():
            await queue.get()

        async def deep():
            await deeper()

        child = ouro.create_task(deep(), name="child")

        async def wait():
            await child

        parents = [ouro.create_task(wait(), name=f"parent {i}")
                   for i in range(2)]
        await ouro.sleep(0)
        await ouro.sleep(0)
        ours = ouro.capture_call_graph(child, limit=limit)
        stock = stock_capture(child, limit=limit)
        assert flat(ours) == flat(stock)
        assert len(ours.awaited_by) == 2
        file = io.StringIO()
        ouro.print_call_graph(child, limit=limit, file=file)
        assert file.getvalue() == stock_format(child, limit=limit) + "\n"
        assert ouro.format_call_graph(child) == stock_format(child)
        child.cancel()
        await asyncio.wait([child, *parents])

    from asyncio import graph as module
    stock_capture, stock_format = (
        module.capture_call_graph, module.format_call_graph)
    run(main)


def waits(module):
    """What tasks wait in, by name: coroutine functions."""
    def reader():
        return module.StreamReader()

    async def hold(it):
        await it.acquire()
        async with it:
            pass

    async def never():
        await asyncio.get_running_loop().create_future()

    async def group():
        async with module.TaskGroup() as group:
            group.create_task(never())

    async def stubborn(release):
        try:
            await never()
        except asyncio.CancelledError:
            await release

    async def cancel_and_wait():
        release = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(stubborn(release))
        await asyncio.sleep(0)
        try:
            await module.wait_for(task, 0)
        finally:
            release.cancel()

    return {
        "sleep": lambda: module.sleep(1000),
        "wait": lambda: module.wait([asyncio.ensure_future(never())]),
        "wait_for": lambda: module.wait_for(never(), 1000),
        "wait_for, 0": cancel_and_wait,
        "TaskGroup": group,
        "Lock": lambda: hold(module.Lock()),
        "Semaphore": lambda: hold(module.Semaphore()),
        "BoundedSemaphore": lambda: hold(module.BoundedSemaphore()),
        "Condition": lambda: hold(module.Condition()),
        "Barrier": lambda: module.Barrier(2).__aenter__(),
        "Event": lambda: module.Event().wait(),
        "Queue.get": lambda: module.Queue().get(),
        "Queue.join": lambda: join(module.Queue()),
        "read": lambda: reader().read(10),
        "read, all": lambda: reader().read(),
        "readline": lambda: reader().readline(),
        "readuntil": lambda: reader().readuntil(b";"),
        "readexactly": lambda: reader().readexactly(10),
        "async for": lambda: reader().__anext__(),
    }


async def join(queue):
    queue.put_nowait(1)
    await queue.join()


@pytest.mark.parametrize("name", waits(ouro))
def test_call_graph_inside_asyncio(name):
    """The names of asyncio's functions, down to where it would wait; and
    each coroutine awaits the next."""
    async def stack(wait):
        async def body():
            await wait()
        task = asyncio.ensure_future(body())
        for _ in range(4):
            await asyncio.sleep(0)
        graph = ouro.capture_call_graph(task)
        names = [entry.frame.f_code.co_qualname for entry in graph.call_stack]
        chain, coro = [], task.get_coro()
        while hasattr(coro, "cr_await"):
            chain.insert(0, coro.__qualname__)
            assert inspect.getcoroutinestate(coro) == "CORO_SUSPENDED"
            coro = coro.cr_await
        assert chain == names
        task.cancel()
        await asyncio.wait([task])
        return names

    expected = run(lambda: stack(waits(asyncio)[name]))
    assert run(lambda: stack(waits(ouro)[name])) == expected


def test_helpers_cannot_be_driven():
    """What stands for a function inside another one is to be looked at."""
    async def main():
        task = asyncio.ensure_future(ouro.StreamReader().readline())
        await asyncio.sleep(0)
        body = task.get_coro()
        helper = body.cr_await
        assert helper.cr_await.__qualname__ == "StreamReader._wait_for_data"
        assert helper.cr_await.cr_await is task._fut_waiter
        assert helper.cr_suspended and not helper.cr_running
        for drive in (helper.send, helper.throw):
            with pytest.raises(RuntimeError, match="cannot reuse"):
                drive(None if drive == helper.send else ValueError())
        assert helper.close() is None
        inner = helper.cr_await
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert helper.cr_await is inner.cr_await is None
        del body, task
        gc.collect()
        assert helper.cr_await is None
    run(main)


def test_call_graph_errors():
    with pytest.raises(RuntimeError, match="outside of a running event loop"):
        ouro.capture_call_graph()
    with pytest.raises(TypeError, match="compatible with asyncio.Future"):
        ouro.capture_call_graph(1)

    async def main():
        with pytest.raises(ValueError, match="not deep enough"):
            ouro.capture_call_graph(depth=10_000)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_soon(lambda: done.set_result(
            (ouro.capture_call_graph(), ouro.format_call_graph())))
        return await done

    assert run(main) == (None, "")
