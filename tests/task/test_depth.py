"""Chains longer than the C stack is deep: freed, cancelled and awaited."""

import pytest

PRELUDE = """
import asyncio, gc, resource, sys, warnings
import ouro
ouro.install()
warnings.simplefilter("ignore")
N = 200_000
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.set_exception_handler(lambda *args: None)

async def wait_for(what):
    await what
"""

CASES = {
    "futures that are results": """
last = None
for _ in range(N):
    future = loop.create_future()
    future.set_result(last)
    last = future
del future, last
""",
    "tasks that await tasks": """
async def main():
    task = loop.create_future()
    for _ in range(N):
        task = loop.create_task(wait_for(task))
    await asyncio.sleep(0)
loop.run_until_complete(main())
gc.collect()
""",
    "cancelled tasks": """
async def main():
    task = loop.create_future()
    for _ in range(N):
        task = loop.create_task(wait_for(task))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert task.cancel()
    assert task.cancelling() == 1
loop.run_until_complete(main())
""",
    "gathers": """
last = loop.create_future()
for _ in range(N):
    last = asyncio.gather(last)
del last
gc.collect()
""",
    "shields": """
last = loop.create_future()
for _ in range(N):
    last = asyncio.shield(last)
del last
gc.collect()
""",
    "coroutines never awaited": """
last = asyncio.sleep(0)
for _ in range(N):
    last = asyncio.wait_for(last, None)
del last
""",
    "coroutines that are awaited": """
last = asyncio.sleep(0)
for _ in range(N):
    last = asyncio.wait_for(last, None)
try:
    loop.run_until_complete(last)
except RecursionError:
    pass
""",
    "tasks in a ring": """
async def main():
    tasks = {}
    async def wait(for_whom):
        await asyncio.sleep(0)
        await tasks[for_whom]
    for name, other in ("ab", "bc", "cb"):
        tasks[name] = asyncio.create_task(wait(other))
    for _ in range(3):
        await asyncio.sleep(0)
    try:
        tasks["a"].cancel()
    except RecursionError:
        return
    raise AssertionError("no RecursionError")
loop.run_until_complete(main())
""",
}


@pytest.mark.parametrize("name", CASES)
def test_chain(name, python):
    done = python("-c", PRELUDE + CASES[name] + "print('ok')\n")
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr[-500:]
