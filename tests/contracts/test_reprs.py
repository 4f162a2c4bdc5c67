"""What every public object shows of itself, in each of its states."""

import asyncio
import concurrent.futures
import functools
import os
import re
import signal
import socket
import ssl
import subprocess
import sys

import pytest
from worlds import same

import ouro

PEM = os.path.join(os.path.dirname(__file__), "..", "net", "localhost.pem")

SHOWS = {}


def shows(function):
    SHOWS[function.__name__] = function
    return function


def show(world, *things):
    """Note the repr() and the str() of each."""
    for thing in things:
        text = re.sub(r"\bpid=\d+|(?<=Process )\d+", "PID", repr(thing))
        text = re.sub(r"('127\.0\.0\.1'), \d+", r"\1, PORT", text)
        text = re.sub(r"(?<=bufsize=)[1-9]\d*", "SOME", text)
        text = re.sub(r"(?<=when=)[0-9.]+|(?<=handles=)\d+", "N", text)
        # Callbacks of asyncio's own are builtin in ours: those have no place.
        text = re.sub(r" at \S*/asyncio/\w+\.py:\d+", "", text)
        text = re.sub(r"at /\S+:\d+", "at FILE", text)
        world.note(text, str(thing) == repr(thing))


async def body(event=None):
    if event is not None:
        await event.wait()


def failing():
    raise ValueError("told")


@shows
async def futures(world):
    k, loop = world.k, world.loop
    pending, done, failed, cancelled = (loop.create_future()
                                        for _ in range(4))
    done.set_result([1, "x" * 200])
    failed.set_exception(ValueError("told"))
    cancelled.cancel("why")
    show(world, pending, done, failed, cancelled)
    assert failed.exception()
    for count in range(4):
        pending.add_done_callback(functools.partial(print, count))
        show(world, pending)
    recursive = loop.create_future()
    recursive.set_result(recursive)
    show(world, recursive, k.wrap_future(concurrent.futures.Future()))
    show(world, k.gather(), k.gather(loop.create_future()),
         k.shield(loop.create_future()))

    class Sub(k.Future):
        pass

    show(world, Sub(loop=loop))
    loop.set_debug(True)
    text = repr(loop.create_future())
    world.note(re.sub(r"created at .*", "created", text))
    loop.set_debug(False)


@shows
async def tasks(world):
    k, loop = world.k, world.loop
    event = k.Event()
    task = loop.create_task(body(event), name="the name")
    show(world, task)
    await k.sleep(0)
    show(world, task)
    task.add_done_callback(print)
    task.remove_done_callback(print)
    task.cancel()
    show(world, task)
    await k.wait([task])
    show(world, task)
    event.set()
    task = loop.create_task(body(event), name=5)
    await task
    show(world, task)

    async def fails():
        failing()

    task = loop.create_task(fails())
    await k.wait([task])
    show(world, task)
    assert task.exception()
    show(world, k.current_task())


@shows
async def handles(world):
    loop = world.loop

    class Callable:
        def __call__(self):
            pass

        def method(self):
            pass

        def __repr__(self):
            return "Callable()"

    for callback in (print, failing, functools.partial(failing),
                     functools.partial(print, 1, sep=""), Callable(),
                     Callable().method, "".join, len, lambda: None):
        handle = loop.call_soon(callback, 1, "x")
        show(world, handle)
        handle.cancel()
        show(world, handle)
    timer = loop.call_later(60, failing, 1)
    show(world, timer)
    timer.cancel()
    show(world, timer, loop.call_soon_threadsafe(len, ""))
    loop.set_debug(True)
    for handle in loop.call_soon(len, ""), loop.call_later(60, print, 2):
        world.note(re.sub(r"created at .*", "created",
                          re.sub(r"when=[0-9.]+", "", repr(handle))))
        handle.cancel()
        world.note(re.sub(r"created at .*", "created",
                          re.sub(r"when=[0-9.]+", "", repr(handle))))
    loop.set_debug(False)


@shows
async def loops(world):
    show(world, world.loop)
    world.loop.set_debug(True)
    show(world, world.loop)
    world.loop.set_debug(False)
    other = type(world.loop)()
    show(world, other)
    other.close()
    show(world, other)


