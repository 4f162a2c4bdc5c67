"""Runs one scenario again and again, each time with one allocation failing.

usage: scarce.py IMPLEMENTATION SCENARIO|--list

Whatever fails for want of memory raises MemoryError (or reports it to the
loop's exception handler); it loses nothing that was there before: what was
scheduled is called, and the loop goes on.  A crash shows in the status.
"""

import asyncio
import contextlib
import functools
import gc
import importlib
import json
import logging
import os
import re
import socket
import sys
import warnings

sys.path.insert(0, os.path.dirname(__file__))
import tlskeys  # noqa: E402

try:
    import _testcapi
except ImportError:
    _testcapi = None

ALLOCATIONS = 120       # so many are made to fail, one in each run
TABLE = {}


def scenario(function):
    """function(loop, begin): allocations fail from begin() on.

    Making a function is not for that part: the interpreter itself crashes if
    it cannot (3.13).
    """
    TABLE[f"no_memory_{function.__name__}"] = function
    return function


async def result():
    return 1


async def steps():
    for _ in range(3):
        await asyncio.sleep(0)


async def failure():
    raise ValueError("of the test")


async def waits_for(future):
    return await future


def nothing(*args):
    pass


@scenario
def future(loop, begin):
    """Make, fill and drop futures."""
    begin()
    one, two, three = [loop.create_future() for _ in range(3)]
    one.set_result(1)
    two.set_exception(ValueError)
    two.exception()
    three.cancel("message")
    repr(three)


@scenario
def future_callbacks(loop, begin):
    begin()
    future = asyncio.Future(loop=loop)
    for _ in range(5):
        future.add_done_callback(nothing)
    future.remove_done_callback(nothing)
    future._callbacks
    future.add_done_callback(nothing)
    future.set_result(1)
    future.add_done_callback(nothing)


@scenario
def handle(loop, begin):
    begin()
    loop.call_soon(nothing, 1, 2)
    loop.call_later(1000, nothing).cancel()
    repr(loop.call_soon(nothing))
    loop.call_soon_threadsafe(nothing)


@scenario
def many_timers(loop, begin):
    handles = []
    begin()
    try:
        for _ in range(200):
            handles.append(loop.call_later(1000, nothing))
    finally:
        for handle in handles:
            handle.cancel()


@scenario
def task(loop, begin):
    coroutine = result()
    begin()
    loop.run_until_complete(loop.create_task(coroutine))


@scenario
def task_steps(loop, begin):
    coroutine = steps()
    begin()
    loop.run_until_complete(coroutine)


@scenario
def task_waits(loop, begin):
    future = loop.create_future()
    coroutine = waits_for(future)
    begin()
    loop.call_soon(future.set_result, 1)
    loop.run_until_complete(coroutine)


@scenario
def calls_in_a_thread(loop, begin):
    """(Which is there already: threading itself hangs if it cannot start.)"""
    loop.run_until_complete(asyncio.to_thread(nothing))
    coroutine = asyncio.to_thread(nothing, 1, 2)
    begin()
    loop.run_until_complete(loop.run_in_executor(None, nothing, 1))
    loop.run_until_complete(coroutine)


@scenario
def task_fails(loop, begin):
    task = loop.create_task(failure())
    task.add_done_callback(asyncio.Task.exception)
    begin()
    try:
        loop.run_until_complete(task)
    except ValueError:
        pass


@scenario
def task_cancelled(loop, begin):
    task = loop.create_task(asyncio.sleep(1000))
    begin()
    loop.call_soon(task.cancel)
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass


@scenario
def task_foreign(loop, begin):
    """Futures of asyncio's in Python, awaited by a task."""
    future = asyncio.futures._PyFuture(loop=loop)
    coroutine = waits_for(future)
    loop.call_soon(future.set_result, 1)
    begin()
    loop.run_until_complete(coroutine)


@scenario
def sleep(loop, begin):
    coroutine = asyncio.sleep(1e-6)
    begin()
    loop.run_until_complete(coroutine)


async def uses_queue(begin):
    queue = asyncio.Queue()
    begin()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(1)
    await task


@scenario
def queue(loop, begin):
    loop.run_until_complete(uses_queue(begin))


async def uses_lock(begin):
    lock = asyncio.Lock()
    begin()
    async with lock:
        task = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
    await task


@scenario
def lock(loop, begin):
    loop.run_until_complete(uses_lock(begin))


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self):
        self.count = 0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.count += 1
        self.transport.sendto(data, addr)

    def error_received(self, error):
        pass


def open_endpoint(loop):
    return loop.run_until_complete(loop.create_datagram_endpoint(
        Datagrams, ("127.0.0.1", 0)))


def turns(loop, count):
    for _ in range(count):
        loop.stop()
        loop.run_forever()


@scenario
def datagram_endpoint(loop, begin):
    begin()
    transport, _ = open_endpoint(loop)
    transport.close()


