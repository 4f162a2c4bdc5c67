"""A call that blocks the loop, found by asyncio's debug mode."""

import asyncio
import logging
import re
import time


class Findings(logging.Handler):
    """Prints what debug mode logs, without the parts that vary."""

    def emit(self, record):
        message = record.getMessage()
        slow = re.search(r"^Executing <(\w+) .*coro=<(\w+)\(\)", message)
        if slow:
            print(f"blocked the loop: {slow[1]} of {slow[2]}()")


async def polite():
    await asyncio.sleep(0.15)


async def blocking():
    time.sleep(0.15)    # should be asyncio.sleep, or run in a thread


async def in_thread():
    await asyncio.to_thread(time.sleep, 0.15)


async def main():
    loop = asyncio.get_running_loop()
    print("debug:", loop.get_debug(), "limit:", loop.slow_callback_duration)
    for work in polite, blocking, in_thread:
        print("-", work.__name__)
        await asyncio.create_task(work())


logging.getLogger("asyncio").addHandler(Findings())
asyncio.run(main(), debug=True)
