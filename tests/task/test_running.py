"""Which loop runs: asyncio's registry, asked anew each time."""

import asyncio
import sys
import threading
from asyncio import events

import pytest

import ouro


def asked():
    """The answers of all who ask, which have to agree."""
    answers = {id(kit._get_running_loop()): kit._get_running_loop()
               for kit in (asyncio, ouro, events)}
    assert len(answers) == 1, answers
    return answers.popitem()[1]


def bound_loop():
    """What a lock of ours takes its loop from: events._get_running_loop()."""
    lock = ouro.Lock()
    lock._get_loop()
    return lock._loop


def test_a_loop_that_is_set_and_unset_while_another_runs():
    async def main():
        loop, other = asked(), ouro.new_event_loop()
        for _ in range(3):
            asyncio._set_running_loop(other)
            assert asked() is other and bound_loop() is other
            asyncio._set_running_loop(None)
            assert asked() is None
            with pytest.raises(RuntimeError):
                ouro.get_running_loop()
            asyncio._set_running_loop(loop)
            assert asked() is loop and bound_loop() is loop
        other.close()

    ouro.run(main())
    assert asked() is None


@pytest.mark.skipif(sys.version_info >= (3, 14),
                    reason="a thread has but one current task")
def test_a_loop_in_a_loop():
    async def inner():
        return asked()

    async def outer():
        loop, other = asked(), ouro.new_event_loop()
        assert bound_loop() is loop
        asyncio._set_running_loop(None)
        try:
            assert other.run_until_complete(inner()) is other
            assert asked() is None
        finally:
            asyncio._set_running_loop(loop)
            other.close()
        assert asked() is loop and bound_loop() is loop

    ouro.run(outer())


def test_each_thread_has_its_own():
    barrier = threading.Barrier(4)
    wrong = []

    async def main():
        loop = asked()
        for _ in range(20):
            await asyncio.sleep(0)
            if asked() is not loop or bound_loop() is not loop:
                wrong.append(loop)

    def thread():
        for _ in range(5):
            barrier.wait(60)
            ouro.run(main())
            if asked() is not None:
                wrong.append(None)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    assert not wrong


def test_threads_that_come_and_go():
    async def main():
        return bound_loop() is asked()

    answers = []
    for _ in range(30):
        thread = threading.Thread(
            target=lambda: answers.append(ouro.run(main())))
        thread.start()
        thread.join(60)
    assert answers == [True] * 30


def test_a_patch_is_noticed_and_so_is_its_end(monkeypatch):
    async def main():
        loop, other = asked(), ouro.new_event_loop()
        for _ in range(3):
            assert bound_loop() is loop
            with monkeypatch.context() as patch:
                patch.setattr(events, "_get_running_loop", lambda: other)
                assert bound_loop() is other
            assert bound_loop() is loop
        other.close()

    ouro.run(main())


def test_a_patch_that_is_no_more_there(monkeypatch):
    async def main():
        assert bound_loop() is asked()
        with monkeypatch.context() as patch:
            patch.delattr(events, "_get_running_loop")
            with pytest.raises(AttributeError):
                bound_loop()

    ouro.run(main())
