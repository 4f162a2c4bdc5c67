"""What fails on the way is told, and leaves things as asyncio does."""

import asyncio
import warnings

import pytest

import ouro


@pytest.fixture(params=["asyncio", "ouro"])
def world(request):
    """(the module, a loop of it, what its exception handler got)."""
    module = {"asyncio": asyncio, "ouro": ouro}[request.param]
    loop = module.SelectorEventLoop()
    reported = []
    loop.set_exception_handler(lambda loop, context: reported.append(context))
    yield module, loop, reported
    loop.close()


def test_a_timeout_that_cannot_cancel(world):
    module, loop, reported = world

    class Stubborn(module.Task):
        def cancel(self, msg=None):
            raise ArithmeticError

    async def main():
        async with module.timeout(0.001) as timeout:
            while not reported:
                await module.sleep(0.001)
        return timeout

    timeout = loop.run_until_complete(Stubborn(main(), loop=loop))
    assert repr(timeout) == "<Timeout [finished]>"
    assert not timeout.expired()
    context, = reported
    assert context["message"] == (
        "Exception in callback Timeout._on_timeout()")
    assert isinstance(context["exception"], ArithmeticError)


def test_throw_of_three_into_an_await(world):
    """Deprecated from Python 3.12 on, by the same words."""
    module, loop, reported = world
    waiting = iter(loop.create_future())
    next(waiting)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(OSError, match="one"):
            waiting.throw(OSError, "one", None)
    stock = asyncio.Future(loop=loop).__await__()
    next(stock)
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        with pytest.raises(OSError):
            stock.throw(OSError, "one", None)
    assert ([str(warning.message) for warning in caught]
            == [str(warning.message) for warning in expected])
