"""Child processes: started, talked to, killed."""

import asyncio
import contextlib
import subprocess

from scarce_table import in_loop

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


async def end(process):
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def process_started(begin):
    begin()
    process = await asyncio.create_subprocess_exec("true", **QUIET)
    await process.wait()


async def process_talks(begin):
    begin()
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        await process.communicate(b"input")
    finally:
        await end(process)


async def process_communicates(begin):
    """It is there already."""
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    begin()
    try:
        await process.communicate(b"input")
    finally:
        await end(process)


async def process_killed(begin):
    process = await asyncio.create_subprocess_exec(
        "sleep", "100", **QUIET)
    begin()
    try:
        process.kill()
        await process.wait()
    finally:
        await end(process)


async def process_protocol(begin):
    begin()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.subprocess_exec(
        asyncio.SubprocessProtocol, "true", **QUIET)
    transport.close()


for each in process_started, process_talks, process_protocol:
    in_loop(each, 270)
for each in process_communicates, process_killed:
    in_loop(each)
