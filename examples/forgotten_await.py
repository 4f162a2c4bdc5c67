"""A forgotten await: Python warns, whoever made the coroutine."""

import asyncio
import sys
import warnings


async def save(record):
    await asyncio.sleep(0)
    print("saved", record)


def show(message, category, *where):
    print(f"{category.__name__}: {message}")


async def main():
    warnings.simplefilter("always")
    warnings.showwarning = show
    save("first")               # forgotten
    await save("second")
    asyncio.sleep(1)            # forgotten
    queue = asyncio.Queue()
    queue.put("never")          # forgotten
    print("in the queue:", queue.qsize())


asyncio.run(main())
sys.stdout.flush()
