"""run_forever, run_until_complete, close: states and what is refused."""

import asyncio
import signal

import pytest

import ouro


def test_running_inside_running(loop):
    """(3.13.0's own run_forever() undoes the outer run here.)"""
    other = ouro.Loop()

    async def main():
        coro = asyncio.sleep(0)
        for call, message in [
                (loop.run_forever, "This event loop is already running"),
                (lambda: loop.run_until_complete(coro),
                 "This event loop is already running"),
                (other.run_forever, "Cannot run the event loop while another "
                                    "loop is running"),
                (lambda: other.run_until_complete(coro),
                 "Cannot run the event loop while another loop is running"),
                (loop.close, "Cannot close a running event loop")]:
            with pytest.raises(RuntimeError) as caught:
                call()
            assert str(caught.value) == message
        coro.close()
        assert loop.is_running() and not loop.is_closed()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert not loop.is_running()
    other.close()


def test_until_complete(same):
    def program(loop, trace):
        async def value():
            return 5

        async def fail():
            raise ValueError("x")

        async def stop():
            loop.stop()
            await asyncio.sleep(60)

        async def cancelled():
            raise asyncio.CancelledError("why")

        other = asyncio.SelectorEventLoop()
        for make in (value, fail, stop, cancelled, int, other.create_future,
                     lambda: loop.create_task(fail())):
            trace.errors(lambda: loop.run_until_complete(make()))
        fut = loop.create_future()
        loop.call_soon(fut.set_result, 7)
        trace.append(loop.run_until_complete(fut))
        trace.append(fut._callbacks)
        trace.append(loop.run_until_complete(fut))
        other.close()

    same(program)


def test_the_callback_is_removed(same):
    def program(loop, trace):
        fut = loop.create_future()
        loop.call_soon(loop.stop)
        trace.errors(lambda: loop.run_until_complete(fut))
        trace.append(fut._callbacks)
        fut.cancel()

    same(program)


def test_exceptions_that_end_the_run(same):
    def program(loop, trace):
        async def leave():
            raise SystemExit(3)

        try:
            loop.run_until_complete(leave())
        except SystemExit as error:
            trace.append(error.code)
        task = loop.create_task(leave())
        try:
            loop.run_until_complete(task)
        except SystemExit:
            trace.append((task.done(), repr(task.exception())))
        trace.append(loop.is_running())

    same(program)


def test_closed(same):
    def program(loop, trace):
        loop.call_later(60, print)
        loop.call_soon(print)
        loop.close()
        coro = asyncio.sleep(0)
        fut = loop.create_future()
        fut.add_done_callback(print)
        trace.errors(
            lambda: loop.call_soon(print),
            lambda: loop.call_later(1, print),
            lambda: loop.call_at(1, print),
            lambda: loop.call_soon_threadsafe(print),
            loop.run_forever,
            lambda: loop.run_until_complete(coro),
            lambda: loop.run_in_executor(None, print),
            lambda: loop.create_task(coro),
            lambda: loop.add_reader(0, print),
            lambda: loop.remove_reader(0),
            lambda: loop.remove_writer(0),
            lambda: loop.add_signal_handler(signal.SIGUSR1, print),
            lambda: loop.remove_signal_handler(signal.SIGUSR1),
            lambda: fut.set_result(1),
            loop._write_to_self, loop._check_closed, loop.close,
            loop.stop, lambda: loop, lambda: loop.time() > 0,
            lambda: loop._selector)
        coro.close()

    same(program)


def test_bad_arguments(same):
    def program(loop, trace):
        trace.errors(
            lambda: loop.set_exception_handler(5),
            lambda: loop.set_task_factory(5),
            lambda: loop.set_default_executor(5),
            lambda: loop.call_soon(),
            lambda: loop.call_soon(print, callback=print),
            lambda: loop.call_soon(print, name=1),
            lambda: loop.call_soon_threadsafe(),
            lambda: loop.call_at(None, print),
            lambda: loop.call_at(),
            lambda: loop.call_later(None, print),
            lambda: loop.call_later("1", print),
            lambda: loop.call_later(10 ** 400, print),
            lambda: loop.call_later(1, context=None),
            lambda: loop.run_in_executor(),
            lambda: loop.run_in_executor(5, print),
            lambda: loop.create_task(),
            lambda: loop.create_task(5),
            lambda: loop.create_task(5, 6),
            lambda: loop.run_until_complete(),
            lambda: loop.run_until_complete(5),
            lambda: loop.call_exception_handler(),
            lambda: loop.set_debug(),
            lambda: loop.add_reader(1),
            lambda: loop.remove_reader(),
            lambda: loop.add_signal_handler(1),
            lambda: loop.remove_signal_handler(),
            *(lambda name=name: getattr(loop, name)(1) for name in (
                "stop", "run_forever", "is_running", "is_closed", "close",
                "time", "get_debug", "create_future", "get_task_factory",
                "get_exception_handler", "shutdown_asyncgens")),
            lambda: loop.stop(x=1))

    same(program)


def test_created_wrongly():
    for arguments in (1, 2), {"x": 1}:
        errors = []
        for kind in asyncio.SelectorEventLoop, ouro.Loop:
            with pytest.raises(TypeError) as caught:
                if isinstance(arguments, dict):
                    kind(**arguments)
                else:
                    kind(*arguments)
            errors.append(str(caught.value))
        assert errors[0] == errors[1]


def test_a_subclass_that_forgets_its_base():
    class Loop(ouro.Loop):
        def __init__(self):
            pass

    loop = Loop()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_forever()


def test_policy_and_runner():
    assert isinstance(ouro.new_event_loop(), asyncio.AbstractEventLoop)

    async def main():
        return asyncio.get_running_loop()

    with asyncio.Runner(loop_factory=ouro.new_event_loop) as runner:
        assert type(runner.run(main())) is ouro.Loop


def test_repr():
    loop = ouro.Loop()
    assert repr(loop) == "<Loop running=False closed=False debug=False>"
    loop.close()
    assert repr(loop) == "<Loop running=False closed=True debug=False>"
