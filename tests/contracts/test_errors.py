"""Exceptions in what a loop runs: nothing else is lost, two kinds leave the
loop at once, all others are told the exception handler as asyncio does."""

import contextvars
import socket

import pytest
from worlds import lived, same

ERRORS = [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit,
          BaseException, StopIteration, MemoryError]


def raising(error):
    def fail(*args):
        raise error("x")
    return fail


def by_call_soon(w, fail):
    w.loop.call_soon(fail)


def by_timer(w, fail):
    w.loop.call_later(0, fail)


def by_thread_safe(w, fail):
    w.loop.call_soon_threadsafe(fail, 1, "two")


def by_future(w, fail):
    future = w.loop.create_future()
    future.add_done_callback(fail)
    future.add_done_callback(lambda _: w.note("second callback"))
    future.set_result(None)


def by_task_callback(w, fail):
    async def main():
        pass
    w.kept = w.loop.create_task(main())
    w.kept.add_done_callback(fail)
    w.kept.add_done_callback(lambda _: w.note("second callback"))


def by_task(w, fail):
    async def main():
        fail()
    w.kept = w.loop.create_task(main(), name="t")
    w.kept.add_done_callback(lambda task: w.note(
        "done", task.cancelled() or repr(task.exception())))


def by_task_later(w, fail):
    async def main():
        await w.k.sleep(0)
        fail()
    w.kept = w.loop.create_task(main(), name="t")
    w.kept.add_done_callback(lambda task: w.note(
        "done", task.cancelled() or repr(task.exception())))


def by_task_nobody_asks(w, fail):
    async def main():
        fail()
    w.loop.create_task(main(), name="t")


def by_reader(w, fail):
    one, other = w.sockets = socket.socketpair()

    def read():
        one.recv(10)
        w.loop.remove_reader(one)
        fail()
    other.send(b"x")
    w.loop.add_reader(one, read)


def by_protocol(w, fail):
    class Protocol(w.k.Protocol):
        def data_received(self, data):
            w.note("data", data)
            fail()

        def connection_lost(self, error):
            w.note("lost", repr(error))
    one, other = w.sockets = socket.socketpair()
    one.setblocking(False)
    w.transports = w.loop.run_until_complete(
        w.loop.create_connection(Protocol, sock=one))
    other.send(b"x")


def by_connection_made(w, fail):
    class Protocol(w.k.Protocol):
        def connection_made(self, transport):
            w.transports = [transport]
            fail()
    one, other = w.sockets = socket.socketpair()
    one.setblocking(False)
    w.connecting = w.loop.create_task(
        w.loop.create_connection(Protocol, sock=one))
    w.connecting.add_done_callback(lambda _: w.note("connected"))


def by_gather(w, fail):
    async def main():
        fail()
    w.kept = w.k.gather(main(), return_exceptions=True)
    w.kept.add_done_callback(lambda _: w.note("gathered"))


WAYS = [by_call_soon, by_timer, by_thread_safe, by_future, by_task_callback,
        by_task, by_task_later, by_task_nobody_asks, by_reader, by_protocol,
        by_connection_made, by_gather]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_a_callback_raises(way, error, debug):
    def program(w):
        w.loop.set_debug(debug)
        w.loop.slow_callback_duration = 1e9
        w.transports = w.sockets = ()
        w.loop.call_soon(w.note, "before")
        way(w, raising(error))
        w.loop.call_soon(w.note, "after")
        w.loop.call_later(0, w.note, "timer after")
        w.turn(6)
        w.note(w.k._get_running_loop())
        if w.transports:
            w.transports[0].abort()
        w.turn(2)
        for sock in w.sockets:
            sock.close()

    if way is by_task_nobody_asks:      # (it is told when it is freed)
        notes, theirs = lived("ouro", program), lived("asyncio", program)
        assert sorted(notes) == sorted(theirs)
    else:
        notes = same(program)
    assert ("after",) in notes and ("timer after",) in notes


@pytest.mark.parametrize("leave", [KeyboardInterrupt, SystemExit, "stop"])
def test_leftovers_run_first_and_in_order(leave):
    """What was ready when the loop was left comes before what is new."""
    def program(w):
        def go():
            w.loop.call_soon(w.note, "of the turn that was left")
            if leave == "stop":
                w.loop.stop()
            else:
                raise leave

        async def step(number):
            w.note("task", number)
            await w.k.sleep(0)
            w.note("task again", number)

        one, other = socket.socketpair()
        w.loop.add_reader(one, lambda: w.note("readable", one.recv(9)))
        w.loop.call_soon(w.note, 1)
        w.loop.call_soon(go)
        w.loop.create_task(step(2))
        w.loop.call_soon(w.note, 3)
        w.loop.call_later(0, w.note, "timer")
        try:
            w.loop.run_forever()
        except leave if leave != "stop" else ():
            pass
        w.note("|")
        other.send(b"x")
        w.loop.call_soon(w.note, "new")
        w.turn()
        w.note("|")
        w.turn(2)
        w.loop.remove_reader(one)
        one.close()
        other.close()

    notes = same(program)
    assert ("task", "2") in notes


def test_every_event_of_a_turn_that_was_left():
    def program(w):
        pairs = [socket.socketpair() for _ in range(5)]
        left = []

        def read(number):
            # (asyncio calls twice who is ready twice.)
            try:
                w.note("read", number, pairs[number][0].recv(9))
            except BlockingIOError:
                pass
            if not left:
                left.append(number)
                raise KeyboardInterrupt

        for number, (one, other) in enumerate(pairs):
            one.setblocking(False)
            w.loop.add_reader(one, read, number)
            other.send(b"x")
        w.turn(3)
        for one, other in pairs:
            w.loop.remove_reader(one)
            one.close()
            other.close()

    assert len([n for n in same(program) if n[0] == "read"]) == 5


def test_a_context_that_cannot_be_entered():
    """It is an error like others, and all else runs."""
    def program(w):
        context = contextvars.copy_context()
        w.loop.call_soon(w.note, "never", context=context)
        future = w.loop.create_future()
        future.add_done_callback(lambda _: w.note("nor this"),
                                 context=context)
        future.add_done_callback(lambda _: w.note("this"))
        future.set_result(1)

        async def main():
            w.note("nor that")
        w.kept = w.loop.create_task(main(), context=context)
        context.run(w.turn, 2)
        w.note(w.kept.done())
        w.kept.cancel()
        w.turn(2)

    assert ("this",) in same(program)
