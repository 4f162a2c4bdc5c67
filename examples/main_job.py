"""What `make demo` runs on asyncio and on ouro: the same file, unchanged.

First an echo server with 100 clients, all in this process; then 10,000
tasks in a ring, each handing messages on to the next.  It prints a JSON
object a line: progress, and the time that each part took.
"""

import argparse
import asyncio
import json
import time


def report(part, **what):
    print(json.dumps({"part": part, **what}), flush=True)


class Part:
    """Measures a part of the job and reports its progress."""

    def __init__(self, name, steps):
        self.name = name
        self.steps = steps
        self.done = 0

    def __enter__(self):
        self.wall = time.perf_counter()
        self.cpu = time.process_time()
        return self

    def step(self):
        self.done += 1
        if self.done % (self.steps // 50 or 1) == 0:
            report(self.name, done=self.done / self.steps)

    def __exit__(self, *error):
        report(self.name, cpu=time.process_time() - self.cpu,
               wall=time.perf_counter() - self.wall, steps=self.done)


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def client(port, requests, part):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    line = b"x" * 1023 + b"\n"
    for _ in range(requests):
        writer.write(line)
        if await reader.readline() != line:
            raise ValueError("the echo is not what was said")
        part.step()
    writer.close()
    await writer.wait_closed()


async def echo(clients, requests):
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with Part("echo", clients * requests) as part:
            await asyncio.gather(
                *(client(port, requests, part) for _ in range(clients)))


async def hand_on(inbox, outbox, part):
    while (message := await inbox.get()) is not None:
        part.step()
        if message:
            await outbox.put(message - 1)
    await outbox.put(None)


async def messages(tasks, total):
    """A ring of tasks; each message goes on until its number is used up.

    Every task starts with a message and hands it to the one before it, which
    is waiting by then: each message wakes a task.
    """
    ring = [asyncio.Queue() for _ in range(tasks)]
    with Part("messages", total) as part:
        workers = [asyncio.create_task(hand_on(inbox, outbox, part))
                   for inbox, outbox in zip(ring, ring[-1:] + ring[:-1])]
        for inbox in ring:
            inbox.put_nowait(total // tasks - 1)
        while part.done < total:
            await asyncio.sleep(0)
        ring[0].put_nowait(None)
        await asyncio.gather(*workers)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=200_000)
    options = parser.parse_args()
    await echo(options.clients, options.requests)
    await messages(options.tasks, options.messages)


asyncio.run(main())
