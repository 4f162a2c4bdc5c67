"""asyncio.Runner and asyncio.run(): the same on asyncio's and on ours."""

import asyncio
import contextlib
import contextvars
import inspect
import os
import signal
import sys
import threading
import warnings
from unittest import mock

import pytest
from looptrace import Trace, logged, plain

import ouro
from ouro import _ouro

NATIVE = (_ouro.Runner, _ouro.run)
STOCK = (asyncio.Runner, asyncio.run)


def chain(error):
    """An exception with those that it came from."""
    names = []
    while error is not None:
        names.append(repr(error))
        error = error.__context__
    return names


@pytest.fixture
def same():
    """same(program): program(Runner, run, trace), the same trace on both."""
    def run_one(pair, program):
        trace = Trace()
        handler = signal.getsignal(signal.SIGINT)
        with warnings.catch_warnings(), logged(trace):
            warnings.simplefilter("ignore")
            try:
                program(*pair, trace)
            except BaseException as error:
                trace.append(plain(chain(error)))
        assert signal.getsignal(signal.SIGINT) is handler
        assert asyncio._get_running_loop() is None
        return trace

    def check(program):
        expected = run_one(STOCK, program)
        assert run_one(NATIVE, program) == expected
        return expected

    yield check
    asyncio.set_event_loop_policy(None)


async def value():
    return 5


async def fail():
    raise ValueError("x")


def test_signatures():
    for ours, theirs in zip(NATIVE, STOCK):
        assert inspect.signature(ours) == inspect.signature(theirs)
    for name in "run", "get_loop", "close", "__enter__", "__exit__":
        assert (inspect.signature(getattr(_ouro.Runner(), name))
                == inspect.signature(getattr(asyncio.Runner(), name)))


def test_states(same):
    def program(Runner, run, trace):
        runner = Runner()
        trace.append(plain(sorted(vars(asyncio.Runner()).items(), key=str))
                     == plain(sorted((name, getattr(runner, name))
                                     for name in vars(asyncio.Runner()))))
        runner.close()
        trace.append((runner._state, runner._loop, runner._context))
        with runner:
            trace.append((runner._state, runner._set_event_loop))
            loop = runner.get_loop()
            trace.append(runner.run(value()))
            trace.append(runner.get_loop() is loop)
            trace.append(asyncio.get_event_loop_policy().get_event_loop()
                         is loop)
            coro = value()
            trace.errors(lambda: runner.run(5), lambda: runner.run(fail()),
                         lambda: runner.run(), lambda: runner.run(coro, None),
                         lambda: Runner(True), lambda: runner.close(1))
            coro.close()
        trace.append((runner._state, runner._loop, loop.is_closed()))
        coro = value()
        trace.errors(runner.get_loop, lambda: runner.run(coro), runner.close,
                     runner.__enter__,
                     lambda: asyncio.get_event_loop_policy().get_event_loop())
        coro.close()

    same(program)


def test_inside_a_running_loop(same):
    def program(Runner, run, trace):
        async def main():
            coro = value()
            runner = Runner()
            trace.errors(lambda: run(coro), lambda: runner.run(coro),
                         lambda: run(5), lambda: runner.run(5),
                         lambda: run(), lambda: run(coro, True))
            coro.close()

        run(main())

    same(program)


def test_run(same):
    def program(Runner, run, trace):
        async def debug():
            return asyncio.get_running_loop().get_debug()

        async def exits():
            raise SystemExit(3)

        trace.errors(lambda: run(value()), lambda: run(fail()),
                     lambda: run(debug()), lambda: run(debug(), debug=True),
                     lambda: run(debug(), debug=False), lambda: run(None),
                     lambda: run(value))
        run(exits())

    same(program)


def test_loop_factory(same):
    def program(Runner, run, trace):
        asyncio.set_event_loop(None)
        for factory in asyncio.SelectorEventLoop, ouro.Loop:
            with Runner(loop_factory=factory) as runner:
                trace.append(type(runner.get_loop()) is factory)
                trace.append(runner._set_event_loop)
                trace.append(runner.run(value()))
            if sys.version_info >= (3, 12):
                trace.append(run(value(), loop_factory=factory))
        trace.errors(lambda: Runner(loop_factory=int).run(value()),
                     lambda: Runner(loop_factory=lambda: 1 / 0).get_loop(),
                     lambda: Runner(loop_factory=5).get_loop())

    same(program)


