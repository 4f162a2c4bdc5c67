"""Transports of pipes, compared with asyncio's."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import io
import os
import pty
import socket
import tty
import weakref

import pytest
from networlds import (
    WORLDS,
    Recorder,
    StockLoop,
    in_all_worlds,
    run,
    same,
    until,
)

import ouro


def pipe():
    """Both ends of a pipe, as file objects."""
    readable, writable = os.pipe()
    return open(readable, "rb", 0), open(writable, "wb", 0)


async def read_end(loop, protocol, file):
    transport, got = await loop.connect_read_pipe(lambda: protocol, file)
    assert got is protocol
    return transport


async def write_end(loop, protocol, file):
    transport, got = await loop.connect_write_pipe(lambda: protocol, file)
    assert got is protocol
    return transport


async def read_some(fd, size=1 << 16):
    """os.read() by polling."""
    os.set_blocking(fd, False)
    while True:
        with contextlib.suppress(BlockingIOError):
            return os.read(fd, size)
        await asyncio.sleep(0.001)


async def read_all(fd):
    data = bytearray()
    while more := await read_some(fd):
        data += more
    return bytes(data)


# ---- reading ----------------------------------------------------------------

@in_all_worlds
async def test_read_life(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log)
    transport = await read_end(loop, protocol, readable)
    log.append((transport.is_closing(), transport.is_reading(),
                transport.get_protocol() is protocol,
                transport.get_extra_info("pipe") is readable,
                transport.get_extra_info("no", 5), transport._paused,
                os.get_blocking(readable.fileno())))
    writable.write(b"hello")
    await until(lambda: protocol.received == b"hello")
    transport.close()
    transport.close()
    log.append((transport.is_closing(), transport.is_reading()))
    await protocol.lost
    log.append((readable.closed, transport.get_protocol(), transport._pipe,
                transport._loop))
    writable.close()


@in_all_worlds
async def test_read_eof(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log, eof=True)      # which keeps nothing open
    transport = await read_end(loop, protocol, readable)
    writable.write(b"last")
    writable.close()
    log.append(await protocol.lost)
    log.append((bytes(protocol.received), transport.is_closing(),
                readable.closed))
    transport.pause_reading()
    transport.resume_reading()
    transport.close()


@in_all_worlds
async def test_read_pause(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log)
    transport = await read_end(loop, protocol, readable)
    transport.pause_reading()
    transport.pause_reading()
    log.append(transport.is_reading())
    writable.write(b"later")
    for _ in range(5):
        await asyncio.sleep(0)
    log.append(bytes(protocol.received))
    transport.resume_reading()
    transport.resume_reading()
    log.append(transport.is_reading())
    await until(lambda: protocol.received == b"later")
    transport.close()
    transport.pause_reading()
    await protocol.lost
    writable.close()


@in_all_worlds
async def test_read_paused_before_made(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log, made=lambda p: p.transport.pause_reading())
    writable.write(b"x")
    transport = await read_end(loop, protocol, readable)
    await asyncio.sleep(0.01)
    log.append((bytes(protocol.received), transport.is_reading()))
    transport.resume_reading()
    await until(lambda: protocol.received)
    transport.close()
    await protocol.lost
    writable.close()


@in_all_worlds
async def test_read_pieces(loop, log):
    """No more than 256 KiB at a time."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 400_000:
            sent += theirs.send(bytes(50_000))
    sizes = []

    class Sizes(Recorder):
        def data_received(self, data):
            sizes.append(len(data))
            self.received += data
    protocol = Sizes(log)
    transport = await read_end(loop, protocol, ours)
    await until(lambda: len(protocol.received) == sent)
    log.append(max(sizes) <= 256 * 1024)
    transport.close()
    await protocol.lost
    theirs.close()


@pytest.mark.parametrize("what", ["data", "eof", "made", "lost"])
def test_protocol_raises(what):
    async def scenario(loop, log):
        readable, writable = pipe()
        protocol = Recorder(log, **{what: ZeroDivisionError("x")})
        await read_end(loop, protocol, readable)
        writable.write(b"a")
        await until(lambda: protocol.received)
        writable.write(b"b")
        await until(lambda: len(protocol.received) == 2)
        writable.close()
        await protocol.lost
        await until(lambda: readable.closed)
    same(scenario)


