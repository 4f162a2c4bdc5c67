"""A task group: one child fails, its siblings are cancelled."""

import asyncio


async def work(name, seconds):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print(f"{name} was cancelled")
        raise
    print(f"{name} is done")


async def fail(seconds):
    await asyncio.sleep(seconds)
    raise ValueError("this one fails")


async def main():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work("quick", 0.01))
            group.create_task(fail(0.03))
            group.create_task(work("slow", 10))
    except* ValueError as errors:
        print("errors:", errors.exceptions)


asyncio.run(main())
