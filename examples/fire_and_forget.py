"""Background tasks that nobody waits for, and one whose error is missed."""

import asyncio
import gc

background = set()


def start(coroutine):
    """Start a task and keep it alive until it is done."""
    task = asyncio.create_task(coroutine)
    background.add(task)
    task.add_done_callback(background.discard)


async def log(message):
    await asyncio.sleep(0.01)
    print("logged:", message)


async def broken():
    raise RuntimeError("nobody will ask")


def on_error(loop, context):
    print("handler:", context["message"], "-", repr(context["exception"]))


async def main():
    asyncio.get_running_loop().set_exception_handler(on_error)
    for number in range(3):
        start(log(f"event {number}"))
    start(broken())
    print("main goes on")
    await asyncio.sleep(0.05)
    gc.collect()
    print("still in the background:", len(background))


asyncio.run(main())
