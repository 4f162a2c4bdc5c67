"""How many turns of the loop it takes until what is awaited is there, and
in which turn a task is woken.

It is observable, and the same as asyncio's of the version that runs.
"""

import concurrent.futures
import socket

import pytest
from worlds import same


async def value():
    return 1


async def fail():
    raise ValueError("fail")


async def groups(w, count, failing=False):
    async with w.k.TaskGroup() as group:
        for _ in range(count):
            group.create_task(value())
        if failing:
            group.create_task(fail())


async def cancelled_by_its_group(w):
    """What cancelling() tells afterwards differs by version."""
    try:
        async with w.k.TaskGroup() as group:
            group.create_task(fail())
            await w.k.sleep(60)
    except ExceptionGroup:
        return w.k.current_task().cancelling()


async def failed_while_its_group_waits(w):
    try:
        async with w.k.TaskGroup() as group:
            group.create_task(fail())
    except ExceptionGroup:
        return w.k.current_task().cancelling()


async def late(w, seconds):
    async with w.k.timeout(seconds):
        await w.k.sleep(60)


async def completed(w):
    return len([await each for each in w.k.as_completed(
        [value(), value(), done(w)])])


async def through_a_queue(w):
    queue = w.k.Queue(1)

    async def put():
        for number in range(3):
            await queue.put(number)

    async def get():
        return [await queue.get() for _ in range(3)]
    return await w.k.gather(put(), get())


async def through(w, make):
    """Three tasks through a lock or a semaphore."""
    gate = make()

    async def passing():
        async with gate:
            await w.k.sleep(0)
    return await w.k.gather(passing(), passing(), passing())


async def notified(w):
    condition = w.k.Condition()

    async def wait():
        async with condition:
            return await condition.wait()

    async def notify():
        async with condition:
            condition.notify_all()
    return await w.k.gather(wait(), wait(), notify())


def event(w):
    it = w.k.Event()
    w.loop.call_soon(it.set)
    return it.wait()


def barrier(w):
    it = w.k.Barrier(2)
    return w.k.gather(it.wait(), it.wait())


def done(w, result=2):
    future = w.loop.create_future()
    future.set_result(result)
    return future


def failed(w):
    future = w.loop.create_future()
    future.set_exception(ValueError("failed"))
    return future


def cancelled(w):
    future = w.loop.create_future()
    future.cancel()
    return future


def soon(w):
    future = w.loop.create_future()
    w.loop.call_soon(future.set_result, 3)
    return future


def wrapped(w, later=False):
    future = concurrent.futures.Future()
    if later:
        w.loop.call_soon(future.set_result, 4)
    else:
        future.set_result(4)
    return w.k.wrap_future(future)


async def count_of(waiting):
    finished, pending = await waiting
    for each in pending:
        each.cancel()
    return len(finished), len(pending)


WAYS = {
    "coroutine": lambda w: value(),
    "done": done,
    "soon": soon,
    "task": lambda w: w.loop.create_task(value()),
    "failing task": lambda w: w.loop.create_task(fail()),
    "ensure_future": lambda w: w.k.ensure_future(value()),
    "wrap_future, done": wrapped,
    "wrap_future, later": lambda w: wrapped(w, later=True),
    "sleep(0)": lambda w: w.k.sleep(0),
    "sleep(-1)": lambda w: w.k.sleep(-1),
    "gather()": lambda w: w.k.gather(),
    "gather of done": lambda w: w.k.gather(done(w), done(w)),
    "gather of coroutines": lambda w: w.k.gather(value(), value()),
    "gather of failed": lambda w: w.k.gather(failed(w), value()),
    "gather of cancelled": lambda w: w.k.gather(cancelled(w), value()),
    "gather of all kinds": lambda w: w.k.gather(
        done(w), failed(w), value(), return_exceptions=True),
    "wait_for": lambda w: w.k.wait_for(value(), 60),
    "wait_for done": lambda w: w.k.wait_for(done(w), 60),
    "wait_for soon": lambda w: w.k.wait_for(soon(w), 60),
    "wait_for without a timeout": lambda w: w.k.wait_for(value(), None),
    "wait_for(0)": lambda w: w.k.wait_for(value(), 0),
    "wait_for(0) of a future": lambda w: w.k.wait_for(
        w.loop.create_future(), 0),
    "wait_for(0) of done": lambda w: w.k.wait_for(done(w), 0),
    "wait_for(-1)": lambda w: w.k.wait_for(w.k.sleep(60), -1),
    "wait": lambda w: count_of(w.k.wait(
        [done(w), w.loop.create_task(value())])),
    "wait for done": lambda w: count_of(w.k.wait([done(w)])),
    "wait for the first": lambda w: count_of(w.k.wait(
        [soon(w), w.loop.create_future()], return_when="FIRST_COMPLETED")),
    "wait(timeout=0)": lambda w: count_of(w.k.wait(
        [w.loop.create_future()], timeout=0)),
    "shield": lambda w: w.k.shield(value()),
    "shield of done": lambda w: w.k.shield(done(w)),
    "as_completed": completed,
    "group of none": lambda w: groups(w, 0),
    "group of one": lambda w: groups(w, 1),
    "group of five": lambda w: groups(w, 5),
    "failing group": lambda w: groups(w, 2, failing=True),
    "cancelled by its group": lambda w: w.loop.create_task(
        cancelled_by_its_group(w)),
    "failed while its group waits": lambda w: w.loop.create_task(
        failed_while_its_group_waits(w)),
    "timeout(0)": lambda w: late(w, 0),
    "timeout(-1)": lambda w: late(w, -1),
    "queue": through_a_queue,
    "lock": lambda w: through(w, w.k.Lock),
    "semaphore": lambda w: through(w, w.k.Semaphore),
    "condition": notified,
    "event": event,
    "barrier": barrier,
}


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("way", WAYS)
def test_turns(way, debug):
    def program(w):
        turns = 0

        def tick():
            nonlocal turns
            turns += 1
            w.ticking = w.loop.call_soon(tick)

        async def main():
            tick()
            await w.k.sleep(0)
            awaited = WAYS[way](w)
            before = turns
            try:
                result = await awaited
            except BaseException as error:
                result = repr(error)
            w.note(turns - before, result)
            w.ticking.cancel()

        w.loop.set_debug(debug)
        w.loop.slow_callback_duration = 1e9
        w.loop.run_until_complete(main())

    same(program)


