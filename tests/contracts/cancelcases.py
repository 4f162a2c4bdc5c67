"""What can be waited for, each with what ends the wait.

A case is a coroutine function of the names (k).  It returns the awaiting
function, which returns a new coroutine or future for each who waits, the
function that lets one of them go on, and one that tells what there is: items,
permits, notifications.  None may be lost to a cancellation.
"""

import asyncio
import sys

CASES = {}


def case(function):
    CASES[function.__name__.replace("_", " ").strip()] = function
    return function


def nothing():
    return None


# ---- locks -----------------------------------------------------------------


@case
async def lock(k):
    it = k.Lock()
    await it.acquire()
    return it.acquire, it.release, lambda: (
        it.locked(), len(it._waiters or ()))


@case
async def lock_in_a_with_statement(k):
    it = k.Lock()
    await it.acquire()

    async def hold():
        async with it:
            await k.sleep(0)
    return hold, it.release, lambda: (it.locked(), len(it._waiters or ()))


@case
async def lock_that_is_free(k):
    it = k.Lock()

    def let_go():
        if it.locked():
            it.release()
    return it.acquire, let_go, lambda: (it.locked(), len(it._waiters or ()))


@case
async def semaphore(k):
    it = k.Semaphore(1)
    await it.acquire()
    return it.acquire, it.release, lambda: (it._value, len(it._waiters or ()))


@case
async def semaphore_in_a_with_statement(k):
    it = k.Semaphore(0)

    async def hold():
        async with it:
            await k.sleep(0)
    return hold, it.release, lambda: (it._value, len(it._waiters or ()))


@case
async def bounded_semaphore(k):
    it = k.BoundedSemaphore(2)
    await it.acquire()
    await it.acquire()
    return it.acquire, it.release, lambda: (it._value, len(it._waiters or ()))


@case
async def event(k):
    it = k.Event()
    return it.wait, it.set, lambda: (it.is_set(), len(it._waiters))


@case
async def event_that_is_cleared_again(k):
    it = k.Event()

    def pulse():
        it.set()
        it.clear()
    return it.wait, pulse, lambda: (it.is_set(), len(it._waiters))


def notifier(it, how):
    async def notify():
        async with it:
            how()
    return lambda: asyncio.ensure_future(notify())


@case
async def condition(k):
    it = k.Condition()

    async def wait():
        async with it:
            return await it.wait()
    return wait, notifier(it, it.notify), lambda: (
        it.locked(), len(it._waiters))


@case
async def condition_for_all(k):
    it = k.Condition()

    async def wait():
        async with it:
            return await it.wait()
    return wait, notifier(it, it.notify_all), lambda: (
        it.locked(), len(it._waiters))


@case
async def condition_with_a_predicate(k):
    it = k.Condition()
    items = []

    async def wait():
        async with it:
            await it.wait_for(lambda: items)
            return items.pop()

    def add():
        items.append(len(items))
        it.notify()
    return wait, notifier(it, add), lambda: (
        items, it.locked(), len(it._waiters))


@case
async def condition_whose_lock_is_taken(k):
    it = k.Condition()

    async def wait():
        async with it:
            return await it.wait()

    async def notify():
        async with it:
            it.notify()
            for _ in range(3):
                await k.sleep(0)
    return wait, lambda: asyncio.ensure_future(notify()), lambda: (
        it.locked(), len(it._waiters))


@case
async def barrier(k):
    it = k.Barrier(3)
    return it.wait, lambda: asyncio.ensure_future(it.wait()), lambda: (
        it.n_waiting, it.broken)


@case
async def barrier_in_a_with_statement(k):
    it = k.Barrier(3)

    async def meet():
        async with it as number:
            return number
    return meet, lambda: asyncio.ensure_future(it.wait()), lambda: (
        it.n_waiting, it.broken)


@case
async def barrier_that_is_reset(k):
    it = k.Barrier(3)
    return it.wait, lambda: asyncio.ensure_future(it.reset()), lambda: (
        it.n_waiting, it.broken)


@case
async def barrier_that_is_broken(k):
    it = k.Barrier(3)
    return it.wait, lambda: asyncio.ensure_future(it.abort()), lambda: (
        it.n_waiting, it.broken)


# ---- queues ----------------------------------------------------------------


def stock_of(it):
    return lambda: (list(it._queue), it._unfinished_tasks,
                    len(it._getters), len(it._putters))


