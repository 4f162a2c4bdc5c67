"""Waiting for a place in line on futures that are not ours: the coroutine
has to find the future again when it is woken or cancelled."""

import asyncio
import gc
import weakref

import pytest

import ouro

MAKE = [
    lambda: ouro.Event().wait(),
    lambda: ouro.Queue().get(),
    lambda: taken_lock().acquire(),
    lambda: ouro.Semaphore(0).acquire(),
    lambda: ouro.Semaphore(0).__aenter__(),
]
IDS = ["event", "queue", "lock", "semaphore", "with"]


def taken_lock():
    lock = ouro.Lock()
    with pytest.raises(StopIteration):
        lock.acquire().send(None)
    return lock


class NotAwaitable:
    def done(self):
        return False

    def cancel(self):
        return True

    cancelled = done


class Loop(asyncio.SelectorEventLoop):
    """One whose futures are what the test says."""

    made = asyncio.Future

    def create_future(self):
        return self.made()


@pytest.fixture
def loop():
    loop = Loop()
    asyncio._set_running_loop(loop)
    yield loop
    asyncio._set_running_loop(None)
    loop.close()


@pytest.mark.parametrize("make", MAKE, ids=IDS)
def test_waits_through_the_iterator(loop, make):
    coroutine = make()
    future = coroutine.send(None)
    assert type(future) is asyncio.Future
    iterator = coroutine.cr_await
    while hasattr(iterator, "cr_await"):    # functions inside this one
        iterator = iterator.cr_await
    assert type(iterator) is type(future.__await__())
    with pytest.raises(asyncio.CancelledError):
        coroutine.throw(asyncio.CancelledError())
    assert coroutine.cr_await is None


@pytest.mark.parametrize("make", MAKE, ids=IDS)
def test_a_future_that_cannot_be_awaited(loop, make):
    loop.made = NotAwaitable
    with pytest.raises(TypeError, match="await"):
        make().send(None)


@pytest.mark.parametrize("make", MAKE, ids=IDS)
def test_garbage_is_collected(loop, make):
    class Future(asyncio.Future):
        pass

    loop.made = Future
    coroutine = make()
    future = coroutine.send(None)
    future.cycle = coroutine
    gone = weakref.ref(future)
    coroutine = future = None
    gc.collect()
    assert gone() is None


def test_woken_and_waiting_again():
    async def main():
        queue, got = ouro.Queue(), []

        async def take():
            got.append(await queue.get())

        tasks = [asyncio.ensure_future(take()) for _ in range(3)]
        await asyncio.sleep(0)
        queue.put_nowait(1)
        queue.get_nowait()  # the one that is woken finds nothing
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not got
        for item in 2, 3, 4:
            queue.put_nowait(item)
        await asyncio.gather(*tasks)
        return got

    for factory in asyncio.SelectorEventLoop, ouro.Loop:
        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(main()) == [2, 3, 4]
