"""Small workloads on one implementation; prints {name: [ns, ...]} as JSON.

usage: workloads.py IMPL [NAME ...]     IMPL: see implementations.py

One figure for each round: CPU time of the process, all threads, in
nanoseconds an operation.  The environment has REPEAT (rounds, 1) and SCALE
(a factor for the number of operations, 1).
"""

import json
import os
import random
import sys
import threading
import time

from implementations import asyncio, choose

REPEAT = int(os.environ.get("REPEAT", "1"))
SCALE = float(os.environ.get("SCALE", "1"))
new_loop = choose(sys.argv[1])

CASES = {}


def case(n):
    def deco(f):
        CASES[f.__name__] = (f, max(1, int(n * SCALE)))
        return f

    return deco


@case(200_000)
async def call_soon(n):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = n

    def cb():
        nonlocal left
        left -= 1
        if left > 0:
            loop.call_soon(cb)
        elif not done.done():
            done.set_result(None)

    for _ in range(100):
        loop.call_soon(cb)
    await done


@case(200_000)
async def call_soon_args(n):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = n

    def cb(a, b):
        nonlocal left
        left -= 1
        if left > 0:
            loop.call_soon(cb, a, b)
        elif not done.done():
            done.set_result(None)

    for _ in range(100):
        loop.call_soon(cb, 1, 2)
    await done


@case(200_000)
async def task_switch(n):
    async def w(k):
        for _ in range(k):
            await asyncio.sleep(0)

    await asyncio.gather(*[w(n // 100) for _ in range(100)])


@case(100_000)
async def spawn_await(n):
    async def f():
        return 1

    for _ in range(n):
        await asyncio.create_task(f())


@case(100_000)
async def future_wake(n):
    loop = asyncio.get_running_loop()
    for _ in range(n):
        fut = loop.create_future()
        loop.call_soon(fut.set_result, None)
        await fut


@case(100_000)
async def queue_pingpong(n):
    a, b = asyncio.Queue(), asyncio.Queue()

    async def echo():
        for _ in range(n):
            await b.put(await a.get())

    t = asyncio.create_task(echo())
    for i in range(n):
        await a.put(i)
        await b.get()
    await t


@case(60_000)
async def queue_producer_consumer(n):
    q = asyncio.Queue(maxsize=10)

    async def producer(k):
        for i in range(k):
            await q.put(i)

    async def consumer():
        while True:
            item = await q.get()
            q.task_done()
            if item is None:
                return

    cs = [asyncio.create_task(consumer()) for _ in range(3)]
    await asyncio.gather(*[producer(n // 2) for _ in range(2)])
    await q.join()
    for _ in cs:
        await q.put(None)
    await asyncio.gather(*cs)


@case(300_000)
async def lock_uncontended(n):
    lock = asyncio.Lock()
    for _ in range(n):
        async with lock:
            pass


@case(60_000)
async def semaphore_contended(n):
    sem = asyncio.Semaphore(3)

    async def w(k):
        for _ in range(k):
            async with sem:
                await asyncio.sleep(0)

    await asyncio.gather(*[w(n // 20) for _ in range(20)])


@case(40_000)
async def event_wait(n):
    for _ in range(n // 10):
        ev = asyncio.Event()
        ts = [asyncio.create_task(ev.wait()) for _ in range(10)]
        await asyncio.sleep(0)
        ev.set()
        for t in ts:
            await t


@case(100_000)
async def gather_1000(n):
    async def f():
        return 1

    for _ in range(n // 1000):
        await asyncio.gather(*[f() for _ in range(1000)])


@case(100_000)
async def taskgroup_1000(n):
    async def f():
        return 1

    for _ in range(n // 1000):
        async with asyncio.TaskGroup() as tg:
            for _ in range(1000):
                tg.create_task(f())


@case(100_000)
async def timer_schedule_cancel(n):
    loop = asyncio.get_running_loop()

    def cb():
        pass

    for _ in range(n // 100):
        hs = [loop.call_later(10 + i, cb) for i in range(100)]
        for h in hs:
            h.cancel()
    await asyncio.sleep(0)


@case(30_000)
async def sleep_timers(n):
    rnd = random.Random(1)
    await asyncio.gather(
        *[asyncio.sleep(rnd.random() * 0.05) for _ in range(n)]
    )


@case(60_000)
async def wait_for_quick(n):
    async def f():
        await asyncio.sleep(0)

    for _ in range(n):
        await asyncio.wait_for(f(), 10)


@case(100_000)
async def timeout_block(n):
    for _ in range(n):
        async with asyncio.timeout(10):
            pass


@case(10_000)
async def to_thread(n):
    def f():
        pass

    for _ in range(n):
        await asyncio.to_thread(f)


@case(100_000)
async def call_soon_threadsafe(n):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    seen = 0

    def cb():
        nonlocal seen
        seen += 1
        if seen == n:
            done.set_result(None)

    def feed():
        for _ in range(n):
            loop.call_soon_threadsafe(cb)

    t = threading.Thread(target=feed)
    t.start()
    await done
    t.join()


async def _stream_echo(n, line):
    size = 1024

    async def serve(r, w):
        try:
            while True:
                d = await (r.readline() if line else r.readexactly(size))
                if not d:
                    break
                w.write(d)
                await w.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            w.close()

    srv = await asyncio.start_server(serve, "127.0.0.1", 0)
    r, w = await asyncio.open_connection(*srv.sockets[0].getsockname()[:2])
    msg = b"x" * (size - 1) + b"\n"
    for _ in range(n):
        w.write(msg)
        await w.drain()
        await (r.readline() if line else r.readexactly(size))
    w.close()
    await w.wait_closed()
    srv.close()


@case(10_000)
async def stream_echo_1k(n):
    await _stream_echo(n, False)


@case(10_000)
async def stream_readline_1k(n):
    await _stream_echo(n, True)


@case(400_000)
async def stream_readline_buffered(n):
    r = asyncio.StreamReader(limit=1 << 30)
    r.feed_data(b"hello world\n" * n)
    r.feed_eof()
    for _ in range(n):
        await r.readline()


@case(300)
async def subprocess_true(n):
    for _ in range(n):
        p = await asyncio.create_subprocess_exec("/bin/true")
        await p.wait()


def run(function, n):
    loop = new_loop()
    asyncio.set_event_loop(loop)
    try:
        began = time.process_time()
        loop.run_until_complete(function(n))
        return (time.process_time() - began) / n * 1e9
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


def main():
    figures = {}
    for name in sys.argv[2:] or CASES:
        function, n = CASES[name]
        figures[name] = [round(run(function, n), 1) for _ in range(REPEAT)]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
