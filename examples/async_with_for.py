"""Asynchronous context manager, iterator and generator."""

import asyncio
import contextlib


class Connection:
    async def __aenter__(self):
        await asyncio.sleep(0.001)
        print("open")
        return self

    async def __aexit__(self, *error):
        await asyncio.sleep(0.001)
        print("closed")


class Countdown:
    def __init__(self, start):
        self.left = start

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        await asyncio.sleep(0.001)
        self.left -= 1
        return self.left


async def squares(stop):
    try:
        for number in range(stop):
            await asyncio.sleep(0)
            yield number * number
    finally:
        await asyncio.sleep(0)
        print("the generator is closed")


@contextlib.asynccontextmanager
async def transaction():
    print("begin")
    try:
        yield "t1"
    except ValueError as error:
        print("roll back:", error)
    else:
        print("commit")


async def main():
    async with Connection():
        print([number async for number in Countdown(5)])
    async with contextlib.aclosing(squares(10)) as numbers:
        async for square in numbers:
            if square > 20:
                break
            print("square", square)
    async with transaction():
        raise ValueError("changed my mind")
    left_open = squares(3)
    print("first of another:", await anext(left_open))
    # asyncio.run() closes it.


asyncio.run(main())
