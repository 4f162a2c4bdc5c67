"""What runs in which turn: the contract of a turn, and of what it leaves."""

import asyncio
import contextlib
import socket

import pytest


def turns(loop, count=1):
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


@contextlib.contextmanager
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    with a, b:
        yield a, b


def test_ready_then_io_then_timers(same):
    def program(loop, trace):
        with pair() as (a, b):
            loop.add_reader(a, lambda: trace.append(("io", a.recv(9))))
            loop.call_later(0, trace.append, "timer")
            b.send(b"x")
            loop.call_soon(trace.append, 1)
            loop.call_soon(trace.append, 2)
            turns(loop, 2)
            loop.remove_reader(a)

    assert same(program) == [1, 2, ("io", b"x"), "timer"]


def test_reader_before_writer(same):
    def program(loop, trace):
        with pair() as (a, b):
            def read():
                trace.append("read")
                loop.remove_reader(a)

            def write():
                trace.append("write")
                loop.remove_writer(a)

            loop.add_writer(a, write)
            loop.add_reader(a, read)
            b.send(b"x")
            turns(loop, 2)

    assert same(program) == ["read", "write"]


def test_equal_deadlines_in_the_order_of_calls(loop):
    """(asyncio's heap says nothing about their order.)"""
    trace = []
    when = loop.time() + 0.001
    for i in range(200):
        loop.call_at(when, trace.append, i)
    loop.call_at(when, loop.stop)
    loop.run_forever()
    assert trace == list(range(200))


def test_what_is_scheduled_in_a_turn_is_for_the_next(same):
    def program(loop, trace):
        def first():
            trace.append("first")
            loop.call_soon(trace.append, "next turn")
            loop.stop()

        loop.call_soon(first)
        loop.call_soon(trace.append, "second")
        loop.run_forever()
        trace.append("|")
        turns(loop)

    assert same(program) == ["first", "second", "|", "next turn"]


def test_stop_before_the_run_gives_one_turn(same):
    def program(loop, trace):
        loop.stop()
        loop.call_soon(trace.append, 1)
        loop.call_later(60, trace.append, "never")
        loop.run_forever()
        loop.run_until_complete(asyncio.sleep(0))
        trace.append(loop._stopping)

    assert same(program) == [1, False]


def test_a_cancelled_handle_does_not_run(same):
    def program(loop, trace):
        late = loop.call_soon(lambda: early.cancel())
        early = loop.call_soon(trace.append, "cancelled in its turn")
        loop.call_soon(trace.append, "not cancelled")
        timer = loop.call_later(0, trace.append, "timer")
        timer.cancel()
        turns(loop, 2)
        trace.extend([late.cancelled(), early.cancelled(),
                      timer.cancelled(), timer._scheduled])

    assert same(program)[0] == "not cancelled"


def test_a_removed_reader_loses_its_event(same):
    def program(loop, trace):
        with pair() as (a, b), pair() as (c, d):
            for this, other in (a, c), (c, a):
                loop.add_reader(this, lambda this=this, other=other: (
                    trace.append("read"), loop.remove_reader(this),
                    loop.remove_reader(other)))
            b.send(b"x")
            d.send(b"x")
            turns(loop, 3)

    assert same(program) == ["read"]


def test_a_new_reader_does_not_get_the_old_ones_event(same):
    def program(loop, trace):
        with pair() as (a, b):
            def replace():
                loop.add_reader(a, trace.append, "new")
                trace.append("replaced")

            loop.add_reader(a, trace.append, "old")
            b.send(b"x")
            loop.call_soon(replace)
            turns(loop, 1)
            trace.append("|")
            turns(loop, 1)
            loop.remove_reader(a)

    assert same(program) == ["replaced", "|", "new"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_nothing_is_lost_to_an_exception(same, error):
    def program(loop, trace):
        def fail():
            trace.append("fails")
            raise error

        with pair() as (a, b):
            def read():
                with contextlib.suppress(BlockingIOError):
                    trace.append(a.recv(9))

            loop.add_reader(a, read)
            b.send(b"x")
            loop.call_later(0, trace.append, "timer")
            loop.call_soon(trace.append, 1)
            loop.call_soon(fail)
            loop.call_soon(trace.append, 2)
            try:
                loop.run_forever()
            except error:
                trace.append("|")
            loop.call_soon(trace.append, 3)
            turns(loop)
            loop.remove_reader(a)

    assert same(program) == [1, "fails", "|", 2, b"x", "timer", 3]


def test_a_failing_task_leaves_the_rest(same):
    def program(loop, trace):
        async def fail():
            raise KeyboardInterrupt

        loop.call_soon(trace.append, 1)
        try:
            loop.run_until_complete(fail())
        except KeyboardInterrupt:
            trace.append("|")
        loop.call_soon(trace.append, 2)
        turns(loop)

    assert same(program) == [1, "|", 2]


def test_io_is_seen_although_the_ring_is_never_empty(same):
    def program(loop, trace):
        with pair() as (a, b):
            def spin():
                if not trace:
                    loop.call_soon(spin)

            loop.add_reader(a, lambda: (trace.append(a.recv(1)), loop.stop()))
            spin()
            loop.call_later(0.005, b.send, b"x")
            loop.run_forever()
            loop.remove_reader(a)

    assert same(program) == [b"x"]


def test_timers_far_apart_and_negative(same):
    def program(loop, trace):
        for delay in 0.02, -1, 0, 0.01, float("-inf"), True and 0, 1e-9:
            loop.call_later(delay, trace.append, delay)
        loop.call_later(float("inf"), trace.append, "never")
        loop.call_later(1e300, trace.append, "never")
        loop.call_later(0.03, loop.stop)
        loop.run_forever()

    assert same(program)[-2:] == [0.01, 0.02]
