"""What asyncio has from Python 3.14 on."""

import asyncio
import contextvars
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
