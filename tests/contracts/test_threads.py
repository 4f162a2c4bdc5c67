"""Threads: which there are, what they are called, and that what they hand
over to a loop arrives."""

import asyncio
import sys
import threading

import ouro


def test_names_and_join(both):
    """Python's own threads, by asyncio's names, joined at the end."""
    both("""
        import asyncio, threading
        async def main():
            def work():
                thread = threading.current_thread()
                return thread.name, thread.daemon, type(thread).__name__
            print(await asyncio.to_thread(work))
            print(sorted(thread.name for thread in threading.enumerate()))
        asyncio.run(main())
        print(threading.active_count())
        """)


def test_profile_and_trace_hooks_reach_the_workers(both):
    both("""
        import asyncio, threading
        seen = set()
        def hook(frame, event, argument):
            seen.add(frame.f_code.co_name)
        def work():
            pass
        async def main():
            threading.setprofile(hook)
            await asyncio.to_thread(work)
            threading.setprofile(None)
        asyncio.run(main())
        print("work" in seen)
        """)


def test_context_in_a_worker(both):
    both("""
        import asyncio, contextvars
        variable = contextvars.ContextVar("v", default=0)
        async def main():
            variable.set(5)
            print(await asyncio.to_thread(variable.get))
            loop = asyncio.get_running_loop()
            print(await loop.run_in_executor(None, variable.get))
        asyncio.run(main())
        """)


def test_order_of_each_thread_is_kept():
    loop = ouro.new_event_loop()
    threads, calls, count = 6, 2000, [0]
    last = [-1] * threads

    def arrive(thread, number):
        assert last[thread] == number - 1
        last[thread] = number
        count[0] += 1
        if count[0] == threads * calls:
            loop.stop()

    def send(thread):
        for number in range(calls):
            loop.call_soon_threadsafe(arrive, thread, number)

    workers = [threading.Thread(target=send, args=(thread,))
               for thread in range(threads)]
    for worker in workers:
        worker.start()
    guard = loop.call_later(60, loop.stop)
    loop.run_forever()
    guard.cancel()
    for worker in workers:
        worker.join()
    loop.close()
    assert count[0] == threads * calls


def test_a_loop_in_each_of_many_threads():
    async def program():
        queue = asyncio.Queue()

        async def put():
            for number in range(200):
                await queue.put(number)
                await asyncio.sleep(0)

        task = asyncio.create_task(put())
        total = 0
        for _ in range(200):
            total += await queue.get()
        await task
        return total

    results = []

    def run():
        loop = ouro.new_event_loop()
        results.append(loop.run_until_complete(program()))
        loop.close()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert results == [sum(range(200))] * 8


def test_a_loop_moves_to_another_thread():
    """It is nobody's while it does not run."""
    loop = ouro.new_event_loop()
    results = []

    def run():
        results.append(loop.run_until_complete(asyncio.sleep(0, "result")))

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        run()
    loop.close()
    assert results == ["result"] * 6


def test_freed_in_another_thread():
    """The last reference to what belongs to a running loop goes elsewhere."""
    loop = ouro.new_event_loop()

    async def main():
        for _ in range(50):
            kept = [loop.create_future() for _ in range(20)]
            kept += [loop.call_later(1000, print) for _ in range(20)]
            for item in kept:
                item.cancel()
            held = [kept]
            del kept, item
            await asyncio.to_thread(held.clear)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_wrong_thread_is_refused_in_debug_mode(both):
    both("""
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            def work():
                for call in (lambda: loop.call_soon(print),
                             lambda: loop.call_later(1, print),
                             lambda: loop.call_at(1, print)):
                    try:
                        call()
                        print("allowed")
                    except RuntimeError as error:
                        print(error)
            await asyncio.to_thread(work)
        asyncio.run(main(), debug=True)
        """)