def getting(kind):
    async def get(k):
        it = getattr(k, kind)()
        numbers = iter(range(100))
        return it.get, lambda: it.put_nowait(next(numbers)), stock_of(it)
    return get


def putting(kind):
    async def put(k):
        it = getattr(k, kind)(1)
        it.put_nowait(0)
        numbers = iter(range(1, 100))

        def get():
            return None if it.empty() else it.get_nowait()
        return lambda: it.put(next(numbers)), get, stock_of(it)
    return put


for _kind in "Queue", "PriorityQueue", "LifoQueue":
    CASES[f"{_kind}.get"] = getting(_kind)
    CASES[f"{_kind}.put"] = putting(_kind)


@case
async def queue_of_a_class_of_its_own(k):
    class Own(k.Queue):
        def _init(self, maxsize):
            self._queue = []

        def _get(self):
            return self._queue.pop()

        def _put(self, item):
            self._queue.append(item)

    it = Own(2)
    numbers = iter(range(100))
    return it.get, lambda: it.full() or it.put_nowait(next(numbers)), (
        stock_of(it))


@case
async def queue_with_waiting_putters(k):
    it = k.Queue(1)

    async def put():
        await it.put("item")
        await it.put("item")
    return it.get, lambda: asyncio.ensure_future(put()), stock_of(it)


@case
async def join(k):
    it = k.Queue()
    it.put_nowait(1)
    return it.join, lambda: it._unfinished_tasks and it.task_done(), (
        stock_of(it))


if sys.version_info >= (3, 13):
    @case
    async def get_until_shutdown(k):
        it = k.Queue()
        return it.get, it.shutdown, stock_of(it)

    @case
    async def put_until_shutdown(k):
        it = k.Queue(1)
        it.put_nowait(0)
        return lambda: it.put(1), lambda: it.shutdown(True), stock_of(it)

    @case
    async def join_until_shutdown(k):
        it = k.Queue(2)
        it.put_nowait(0)
        it.put_nowait(0)
        return it.join, lambda: it.shutdown(True), stock_of(it)


# ---- futures and tasks -----------------------------------------------------


def completer(future):
    return lambda: future.done() or future.set_result("result")


@case
async def future(k):
    it = asyncio.get_running_loop().create_future()

    async def wait():
        return await it
    return wait, completer(it), it.done


@case
async def future_that_fails(k):
    it = asyncio.get_running_loop().create_future()

    async def wait():
        return await it
    return wait, lambda: it.done() or it.set_exception(KeyError("key")), (
        it.done)


@case
async def future_that_is_cancelled(k):
    it = asyncio.get_running_loop().create_future()

    async def wait():
        return await it
    return wait, lambda: it.cancel("by itself"), it.done


@case
async def task(k):
    inner = asyncio.get_running_loop().create_future()

    async def work():
        try:
            return await inner
        finally:
            await k.sleep(0)
    it = asyncio.ensure_future(work())

    async def wait():
        return await it
    return wait, completer(inner), it.done


@case
async def task_that_goes_on(k):
    """It does not end when it is cancelled."""
    inner = asyncio.get_running_loop().create_future()

    async def work():
        while True:
            try:
                return await k.shield(inner)
            except asyncio.CancelledError:
                if inner.done():
                    raise
    it = asyncio.ensure_future(work())

    async def wait():
        return await it
    return wait, completer(inner), it.done


@case
async def sleep(k):
    return lambda: k.sleep(0, "slept"), nothing, nothing


@case
async def sleep_until_the_end(k):
    return lambda: k.sleep(1000), nothing, nothing


def around(make):
    """What waits for futures and tasks: make(k, future, coroutine)."""
    async def function(k):
        inner = asyncio.get_running_loop().create_future()
        ended = []

        async def work():
            try:
                return await k.shield(inner)
            except asyncio.CancelledError as error:
                ended.append(("cancelled", *error.args))
                await k.sleep(0)
                raise
            finally:
                ended.append("over")
        return (lambda: make(k, inner, work)), completer(inner), (
            lambda: (inner.done(), ended))
    return function


async def awaited(future):
    return await future


def gather(k, inner, work):
    return awaited(k.gather(work(), inner, work()))


def gather_with_exceptions(k, inner, work):
    return awaited(k.gather(work(), work(), return_exceptions=True))


def shield(k, inner, work):
    return awaited(k.shield(work()))


def shield_of_a_future(k, inner, work):
    return awaited(k.shield(inner))


async def wait(k, inner, work):
    done, pending = await k.wait([asyncio.ensure_future(work()), inner])
    return len(done), len(pending)


