"""Time limits: asyncio.timeout, wait_for, and what they leave alone."""

import asyncio


async def slow():
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        print("slow() was cancelled")
        raise


async def main():
    try:
        async with asyncio.timeout(0.02):
            await slow()
    except TimeoutError:
        print("timeout() has run out")

    try:
        await asyncio.wait_for(slow(), 0.02)
    except TimeoutError:
        print("wait_for() has run out")

    print("in time:", await asyncio.wait_for(asyncio.sleep(0, "yes"), 5))

    task = asyncio.ensure_future(asyncio.sleep(0.05, "shielded"))
    try:
        await asyncio.wait_for(asyncio.shield(task), 0.01)
    except TimeoutError:
        print("the shield has held:", await task)

    async with asyncio.timeout(None) as limit:
        limit.reschedule(asyncio.get_running_loop().time() + 5)
        await asyncio.sleep(0)
    print("expired:", limit.expired())


asyncio.run(main())
