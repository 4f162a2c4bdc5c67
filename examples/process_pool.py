"""Work for other processes, while the loop goes on."""

import asyncio
import concurrent.futures


def count_primes(start, stop):
    return sum(all(number % i for i in range(2, int(number ** 0.5) + 1))
               for number in range(max(start, 2), stop))


async def tick(ticks):
    while True:
        ticks.append(None)
        await asyncio.sleep(0.001)


async def main():
    loop = asyncio.get_running_loop()
    ticks = []
    ticker = asyncio.create_task(tick(ticks))
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        counts = await asyncio.gather(*(
            loop.run_in_executor(pool, count_primes, start, start + 5000)
            for start in range(0, 20000, 5000)))
    ticker.cancel()
    print("primes below 20000:", sum(counts), counts)
    print("the loop went on:", len(ticks) > 1)


if __name__ == "__main__":
    asyncio.run(main())