class Waking:
    """A task that waits, and a function of the program's that wakes it."""

    def __init__(self, w, how):
        self.w = w
        self.how = how
        self.reader = w.k.StreamReader(loop=w.loop)
        self.future = w.loop.create_future()
        self.queue = w.k.Queue()
        self.event = w.k.Event()
        self.task = w.loop.create_task(self.wait())

    async def wait(self):
        w = self.w
        try:
            if self.how in ("feed_data", "feed_eof", "set_exception"):
                result = await self.reader.readline()
            elif self.how in ("set_result", "cancel"):
                result = await self.future
            elif self.how == "queue":
                result = await self.queue.get()
            else:
                result = await self.event.wait()
        except BaseException as error:
            result = repr(error)
        w.note("woken", result)
        w.loop.call_soon(w.note, "scheduled by the woken")
        await w.k.sleep(0)
        w.note("woken again")

    def wake(self):
        w = self.w
        w.loop.call_soon(w.note, "scheduled before")
        {"feed_data": lambda: self.reader.feed_data(b"line\n"),
         "feed_eof": self.reader.feed_eof,
         "set_exception": lambda: self.reader.set_exception(ValueError("x")),
         "set_result": lambda: self.future.set_result(1),
         "cancel": self.task.cancel,
         "queue": lambda: self.queue.put_nowait(1),
         "event": self.event.set}[self.how]()
        w.loop.call_soon(w.note, "scheduled after")
        w.note("wakes", w.k.current_task() is None)


def from_a_callback(w, wake, sock):
    def read():
        w.loop.remove_reader(sock)
        wake()
    w.loop.add_reader(sock, read)


def from_a_protocol(w, wake, sock):
    class Protocol(w.k.Protocol):
        def data_received(self, data):
            wake()
    w.transport, _ = w.loop.run_until_complete(
        w.loop.create_connection(Protocol, sock=sock))


def from_a_buffered_protocol(w, wake, sock):
    class Protocol(w.k.BufferedProtocol):
        def get_buffer(self, hint):
            return bytearray(100)

        def buffer_updated(self, count):
            wake()
    w.transport, _ = w.loop.run_until_complete(
        w.loop.create_connection(Protocol, sock=sock))


def from_a_task(w, wake, sock):
    """It has been woken by data itself, and on a loop that stops."""
    async def main():
        await w.loop.sock_recv(sock, 9)
        wake()
        await w.k.sleep(0)
        w.note("waker again")
    w.kept = w.loop.create_task(main())


@pytest.mark.parametrize("how", [
    "feed_data", "feed_eof", "set_exception", "set_result", "cancel", "queue",
    "event"])
@pytest.mark.parametrize("origin", [
    from_a_callback, from_a_protocol, from_a_buffered_protocol, from_a_task])
def test_the_turn_of_who_is_woken(origin, how):
    """What the program does takes its place behind what is ready."""
    def program(w):
        w.transport = None
        waking = Waking(w, how)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        w.turn(2)
        origin(w, waking.wake, ours)
        w.turn(3)
        theirs.send(b"x")
        for _ in range(7):
            w.note("turn")
            w.turn()
        if w.transport is not None:
            w.transport.abort()
            w.turn(2)
        ours.close()
        theirs.close()

    assert ("woken again",) in same(program)
