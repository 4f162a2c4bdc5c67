"""Ten fetches at once: gather waits for all and keeps their order."""

import asyncio


async def fetch(page):
    # Later pages answer sooner.
    await asyncio.sleep(0.01 * (10 - page))
    print(f"page {page} has arrived")
    return f"<page {page}>"


async def main():
    pages = await asyncio.gather(*(fetch(page) for page in range(10)))
    print(" ".join(pages))


asyncio.run(main())