@shows
async def primitives(world):
    k, loop = world.k, world.loop

    async def waits(awaitable):
        task = loop.create_task(awaitable)
        await k.sleep(0)
        return task

    waiting = []
    for make in (k.Lock, k.Event, k.Condition, k.Semaphore,
                 k.BoundedSemaphore, functools.partial(k.Semaphore, 0),
                 functools.partial(k.Semaphore, 2),
                 functools.partial(k.Barrier, 2)):
        thing = make()
        show(world, thing)
        if hasattr(thing, "acquire"):
            waiting.append(await waits(thing.acquire()))
            show(world, thing)
            waiting.append(await waits(thing.acquire()))
        elif hasattr(thing, "set"):
            waiting.append(await waits(thing.wait()))
            show(world, thing)
            thing.set()
        else:
            waiting.append(await waits(thing.wait()))
        show(world, thing)
        if isinstance(thing, k.Barrier):
            await thing.reset()
            show(world, thing)
            await thing.abort()
            show(world, thing)
    for task in waiting:
        task.cancel()
    await k.gather(*waiting, return_exceptions=True)


@shows
async def queues(world):
    k, loop = world.k, world.loop
    for kind in k.Queue, k.PriorityQueue, k.LifoQueue:
        for size in 0, 1:
            queue = kind(size)
            show(world, queue)
            getter = loop.create_task(queue.get())
            await k.sleep(0)
            show(world, queue)
            queue.put_nowait(1)
            await getter
            show(world, queue)
            queue.put_nowait(2)
            putter = loop.create_task(queue.put(3))
            await k.sleep(0)
            show(world, queue)
            queue.get_nowait()
            await putter
            queue.task_done()
            show(world, queue)
            if hasattr(queue, "shutdown"):
                queue.shutdown()
                show(world, queue)


@shows
async def timeouts_and_groups(world):
    k = world.k
    timeout = k.timeout(60)
    show(world, timeout)
    async with timeout:
        show(world, timeout)
        timeout.reschedule(None)
        show(world, timeout)
    show(world, timeout)
    show(world, k.timeout(None))
    try:
        async with k.timeout(0) as timeout:
            await k.sleep(60)
    except TimeoutError:
        show(world, timeout)
    try:
        async with k.timeout(-1) as timeout:
            show(world, timeout)
            await k.sleep(60)
    except TimeoutError:
        pass
    group = k.TaskGroup()
    show(world, group)
    async with group:
        show(world, group)
        task = group.create_task(body())
        show(world, group)
        await task
    show(world, group)
    group = k.TaskGroup()
    with pytest.raises(BaseExceptionGroup):
        async with group:
            group.create_task(k.sleep(60))
            show(world, group)
            raise ValueError
    show(world, group)
    try:
        async with k.TaskGroup() as group:
            task = group.create_task(k.sleep(60))
            group.create_task(body()).add_done_callback(
                lambda task: show(world, group))
            await k.sleep(0)
            raise ValueError
    except BaseExceptionGroup as error:
        world.note(repr(error))


@shows
async def connections(world):
    k, loop = world.k, world.loop
    left, right = socket.socketpair()
    left.setblocking(False)
    transport, protocol = await loop.create_connection(k.Protocol, sock=left)
    await k.sleep(0)
    show(world, transport, transport.get_extra_info("socket"))
    transport.pause_reading()
    show(world, transport)
    transport.resume_reading()
    transport.write(bytes(1 << 24))
    show(world, transport)
    transport.close()
    show(world, transport)
    transport.abort()
    show(world, transport)
    await k.sleep(0)
    show(world, transport)
    right.close()


@shows
async def servers(world):
    k, loop = world.k, world.loop
    server = await loop.create_server(k.Protocol, "127.0.0.1", 0,
                                      start_serving=False)
    show(world, server, *server.sockets)
    await server.start_serving()
    show(world, server)
    server.close()
    show(world, server)
    await server.wait_closed()


@shows
async def datagrams(world):
    k, loop = world.k, world.loop
    transport, _ = await loop.create_datagram_endpoint(
        k.DatagramProtocol, local_addr=("127.0.0.1", 0))
    await k.sleep(0)
    show(world, transport)
    transport.close()
    show(world, transport)
    await k.sleep(0)
    show(world, transport)


