"""staggered_race(), compared with asyncio's."""

import asyncio
import asyncio.staggered
import gc
import inspect

import pytest

import ouro
from ouro import _ouro

stock_race = asyncio.staggered.staggered_race
assert inspect.iscoroutinefunction(stock_race)
assert stock_race.__module__ == "asyncio.staggered"


def run(race, loop_class, scenario):
    """The log of a scenario(race, log)."""
    log = []
    loop = loop_class()
    loop.set_exception_handler(lambda _, context: log.append(
        ("handler", context["message"].partition("(")[0],
         repr(context.get("exception")))))

    async def main():
        try:
            log.append(await scenario(race, log))
        except BaseException as exc:
            log.append((type(exc), repr(exc)))
        for _ in range(5):
            await asyncio.sleep(0)
        log.append(len(asyncio.all_tasks()))
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 120))
        gc.collect()
    finally:
        loop.close()
    return log


def compare(scenario):
    expected = run(stock_race, asyncio.SelectorEventLoop, scenario)
    for loop_class in (ouro.Loop, asyncio.SelectorEventLoop):
        assert run(_ouro.staggered_race, loop_class, scenario) == expected
    return expected


def entrant(log, name, turns, result=None):
    """A coroutine function that logs what happens to it."""
    async def run():
        log.append((name, "starts"))
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            if isinstance(result, BaseException):
                raise result
        except BaseException as exc:
            log.append((name, type(exc).__name__))
            raise
        log.append((name, "ends"))
        return result
    return run


def shown(result):
    winner, index, exceptions = result
    return winner, index, [repr(each) for each in exceptions]


@pytest.mark.parametrize("delay", [None, 0, 1000])
@pytest.mark.parametrize("results", [
    [], [1], [ValueError(1)], [ValueError(1), 2], [1, 2, 3],
    [ValueError(1), KeyError(2), IndexError(3)],
    [OSError(1), asyncio.CancelledError("mine"), 3], [None],
    [GeneratorExit(), 1], [asyncio.TimeoutError(), 4]], ids=repr)
def test_results(delay, results):
    async def scenario(race, log):
        return shown(await race(
            [entrant(log, i, 3, result)
             for i, result in enumerate(results)], delay))
    compare(scenario)


def test_slow_first():
    async def scenario(race, log):
        async def forever():
            log.append("forever")
            try:
                await asyncio.Event().wait()
            except BaseException as exc:
                log.append(repr(exc))
                raise
        return shown(await race([forever, forever, entrant(log, "x", 2, 7)],
                                0.001))
    assert compare(scenario)[-2][:2] == (7, 2)


@pytest.mark.parametrize("delay", [None, 0, 1000])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13])
def test_cancelled(turns, delay):
    async def scenario(race, log):
        async def forever():
            try:
                await asyncio.Event().wait()
            except BaseException as exc:
                log.append(repr(exc))
                raise
        task = asyncio.ensure_future(race([forever] * 3, delay))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel("why")
        try:
            return await task
        finally:
            await asyncio.sleep(0.002)
            log.append(len(asyncio.all_tasks()))
    compare(scenario)


def test_cancelled_but_stubborn():
    async def scenario(race, log):
        async def stubborn():
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                log.append("no")
                for _ in range(5):
                    await asyncio.sleep(0)
                return "stubborn"
        task = asyncio.ensure_future(race([stubborn], None))
        await asyncio.sleep(0.001)
        task.cancel()
        return await task
    compare(scenario)


@pytest.mark.parametrize("functions", [
    lambda log: [lambda: 7], lambda log: [lambda: 1 / 0],
    lambda log: [None], lambda log: (f for f in [entrant(log, 1, 1, 1)]),
    lambda log: 7, lambda log: iter([]),
    lambda log: [lambda: asyncio.sleep(0, "slept")]])
def test_odd_functions(functions):
    async def scenario(race, log):
        return shown(await race(functions(log), None))
    compare(scenario)


def test_iterator_fails():
    """What is no failure of a coroutine's own is raised, or reported."""
    async def scenario(race, log):
        def functions():
            yield entrant(log, 1, 2, ValueError(1))
            raise ZeroDivisionError
        return shown(await race(functions(), None))
    compare(scenario)


def test_loop_argument():
    async def scenario(race, log):
        loop = asyncio.get_running_loop()
        names = []
        real = loop.create_task

        def create_task(coro, **options):
            names.append((coro.__name__, coro.__qualname__))
            return real(coro, **options)
        loop.create_task = create_task
        result = shown(await race([entrant(log, 1, 1, 1)], None, loop=loop))
        log.append(names)
        return result
    compare(scenario)


def test_eager_tasks():
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("3.12+")

    async def scenario(race, log):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        try:
            return shown(await race(
                [entrant(log, i, i % 2, result) for i, result in enumerate(
                    [ValueError(0), KeyError(1), 2, 3])], None))
        finally:
            loop.set_task_factory(None)
    if "on_completed_fut" in stock_race.__code__.co_cellvars:
        compare(scenario)
    else:
        # (asyncio's fails of an assertion here.)
        assert run(_ouro.staggered_race, ouro.Loop, scenario)[-2] == (
            2, 2, ["ValueError(0)", "KeyError(1)", "None"])


by_callbacks = pytest.mark.skipif(
    "on_completed_fut" not in stock_race.__code__.co_cellvars,
    reason="races without wait()")


@by_callbacks
def test_a_task_that_cannot_be_heard_of():
    """The race ends (asyncio's waits for ever)."""
    class Deaf(asyncio.Task):
        def add_done_callback(self, *args, **kwargs):
            raise MemoryError

    async def scenario(race, log):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(
            lambda loop, coro, **options: Deaf(coro, loop=loop, **options))
        try:
            return await race([entrant(log, 0, 0)], None)
        finally:
            loop.set_task_factory(None)
    assert run(_ouro.staggered_race, ouro.Loop, scenario) == [
        (MemoryError, "MemoryError()"), 1]


@by_callbacks
def test_an_edge_that_cannot_be_removed(monkeypatch):
    """The race ends (asyncio's waits for ever)."""
    def fails(*args):
        raise MemoryError

    async def scenario(race, log):
        with monkeypatch.context() as patch:
            if hasattr(asyncio.futures, "future_discard_from_awaited_by"):
                patch.setattr(asyncio.futures,
                              "future_discard_from_awaited_by", fails)
            return await race([entrant(log, 0, 0, 5)], None)
    assert (5, 0, [None]) in run(_ouro.staggered_race, ouro.Loop, scenario)


def test_interface():
    assert str(inspect.signature(_ouro.staggered_race)) == str(
        inspect.signature(stock_race))
    assert asyncio.iscoroutinefunction(_ouro.staggered_race)
    for arguments in ((), (1,), (1, 2, 3)):
        with pytest.raises(TypeError) as ours:
            _ouro.staggered_race(*arguments)
        with pytest.raises(TypeError) as theirs:
            stock_race(*arguments)
        assert str(ours.value) == str(theirs.value)


def test_exit_leaves_the_loop():
    async def scenario(race):
        async def leave():
            raise SystemExit(3)
        await race([leave], None)
    for loop_class in (ouro.Loop, asyncio.SelectorEventLoop):
        loop = loop_class()
        with pytest.raises(SystemExit):
            loop.run_until_complete(scenario(_ouro.staggered_race))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
