"""The running loop and the current task are asyncio's own to tell, for tasks
of both kinds, on loops of both kinds, at every moment."""

import asyncio
import itertools

import pytest
from worlds import KINDS, lived, same

import ouro

TASKS = {"asyncio": asyncio.Task, "ouro": ouro.Task}


def who(w):
    """What each asker is told: all must agree."""
    answers = []
    for kit in asyncio, ouro:
        try:
            task = kit.current_task()
        except RuntimeError as error:
            answers.append(str(error))
        else:
            answers.append(task and task.get_name())
        answers.append(kit._get_running_loop() is w.loop)
    assert answers[:2] == answers[2:], answers
    return answers[:2]


def mixed(order):
    """Tasks of these kinds that alternate, and callbacks between them."""
    def program(w):
        async def main(number):
            for _ in range(3):
                w.note(number, who(w))
                w.loop.call_soon(lambda: w.note("callback", who(w)))
                await asyncio.sleep(0)
                w.note(number, who(w))
                await ouro.sleep(0)
            return number

        tasks = [TASKS[kind](main(number), loop=w.loop, name=f"t{number}")
                 for number, kind in enumerate(order)]
        for task in tasks:
            task.add_done_callback(lambda t: w.note("done", who(w)))
        w.turn(10)
        w.note(who(w), [task.result() for task in tasks])
        w.note(len(asyncio.all_tasks(w.loop)), len(ouro.all_tasks(w.loop)))
    return program


@pytest.mark.parametrize("loop", KINDS)
@pytest.mark.parametrize("order", list(itertools.product(TASKS, repeat=3)),
                         ids="-".join)
def test_tasks_of_both_kinds(order, loop):
    expected = lived("asyncio", mixed(["asyncio"] * 3))
    assert lived(loop, mixed(order)) == expected


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt,
                                   SystemExit, asyncio.CancelledError])
def test_after_a_step_that_fails(error):
    """A stock task can run at once after any step of ours."""
    def program(w):
        async def main():
            w.note(who(w))
            if error is not None:
                raise error

        async def after():
            w.note(who(w))

        w.kept = w.k.Task(main(), loop=w.loop, name="t0")
        stock = asyncio.Task(after(), loop=w.loop, name="t1")
        w.loop.call_soon(lambda: w.note(who(w)))
        w.turn(4)
        w.note(who(w), stock.done(), w.kept.done())
        if not w.kept.cancelled():
            w.kept.exception()

    same(program)


def test_where_a_run_ends():
    """Inside of a step, by stop(), by an interrupt: nobody is current."""
    def program(w):
        async def main():
            w.loop.stop()
            await w.k.sleep(0)
            raise KeyboardInterrupt

        w.kept = w.loop.create_task(main())
        w.loop.run_forever()
        w.note(who(w))
        w.attempt(w.loop.run_forever)
        w.note(who(w))
        w.attempt(w.kept.exception)

    same(program)


def test_a_poll_sees_no_current_task():
    """A selector in Python, asked while the loop waits."""
    def program(w):
        select = w.loop._selector.select

        def look(timeout=None):
            w.note("select", who(w))
            return select(timeout)

        async def main():
            await w.k.sleep(0)
            await w.k.sleep(0.001)

        w.loop._selector.select = look
        w.loop.run_until_complete(main())

    assert len(same(program)) >= 3


def test_dropping_a_finished_task():
    """What a destructor sees while the last reference to a task goes."""
    def program(w):
        class Note:
            def __del__(self):
                w.note("dropped", who(w))

        async def main(note):
            pass

        w.loop.create_task(main(Note()), name="t")
        w.turn(3)

    same(program)


def test_a_loop_in_a_loop():
    """With the running loop put aside, another loop can run."""
    def program(w):
        async def inner():
            w.note(w.k.current_task().get_name(),
                   w.k.get_running_loop() is w.loop)

        async def main():
            outer = w.k._get_running_loop()
            task = w.k.current_task()
            asyncio._leave_task(outer, task)
            w.k._set_running_loop(None)
            other = type(w.loop)()
            other.run_until_complete(other.create_task(inner(), name="in"))
            other.close()
            w.k._set_running_loop(outer)
            asyncio._enter_task(outer, task)
            w.note(who(w))
            await w.k.sleep(0)
            w.note(who(w))

        w.loop.run_until_complete(w.loop.create_task(main(), name="out"))

    same(program)


def test_entering_by_hand():
    """The functions that other implementations of tasks use."""
    def program(w):
        async def nothing():
            pass

        async def main():
            task = w.k.current_task()
            other = w.k.Task(nothing(), loop=w.loop, name="other")
            for function in asyncio._enter_task, asyncio._leave_task:
                error = w.attempt(function, w.loop, other)
                w.note(type(error).__name__)
            asyncio._leave_task(w.loop, task)
            w.note(w.k.current_task())
            asyncio._enter_task(w.loop, other)
            w.note(who(w))
            asyncio._leave_task(w.loop, other)
            asyncio._enter_task(w.loop, task)
            await other

        # (asyncio's own callbacks have a file and a line.)
        w.kept = w.loop.create_task(main(), name="main")
        w.turn(5)
        w.note(w.kept.done())

    same(program)
