"""The default executor: what it does, and that it cannot be told from
asyncio's, ThreadPoolExecutor."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import os
import random
import sys
import threading
import time
import warnings
import weakref
from unittest import mock

import pytest

import ouro


def name():
    return threading.current_thread().name


def names():
    """The default executor's threads that live."""
    return sorted(thread.name for thread in threading.enumerate()
                  if thread.name.startswith("asyncio_"))


def raised(error):
    raise error


def test_idle_threads_are_used_again(same):
    def program(loop, trace):
        async def main():
            for _ in range(5):
                trace.append(await loop.run_in_executor(None, name))
                # asyncio's is idle a moment after its result has come.
                time.sleep(0.02)

        loop.run_until_complete(main())
        trace.append(names())
        loop.run_until_complete(loop.shutdown_default_executor())
        trace.append(names())

    assert same(program)[-2:] == [["asyncio_0"], []]


def test_so_many_threads_at_most(same):
    def program(loop, trace):
        most = concurrent.futures.ThreadPoolExecutor()._max_workers
        event = threading.Event()

        async def main():
            futures = [loop.run_in_executor(None, event.wait, 60)
                       for _ in range(most + 3)]
            trace.append(names() == sorted(f"asyncio_{i}"
                                           for i in range(most)))
            event.set()
            trace.append(await asyncio.gather(*futures))

        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())

    assert same(program)[0]


def test_threads_are_of_the_kind_of_who_starts_them(same):
    def program(loop, trace):
        def run():
            async def main():
                thread = await loop.run_in_executor(
                    None, threading.current_thread)
                trace.append((type(thread), thread.daemon, thread.name))

            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_default_executor())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join()

    assert same(program)[0][1]


def test_results(same):
    def program(loop, trace):
        async def main():
            errors = [KeyError("x"), SystemExit(3), KeyboardInterrupt("y"),
                      asyncio.CancelledError("z"), GeneratorExit(),
                      concurrent.futures.CancelledError("a"), TimeoutError(1),
                      concurrent.futures.InvalidStateError("b"),
                      asyncio.InvalidStateError("c")]
            for error in errors:
                for call in (loop.run_in_executor(None, raised, error),
                             asyncio.to_thread(raised, error)):
                    try:
                        await call
                    except BaseException as caught:
                        trace.append((type(caught), caught.args,
                                      caught is error))
            for value in (None, 5, (1, 2), KeyError("x"), loop):
                trace.append(await asyncio.to_thread(lambda: value) is value)
            trace.append(await loop.run_in_executor(
                None, lambda *args: args, 1, 2, 3))
            trace.append(await asyncio.to_thread(
                lambda *args, **kwargs: (args, kwargs), 1, b=2))
            for call in (lambda: loop.run_in_executor(None),
                         lambda: loop.run_in_executor(),
                         lambda: loop.run_in_executor(None, int, x=1)):
                trace.errors(call)
            try:
                await loop.run_in_executor(None, 5)
            except TypeError as error:
                trace.append(str(error))

        loop.run_until_complete(main())

    same(program)


def test_stop_iteration(same):
    """It cannot be set, so nobody gets it (until 3.13)."""
    def program(loop, trace):
        async def main():
            future = loop.run_in_executor(None, raised, StopIteration(5))
            await asyncio.wait([future], timeout=0.2)
            trace.append(future.done())
            if future.done():
                trace.append(repr(future.exception()))

        loop.set_exception_handler(
            lambda loop, context: trace.append(repr(context["exception"])))
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())

    same(program)


def test_contexts(same):
    def program(loop, trace):
        var = contextvars.ContextVar("var", default=0)

        def work():
            var.set(var.get() + 1)
            return var.get()

        async def main():
            var.set(10)
            trace.append([await asyncio.to_thread(work),
                          await asyncio.to_thread(work), var.get()])
            trace.append([await loop.run_in_executor(None, work)])
            context = contextvars.copy_context()
            trace.append(await loop.run_in_executor(None, context.run, work))
            trace.append(context[var])

        loop.run_until_complete(main())

    same(program)


def blocked(loop, event):
    """All threads that there may be wait for the event."""
    most = concurrent.futures.ThreadPoolExecutor()._max_workers
    return [loop.run_in_executor(None, event.wait, 60) for _ in range(most)]


def test_cancelled_in_the_queue(same):
    def program(loop, trace):
        async def main():
            event, called = threading.Event(), []
            busy = blocked(loop, event)
            queued = [loop.run_in_executor(None, called.append, i)
                      for i in range(4)]
            task = asyncio.create_task(asyncio.to_thread(called.append, 5))
            await asyncio.sleep(0)
            queued[1].cancel()
            task.cancel("why")
            await asyncio.sleep(0)
            event.set()
            done = await asyncio.gather(*busy, *queued, task,
                                        return_exceptions=True)
            trace.append([repr(each) for each in done])
            await loop.shutdown_default_executor()
            trace.append(sorted(called))

        loop.run_until_complete(main())

    assert same(program)[-1] == [0, 2, 3]


