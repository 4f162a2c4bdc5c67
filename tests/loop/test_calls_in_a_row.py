"""Short calls in threads, one after the other.

Then neither the loop nor the thread sleeps in between: they look for each
other's answer for some microseconds.  All else must be seen as before."""

import asyncio
import os
import random
import signal
import socket
import threading
import time

import pytest

ROW = 300  # after so many short calls they look, if it is possible at all
MOST = 200_000  # what has not been seen after so many never will be


def nothing():
    pass


async def row(calls=ROW):
    for _ in range(calls):
        await asyncio.to_thread(nothing)


async def row_until(seen):
    for calls in range(MOST):
        if seen():
            return
        await asyncio.to_thread(nothing)
    pytest.fail("not seen")


def test_descriptors_are_seen(loop):
    async def main():
        await row()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            got = []
            loop.add_reader(ours, lambda: got.append(ours.recv(1)))
            for _ in range(20):
                theirs.send(b"x")
                await row_until(lambda: got)
                got.clear()
            loop.remove_reader(ours)

    loop.run_until_complete(main())


def test_timers_are_seen(loop):
    async def main():
        await row()
        got = []
        for delay in 0, 1e-5, 1e-4, 1e-3:
            loop.call_later(delay, got.append, delay)
        await row_until(lambda: len(got) == 4)
        assert got == sorted(got)

    loop.run_until_complete(main())


def test_other_threads_are_seen(loop):
    async def main():
        await row()
        got = []

        def other():
            for i in range(100):
                loop.call_soon_threadsafe(got.append, i)
                time.sleep(1e-5)

        thread = threading.Thread(target=other)
        thread.start()
        await row_until(lambda: len(got) == 100)
        assert got == list(range(100))
        thread.join()

    loop.run_until_complete(main())


def test_signal_handlers_are_called(loop):
    async def main():
        await row()
        got = []
        loop.add_signal_handler(signal.SIGUSR1, got.append, 1)
        for _ in range(50):
            await asyncio.to_thread(os.kill, os.getpid(), signal.SIGUSR1)
            await row_until(lambda: got)
            got.clear()
        loop.remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(main())


def test_ctrl_c_while_they_look(loop):
    for _ in range(30):
        task = loop.create_task(row(MOST))
        loop.call_later(0.002, signal.raise_signal, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)


def test_short_and_long(loop):
    """Calls and pauses of all lengths around those at which it pays."""
    chance = random.Random(3)

    async def main():
        for i in range(500):
            await row(chance.randrange(20))
            length = chance.choice([0, 1e-5, 3e-5, 5e-5, 7e-5, 1e-4, 1e-3])
            assert await asyncio.to_thread(lambda i=i: (
                time.sleep(length), i)[1]) == i
            if chance.random() < 0.3:
                await asyncio.sleep(length)
            if chance.random() < 0.1:
                await asyncio.gather(*(row(5) for _ in range(3)))

    loop.run_until_complete(main())


def test_cancelled_in_a_row(loop):
    async def main():
        await row()
        for _ in range(200):
            task = asyncio.ensure_future(asyncio.to_thread(nothing))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await row(2)

    loop.run_until_complete(main())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_in_a_row(loop):
    async def main():
        for _ in range(5):
            await row()
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0

    loop.run_until_complete(main())


def test_the_end_of_a_row(loop):
    """It ends while a thread may look for the next call."""
    for _ in range(20):
        other = type(loop)()
        other.run_until_complete(row())
        other.run_until_complete(other.shutdown_default_executor())
        other.close()


def test_rows_in_many_threads(loop):
    def run():
        mine = type(loop)()
        mine.run_until_complete(row(1000))
        mine.run_until_complete(mine.shutdown_default_executor())
        mine.close()
        done.append(1)

    done = []
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