@shows
async def pipes(world):
    k, loop = world.k, world.loop
    reading, writing = os.pipe()
    reader, _ = await loop.connect_read_pipe(k.Protocol, open(reading, "rb"))
    writer, _ = await loop.connect_write_pipe(k.BaseProtocol,
                                              open(writing, "wb"))
    await k.sleep(0)
    show(world, reader, writer)
    reader.pause_reading()
    writer.write(bytes(1 << 20))
    show(world, reader, writer)
    writer.close()
    show(world, writer)
    writer.abort()
    reader.close()
    show(world, reader, writer)
    await k.sleep(0)
    show(world, reader, writer)


@shows
async def processes(world):
    k, loop = world.k, world.loop
    for pipes in ({}, {"stdin": subprocess.PIPE},
                  {"stdin": None, "stdout": None, "stderr": None}):
        transport, _ = await loop.subprocess_exec(
            k.SubprocessProtocol, sys.executable, "-c", "input()", **pipes)
        show(world, transport)
        transport.send_signal(signal.SIGKILL)
        await transport._wait()
        transport.close()
        world.note(re.sub(r"<_Unix(Read|Write)\S* [^>]*>", "PIPE",
                          re.sub(r"pid=\d+", "", repr(transport))))
    process = await k.create_subprocess_exec(
        sys.executable, "-c", "", stdout=subprocess.PIPE)
    show(world, process)
    await process.communicate()
    show(world, process, process.stdout)


@shows
async def streams(world):
    k = world.k
    reader = k.StreamReader()
    show(world, reader)
    reader.feed_data(b"xyz")
    show(world, reader)
    reader.feed_eof()
    show(world, reader)
    reader.set_exception(ValueError("told"))
    show(world, reader)
    reader = k.StreamReader(limit=7)
    waiting = k.create_task(reader.read())
    await k.sleep(0)
    world.note(re.sub(r"waiter=<.*>", "waiter", repr(reader)))
    reader.feed_eof()
    await waiting

    async def serve(reader, writer):
        show(world, reader, writer)
        writer.close()

    server = await k.start_server(serve, "127.0.0.1", 0)
    reader, writer = await k.open_connection(
        *server.sockets[0].getsockname())
    show(world, reader, writer)
    await reader.read()
    writer.close()
    await writer.wait_closed()
    show(world, reader, writer)
    server.close()


@shows
async def errors(world):
    k = world.k
    show(world, k.IncompleteReadError(b"x", 3),
         k.IncompleteReadError(b"", None), k.LimitOverrunError("told", 3),
         k.QueueEmpty(), k.QueueFull("x"),
         k.TimeoutError(), k.CancelledError("why"), k.InvalidStateError("x"),
         k.BrokenBarrierError(), k.SendfileNotAvailableError("x"))
    show(world, *(kind for kind in (k.FIRST_COMPLETED, k.ALL_COMPLETED)))


@pytest.mark.parametrize("name", SHOWS)
def test_reprs(name):
    def program(world):
        world.loop.run_until_complete(SHOWS[name](world))

    assert len(same(program)) > 1


@pytest.mark.parametrize("name", ["is_running", "is_closed", "get_debug"])
def test_a_loop_that_cannot_tell(name):
    def fail(self):
        raise LookupError(name)
    for base in (asyncio.SelectorEventLoop, ouro.Loop):
        kind = type("Loop", (base,), {})
        loop = kind()
        setattr(kind, name, fail)
        with pytest.raises(LookupError, match=name):
            repr(loop)
        delattr(kind, name)
        loop.close()


def test_a_runner():
    def program(world):
        make = type(world.loop)
        asyncio.set_event_loop(None)
        runner = world.k.Runner(loop_factory=make)
        world.note(runner)
        with runner:
            world.note(runner.get_loop())
            runner.run(body())
            world.note(runner)
        world.note(runner)

    same(program)


def test_tls_transports():
    """(Their class has asyncio's name, but is ours.)"""
    async def over_tls(world):
        k, loop = world.k, world.loop
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        server = await loop.create_server(k.Protocol, "127.0.0.1", 0,
                                          ssl=context)
        client = ssl.create_default_context(cafile=PEM)
        transport, _ = await loop.create_connection(
            k.Protocol, *server.sockets[0].getsockname(), ssl=client,
            server_hostname="localhost")
        show(world, transport)
        transport.close()
        show(world, transport)
        server.close()

    same(lambda world: world.loop.run_until_complete(over_tls(world)))