def test_cancelled_while_it_runs(same):
    def program(loop, trace):
        async def main():
            started, event, called = threading.Event(), threading.Event(), []

            def work():
                started.set()
                event.wait(60)
                called.append(1)

            future = loop.run_in_executor(None, work)
            started.wait(60)
            trace.append(future.cancel())
            await asyncio.sleep(0)
            trace.append(called[:])
            event.set()
            await loop.shutdown_default_executor()
            await asyncio.sleep(0)
            trace.append((called, future.cancelled()))

        loop.run_until_complete(main())

    assert same(program)[-1] == ([1], True)


def test_a_result_that_is_there_already(same):
    def program(loop, trace):
        async def main():
            event = threading.Event()
            future = loop.run_in_executor(None, event.wait, 60)
            future.set_result("mine")
            event.set()
            await loop.shutdown_default_executor()
            await asyncio.sleep(0)
            trace.append(future.result())

        loop.set_exception_handler(
            lambda loop, context: trace.append(type(context["exception"])))
        loop.run_until_complete(main())

    assert AssertionError in same(program)


def test_shutdown(same):
    """What is queued is done first; nothing is taken after."""
    def program(loop, trace):
        called = []

        async def main():
            event = threading.Event()
            busy = blocked(loop, event)
            queued = [loop.run_in_executor(None, called.append, i)
                      for i in range(3)]
            task = asyncio.create_task(loop.shutdown_default_executor())
            await asyncio.sleep(0)
            for call in (lambda: loop.run_in_executor(None, name),
                         loop._check_default_executor):
                trace.errors(call)
            try:
                await asyncio.to_thread(name)
            except RuntimeError as error:
                trace.append(str(error))
            event.set()
            await task
            await asyncio.gather(*busy, *queued)
            trace.append((called, names()))

        loop.run_until_complete(main())
        trace.append(type(loop._default_executor).__name__)
        trace.errors(lambda: loop._default_executor.submit(name))
        loop.close()
        trace.append(loop._default_executor)
        trace.errors(lambda: loop.run_in_executor(None, name))

    assert same(program)[-1] == "RuntimeError: Event loop is closed"


def test_closed_without_shutdown(same):
    """The threads do what is queued, and end; the results are dropped."""
    def program(loop, trace):
        event, called = threading.Event(), []
        futures = blocked(loop, event)
        futures += [loop.run_in_executor(None, called.append, i)
                    for i in range(3)]
        loop.close()
        trace.append(loop._default_executor)
        event.set()
        for thread in threading.enumerate():
            if thread.name.startswith("asyncio_"):
                thread.join()
        trace.append((sorted(called), [each.done() for each in futures]))

    same(program)


def test_a_dropped_loop_ends_its_threads():
    async def main():
        return await asyncio.to_thread(threading.current_thread)

    loop = ouro.Loop()
    thread = loop.run_until_complete(main())
    reference = weakref.ref(loop)
    with pytest.warns(ResourceWarning):
        del loop
        gc.collect()
    assert reference() is None
    thread.join(60)
    assert not thread.is_alive()


def test_who_looks_sees_a_thread_pool(same):
    def program(loop, trace):
        async def main():
            trace.append(loop._default_executor)
            trace.append(await asyncio.to_thread(name))
            pool = loop._default_executor
            trace.append((type(pool), pool._thread_name_prefix))
            trace.append(loop._default_executor is pool)
            before = pool._work_queue.qsize(), len(pool._threads)
            trace.append(await asyncio.to_thread(name))
            with mock.patch.object(pool, "submit",
                                   side_effect=ValueError("mine")):
                try:
                    await asyncio.to_thread(name)
                except ValueError as error:
                    trace.append(str(error))
            return before

        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        trace.append(names())

    assert same(program)[-1] == []


def test_set(same):
    def program(loop, trace):
        async def main():
            trace.append(await asyncio.to_thread(name))
            with concurrent.futures.ThreadPoolExecutor(
                    1, thread_name_prefix="mine") as pool:
                loop.set_default_executor(pool)
                trace.append(await asyncio.to_thread(name))
                trace.append(await loop.run_in_executor(None, name))
                loop._default_executor = None
                trace.append(await loop.run_in_executor(None, name))
            for executor in (None, 5):
                trace.errors(lambda: loop.set_default_executor(executor))
            with concurrent.futures.ThreadPoolExecutor(
                    1, thread_name_prefix="other") as pool:
                trace.append(await loop.run_in_executor(pool, name))

        loop.run_until_complete(main())

    same(program)