@scenario
def datagrams(loop, begin):
    transport, protocol = open_endpoint(loop)
    at = transport.get_extra_info("sockname")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        for _ in range(30):
            peer.sendto(b"x" * 100, at)
        begin()
        try:
            turns(loop, 12)
        finally:
            transport.abort()


@scenario
def sendto(loop, begin):
    transport, _ = open_endpoint(loop)
    begin()
    try:
        for port in (9, 9, 10):
            transport.sendto(bytearray(b"data"), ("127.0.0.1", port))
        transport.sendto(b"data", ("localhost", 9))
    finally:
        transport.abort()


async def uses_streams(begin, one, other):
    reader, writer = await asyncio.open_connection(sock=one)
    begin()
    try:
        other.send(b"line\n")
        await reader.readline()
        writer.write(b"x" * 100)
    finally:
        writer.close()


@scenario
def streams(loop, begin):
    one, other = socket.socketpair()
    with one, other:
        loop.run_until_complete(uses_streams(begin, one, other))


def in_loop(function):
    """The scenario of an `async def` of begin.

    What it has begun and not ended is cancelled afterwards.
    """
    def run(loop, begin):
        loop.run_until_complete(function(begin))
    run.__name__ = function.__name__
    scenario(run)
    return function


@in_loop
async def gathered(begin):
    tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(3)]
    begin()
    await asyncio.gather(*tasks)


@in_loop
async def waited(begin):
    tasks = [asyncio.ensure_future(asyncio.sleep(0)) for _ in range(3)]
    begin()
    await asyncio.wait(tasks)
    for future in asyncio.as_completed(tasks):
        await future


@in_loop
async def waited_with_timeout(begin):
    future = asyncio.get_running_loop().create_future()
    begin()
    try:
        await asyncio.wait_for(future, 1e-6)
    except asyncio.TimeoutError:
        pass


@in_loop
async def shielded(begin):
    task = asyncio.ensure_future(asyncio.sleep(0))
    begin()
    await asyncio.shield(task)


@in_loop
async def task_group(begin):
    coroutines = [asyncio.sleep(0) for _ in range(3)]
    begin()
    async with asyncio.TaskGroup() as group:
        while coroutines:
            group.create_task(coroutines.pop())


@in_loop
async def timeout(begin):
    begin()
    try:
        async with asyncio.timeout(1e-6):
            await asyncio.sleep(1000)
    except asyncio.TimeoutError:
        pass


@in_loop
async def event(begin):
    event = asyncio.Event()
    task = asyncio.ensure_future(event.wait())
    await asyncio.sleep(0)
    begin()
    event.set()
    await task
    await event.wait()


@in_loop
async def semaphore(begin):
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    task = asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    begin()
    semaphore.release()
    await task


@in_loop
async def condition(begin):
    condition = asyncio.Condition()

    async def wait():
        async with condition:
            await condition.wait()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    begin()
    async with condition:
        condition.notify_all()
    await task


@in_loop
async def barrier(begin):
    barrier = asyncio.Barrier(2)
    task = asyncio.ensure_future(barrier.wait())
    await asyncio.sleep(0)
    begin()
    try:
        await barrier.wait()
    finally:
        task.cancel()


@in_loop
async def queues(begin):
    begin()
    for kind in asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue:
        queue = kind(2)
        queue.put_nowait(1)
        await queue.put(2)
        await queue.get()
        queue.task_done()


@in_loop
async def descriptors(begin):
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        begin()
        try:
            loop.add_writer(other, nothing)
            loop.add_reader(one, nothing)
            await asyncio.sleep(0)
        finally:
            loop.remove_reader(one)
            loop.remove_writer(other)


@in_loop
async def socket_operations(begin):
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        begin()
        await loop.sock_sendall(one, b"x")
        await loop.sock_recv(other, 10)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


@in_loop
async def transports(begin):
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with other:
        begin()
        try:
            transport, _ = await loop.create_connection(Echo, sock=one)
            other.send(b"x")
            await asyncio.sleep(0)
            transport.close()
        finally:
            one.close()


@in_loop
async def servers(begin):
    loop = asyncio.get_running_loop()
    begin()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    try:
        address = server.sockets[0].getsockname()
        transport, _ = await loop.create_connection(Echo, *address)
        transport.close()
    finally:
        server.close()


async def accept_tls(sock):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(
        asyncio.Protocol, sock, ssl=tlskeys.SERVER)
    return transport


async def talk_tls(begin, when, one, other):
    (reader, writer), peer = await asyncio.gather(
        asyncio.open_connection(sock=one, ssl=tlskeys.CLIENT,
                                server_hostname="localhost"),
        accept_tls(other))
    if when == "data":
        begin()
    peer.write(b"line\n")
    await reader.readline()
    writer.write(b"x" * 100)
    if when == "close":
        begin()
    writer.close()
    await writer.wait_closed()


