"""CPU and wall time of calls in threads, each by itself and many at once.

usage: threads.py [--rounds 5] [CASE ...]

Microseconds a call, CPU time of all threads and then wall time, the median of
rounds in which the implementations take turns, a process each.  What a call
costs depends on whether the processors are idle: to wake one takes longer than
a short call.  So run it on a machine that does nothing else, and again with
all processors busy, and under `taskset -c 0`.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import zlib

from implementations import choose

IMPLEMENTATIONS = ["asyncio", "ouro"]
DATA = os.urandom(200_000)
CASES = {}


def case(n):
    def add(function):
        CASES[function.__name__] = (function, n)
        return function

    return add


def nothing():
    pass


def compute():
    for _ in range(20_000):
        pass


def compress():
    """A millisecond and more without the interpreter's lock."""
    zlib.compress(DATA, 1)


async def in_a_row(n, function):
    for _ in range(n):
        await asyncio.to_thread(function)


async def at_once(n, function, width):
    for _ in range(n // width):
        await asyncio.gather(
            *(asyncio.to_thread(function) for _ in range(width)))


@case(6000)
def row(n):
    """One short call after the other."""
    asyncio.run(in_a_row(n, nothing))


@case(3000)
def row_and_work(n):
    """The same, with ten microseconds of work in between."""
    async def main():
        for _ in range(n):
            await asyncio.to_thread(nothing)
            for _ in range(1000):
                pass

    asyncio.run(main())


@case(300)
def row_and_sleep(n):
    """The same, with a millisecond of sleep in between."""
    async def main():
        for _ in range(n):
            await asyncio.to_thread(nothing)
            await asyncio.sleep(0.001)

    asyncio.run(main())


@case(300)
def sleeps(n):
    """Calls that sleep for a millisecond."""
    asyncio.run(in_a_row(n, lambda: time.sleep(0.001)))


@case(500)
def computes(n):
    asyncio.run(in_a_row(n, compute))


@case(60)
def compresses_2(n):
    asyncio.run(at_once(n, compress, 2))


@case(6000)
def at_once_3(n):
    asyncio.run(at_once(n, nothing, 3))


@case(10_000)
def at_once_100(n):
    asyncio.run(at_once(n, nothing, 100))


@case(6000)
def four_loops(n):
    """Rows in four loops, each in a thread of its own."""
    threads = [threading.Thread(target=row, args=(n // 4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(names):
    """{case: [CPU, wall]}, microseconds a call."""
    result = {}
    for name in names:
        function, n = CASES[name]
        function(n // 10)
        cpu, wall = time.process_time(), time.perf_counter()
        function(n)
        result[name] = [(time.process_time() - cpu) / n * 1e6,
                        (time.perf_counter() - wall) / n * 1e6]
    return result


def in_a_process(implementation, names):
    return json.loads(subprocess.check_output(
        [sys.executable, __file__, "--in", implementation, *names]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--in", dest="implementation")
    parser.add_argument("cases", nargs="*", default=list(CASES))
    arguments = parser.parse_args()
    if arguments.implementation:
        choose(arguments.implementation)
        print(json.dumps(measure(arguments.cases)))
        return
    rounds = [{each: in_a_process(each, arguments.cases)
               for each in IMPLEMENTATIONS}
              for _ in range(arguments.rounds)]
    print(f"{'us a call':14}", *(f"{each:>9} CPU {'wall':>8}"
                                 for each in IMPLEMENTATIONS))
    for name in arguments.cases:
        figures = [f"{statistics.median(r[each][name][i] for r in rounds):.1f}"
                   for each in IMPLEMENTATIONS for i in range(2)]
        print(f"{name:14}", *(f"{figure:>{13 if i % 2 == 0 else 8}}"
                              for i, figure in enumerate(figures)))


if __name__ == "__main__":
    main()
