"""Futures."""

import asyncio
import concurrent.futures
import contextlib

from table import loop, nothing, operation


class OwnFuture(asyncio.Future):
    pass


@operation(debug=True)
async def future_result():
    future = loop().create_future()
    future.set_result(object())
    future.result(), future.exception(), future.done(), future.cancelled()
    await future


@operation(debug=True)
async def future_exception():
    future = asyncio.Future()
    future.set_exception(ValueError())
    with contextlib.suppress(ValueError):
        await future


@operation()
async def future_exception_never_retrieved():
    asyncio.Future().set_exception(ValueError())


@operation(debug=True)
async def future_cancel():
    future = asyncio.Future()
    future.cancel("message")
    with contextlib.suppress(asyncio.CancelledError):
        await future


@operation(debug=True)
async def future_callbacks():
    future = asyncio.Future()
    future.add_done_callback(nothing)
    future.add_done_callback(future.__class__.done)
    future.add_done_callback(nothing)
    future.remove_done_callback(nothing)
    repr(future), future._callbacks
    future.set_result(None)
    future.add_done_callback(nothing)
    await asyncio.sleep(0)


@operation()
async def future_callbacks_dropped():
    future = asyncio.Future()
    future.add_done_callback(nothing)
    future.add_done_callback(lambda other: future)


@operation()
async def future_await_pending():
    future = asyncio.Future()
    loop().call_soon(future.set_result, 1)
    await future


@operation()
async def future_two_waiters():
    future = asyncio.Future()
    one, two = (asyncio.create_task(waits_for(future)) for _ in range(2))
    await asyncio.sleep(0)
    future.set_result(1)
    await one
    await two


async def waits_for(future):
    return await future


@operation()
async def future_attributes():
    future = asyncio.Future()
    future.own = future
    for name in ("_loop", "_state", "_result", "_exception", "_callbacks",
                 "_source_traceback", "_log_traceback", "_cancel_message",
                 "_asyncio_future_blocking"):
        getattr(future, name)
    future._asyncio_future_blocking = False
    future.get_loop(), repr(future)


@operation()
async def future_invalid_state():
    future = asyncio.Future()
    for call in (future.result, future.exception):
        with contextlib.suppress(asyncio.InvalidStateError):
            call()
    future.set_result(1)
    with contextlib.suppress(asyncio.InvalidStateError):
        future.set_result(2)
    with contextlib.suppress(TypeError):
        asyncio.Future().set_exception(StopIteration)


@operation()
async def future_subclass():
    future = OwnFuture()
    future.add_done_callback(nothing)
    loop().call_soon(future.set_result, 1)
    await future


@operation()
async def future_iterator():
    future = asyncio.Future()
    iterator = iter(future)
    next(iterator)
    with contextlib.suppress(ValueError):
        iterator.throw(ValueError())
    iter(future).close()


@operation(times=200)
async def future_wrap():
    outer = concurrent.futures.Future()
    inner = asyncio.wrap_future(outer)
    outer.set_result(1)
    await inner
    asyncio.isfuture(inner), asyncio.ensure_future(inner)


@operation()
async def future_generic_alias():
    asyncio.Future[int], asyncio.Task[int]
