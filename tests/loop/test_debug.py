"""Debug mode: checks, slow callbacks, origins of coroutines."""

import asyncio
import re
import sys
import threading
import time

import pytest

import ouro


def test_switching(same):
    def program(loop, trace):
        depth = sys.get_coroutine_origin_tracking_depth

        async def main():
            trace.append(depth())
            loop.set_debug(False)
            await asyncio.sleep(0)
            trace.append(depth())
            thread = threading.Thread(target=loop.set_debug, args=(True,))
            thread.start()
            await asyncio.sleep(0.02)
            thread.join()
            trace.append((depth(), loop.get_debug()))

        for value in True, 1, 0, "yes", None:
            loop.set_debug(value)
            trace.append((loop.get_debug(), repr(loop)[-7:]))
        loop.set_debug(True)
        loop.run_until_complete(main())
        trace.append(depth())
        loop.set_debug(False)

    same(program)


def test_the_environment(python):
    script = ("import sys; sys.modules.pop('x', None); import ouro; "
              "print(ouro.Loop().get_debug())")
    assert python("-c", script).stdout == "False\n"
    assert python("-X", "dev", "-c", script).stdout == "True\n"
    for value, debug in ("1", "True\n"), ("", "False\n"):
        done = python("-c", script, env={"PYTHONASYNCIODEBUG": value})
        assert done.stdout == debug


def test_the_function_of_the_module_is_asked(monkeypatch):
    monkeypatch.setattr(asyncio.coroutines, "_is_debug_mode", lambda: True)
    loop = ouro.Loop()
    assert loop.get_debug()
    loop.close()


def test_what_cannot_be_called(same):
    def program(loop, trace):
        async def function():
            pass

        loop.set_debug(True)
        coro = function()
        for what in 5, None, function, coro:
            trace.errors(*(
                lambda schedule=schedule: schedule(what)
                for schedule in (
                    loop.call_soon, loop.call_soon_threadsafe,
                    lambda callback: loop.call_later(1, callback),
                    lambda callback: loop.call_at(1, callback),
                    lambda callback: loop.run_in_executor(None, callback))))
        coro.close()
        loop.set_debug(False)

    same(program)


def test_the_wrong_thread(same):
    def program(loop, trace):
        loop.set_debug(True)

        def elsewhere():
            trace.errors(lambda: loop.call_soon(print),
                         lambda: loop.call_later(1, print),
                         lambda: loop.call_at(1, print))
            loop.call_soon_threadsafe(loop.stop)

        loop.call_soon(threading.Thread(target=elsewhere).start)
        loop.run_forever()
        loop.set_debug(False)

    assert len(same(program)) == 3


def test_slow_callbacks(same):
    def program(loop, trace):
        async def slow_task():
            time.sleep(0.03)

        loop.set_debug(True)
        loop.slow_callback_duration = 0.02
        loop.call_soon(time.sleep, 0.03)
        loop.call_later(0, time.sleep, 0.03)
        loop.run_until_complete(
            loop.create_task(slow_task(), name="slow"))
        loop.set_debug(False)
        trace[:] = [(entry[0], re.sub(
            r"0\.0\d\d seconds| (object )?at \S+| created at \S+|test_\S+", "",
            entry[1])) for entry in trace]
        # (Which of the task's fields its repr shows, its own tests compare.)
        trace[:] = [(level, re.sub(r"<Task .*>", "<Task>", text))
                    for level, text in trace]

    assert same(program)


def test_where_handles_were_created(same):
    def program(loop, trace):
        loop.set_debug(True)
        for handle in (loop.call_soon(print),
                       loop.call_soon_threadsafe(print),
                       loop.call_later(1, print), loop.call_at(1, print)):
            trace.append([frame[:4] for frame in
                          handle._source_traceback[-2:]])
            handle.cancel()
            trace.append(handle._repr == repr(handle))
        loop.set_debug(False)

    same(program)


def test_closing_is_logged(same):
    def program(loop, trace):
        import logging
        logger = logging.getLogger("asyncio")
        level = logger.level
        logger.setLevel(logging.DEBUG)
        loop.set_debug(True)
        loop.close()
        logger.setLevel(level)

    assert same(program)


@pytest.mark.parametrize("debug", [False, True])
def test_current_handle(same, debug):
    def program(loop, trace):
        loop.set_debug(debug)
        handle = loop.call_soon(
            lambda: trace.append(loop._current_handle is handle))
        loop.run_until_complete(asyncio.sleep(0))
        trace.append(loop._current_handle)
        loop.set_debug(False)

    assert same(program) == [debug, None]
