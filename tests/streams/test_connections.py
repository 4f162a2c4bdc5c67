"""Streams over sockets: the same on every combination of loop and streams.

A scenario runs in each world; asyncio's log of it is what is expected.
"""

import asyncio
import contextlib
import gc
import socket
import sys
import warnings

import pytest
from streamworlds import STOCK, WORLDS, run

SCENARIOS = []
LINES = [b"x" * (n % 50) + b"\n" for n in range(500)]


def scenario(function):
    SCENARIOS.append(function)
    return function


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_same_as_asyncio(name, scenario, debug):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (run(WORLDS[name], scenario, debug)
                == run(STOCK, scenario, debug))


@contextlib.asynccontextmanager
async def serving(streams, handler, **options):
    """A server and a client's (reader, writer)."""
    server = await streams.start_server(handler, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    reader, writer = await streams.open_connection(*address, **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def outcome(awaitable):
    """What comes of it, as text."""
    try:
        return repr(await awaitable)[:200]
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def echo(reader, writer):
    # (A peer that closes with something unread resets the connection.)
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
    writer.close()


async def turns(times=20):
    """Let the loop poll so many times."""
    for _ in range(times):
        await asyncio.sleep(0.001)


@scenario
async def lines(log, streams):
    async def handler(reader, writer):
        async for line in reader:
            writer.write(line)
            await writer.drain()
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        for line in LINES[:50]:
            writer.write(line)
            await writer.drain()
            assert await reader.readline() == line
        writer.writelines(LINES)
        got = [await reader.readline() for _ in LINES]
        writer.write_eof()
        log(await reader.read())
        log(reader.at_eof())
        return got == LINES


@scenario
async def pieces(log, streams):
    """A message comes a few bytes at a time."""
    async def handler(reader, writer):
        for piece in b"HEAD", b"ER\r", b"\n\r", b"\nbo", b"dy", b"--e", b"nd":
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        log(await reader.readuntil(b"\r\n\r\n"))
        log(await reader.readexactly(3))
        log(await reader.readuntil(b"--"))
        log(await outcome(reader.readexactly(4)))
        log(await outcome(reader.readline()))


@scenario
async def long_messages(log, streams):
    """Longer than the limit, and than what may be buffered."""
    async def handler(reader, writer):
        for _ in range(64):
            writer.write(b"l" * 1023)
            await writer.drain()
        writer.write(b"\n" + b"m" * 300_000 + b"\nshort\n" + b"n" * 500_000)
        await writer.drain()
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        log(len(await reader.readline()))
        log((await outcome(reader.readuntil(b"\n"))).partition(":")[0])
        log(len(await reader.readexactly(300_001)))
        log(await reader.readline())
        log(len(await reader.read()))


@scenario
async def long_line(log, streams):
    async def handler(reader, writer):
        writer.write(b"l" * 100 + b"\nshort\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async with serving(streams, handler, limit=50) as (reader, writer):
        log(await outcome(reader.readline()))
        await asyncio.sleep(0.01)
        log(await outcome(reader.readline()))
        log(repr(reader).partition(" transport")[0])


@scenario
async def everything(log, streams):
    async def handler(reader, writer):
        data = await reader.read()
        writer.write(data)
        await writer.drain()
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        data = bytes(range(256)) * 8000
        writer.write(data)
        writer.write_eof()
        log(await reader.read() == data)
        log(await reader.read())


@scenario
async def back_pressure(log, streams):
    """Who does not read is not sent to for ever; drain() waits for it."""
    go = asyncio.Event()

    async def handler(reader, writer):
        await go.wait()
        total = 0
        while data := await reader.read(100_000):
            total += len(data)
        writer.write(b"%d\n" % total)
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        sent = 0
        # (A wait in vain tells nothing if the process was stopped meanwhile.)
        while not writer._protocol._paused:
            with contextlib.suppress(asyncio.TimeoutError):
                while True:
                    writer.write(b"x" * 100_000)
                    sent += 100_000
                    await asyncio.wait_for(writer.drain(), 0.3)
            await turns()
        log(writer._protocol._paused)
        go.set()
        await writer.drain()
        writer.write_eof()
        log(int(await reader.readline()) == sent)


@scenario
async def pausing(log, streams):
    """More than twice the limit is buffered: the transport is paused."""
    async def handler(reader, writer):
        for _ in range(100):
            writer.write(b"x" * 10_000)
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    async with serving(streams, handler, limit=1000) as (reader, writer):
        while not reader._paused:
            await turns()
        await turns()
        log(reader._paused)
        log(writer.transport.is_reading())
        log(len(await reader.readexactly(1_000_000)))
        log(reader._paused)
        log(writer.transport.is_reading())
        writer.write_eof()
        log(await reader.read())


@scenario
async def half_closed(log, streams):
    async def handler(reader, writer):
        log(await reader.read())
        log(writer.can_write_eof())
        writer.write(b"still there")
        writer.close()
        await writer.wait_closed()
        log("closed")

    async with serving(streams, handler) as (reader, writer):
        writer.write(b"all")
        writer.write_eof()
        log(await reader.read())
        log(writer.is_closing())
        writer.close()
        log(writer.is_closing())
        log(await writer.wait_closed())
        log(await outcome(writer.drain()))


def reset(sock):
    """Close a connection the rude way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    b"\1\0\0\0\0\0\0\0")
    sock.close()


@scenario
async def connection_reset(log, streams):
    begun, done = asyncio.Event(), asyncio.Event()

    async def handler(reader, writer):
        log(await reader.readline())
        begun.set()
        log(await outcome(reader.readline()))
        log(await outcome(reader.read()))
        log(await outcome(writer.drain()))
        log(await outcome(writer.wait_closed()))
        done.set()

    server = await streams.start_server(handler, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.sendall(b"line\n")
        await begun.wait()
        await turns()
        reset(sock)
    await done.wait()
    server.close()


@scenario
async def writing_to_nobody(log, streams):
    """A loop of write() and drain() ends when the connection is lost."""
    async def handler(reader, writer):
        writer.transport.abort()

    async with serving(streams, handler) as (reader, writer):
        for _ in range(10_000):
            writer.write(b"x" * 1000)
            try:
                await writer.drain()
            except ConnectionError as error:
                log(isinstance(error, (ConnectionResetError,
                                       BrokenPipeError)))
                break
            await asyncio.sleep(0)
        else:
            log("never")


@scenario
async def failing_handlers(log, streams):
    async def raises(reader, writer):
        raise ZeroDivisionError("handler")

    async def is_cancelled(reader, writer):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    def raises_at_once(reader, writer):
        raise ZeroDivisionError("callback")

    def returns(reader, writer):
        writer.close()
        return 5

    for handler in raises, is_cancelled, raises_at_once, returns:
        log(handler.__name__)
        async with serving(streams, handler) as (reader, writer):
            await turns()
            # The exception is in a cycle with the frame of Handle._run(),
            # and may hold a writer that closes when it is collected.
            gc.collect()
            await turns()
            log(await outcome(asyncio.wait_for(reader.read(), 0.2)))


@scenario
async def two_readers(log, streams):
    async with serving(streams, echo) as (reader, writer):
        task = asyncio.ensure_future(reader.readline())
        await asyncio.sleep(0)
        for method in "read", "readline", "readuntil", "__anext__":
            log(await outcome(getattr(reader, method)()))
        log(await outcome(reader.readexactly(1)))
        writer.write(b"line\n")
        log(await task)


@scenario
async def a_reader_to_the_end(log, streams):
    """What has come is its own, also while it waits for the rest."""
    end = asyncio.Event()

    async def handler(reader, writer):
        writer.write(b"one\ntwo")
        await writer.drain()
        await end.wait()
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        task = asyncio.ensure_future(reader.read())
        await turns()
        for method in "read", "readline", "readuntil", "__anext__":
            log(await outcome(getattr(reader, method)()))
        for method in reader.read, reader.readexactly:
            log(await outcome(method(1)))
        log(await outcome(reader.read(0)))
        end.set()
        log(await task)


@scenario
async def cancelled_reads(log, streams):
    """What a reader that gives up has not taken is there for the next."""
    async def handler(reader, writer):
        for line in LINES[:200]:
            writer.write(line)
            await writer.drain()
            if len(line) % 7 == 0:
                await asyncio.sleep(0.001)
        writer.close()

    async with serving(streams, handler) as (reader, writer):
        got = []
        while len(got) < 200:
            try:
                got.append(await asyncio.wait_for(reader.readline(), 0.0007))
            except asyncio.TimeoutError:
                continue
        return got == LINES[:200]


@scenario
async def buffers_looked_at(log, streams):
    async with serving(streams, echo) as (reader, writer):
        buffer = reader._buffer
        writer.write(b"one\ntwo\nthree\n")
        log(await reader.readline())
        log(bytes(buffer))
        buffer.clear()
        writer.write(b"four\n")
        log(await reader.readline())
        log(buffer is reader._buffer)
        task = asyncio.ensure_future(reader.readexactly(5))
        await asyncio.sleep(0)
        buffer.extend(b"ab")
        writer.write(b"cde")
        log(await task)


@scenario
async def unix(log, streams):
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = await streams.start_unix_server(echo, path, limit=100)
        reader, writer = await streams.open_unix_connection(path, limit=90)
        log(reader._limit)
        writer.write(b"hello\n")
        log(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()


@scenario
async def information(log, streams):
    async with serving(streams, echo) as (reader, writer):
        log(writer.get_extra_info("peername")[0])
        log(writer.get_extra_info("nothing"))
        log(writer.get_extra_info("nothing", 5))
        log(writer.get_extra_info(name="sslcontext", default=7))
        log(writer.get_extra_info("socket").getpeername()[0])
        log(writer.transport is writer._transport)
        log(type(writer._complete_fut.result()))
        log(writer._protocol._stream_reader is reader)
        log(writer._protocol._stream_reader_wr() is reader)
        log([getattr(writer._protocol, name, "no such") for name in (
            "_client_connected_cb", "_task", "_over_ssl", "_paused",
            "_strong_reader", "_reject_connection", "_connection_lost",
            "_stream_writer")])
        log(list(writer._protocol._drain_waiters))
        log(writer._protocol._closed.done())


@scenario
async def refused_arguments(log, streams):
    for arguments, keywords in [
        (("127.0.0.1", 1), {}),
        (("127.0.0.1", 1), {"limit": 0}),
        (("127.0.0.1", 1), {"limit": "x"}),
        (("127.0.0.1", 1), {"nonsense": 1}),
        ((), {}),
        (("127.0.0.1",), {"port": 1, "ssl_handshake_timeout": 1}),
    ]:
        text = await outcome(streams.open_connection(*arguments, **keywords))
        log(text.replace("Loop.", "BaseEventLoop."))


@scenario
async def unclosed(log, streams):
    """Dropped streams are closed, and are warned of."""
    done = asyncio.Event()

    async def handler(reader, writer):
        log(await reader.read())
        writer.close()
        done.set()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        server = await streams.start_server(handler, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await streams.open_connection(*address)
        writer.write(b"said before")
        await writer.drain()
        del reader, writer
        gc.collect()
        if hasattr(asyncio.StreamWriter, "__del__"):
            await done.wait()
    server.close()
    log([str(warning.message)[:22] for warning in caught
         if "StreamWriter" in str(warning.message)])


@scenario
async def readers_dropped(log, streams):
    """Nobody holds the reader: what comes for it is dropped."""
    server = await streams.start_server(echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    writer = (await streams.open_connection(*address))[1]
    protocol = writer._protocol
    writer._reader = None
    gc.collect()
    log(protocol._stream_reader)
    writer.write(b"to nobody")
    await writer.drain()
    await asyncio.sleep(0.01)
    log(protocol.data_received(b"nor this"))
    writer.close()
    await writer.wait_closed()
    server.close()


def test_sync_callback_that_raises_closes_nothing_on_old_versions():
    # A guard for the scenario above: it tells versions apart.
    log = run(STOCK, failing_handlers)
    reported = [entry for entry in log if isinstance(entry, list)]
    assert len(reported) >= 1 or sys.version_info < (3, 11, 3)
