"""Resident memory of a waiting task, a sleeper and an idle connection.

usage: memory.py             compares, in a process for each figure
       memory.py IMPL CASE   one figure, in bytes
"""

import gc
import os
import resource
import subprocess
import sys

from implementations import asyncio, choose

COUNTS = {"task": 100_000, "sleeper": 100_000, "connection": 3_000}
IMPLEMENTATIONS = ("asyncio", "uvloop", "ouro")

CLIENT = """
import resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
open_ = [socket.create_connection(("127.0.0.1", {port}))
         for _ in range({count})]
print("up", flush=True)
sys.stdin.read()
"""


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


async def task(n):
    event = asyncio.Event()

    async def wait():
        await event.wait()

    warm = [asyncio.create_task(wait()) for _ in range(100)]
    await turns(1)
    before = resident()
    tasks = [asyncio.create_task(wait()) for _ in range(n)]
    await turns(2)
    after = resident()
    event.set()
    await asyncio.gather(*tasks, *warm)
    return (after - before) / n


async def sleeper(n):
    before = resident()
    tasks = [asyncio.create_task(asyncio.sleep(1000)) for _ in range(n)]
    await turns(2)
    after = resident()
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return (after - before) / n


async def connection(n):
    async def serve(reader, writer):
        while await reader.readline():
            pass
        writer.close()

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CLIENT.format(port=port, count=n),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    before = resident()
    await client.stdout.readline()
    await asyncio.sleep(1)
    after = resident()
    client.stdin.close()
    await client.wait()
    await asyncio.sleep(0.2)
    server.close()
    return (after - before) / n


def one_figure(implementation, case):
    loop = choose(implementation)()
    asyncio.set_event_loop(loop)
    function = {"task": task, "sleeper": sleeper, "connection": connection}
    print(round(loop.run_until_complete(function[case](COUNTS[case]))))
    loop.close()


def measure():
    """{case: {implementation: bytes}}"""
    return {
        case: {
            implementation: int(
                subprocess.check_output(
                    [sys.executable, __file__, implementation, case]
                )
            )
            for implementation in IMPLEMENTATIONS
        }
        for case in COUNTS
    }


def main():
    if len(sys.argv) == 3:
        return one_figure(sys.argv[1], sys.argv[2])
    print(
        f"{'bytes each':12}"
        + "".join(f"{name:>10}" for name in IMPLEMENTATIONS)
    )
    for case, row in measure().items():
        print(f"{case:12}" + "".join(f"{row[i]:>10}" for i in IMPLEMENTATIONS))


if __name__ == "__main__":
    main()