def test_contexts(same):
    def program(Runner, run, trace):
        var = contextvars.ContextVar("var", default=0)

        async def step():
            var.set(var.get() + 1)
            return var.get()

        var.set(10)
        with Runner() as runner:
            own = contextvars.copy_context()
            trace.append([runner.run(step()), runner.run(step()),
                          runner.run(step(), context=own), own[var],
                          var.get(), runner.run(step(), context=None)])

    same(program)


def test_what_is_left(same):
    """Tasks are cancelled, failures are reported, generators closed."""
    def program(Runner, run, trace):
        async def forever(name):
            try:
                await asyncio.sleep(1000)
            finally:
                trace.append(name)

        async def stubborn():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                raise ZeroDivisionError("left")

        async def generator():
            try:
                yield 1
            finally:
                trace.append("closed")

        async def main():
            kept.append(asyncio.create_task(forever("a"), name="a"))
            kept.append(asyncio.create_task(stubborn(), name="b"))
            agen = generator()
            kept.append(agen)
            async for _ in agen:
                break
            await asyncio.sleep(0)

        kept = []
        run(main())
        trace.append([kept[0].cancelled(), repr(kept[1].exception())])

    assert "closed" in same(program)


def test_failing_ends(same):
    """What fails while another exception is on its way has it as context."""
    def program(Runner, run, trace):
        async def refuse(*args):
            raise OSError("shutdown")

        class Refusing(asyncio.SelectorEventLoop):
            shutdown_asyncgens = refuse

            def close(self):
                super().close()
                raise KeyError("close")

        asyncio.set_event_loop(None)
        for coro in value, fail:
            runner = Runner(loop_factory=Refusing)
            try:
                with runner:
                    trace.errors(lambda: runner.run(value()))
                    runner.run(coro())
            except Exception as error:
                trace.append(chain(error))
            trace.append(runner._state.name)
            if sys.version_info >= (3, 12):
                try:
                    run(coro(), loop_factory=Refusing)
                except Exception as error:
                    trace.append(chain(error))

    same(program)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_interrupted_once(same):
    def program(Runner, run, trace):
        async def main():
            try:
                asyncio.get_running_loop().call_soon(interrupt)
                await asyncio.sleep(1000)
            except asyncio.CancelledError as error:
                trace.append((error.args, asyncio.current_task().cancelling()))
                raise

        for _ in range(2):
            try:
                run(main())
            except KeyboardInterrupt as error:
                trace.append(chain(error))
        with Runner() as runner:
            for _ in range(2):
                try:
                    runner.run(main())
                except KeyboardInterrupt as error:
                    trace.append(chain(error))
                trace.append(runner._interrupt_count)
            trace.append(runner.run(value()))
            trace.append(runner._interrupt_count)

    same(program)


