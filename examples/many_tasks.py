"""A hundred thousand tasks at once."""

import asyncio

TASKS = 100_000


async def wait_for_it(event, number):
    await event.wait()
    return number


async def main():
    event = asyncio.Event()
    tasks = [asyncio.create_task(wait_for_it(event, number))
             for number in range(TASKS)]
    await asyncio.sleep(0)
    print("tasks:", len(asyncio.all_tasks()) - 1)
    event.set()
    print("sum:", sum(await asyncio.gather(*tasks)))
    print("left:", len(asyncio.all_tasks()) - 1)


asyncio.run(main())
