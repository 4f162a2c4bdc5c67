"""Child processes."""

import asyncio
import contextlib
import subprocess

from table import loop, operation


@operation(times=50)
async def process_exit():
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()


@operation(times=30, debug=True)
async def process_communicate():
    process = await asyncio.create_subprocess_shell(
        "cat; echo error >&2", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    await process.communicate(b"input")


@operation(times=30)
async def process_killed():
    process = await asyncio.create_subprocess_exec(
        "sleep", "1000", stdout=subprocess.PIPE)
    process.kill()
    await process.wait()


@operation(times=30)
async def process_errors():
    with contextlib.suppress(OSError):
        await asyncio.create_subprocess_exec("/no/such/program")
    with contextlib.suppress(ValueError):
        await asyncio.create_subprocess_shell("true", text=True)
    with contextlib.suppress(TypeError):
        await asyncio.create_subprocess_exec("true", no_such=1)


@operation(times=20)
async def process_start_cancelled():
    task = loop().create_task(asyncio.create_subprocess_exec(
        "sleep", "1000", stdin=subprocess.PIPE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        process = await task
        process.kill()
        await process.wait()


@operation(times=20)
async def process_transport():
    """By the loop's own method, with a protocol in Python."""
    transport, protocol = await loop().subprocess_exec(
        asyncio.SubprocessProtocol, "cat")
    transport.get_pipe_transport(0).write(b"x")
    transport.close()
    await transport._wait()