def test_interrupted_while_waiting(same):
    """From another thread: the loop, which waits, is woken."""
    def program(Runner, run, trace):
        async def main():
            timer = threading.Timer(
                0.05, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            try:
                await asyncio.sleep(1000)
            finally:
                timer.join()

        run(main())

    assert "KeyboardInterrupt()" in same(program)[0]


def test_interrupted_twice(same):
    def program(Runner, run, trace):
        async def main():
            asyncio.get_running_loop().call_soon(interrupt)
            try:
                await asyncio.sleep(1000)
            finally:
                trace.append("once")
                interrupt()
                trace.append("never")

        run(main())

    assert same(program)[0] == "once"


def test_interruption_refused(same):
    """Swallowed, or mixed with a cancellation of somebody else's."""
    def program(Runner, run, trace):
        async def swallow():
            asyncio.get_running_loop().call_soon(interrupt)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
            return 5

        async def both():
            task = asyncio.current_task()
            asyncio.get_running_loop().call_soon(interrupt)
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(1000)

        async def uncancelled():
            asyncio.get_running_loop().call_soon(interrupt)
            try:
                await asyncio.sleep(1000)
            finally:
                asyncio.current_task().uncancel()

        for main in swallow, both, uncancelled:
            try:
                trace.append(run(main()))
            except BaseException as error:
                trace.append(chain(error))

    same(program)


def test_handlers_of_others(same):
    """A handler that is set already, or that the program sets, stays."""
    def program(Runner, run, trace):
        def handler(number, frame):
            trace.append("handled")

        async def main():
            interrupt()

        async def sets():
            signal.signal(signal.SIGINT, handler)
            interrupt()

        old = signal.signal(signal.SIGINT, handler)
        try:
            run(main())
            trace.append(signal.getsignal(signal.SIGINT) is handler)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            run(sets())
            trace.append(signal.getsignal(signal.SIGINT) is handler)
        finally:
            signal.signal(signal.SIGINT, old)
        with mock.patch("signal.signal", side_effect=ValueError("no")):
            trace.append(run(value()))
        with mock.patch("signal.signal", side_effect=KeyError("no")):
            trace.errors(lambda: run(value()))

    same(program)


def test_other_threads(same):
    def program(Runner, run, trace):
        def work():
            with mock.patch("signal.signal") as set_signal:
                trace.append(run(value()))
            trace.append(set_signal.called)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    same(program)


def test_mocks(same):
    """A runner asks asyncio's modules by name, so patches are seen."""
    def program(Runner, run, trace):
        calls = mock.Mock()
        loop = asyncio.SelectorEventLoop()
        with mock.patch("asyncio.events.new_event_loop",
                        return_value=loop) as new, \
                mock.patch("asyncio.events.set_event_loop") as set_loop, \
                mock.patch("asyncio.runners._cancel_all_tasks") as cancel:
            for name, each in [("new", new), ("set", set_loop),
                               ("cancel", cancel)]:
                calls.attach_mock(each, name)
            trace.append(run(value()))
        trace.append([plain(call) for call in calls.mock_calls])
        with mock.patch("asyncio.tasks.all_tasks", return_value=set()) as all_:
            run(value())
        trace.append(all_.call_count)
        with mock.patch("asyncio.runners.Runner") as made:
            made.return_value.__enter__.return_value.run.return_value = 7
            trace.append(run(5, debug=True))
        trace.append(made.mock_calls)
        with mock.patch("asyncio.events.get_event_loop_policy") as policy:
            policy.return_value.new_event_loop = asyncio.SelectorEventLoop
            policy.return_value.set_event_loop = trace.append
            asyncio.set_event_loop(None)

    same(program)


def test_subclasses(same):
    def program(Runner, run, trace):
        class Mine(Runner):
            def _lazy_init(self):
                trace.append("init")
                return super()._lazy_init()

            def close(self):
                trace.append("close")
                super().close()

        runner = Mine()
        runner.extra = 5
        trace.append(vars(runner).get("extra"))
        with runner:
            runner.run(value())
            runner.get_loop()

    same(program)


def test_policies(same):
    """new_event_loop() and set_event_loop() do what the policy does."""
    def program(Runner, run, trace):
        new, set_loop = asyncio.new_event_loop, asyncio.set_event_loop
        if Runner is _ouro.Runner:
            new, set_loop = _ouro.new_event_loop, _ouro.set_event_loop
        asyncio.set_event_loop_policy(None)
        base = type(asyncio.get_event_loop_policy())

        class Policy(base):
            def new_event_loop(self):
                trace.append("new")
                return super().new_event_loop()

            def set_event_loop(self, loop):
                trace.append(f"set {plain(loop)}")
                return super().set_event_loop(loop)

        for policy in None, Policy(), ouro.EventLoopPolicy():
            asyncio.set_event_loop_policy(policy)
            loop = new()
            trace.append(type(loop).__name__)
            set_loop(loop)
            trace.append(asyncio.get_event_loop_policy().get_event_loop()
                         is loop)
            trace.errors(lambda: set_loop(5), set_loop, lambda: new(1),
                         lambda: set_loop(loop=None),
                         asyncio.get_event_loop_policy().get_event_loop)
            loop.close()

    same(program)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="takes coroutines only")
def test_awaitables(same):
    def program(Runner, run, trace):
        class Awaitable:
            def __await__(self):
                trace.append(asyncio.current_task().get_coro().__qualname__)
                return value().__await__()

        trace.append(run(Awaitable()))

    same(program)


def test_runner_is_collected():
    runner = _ouro.Runner(loop_factory=ouro.Loop)
    runner.run(value())
    runner.self = runner
    runner.close()
    assert not runner._set_event_loop


def test_ouro_runner():
    with ouro.Runner(debug=True) as runner:
        assert type(runner.get_loop()) is ouro.Loop
        assert runner.get_loop().get_debug()
        assert runner.run(value()) == 5
    with ouro.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert type(runner.get_loop()) is asyncio.SelectorEventLoop
    assert ouro.run(value()) == 5
    assert ouro.run.__name__ == "run" and ouro.run.__module__ == "ouro"
    assert issubclass(ouro.Runner, _ouro.Runner)