def test_read_error():
    """A tty whose other side is gone says EIO, which is no news."""
    async def scenario(loop, log):
        main, other = pty.openpty()
        protocol = Recorder(log)
        await read_end(loop, protocol, open(main, "rb", 0))
        os.close(other)
        error = await protocol.lost
        log.append((type(error), error.errno))
    assert OSError in [entry[0] for entry in same(scenario)
                       if isinstance(entry, tuple)]


@in_all_worlds
async def test_read_error_reported(loop, log):
    directory = os.open("/", os.O_RDONLY)
    readable, writable = pipe()
    protocol = Recorder(log)
    await read_end(loop, protocol, readable)
    os.dup2(directory, readable.fileno())
    protocol.transport._read_ready()        # EISDIR
    log.append(type(await protocol.lost))
    os.close(directory)
    writable.close()


@in_all_worlds
async def test_turns(loop, log):
    """In which turn each step comes."""
    readable, writable = pipe()
    reading, writing = Recorder(log, "r"), Recorder(log, "w")
    turns = 0

    def tick():
        nonlocal turns
        turns += 1
        log.append(("turn", turns))
        if turns < 12:
            loop.call_soon(tick)
    first, second = loop.create_future(), loop.create_future()
    first.add_done_callback(lambda _: log.append("first"))
    second.add_done_callback(lambda _: log.append("second"))
    loop.call_soon(tick)
    one = loop._make_read_pipe_transport(readable, reading, first)
    loop.call_soon(log.append, "between")
    two = loop._make_write_pipe_transport(writable, writing, second)
    loop.call_soon(log.append, "after making")
    await first
    await second
    log.append("awaited")
    one.close()
    two.close()
    loop.call_soon(log.append, "after closing")
    await reading.lost
    log.append("lost awaited")
    await until(lambda: turns == 12)


@in_all_worlds
async def test_contexts(loop, log):
    """In which context the protocol is called."""
    var = contextvars.ContextVar("var", default="none")
    readable, writable = pipe()

    class Protocol(Recorder):
        def _note(self, what, *details):
            super()._note(what, *details, var.get())
    protocol = Protocol(log)
    var.set("maker")
    transport = await read_end(loop, protocol, readable)
    var.set("later")
    writable.write(b"x")
    await until(lambda: protocol.received)
    transport.pause_reading()
    transport.resume_reading()
    writable.write(b"y")
    await until(lambda: len(protocol.received) == 2)
    var.set("close")
    transport.close()
    await protocol.lost
    writable.close()


# ---- writing ----------------------------------------------------------------

@in_all_worlds
async def test_write_life(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, writable)
    log.append((transport.is_closing(), transport.can_write_eof(),
                transport.get_write_buffer_limits(),
                transport.get_extra_info("pipe") is writable,
                transport._conn_lost, transport._protocol_paused))
    transport.write(b"one ")
    transport.write(bytearray(b"two "))
    transport.write(memoryview(b"three "))
    transport.write(b"")
    transport.writelines([b"four ", b"five"])
    log.append(await read_some(readable.fileno()))
    transport.write(b"end")
    transport.write_eof()
    transport.write_eof()
    log.append(transport.is_closing())
    await protocol.lost
    log.append((await read_all(readable.fileno()), writable.closed,
                transport._pipe))
    transport.close()
    readable.close()


@in_all_worlds
async def test_write_much(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, writable)
    transport.set_write_buffer_limits(high=100_000, low=10)
    data = os.urandom(300_000)
    transport.write(data)
    log.append((transport.get_write_buffer_size(),
                transport._protocol_paused))
    transport.write(b"x" * 50)
    transport.close()
    log.append((transport.is_closing(), transport.get_write_buffer_size()))
    got = await read_all(readable.fileno())
    log.append((got == data + b"x" * 50, await protocol.lost))
    readable.close()


