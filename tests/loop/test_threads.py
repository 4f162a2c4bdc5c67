"""Calls from other threads, and calls in other threads."""

import asyncio
import concurrent.futures
import threading
import time
import warnings

import pytest

import ouro


def test_in_the_order_of_the_calls(loop):
    count, trace = 5000, []

    def elsewhere():
        for i in range(count):
            loop.call_soon_threadsafe(trace.append, i)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=elsewhere)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert trace == list(range(count))


def test_one_order_for_all_ways_in(same):
    def program(loop, trace):
        def main():
            loop.call_soon(trace.append, 1)
            loop.call_soon_threadsafe(trace.append, 2)
            thread = threading.Thread(
                target=loop.call_soon_threadsafe, args=(trace.append, 3))
            thread.start()
            thread.join()
            loop.call_soon(trace.append, 4)
            loop.call_soon(loop.stop)

        loop.call_soon(main)
        loop.run_forever()

    assert same(program) == [1, 2, 3, 4]


def test_a_waiting_loop_is_woken(loop):
    def elsewhere():
        time.sleep(0.05)    # most likely the loop waits by now
        loop.call_soon_threadsafe(stop, "woken")

    def stop(why):
        reasons.append(why)
        loop.stop()

    reasons = []
    thread = threading.Thread(target=elsewhere)
    loop.call_later(120, stop, "not woken")
    thread.start()
    loop.run_forever()
    assert reasons == ["woken"]
    thread.join()


def test_many_threads_ping_pong(loop):
    """No wake-up gets lost between looking and waiting."""
    async def play():
        for _ in range(1000):
            fut = loop.create_future()
            pool.submit(loop.call_soon_threadsafe, fut.set_result, None)
            await asyncio.wait_for(fut, 120)

    async def main():
        await asyncio.gather(*(play() for _ in range(4)))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loop.run_until_complete(main())


def test_loops_in_several_threads():
    def work(number):
        async def main():
            await asyncio.sleep(0.001)
            return number, asyncio.get_running_loop() is not None

        with asyncio.Runner(loop_factory=ouro.Loop) as runner:
            return [runner.run(main()) for _ in range(20)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for number, results in enumerate(pool.map(work, range(8))):
            assert results == [(number, True)] * 20


def test_cancelled_from_another_thread(loop):
    handles = []

    def elsewhere():
        handle = loop.call_soon_threadsafe(print, "never")
        handle.cancel()
        handles.append(handle)
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(threading.Thread(target=elsewhere).start)
    loop.run_forever()
    assert handles[0].cancelled()


def test_executors(same):
    def program(loop, trace):
        async def main():
            name = await loop.run_in_executor(
                None, lambda: threading.current_thread().name)
            trace.append(name)
            trace.append(await loop.run_in_executor(None, divmod, 7, 2))
            trace.append(type(loop._default_executor).__name__)
            try:
                await loop.run_in_executor(None, int, "x")
            except ValueError as error:
                trace.append(str(error))
            with concurrent.futures.ThreadPoolExecutor(
                    thread_name_prefix="mine") as pool:
                trace.append(await loop.run_in_executor(
                    pool, lambda: threading.current_thread().name))

        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        trace.errors(lambda: loop.run_in_executor(None, print))
        trace.append(loop._executor_shutdown_called)
        loop.run_until_complete(loop.shutdown_default_executor())

    same(program)


def test_an_executor_of_the_users(same):
    def program(loop, trace):
        pool = concurrent.futures.ThreadPoolExecutor(
            thread_name_prefix="mine")
        loop.set_default_executor(pool)
        trace.append(loop._default_executor is pool)
        trace.append(loop.run_until_complete(loop.run_in_executor(
            None, lambda: threading.current_thread().name)))
        loop.close()
        trace.append(loop._default_executor)
        trace.errors(lambda: pool.submit(print))

    same(program)


def test_shutdown_that_fails(same):
    def program(loop, trace):
        class Pool(concurrent.futures.ThreadPoolExecutor):
            def shutdown(self, wait=True, **kwargs):
                trace.append(("shutdown", wait))
                if wait:
                    raise ValueError("no")

        loop.set_default_executor(Pool())
        trace.errors(lambda: loop.run_until_complete(
            loop.shutdown_default_executor()))

    same(program)


def test_shutdown_that_takes_too_long(same):
    def program(loop, trace):
        if not hasattr(loop, "_run_forever_setup"):     # 3.13
            return
        event = threading.Event()
        loop.run_in_executor(None, event.wait)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.run_until_complete(loop.shutdown_default_executor(0.01))
        trace.extend(str(each.message) for each in caught)
        event.set()
        trace.errors(lambda: loop.run_until_complete(
            loop.shutdown_default_executor("long")))

    same(program)


@pytest.mark.parametrize("cancel", [False, True])
def test_shutdown_cancelled(same, cancel):
    def program(loop, trace):
        event = threading.Event()

        async def main():
            loop.run_in_executor(None, event.wait)
            task = loop.create_task(loop.shutdown_default_executor())
            await asyncio.sleep(0.01)
            if cancel:
                task.cancel()
            threading.Timer(0.01, event.set).start()
            try:
                await task
                trace.append("done")
            except asyncio.CancelledError:
                trace.append("cancelled")

        loop.run_until_complete(main())
        event.set()
        # (Up to 3.12 asyncio's sets a result on the cancelled future.)
        trace[:] = [each for each in trace if isinstance(each, str)]

    assert same(program) == ["cancelled" if cancel else "done"]
