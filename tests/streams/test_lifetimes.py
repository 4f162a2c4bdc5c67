"""What keeps a stream alive, and what lets it go."""

import asyncio
import gc
import socket
import sys
import warnings
import weakref

import pytest

import ouro

LOOPS = [ouro.Loop, asyncio.SelectorEventLoop]


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.__module__)
def loop(request):
    loop = request.param()
    yield loop
    loop.close()


def turns(loop, seconds=0.02):
    loop.run_until_complete(asyncio.sleep(seconds))


async def start(handler):
    server = await ouro.start_server(handler, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()


def test_who_waits_is_never_collected(loop):
    """Nobody holds the tasks, the readers or the writers but the socket."""
    got = []

    async def handler(reader, writer):
        writer.transport.get_extra_info("socket")
        del writer._protocol._task      # (asyncio holds it by the protocol)
        got.append(await reader.readline())
        got.append(await reader.readexactly(3))
        writer.close()

    server, address = loop.run_until_complete(start(handler))
    with socket.create_connection(address) as sock:
        turns(loop)
        for piece in b"li", b"ne\n", b"ab", b"c":
            gc.collect()
            sock.sendall(piece)
            turns(loop)
            gc.collect()
    turns(loop)
    assert got == [b"line\n", b"abc"]
    server.close()
    turns(loop)


def test_a_client_task_that_waits_is_never_collected(loop):
    got = []

    async def client(address):
        reader, writer = await ouro.open_connection(*address)
        got.append(await reader.readline())
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop.create_task(client(listener.getsockname()))
        turns(loop)
        peer, _ = listener.accept()
        with peer:
            gc.collect()
            turns(loop)
            peer.sendall(b"line\n")
            turns(loop)
    assert got == [b"line\n"]


def test_a_dropped_reader_is_collected(loop):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            reader, writer = await ouro.open_connection(
                *listener.getsockname())
            dropped = weakref.ref(reader)
            assert writer._protocol._stream_reader is reader
            writer._reader = None
            del reader
            gc.collect()
            assert dropped() is None
            assert writer._protocol._stream_reader is None
            writer.close()
            await writer.wait_closed()

    loop.run_until_complete(main())


def test_everything_goes_when_the_connection_does(loop):
    references = []
    handled = asyncio.Event()

    async def handler(reader, writer):
        references.extend(weakref.ref(it) for it in (
            reader, writer, writer._protocol))
        await reader.read()
        writer.close()
        handled.set()

    async def main():
        server, address = await start(handler)
        reader, writer = await ouro.open_connection(*address)
        references.extend(weakref.ref(it) for it in (
            reader, writer, writer._protocol))
        writer.close()
        await writer.wait_closed()
        await handled.wait()
        server.close()

    loop.run_until_complete(main())
    turns(loop)
    gc.collect()
    assert len(references) == 6
    assert [reference() for reference in references] == [None] * 6


def test_a_dropped_loop_takes_its_streams_along():
    """Nothing is rooted outside of the loop."""
    loop = ouro.Loop()
    references = []

    async def handler(reader, writer):
        references.append(weakref.ref(reader))
        references.append(weakref.ref(asyncio.current_task()))
        await reader.read()

    server, address = loop.run_until_complete(start(handler))
    with socket.create_connection(address):
        turns(loop)
        for task in ouro.all_tasks(loop):
            task._log_destroy_pending = False
        del task, server, loop
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # (they hold the transport)
            gc.collect()
            gc.collect()
    assert len(references) == 2
    assert [reference() for reference in references] == [None, None]


def test_a_reader_with_two_protocols(loop):
    """Only the last one feeds it, and keeps it alive."""
    reader = ouro.StreamReader(loop=loop)
    first = ouro.StreamReaderProtocol(reader, loop=loop)
    second = ouro.StreamReaderProtocol(reader, loop=loop)
    task = loop.create_task(reader.readline())
    turns(loop)
    dropped = weakref.ref(reader)
    third = ouro.StreamReaderProtocol(reader, loop=loop)
    del second, reader
    gc.collect()
    assert third._stream_reader is dropped() is not None
    first.data_received(b"one ")
    third.data_received(b"two\n")
    assert loop.run_until_complete(task) == b"one two\n"
    del task, third
    gc.collect()
    assert dropped() is None
    assert first._stream_reader is None


def test_protocols_that_outlive_and_do_not_outlive_their_reader(loop):
    for first in "reader", "protocol":
        parts = {"reader": ouro.StreamReader(loop=loop)}
        parts["protocol"] = ouro.StreamReaderProtocol(parts["reader"],
                                                      loop=loop)
        del parts[first]
        gc.collect()
        for part in parts.values():
            if first == "reader":
                part.data_received(b"x")
                part.connection_lost(None)
            else:
                part.feed_data(b"x")
                part.feed_eof()


def test_reference_cycles_with_a_parked_read(loop):
    """Only the cycle holds them: they go, without a crash."""
    for _ in range(20):
        reader = ouro.StreamReader(loop=loop)
        protocol = ouro.StreamReaderProtocol(reader, loop=loop)
        reader.mine = protocol, reader
        coroutine = reader.readline()
        waiter = coroutine.send(None)
        waiter.mine = coroutine, reader
        dropped = weakref.ref(reader)
        del reader, protocol, coroutine, waiter
        gc.collect()
        assert dropped() is None


def test_exceptions_that_leave_the_loop_lose_nothing():
    loop = ouro.Loop()
    got = []

    async def handler(reader, writer):
        while line := await reader.readline():
            got.append(line)
            if line == b"stop\n":
                raise KeyboardInterrupt

    server, address = loop.run_until_complete(start(handler))
    socks = [socket.create_connection(address) for _ in range(5)]
    turns(loop)
    for number, sock in enumerate(socks):
        sock.sendall(b"stop\nnever\n" if number == 2 else b"line\nmore\n")
    with pytest.raises(KeyboardInterrupt):
        turns(loop)
    turns(loop)
    turns(loop)
    assert sorted(got) == sorted([b"line\n", b"more\n"] * 4 + [b"stop\n"])
    for sock in socks:
        sock.close()
    turns(loop)
    server.close()
    loop.close()


def test_no_python_frame_but_the_programs_own():
    """From the socket to the coroutine, and back: C alone."""
    loop = ouro.Loop()
    frames = set()

    def profile(frame, event, arg):
        if event == "call":
            frames.add(frame.f_code.co_filename)

    async def handler(reader, writer):
        while True:
            writer.write(await reader.readexactly(5))
            await writer.drain()
            async for line in reader:
                writer.write(line)
                await writer.drain()
                if line == b"\n":
                    break

    async def client(address):
        reader, writer = await ouro.open_connection(*address)
        sys.setprofile(profile)
        for _ in range(20):
            writer.write(b"12345")
            await writer.drain()
            assert await reader.read(5) == b"12345"
            for line in b"one\n", b"two\n", b"\n":
                writer.write(line)
                assert await reader.readuntil(b"\n") == line
        sys.setprofile(None)
        writer.close()
        await writer.wait_closed()

    server, address = loop.run_until_complete(start(handler))
    try:
        loop.run_until_complete(client(address))
    finally:
        sys.setprofile(None)
    assert frames <= {__file__}
    server.close()
    turns(loop)
    loop.close()