@in_all_worlds
async def test_write_resumes_when_empty(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log, resume=lambda p: p.transport.write(b"answer"))
    transport = await write_end(loop, protocol, writable)
    transport.set_write_buffer_limits(high=10)
    transport.write(bytes(200_000))
    data = bytearray()
    while len(data) < 200_006:
        data += await read_some(readable.fileno(), 30_000)
    log.append(bytes(data[-6:]))
    transport.close()
    await protocol.lost
    readable.close()


@in_all_worlds
async def test_closed_while_writing(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log, resume=lambda p: p.transport.close())
    transport = await write_end(loop, protocol, writable)
    transport.set_write_buffer_limits(high=10)
    transport.write(bytes(100_000))
    transport.abort()
    log.append((transport.get_write_buffer_size(), transport.is_closing()))
    log.append(await protocol.lost)
    readable.close()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("waiting", [False, True])
def test_peer_closes(kind, waiting):
    async def scenario(loop, log):
        if kind == "pipe":
            readable, writable = pipe()
        else:
            readable, writable = socket.socketpair()
        protocol = Recorder(log)
        transport = await write_end(loop, protocol, writable)
        if waiting:
            transport.write(bytes(1_000_000))
        readable.close()
        log.append(type(await protocol.lost))
        for _ in range(7):
            transport.write(b"lost")
        log.append((transport._conn_lost, transport.is_closing()))
        transport.close()
    same(scenario)


@in_all_worlds
async def test_broken_pipe(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, writable)
    readable.close()
    transport.write(b"x")
    log.append(type(await protocol.lost))
    for _ in range(6):
        transport.write(b"y")


@in_all_worlds
async def test_bad_data(loop, log):
    readable, writable = pipe()
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, writable)
    for data in ["text", None, [1], 5]:
        with pytest.raises(AssertionError) as caught:
            transport.write(data)
        log.append(str(caught.value))
    for wrong in [lambda: transport.write(),
                  lambda: transport.write(b"", b""),
                  lambda: transport.set_write_buffer_limits(high=1, low=2)]:
        with pytest.raises((TypeError, ValueError)) as caught:
            wrong()
        log.append(str(caught.value))
    transport.write(memoryview(b"abcdef")[::2])      # which os.write() refuses
    log.append(type(await protocol.lost))
    readable.close()


@in_all_worlds
async def test_written_before_an_abrupt_end(loop, log):
    reader, writer = pipe()
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, writer)

    def say_and_end():
        transport.write(b"last words")
        transport._close(ZeroDivisionError())

    loop.call_soon(say_and_end)
    log.append(await read_all(reader.fileno()))
    await protocol.lost
    reader.close()


@in_all_worlds
async def test_unfit_data_after_close(loop, log):
    """It is not looked at: what waits to be written is not harmed."""
    reader, writer = pipe()
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, writer)
    transport.write(bytes(200_000))
    transport.close()
    transport.write(memoryview(bytes(10))[::2])
    log.append(len(await read_all(reader.fileno())))
    await protocol.lost
    reader.close()