async def over_tls(*args):
    one, other = socket.socketpair()
    try:
        async with asyncio.timeout(5):
            await talk_tls(*args, one, other)
    except (OSError, TimeoutError):
        pass    # what an alert of the other side's comes to
    finally:
        for sock in one, other:     # which belong to transports, or to nobody
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@scenario
def tls_data(loop, begin):
    loop.run_until_complete(over_tls(begin, "data"))


@scenario
def tls_close(loop, begin):
    loop.run_until_complete(over_tls(begin, "close"))


@in_loop
async def staggered(begin):
    async def fails():
        raise ValueError

    functions = [fails, functools.partial(asyncio.sleep, 0)]
    begin()
    await asyncio.staggered.staggered_race(functions, 1e-6)


@in_loop
async def datagrams_in_task(begin):
    loop = asyncio.get_running_loop()
    begin()
    transport, _ = await loop.create_datagram_endpoint(
        Datagrams, ("127.0.0.1", 0))
    try:
        transport.sendto(b"data", transport.get_extra_info("sockname"))
        await asyncio.sleep(0)
    finally:
        transport.abort()


@in_loop
async def pipes(begin):
    loop = asyncio.get_running_loop()
    ends = os.pipe()
    with open(ends[0], "rb", 0) as source, open(ends[1], "wb", 0) as sink:
        begin()
        reader, _ = await loop.connect_read_pipe(asyncio.Protocol, source)
        try:
            writer, _ = await loop.connect_write_pipe(
                asyncio.BaseProtocol, sink)
            writer.write(b"data")
            await asyncio.sleep(0)
            writer.close()
        finally:
            reader.close()


@in_loop
async def executor(begin):
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, nothing)   # its thread is there
    begin()
    await loop.run_in_executor(None, nothing, 1)


@scenario
def runner(loop, begin):
    coroutine = steps()
    begin()
    try:
        with asyncio.Runner() as runner:
            runner.run(coroutine)
    finally:
        coroutine.close()
        asyncio.set_event_loop(None)


async def cancel_all():
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Log:
    """What a run has called, and reported."""

    def __init__(self, loop):
        self.called = [False, False]
        self.reported = []
        loop.set_exception_handler(self._report)
        # These need no memory.
        loop.call_soon(self.called.__setitem__, 0, True)
        loop.call_later(0, self.called.__setitem__, 1, True)

    def _report(self, loop, context):
        self.reported.append(context)

    def complaint(self):
        errors = [context.get("exception") for context in self.reported]
        for error in errors:
            if not isinstance(error, (MemoryError, type(None))):
                return f"{error!r} was reported"
        if not all(self.called) and not any(errors):
            return f"callbacks were lost, or not: {self.called}"
        return None


def is_frame_lost(error):
    """Is it the interpreter's, which does not say that a frame had no memory?

    That is a frame of Python code, called by Python code of the standard
    library outside of asyncio.
    """
    trace = error.__traceback__
    if not isinstance(error, SystemError) or trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "")
    return module in ("collections.abc", "enum", "os", "signal") and bool(
        re.match("error return without exception set$|<function .* returned "
                 "NULL without setting an exception$", str(error)))


def is_want_of_memory(error):
    """Also None, and what a TaskGroup makes of it."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_want_of_memory, error.exceptions))
    return (error is None or isinstance(error, MemoryError)
            or is_frame_lost(error))


def once(function, number):
    """One run; returns what is wrong with it, or None."""
    loop = asyncio.new_event_loop()
    log = Log(loop)
    error = None
    try:
        function(loop, functools.partial(_testcapi.set_nomemory, number,
                                         number + 1))
    except BaseException as caught:
        error = caught
    finally:
        _testcapi.remove_mem_hooks()
    if not is_want_of_memory(error):
        return f"{error!r} came out"
    error = None
    loop.set_debug(False)
    try:
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(0.001), 10))
        loop.run_until_complete(cancel_all())
    except BaseException as caught:
        return f"afterwards, {caught!r} came out"
    finally:
        loop.close()
    return log.complaint()


def main():
    implementation, name = sys.argv[1:]
    module = importlib.import_module(implementation)
    if implementation != "asyncio":
        module.install()
    if name == "--list":
        names, notes = list(TABLE), []
        if _testcapi is None:
            names, notes = [], ["no _testcapi: no allocation was made to fail"]
        print(json.dumps({"names": names, "notes": notes}))
        return
    warnings.simplefilter("ignore")
    logging.disable()
    unraisable = []
    sys.unraisablehook = lambda what: unraisable.append(what.exc_value)
    complaints = {}
    once(TABLE[name], 1_000_000)        # imports and caches
    for number in range(ALLOCATIONS):
        complaint = once(TABLE[name], number)
        gc.collect()
        for error in unraisable:
            if not isinstance(error, (MemoryError, type(None))):
                complaint = complaint or f"{error!r} was unraisable"
        unraisable.clear()
        if complaint:
            complaints.setdefault(complaint, []).append(number)
    print(json.dumps({"figures": {}, "complaints": [
        f"{complaint} (allocations {numbers})"
        for complaint, numbers in complaints.items()]}))


if __name__ == "__main__":
    main()
