"""No Python code of asyncio's or ours runs when locks and queues are used."""

import asyncio
import gc
import os
import sys

import pytest
from synccompare import MAKE, USE
from syncworlds import NAMES, NATIVE

import ouro

FOLDERS = tuple(os.path.dirname(os.path.abspath(module.__file__)) + os.sep
                for module in (asyncio, ouro))


def frames_of(function, *args):
    """The Python functions of the two packages that a call runs."""
    seen = set()
    gc.collect()  # what others have left to be finalized

    def profile(frame, event, arg):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(FOLDERS):
            seen.add(f"{code.co_qualname} ({code.co_filename})")

    sys.setprofile(profile)
    try:
        function(*args)
    finally:
        sys.setprofile(None)
    return seen


async def turns(count=8):
    for _ in range(count):
        await ouro.sleep(0)


async def many(it, name):
    """The operations of the tests of overriding, with ouro's own tasks."""
    await USE[name](it)


async def cancelled(it, name):
    method = {"Event": "wait", "Condition": "acquire", "Barrier": "wait"}.get(
        name, "get" if name.endswith("Queue") else "acquire")
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(getattr(it, method)()) for _ in range(5)]
    await turns(2)
    for task in tasks:
        task.cancel("enough")
    await turns(3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("work", [many, cancelled])
def test_no_python_frames(name, work):
    loop = ouro.Loop()
    it = eval(MAKE[name], {"k": NATIVE})
    asyncio.set_event_loop(None)
    # What tests of asyncio's make besides is not what is looked for.
    originals = {key: vars(asyncio)[key] for key in ("ensure_future", "gather",
                                                     "sleep")}
    try:
        for key in originals:
            setattr(asyncio, key, getattr(ouro, key))
        seen = frames_of(loop.run_until_complete, work(it, name))
    finally:
        for key, value in originals.items():
            setattr(asyncio, key, value)
        loop.close()
    assert not seen
