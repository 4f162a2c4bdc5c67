"""The current task is shown to everybody who looks it up, however he does."""

import asyncio
import sys
import threading
from asyncio import tasks

import pytest

import ouro

DICT = getattr(asyncio.tasks, "_current_tasks", None)
in_dict = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="there is no dict of current tasks")

LOOKS = {
    "get": lambda loop: DICT.get(loop),
    "item": lambda loop: DICT[loop],
    "in": lambda loop: loop in DICT and DICT[loop],
    "setdefault": lambda loop: DICT.setdefault(loop, None),
    "stock": lambda loop: asyncio.current_task(),
    "stock, of the loop": lambda loop: asyncio.current_task(loop),
    "in Python": lambda loop: tasks._py_current_task(loop)
    if hasattr(tasks, "_py_current_task") else tasks.current_task(loop),
    "ours": lambda loop: ouro.current_task(),
    "hash first": lambda loop: hash(loop) and list(DICT.values())[0],
    "hash, and ours": lambda loop: hash(loop) and ouro.current_task(loop),
}


@in_dict
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_every_look(look, steps):
    seen = []

    async def main(number):
        loop = ouro.get_running_loop()
        for _ in range(steps):
            seen.append((look(loop), task_of[number]))
            await ouro.sleep(0)
            seen.append((ouro.current_task(), task_of[number]))
        await ouro.sleep(0.001)
        seen.append((look(loop), task_of[number]))

    task_of = {}

    async def both():
        for number in range(2):
            task_of[number] = ouro.create_task(main(number))
        for task in list(task_of.values()):
            await task

    ouro.run(both())
    assert len(seen) == 2 * (2 * steps + 1)
    assert all(found is wanted for found, wanted in seen)
    assert not DICT


@in_dict
def test_callbacks_see_none():
    async def main():
        loop = ouro.get_running_loop()
        for look in (lambda: None, lambda: asyncio.current_task()):
            look()
            loop.call_soon(lambda: seen.append(
                (asyncio.current_task(), DICT.get(loop), ouro.current_task(),
                 len(DICT))))
            await ouro.sleep(0)
            await ouro.sleep(0)

    seen = []
    ouro.run(main())
    assert seen == [(None, None, None, 0)] * 2


def test_another_thread_looks():
    async def main():
        loop = ouro.get_running_loop()
        for _ in range(2):
            thread = threading.Thread(
                target=lambda: seen.append(asyncio.current_task(loop)))
            thread.start()
            thread.join()
            assert ouro.current_task() is asyncio.current_task()
            await ouro.sleep(0)
        return ouro.current_task()

    seen = []
    task = ouro.run(main())
    assert seen == [task, task]


def test_the_hash_is_that_of_any_object():
    loop = ouro.new_event_loop()
    assert hash(loop) == object.__hash__(loop) == loop.__hash__()
    assert type(loop).__hash__ is object.__hash__
    assert {loop: 1}[loop] == 1
    loop.close()


@in_dict
def test_a_hash_that_is_patched():
    """Then nobody would be noticed: the dict is always written."""
    async def main():
        for _ in range(2):
            found.append((list(DICT.values()), asyncio.current_task(),
                          ouro.current_task()))
            await ouro.sleep(0)
        return ouro.current_task()

    found = []
    ouro.Loop.__hash__ = lambda self: 1
    try:
        task = ouro.run(main())
    finally:
        del ouro.Loop.__hash__
    assert found == [([task], task, task)] * 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs 3.12")
@pytest.mark.parametrize("looked", [False, True])
def test_tasks_that_start_in_their_creator(looked):
    def who():
        if looked:
            assert asyncio.current_task() is ouro.current_task()
        return ouro.current_task()

    async def child():
        began = who()
        await ouro.sleep(0)
        assert who() is began
        return began

    def callback():
        assert who() is None
        kept.append(ouro.Task(child(), eager_start=True,
                              loop=ouro.get_running_loop()))
        assert who() is None

    async def main():
        me = who()
        kept.append(ouro.Task(child(), eager_start=True,
                              loop=ouro.get_running_loop()))
        assert who() is me
        ouro.get_running_loop().call_soon(callback)
        await ouro.sleep(0)
        assert who() is me
        await ouro.sleep(0)
        for task in kept:
            assert await task is task
        assert who() is me

    kept = []
    ouro.run(main())
    assert len(kept) == 2
