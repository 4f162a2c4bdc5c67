"""Producers and consumers on a queue; a poison pill ends each consumer."""

import asyncio

PRODUCERS, CONSUMERS, ITEMS = 3, 4, 50
PILL = None


async def produce(queue, number):
    for item in range(ITEMS):
        await queue.put(number * ITEMS + item)
        if item % 10 == 0:
            await asyncio.sleep(0.001)


async def consume(queue):
    total = count = 0
    while (item := await queue.get()) is not PILL:
        total += item
        count += 1
        queue.task_done()
    queue.task_done()
    return count, total


async def main():
    queue = asyncio.Queue(maxsize=5)
    consumers = [asyncio.create_task(consume(queue))
                 for _ in range(CONSUMERS)]
    await asyncio.gather(*(produce(queue, n) for n in range(PRODUCERS)))
    for _ in consumers:
        await queue.put(PILL)
    await queue.join()
    results = await asyncio.gather(*consumers)
    print("items:", sum(count for count, _ in results))
    print("total:", sum(total for _, total in results))
    print("left:", queue.qsize())


asyncio.run(main())