async def wait_for_the_first(k, inner, work):
    done, pending = await k.wait([asyncio.ensure_future(work()), inner],
                                 timeout=1000, return_when="FIRST_COMPLETED")
    return len(done), len(pending)


def wait_for(k, inner, work):
    return k.wait_for(work(), 1000)


def wait_for_a_future(k, inner, work):
    return k.wait_for(inner, 1000)


def wait_for_without_end(k, inner, work):
    return k.wait_for(work(), None)


def wait_for_nothing(k, inner, work):
    return k.wait_for(work(), 0)


async def completed(k, inner, work):
    return [await each for each in k.as_completed([work(), work()])]


async def timeout(k, inner, work):
    async with k.timeout(1000) as limit:
        try:
            return await work()
        finally:
            limit.reschedule(None)


async def timeout_that_expires(k, inner, work):
    async with k.timeout(0):
        return await work()


async def timeout_in_a_timeout(k, inner, work):
    async with k.timeout(-1):
        async with k.timeout(0):
            return await work()


class InOrder(dict):
    """A set whose order is not that of addresses."""

    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)


def ordered(group):
    if isinstance(group, asyncio.TaskGroup):
        group._tasks = InOrder()
    return group


async def group(k, inner, work):
    async with ordered(k.TaskGroup()) as group:
        tasks = [group.create_task(work()) for _ in range(2)]
    return [task.result() for task in tasks]


async def group_that_fails(k, inner, work):
    async def fail():
        await inner
        raise KeyError("key")

    async with ordered(k.TaskGroup()) as group:
        group.create_task(work())
        group.create_task(fail())
        await k.sleep(1000)


async def group_in_a_group(k, inner, work):
    async def fail():
        await k.shield(inner)
        raise KeyError("key")

    async with ordered(k.TaskGroup()) as group:
        group.create_task(fail())
        async with ordered(k.TaskGroup()) as other:
            other.create_task(work())


async def group_in_a_timeout(k, inner, work):
    async with k.timeout(0):
        async with ordered(k.TaskGroup()) as group:
            group.create_task(work())


for _make in (gather, gather_with_exceptions, shield, shield_of_a_future,
              wait, wait_for_the_first, wait_for, wait_for_a_future,
              wait_for_without_end, wait_for_nothing, completed, timeout,
              timeout_that_expires, timeout_in_a_timeout, group,
              group_that_fails, group_in_a_group, group_in_a_timeout):
    CASES[_make.__name__.replace("_", " ")] = around(_make)


# ---- streams ---------------------------------------------------------------


def reading(method, *args, data=b"one\n"):
    async def read(k):
        it = k.StreamReader(loop=asyncio.get_running_loop())
        return lambda: getattr(it, method)(*args), (
            lambda: it.feed_data(data)), lambda: bytes(it._buffer)
    return read


def reading_to_the_end(method, *args):
    async def read(k):
        it = k.StreamReader(loop=asyncio.get_running_loop())
        it.feed_data(b"one")
        return lambda: getattr(it, method)(*args), it.feed_eof, (
            lambda: bytes(it._buffer))
    return read


CASES.update({
    "read": reading("read", 2),
    "readline": reading("readline"),
    "readline in pieces": reading("readline", data=b"\no"),
    "readexactly": reading("readexactly", 6),
    "readuntil": reading("readuntil", b"e"),
    "next line": reading("__anext__"),
    "readline to the end": reading_to_the_end("readline"),
    "readexactly to the end": reading_to_the_end("readexactly", 6),
})


class Transport(asyncio.Transport):
    """Takes all and says nothing."""

    def write(self, data):
        pass

    def is_closing(self):
        return True


def flow(k):
    loop = asyncio.get_running_loop()
    reader = k.StreamReader(loop=loop)
    protocol = k.StreamReaderProtocol(reader, loop=loop)
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, k.StreamWriter(transport, protocol, reader, loop)


@case
async def drain(k):
    protocol, writer = flow(k)
    protocol.pause_writing()
    return writer.drain, protocol.resume_writing, lambda: (
        len(protocol._drain_waiters))


@case
async def drain_until_the_connection_is_lost(k):
    protocol, writer = flow(k)
    protocol.pause_writing()
    return writer.drain, lambda: protocol.connection_lost(OSError(5)), (
        nothing)


@case
async def wait_closed(k):
    protocol, writer = flow(k)
    return writer.wait_closed, lambda: protocol.connection_lost(None), nothing