@in_all_worlds
async def test_packets(loop, log):
    """Each write() is a message, where messages are what is sent."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, ours)
    for number in range(3):
        transport.write(b"%d" % number)
    await asyncio.sleep(0)
    theirs.setblocking(False)
    log.append([theirs.recv(100) for _ in range(3)])
    transport.close()
    await protocol.lost
    theirs.close()


def test_atomic_pieces():
    """What is gathered stays within what a pipe takes in one piece."""
    readable, writable = os.pipe2(os.O_NONBLOCK)

    async def main(loop):
        protocol = Recorder([])
        transport = await write_end(loop, protocol, open(writable, "wb", 0))
        for number in range(9):
            transport.write(b"%d" % number * 1000)
        await asyncio.sleep(0)
        transport.close()
        await protocol.lost
        got = os.read(readable, 1 << 16)
        assert got == b"".join(b"%d" % n * 1000 for n in range(9))
    loop = ouro.Loop()
    loop.run_until_complete(main(loop))
    loop.close()
    os.close(readable)


# ---- both -------------------------------------------------------------------

# (asyncio's __del__ fails for what is no file.)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", ["connect_read_pipe",
                                    "connect_write_pipe"])
def test_unfit_files(method, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"data")

    async def scenario(loop, log):
        protocol = Recorder(log)
        with open(path, "r+b") as file:
            with pytest.raises(ValueError) as caught:
                await getattr(loop, method)(lambda: protocol, file)
            log.append((str(caught.value), file.closed))
        for wrong in [None, 3.5, io.BytesIO()]:
            with pytest.raises(
                    (AttributeError, ValueError, OSError)) as caught:
                await getattr(loop, method)(lambda: protocol, wrong)
            log.append(type(caught.value))
        with pytest.raises(ZeroDivisionError):
            await getattr(loop, method)(lambda: 1 / 0, None)
        with pytest.raises(TypeError) as caught:
            await getattr(loop, method)(lambda: protocol)
        log.append(str(caught.value))
    same(scenario)


@in_all_worlds
async def test_reprs(loop, log):
    readable, writable = pipe()
    reading, writing = Recorder(log, "r"), Recorder(log, "w")
    one = await read_end(loop, reading, readable)
    two = await write_end(loop, writing, writable)

    def note():
        text = repr(one) + repr(two)
        log.append(text.replace(f"fd={one._fileno} ", "")
                       .replace(f"fd={two._fileno} ", ""))
    note()
    one.pause_reading()
    two.write(bytes(100_000))
    note()
    one.resume_reading()
    one.close()
    two.close()
    note()
    await reading.lost
    await writing.lost
    note()


@in_all_worlds
async def test_tty(loop, log):
    """Reader and writer of one descriptor."""
    main, other = pty.openpty()
    tty.setraw(other)
    reading, writing = Recorder(log, "r"), Recorder(log, "w")
    one = await read_end(loop, reading, open(main, "rb", 0))
    two = await write_end(loop, writing, open(main, "wb", 0, closefd=False))
    two.write(b"down")
    log.append(await read_some(other))
    os.write(other, b"up")
    await until(lambda: reading.received == b"up")
    # More than a tty takes, so that both directions are watched.
    two.write(b"x" * 100_000)
    got = 0
    while got < 100_000:
        got += len(await read_some(other))
    os.write(other, b"!")
    await until(lambda: reading.received == b"up!")
    one.close()
    two.close()
    await writing.lost
    await reading.lost
    os.close(other)


@in_all_worlds
async def test_also_watched_by_the_user(loop, log):
    """add_writer() on the descriptor of a transport that reads it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    protocol = Recorder(log)
    transport = await read_end(loop, protocol, ours)
    writable = loop.create_future()

    def on_writable():
        loop.remove_writer(ours)
        writable.set_result(None)
    loop.add_writer(ours, on_writable)
    await writable
    theirs.send(b"data")
    await until(lambda: protocol.received == b"data")
    transport.close()
    await protocol.lost
    theirs.close()


@in_all_worlds
async def test_fifo(loop, log):
    name = f"/tmp/ouro-fifo-{os.getpid()}-{id(loop)}"
    os.mkfifo(name)
    try:
        reading, writing = Recorder(log, "r"), Recorder(log, "w")
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        one = await read_end(loop, reading, open(fd, "rb", 0))
        one.pause_reading()         # (nobody writes: that would be the end)
        two = await write_end(loop, writing, open(name, "wb", 0))
        two.write(b"through")
        one.resume_reading()
        await until(lambda: reading.received == b"through")
        two.close()
        await reading.lost
        await writing.lost
    finally:
        os.unlink(name)


@in_all_worlds
async def test_null(loop, log):
    """/dev/null cannot be watched, only written to."""
    protocol = Recorder(log)
    transport = await write_end(loop, protocol, open("/dev/null", "wb", 0))
    transport.write(b"into the void")
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_null_read(loop, log):
    protocol = Recorder(log)
    transport = await read_end(loop, protocol, open("/dev/null", "rb", 0))
    await asyncio.sleep(0)
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_unclosed(loop, log):
    readable, writable = pipe()
    transport = await read_end(loop, Recorder(log), readable)
    transport.pause_reading()           # and so nobody holds it
    del transport
    gc.collect()
    log.append(readable.closed)
    writable.close()