@pytest.mark.parametrize("target", [
    "concurrent.futures.ThreadPoolExecutor",
    "concurrent.futures.thread.ThreadPoolExecutor.submit"])
def test_patched(same, target):
    def program(loop, trace):
        async def main(first):
            if first:
                trace.append(await asyncio.to_thread(name))
            with mock.patch(target, side_effect=ValueError("mine")):
                try:
                    await asyncio.to_thread(name)
                except ValueError as error:
                    trace.append(str(error))
            trace.append(await asyncio.to_thread(name))

        loop.run_until_complete(main(False))
        loop.run_until_complete(loop.shutdown_default_executor())

    assert same(program)[0] == "mine"


def test_patched_later():
    """Our own threads were used until then."""
    async def main():
        await asyncio.to_thread(name)
        with mock.patch("concurrent.futures.ThreadPoolExecutor",
                        side_effect=ValueError("mine")):
            with pytest.raises(ValueError):
                await asyncio.to_thread(name)
        assert await asyncio.to_thread(name) == "asyncio_0"
        await asyncio.get_running_loop().shutdown_default_executor()

    loop = ouro.Loop()
    loop.run_until_complete(main())
    loop.close()


def test_methods_that_are_overridden(same):
    """to_thread() goes through run_in_executor(), whoever's it is."""
    def program(loop, trace):
        async def main():
            with mock.patch.object(
                    loop, "run_in_executor", create=True,
                    side_effect=lambda executor, call: loop.create_task(
                        asyncio.sleep(0, call()))) as mocked:
                trace.append(await asyncio.to_thread(divmod, 7, 2))
                trace.append(mocked.call_count)
            with mock.patch.object(loop, "call_soon_threadsafe",
                                   wraps=loop.call_soon_threadsafe) as calls:
                trace.append(await loop.run_in_executor(None, divmod, 7, 2))
                trace.append(calls.called)
            loop.set_debug(True)
            trace.append(await loop.run_in_executor(None, divmod, 7, 2))
            trace.append(await asyncio.to_thread(divmod, 7, 2))
            loop.set_debug(False)
            await loop.shutdown_default_executor()

        loop.run_until_complete(main())

    same(program)


def test_debug_mode_while_it_runs(same):
    """A result comes back to a loop that is not fast any more."""
    def program(loop, trace):
        async def main():
            event = threading.Event()
            future = loop.run_in_executor(None, event.wait, 60)
            loop.set_debug(True)
            event.set()
            trace.append(await future)

        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())

    assert same(program) == [True]


def test_arguments_are_freed(loop):
    class Argument:
        pass

    async def main():
        for call in (lambda arg: loop.run_in_executor(None, id, arg),
                     lambda arg: asyncio.to_thread(id, arg)):
            argument = Argument()
            reference = weakref.ref(argument)
            future = call(argument)
            del argument
            await future
            del future
            assert reference() is None

    loop.run_until_complete(main())


def test_failing_to_start_a_thread(loop):
    """Nothing has happened then, and the loop goes on."""
    async def main():
        with mock.patch("threading.Thread.start",
                        side_effect=RuntimeError("no thread")):
            for call in (lambda: loop.run_in_executor(None, called.append, 1),
                         lambda: asyncio.to_thread(called.append, 2)):
                with pytest.raises(RuntimeError, match="no thread"):
                    await call()
        return await asyncio.to_thread(name)

    called = []
    assert loop.run_until_complete(main()) == "asyncio_0"
    assert called == []


def test_fork(loop):
    """The child has the loop, but none of its threads."""
    async def main():
        await asyncio.to_thread(name)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                asyncio._set_running_loop(None)
                own = ouro.Loop()
                got = own.run_until_complete(asyncio.to_thread(name))
                own.run_until_complete(own.shutdown_default_executor())
                own.close()
                status = 0 if got == "asyncio_0" else 2
            os._exit(status)
        return os.waitpid(child, 0)[1]

    assert loop.run_until_complete(main()) == 0


def test_fork_in_a_thread(loop):
    def work():
        child = os.fork()
        if child == 0:
            os._exit(0)
        return os.waitpid(child, 0)[1]

    async def main():
        assert await asyncio.to_thread(work) == 0
        assert await asyncio.to_thread(name) == "asyncio_0"

    loop.run_until_complete(main())


# Much at once.

def test_thousands(loop):
    async def main():
        for size in 1, 10, 1000, 5000:
            got = await asyncio.gather(*(
                loop.run_in_executor(None, divmod, i, 7) if i % 2
                else asyncio.to_thread(divmod, i, 7) for i in range(size)))
            assert got == [divmod(i, 7) for i in range(size)]
        await loop.shutdown_default_executor()
        assert not names()

    loop.run_until_complete(main())


