"""A hundred requests, never more than ten at a time."""

import asyncio

running = most = 0


async def request(number, limit):
    global running, most
    async with limit:
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
    return number


async def main():
    limit = asyncio.Semaphore(10)
    answers = await asyncio.gather(*(request(n, limit) for n in range(100)))
    print("answers:", len(answers), "in order:", answers == sorted(answers))
    print("most at a time:", most)


asyncio.run(main())