@pytest.mark.parametrize("end", ["read", "write"])
def test_cancelled_connecting(end):
    async def scenario(loop, log):
        readable, writable = pipe()
        protocol = Recorder(log)
        if end == "read":
            task = loop.create_task(read_end(loop, protocol, readable))
        else:
            task = loop.create_task(write_end(loop, protocol, writable))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocol.lost
        log.append((readable.closed, writable.closed))
        readable.close()
        writable.close()
    same(scenario)


@in_all_worlds
async def test_set_protocol(loop, log):
    readable, writable = pipe()
    first, second = Recorder(log, "first"), Recorder(log, "second")
    transport = await read_end(loop, first, readable)
    writable.write(b"a")
    await until(lambda: first.received)
    transport.set_protocol(second)
    writable.write(b"b")
    await until(lambda: second.received)
    writable.close()
    await second.lost


@in_all_worlds
async def test_streams(loop, log):
    readable, writable = pipe()
    reader = asyncio.StreamReader(loop=loop)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader, loop=loop), readable)
    flow, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop), writable)
    writer = asyncio.StreamWriter(flow, protocol, None, loop)
    for number in range(100):
        writer.write(b"line %d\n" % number)
        await writer.drain()
        log.append(await reader.readline())
    writer.write(bytes(300_000))
    drained = loop.create_task(writer.drain())
    log.append(len(await reader.readexactly(300_000)))
    await drained
    writer.close()
    log.append(await reader.read())


def test_armed_is_rooted():
    """Whom a pipe can still wake is not collected."""
    async def main(loop):
        readable, writable = pipe()
        protocol = Recorder([])
        got = weakref.ref(await read_end(loop, protocol, readable))
        ref = weakref.ref(protocol)
        del protocol
        gc.collect()
        writable.write(b"x")
        await until(lambda: ref().received)
        writable.close()
        await ref().lost
        gc.collect()
        assert got() is None
    loop = ouro.Loop()
    loop.run_until_complete(main(loop))
    loop.close()


@pytest.mark.parametrize("world", list(WORLDS))
def test_dropped_loop(world):
    """A loop that is dropped with a pipe open on it is garbage."""
    loop = WORLDS[world]()
    readable, writable = pipe()
    protocol = run_until(loop, readable)
    ref = weakref.ref(loop)
    with pytest.warns(ResourceWarning):
        del loop, protocol
        gc.collect()
    assert ref() is None
    assert readable.closed
    writable.close()


def run_until(loop, readable):
    async def main():
        protocol = asyncio.Protocol()
        await loop.connect_read_pipe(lambda: protocol, readable)
        return protocol
    return loop.run_until_complete(main())


def parameters(function):
    """Names and defaults; that self is positional only cannot be helped."""
    return [(each.name, each.default) for each in
            inspect.signature(function).parameters.values()]


def test_signatures():
    for name in ["_UnixReadPipeTransport", "_UnixWritePipeTransport"]:
        mine = getattr(ouro._ouro, name)
        theirs = getattr(asyncio.unix_events, name)
        assert issubclass(mine, theirs.__bases__[-1])
        for attribute, value in vars(theirs).items():
            if not attribute.startswith("_"):
                got = getattr(mine, attribute)
                assert (parameters(got) == parameters(value)
                        if callable(value) else got == value)
    for name in ["connect_read_pipe", "connect_write_pipe",
                 "_make_read_pipe_transport", "_make_write_pipe_transport"]:
        assert (parameters(getattr(ouro.Loop, name))
                == parameters(getattr(StockLoop, name)))


def test_stock_is_compared():
    assert run(StockLoop, _nothing) == []


async def _nothing(loop, log):
    await asyncio.sleep(0)


def test_a_write_pipe_is_a_transport():
    async def scenario(loop, log):
        reader, writer = os.pipe()
        transport, _ = await loop.connect_write_pipe(
            asyncio.Protocol, os.fdopen(writer, "wb", 0))
        log.append([isinstance(transport, kind) for kind in (
            asyncio.WriteTransport, asyncio.ReadTransport,
            asyncio.Transport)])
        for method in "pause_reading", "resume_reading", "is_reading":
            with pytest.raises(NotImplementedError):
                getattr(transport, method)()
        transport.close()
        os.close(reader)
        await asyncio.sleep(0)
    same(scenario)
