"""Native means native: no Python frame of asyncio or ouro in the workloads.

They are looked at from the second time on: what is imported when it is first
needed has been imported.
"""

import pytest

# What a run shows besides, once, each with its reason.
ONCE = {
    "get_event_loop_policy": "asyncio makes its policy when first asked",
    "_get_event_loop_policy": "the same",
    "_init_event_loop_policy": "the same",
    "__init__": "of that policy",
    "_is_debug_mode": "looked up when a loop is made: tests patch it",
    "<listcomp>": "of that, or of the following",
    "_task_repr": "signal's enums format the handler of SIGINT, and in it the "
                  "main task, in an error message that they then drop",
    "_task_repr_info": "the same",
    "_future_repr_info": "the same",
    "_format_coroutine": "the same",
    "_format_callbacks": "the same",
    "format_cb": "the same",
    "_format_callback_source": "the same",
    "_format_callback": "the same",
    "_format_args_and_kwargs": "the same",
    "_get_function_source": "the same",
    "is_corowrapper": "the same",
    "get_name": "the same",
    "find_spec": "what is imported in between is not a part of asyncio?",
    "_is_asyncio": "the same",
}

WORKLOADS = {
    "tasks": """
        async def child(): await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.create_task(child())
        await asyncio.gather(*(child() for _ in range(10)))
        async with asyncio.TaskGroup() as group:
            for _ in range(10): group.create_task(child())
        await asyncio.wait([asyncio.create_task(child())])
        await asyncio.wait_for(child(), 10)
        await asyncio.shield(child())
        async with asyncio.timeout(10): await child()
        for each in asyncio.as_completed([child(), child()]): await each
        asyncio.current_task(), asyncio.all_tasks()
        """,
    "callbacks": """
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(int)
        loop.call_later(0.001, future.set_result, None)
        loop.call_at(loop.time() + 1000, int).cancel()
        loop.call_soon_threadsafe(int)
        await future
        """,
    "queues": """
        queue = asyncio.Queue(2)
        async def produce():
            for i in range(10): await queue.put(i)
        task = asyncio.create_task(produce())
        for _ in range(10):
            await queue.get()
            queue.task_done()
        await task; await queue.join()
        """,
    "locks": """
        lock, event = asyncio.Lock(), asyncio.Event()
        semaphore, condition = asyncio.Semaphore(2), asyncio.Condition()
        async def work():
            async with lock, semaphore: await asyncio.sleep(0)
            async with condition: condition.notify_all()
            await event.wait()
        tasks = [asyncio.create_task(work()) for _ in range(5)]
        await asyncio.sleep(0.001); event.set()
        for task in tasks: await task
        barrier = asyncio.Barrier(2)
        await asyncio.gather(barrier.wait(), barrier.wait())
        """,
    "threads": """
        loop = asyncio.get_running_loop()
        for _ in range(5): await asyncio.to_thread(int)
        await asyncio.gather(*(loop.run_in_executor(None, int)
                               for _ in range(20)))
        async def value(): return 1
        def work(): asyncio.run_coroutine_threadsafe(value(), loop).result()
        await asyncio.to_thread(work)
        """,
    "streams": """
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
            writer.close()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        for _ in range(5):
            writer.write(b"x" * 100 + b"\\n")
            await reader.readline()
        writer.write(b"abc;defgh\\n")
        await reader.readuntil(b";"); await reader.readexactly(3)
        await reader.read(100)
        writer.close(); await writer.wait_closed()
        server.close()
        """,
    "sockets": """
        import socket
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False); right.setblocking(False)
        for _ in range(5):
            await loop.sock_sendall(left, b"x" * 10)
            await loop.sock_recv(right, 100)
        left.close(); right.close()
        """,
}


HOOK = """
import os, sys, threading
import asyncio, ouro
ouro.install()
homes = tuple(os.path.dirname(module.__file__) + os.sep
              for module in (asyncio, ouro))
seen = set()
def hook(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(homes):
        seen.add((os.path.basename(code.co_filename), code.co_name))
"""


def frames_of(python, tmp_path, program):
    file = tmp_path / "program.py"
    file.write_text(HOOK + program + "\nprint(sorted(seen))\n")
    result = python(file)
    assert result.returncode == 0, result.stderr
    return eval(result.stdout)


def workload(body):
    return f"""
async def work():
{body}
async def main():
    await work()
    threading.setprofile(hook)
    sys.setprofile(hook)
    await work()
    sys.setprofile(None)
asyncio.run(main())
"""


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_frame(python, tmp_path, name):
    program = workload(WORKLOADS[name])
    assert frames_of(python, tmp_path, program) == []


def test_a_run_from_beginning_to_end(python, tmp_path):
    found = frames_of(python, tmp_path, """
async def main():
    await asyncio.to_thread(int)
    asyncio.create_task(asyncio.sleep(1000))
sys.setprofile(hook)
for _ in range(2):
    asyncio.run(main())
    with asyncio.Runner() as runner:
        runner.run(main())
    ouro.run(main())
sys.setprofile(None)
""")
    assert [each for each in found if each[1] not in ONCE] == []


def test_the_hook_sees_frames(python, tmp_path):
    assert frames_of(python, tmp_path, workload(
        "    asyncio.Protocol().connection_made(None)"))