def test_cancelled_at_any_moment(loop):
    """A call is done once or, cancelled, at most once."""
    async def main():
        chance = random.Random(5)
        calls = [0] * 3000
        cancelled = 0

        def work(i):
            calls[i] += 1
            return i

        async def one(i):
            nonlocal cancelled
            future = loop.run_in_executor(None, work, i)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                future.cancel()
            try:
                assert await future == i
                assert calls[i] == 1
            except asyncio.CancelledError:
                cancelled += 1

        await asyncio.gather(*map(one, range(len(calls))))
        await loop.shutdown_default_executor()
        assert max(calls) == 1
        assert calls.count(0) <= cancelled

    loop.run_until_complete(main())


def test_closed_at_any_moment():
    """Results that come while the loop is closed, or is freed, get lost."""
    chance = random.Random(7)
    for _ in range(150):
        loop = ouro.Loop()
        called = []

        async def main(loop):
            for i in range(chance.randrange(1, 30)):
                loop.run_in_executor(None, called.append, i)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

        loop.run_until_complete(main(loop))
        if chance.random() < 0.5:
            time.sleep(chance.random() * 0.0005)
        loop.close()
        del loop
    for thread in threading.enumerate():
        if thread.name.startswith("asyncio_"):
            thread.join(60)
    assert not names()


def test_many_loops():
    def run():
        async def main():
            return await asyncio.gather(
                *(asyncio.to_thread(divmod, i, 3) for i in range(200)))

        for _ in range(5):
            loop = ouro.Loop()
            results.append(loop.run_until_complete(main()))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    results = []
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[divmod(i, 3) for i in range(200)]] * 20


def test_nested_calls(loop):
    """A thread that calls back into the loop, which calls a thread."""
    async def down(depth):
        if depth == 0:
            return 0
        return 1 + await asyncio.to_thread(up, depth - 1)

    def up(depth):
        return asyncio.run_coroutine_threadsafe(down(depth), loop).result(60)

    assert loop.run_until_complete(down(4)) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="of the interpreter's end")
def test_exit(python, tmp_path):
    """All that is queued is done before the interpreter exits."""
    program = tmp_path / "program.py"
    program.write_text("""
import asyncio, ouro, threading, time
loop = ouro.Loop()
done = []
for i in range(100):
    loop.run_in_executor(None, lambda i=i: (time.sleep(0.001), done.append(i)))
def late():
    try:
        loop.run_in_executor(None, print)
    except RuntimeError as error:
        print(error)
import threading
def last():
    threading.main_thread().join()
    time.sleep(0.3)
    late()
    print(len(done))
threading.Thread(target=last).start()
""")
    result = python(program)
    assert result.stdout.split("\n")[:2] == [
        "cannot schedule new futures after interpreter shutdown", "100"]
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no timeout")
@pytest.mark.parametrize("timeout", [None, 60, 60.5, 0, -1, 0.001, "x", 1j,
                                     True, [], float("inf")])
@pytest.mark.parametrize("busy", [False, True])
def test_shutdown_for_a_time(same, timeout, busy):
    """Threads that are busy, and threads that are not."""
    if timeout == 0.001 and not busy:
        pytest.skip("they end in that time, or they do not")

    def program(loop, trace):
        gate = threading.Event()

        async def main():
            task = asyncio.current_task()
            future = loop.run_in_executor(None, gate.wait if busy else int)
            # (3.12 bounds the join only, and waits for the threads before.)
            if (not busy or timeout in (None, 60, 60.5, float("inf"))
                    or sys.version_info < (3, 13)):
                gate.set()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    trace.append(await loop.shutdown_default_executor(timeout))
                except Exception as error:
                    trace.append(repr(error))
            trace.append([(each.category, str(each.message))
                          for each in caught
                          if each.category is RuntimeWarning])
            trace.append((task.cancelling(), loop._executor_shutdown_called))
            gate.set()
            if not isinstance(timeout, (str, complex, list)):
                await future

        loop.run_until_complete(main())

    same(program)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="no timeout() there")
def test_shutdown_is_within_a_timeout(same):
    """Cancelled, outside of a task, and with a timeout of the caller's."""
    def program(loop, trace):
        gate = threading.Event()

        async def main():
            future = loop.run_in_executor(None, gate.wait)
            try:
                async with asyncio.timeout(0.01):
                    await loop.shutdown_default_executor(60)
            except TimeoutError as error:
                trace.append((repr(error), repr(error.__cause__)))
            task = asyncio.ensure_future(loop.shutdown_default_executor(60))
            await asyncio.sleep(0)
            task.cancel("why")
            await asyncio.wait([task])
            trace.append(task.cancelled())
            gate.set()
            await future
            coro = loop.shutdown_default_executor(60)
            loop.call_soon(by_hand, coro)
            await asyncio.sleep(0)

        def by_hand(coro):
            trace.errors(lambda: coro.send(None), coro.close)

        loop.run_until_complete(main())

    same(program)
