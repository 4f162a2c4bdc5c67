"""Child processes: started, talked to, killed."""

import asyncio
import contextlib
import subprocess

from scarce_table import in_loop

try:
    import _testcapi
except ImportError:
    _testcapi = None

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


async def end(process):
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    process._transport.close()      # (it may have lost what does that)


@contextlib.contextmanager
def memory_for_popen(then=None):
    """Popen() itself has memory: CPython's own code leaks descriptors there
    without, and crashes (3.13).  Afterwards then() is called."""
    popen = subprocess.Popen

    def start(*args, **kwargs):
        _testcapi.remove_mem_hooks()
        started = popen(*args, **kwargs)
        if then is not None:
            then()
        return started

    # (mock.patch() makes a function when it ends.)
    subprocess.Popen = start
    try:
        yield
    finally:
        subprocess.Popen = popen


async def process_before(begin):
    with memory_for_popen():
        begin()
        process = await asyncio.create_subprocess_exec("true", **QUIET)
    await process.wait()


async def process_started(begin):
    with memory_for_popen(begin):
        process = await asyncio.create_subprocess_exec("true", **QUIET)
    await process.wait()


async def process_connected(begin):
    with memory_for_popen(begin):
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    await end(process)


async def process_protocol(begin):
    loop = asyncio.get_running_loop()
    with memory_for_popen(begin):
        transport, _ = await loop.subprocess_exec(
            asyncio.SubprocessProtocol, "true", **QUIET)
    transport.close()


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


for each in (process_before, process_started, process_connected,
             process_protocol, process_communicates, process_killed):
    in_loop(each, 60)   # (starting one takes long)
