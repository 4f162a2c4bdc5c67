"""Our tasks with others' futures, and the other way round."""

import asyncio

from table import loop, operation, result


@operation()
async def foreign_awaitable():
    class Foreign:
        _asyncio_future_blocking = False

        def __init__(self):
            self.callbacks = []

        def get_loop(self):
            return asyncio.get_running_loop()

        def add_done_callback(self, callback, *, context=None):
            loop().call_soon(callback, self, context=context)

        def result(self):
            return 1

        def cancel(self, msg=None):
            return False

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self
            return 1

    async def wait():
        await Foreign()

    await asyncio.create_task(wait())


@operation(times=200)
async def python_future():
    future = asyncio.futures._PyFuture(loop=loop())
    loop().call_soon(future.set_result, 1)
    await future


@operation(times=200)
async def python_task():
    await asyncio.tasks._PyTask(result(), loop=loop())
