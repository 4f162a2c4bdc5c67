"""What may be relied on about descriptors, and about what is written.

Level or edge, whose descriptor a number is, and when gathered writes leave.
"""

import asyncio
import gc
import os
import pty
import socket
import tempfile

import pytest

import ouro


@pytest.fixture(params=[asyncio.SelectorEventLoop, ouro.Loop],
                ids=["asyncio", "ouro"])
def loop(request):
    loop = request.param()
    yield loop
    loop.close()


def run(loop, coroutine):
    return loop.run_until_complete(asyncio.wait_for(coroutine, 120))


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setblocking(False)
    server.setblocking(False)
    return client, server


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


class Collect(asyncio.Protocol):
    def __init__(self):
        self.received = bytearray()
        self.transport = None
        self.ended = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data

    def connection_lost(self, exc):
        self.ended = True


async def connected(loop, sock, kind=Collect):
    return await loop.create_connection(kind, sock=sock)


# Reading: nothing that is there is left behind.


@pytest.mark.parametrize("family", ["tcp", "unix", "pipe", "pty"])
def test_a_reader_may_read_partially(loop, family):
    """add_reader() tells again as long as there is something."""
    if family == "tcp":
        ours, theirs = (sock.detach() for sock in tcp_pair())
    elif family == "unix":
        ours, theirs = (sock.detach() for sock in socket.socketpair())
    elif family == "pipe":
        ours, theirs = os.pipe()
    else:
        theirs, ours = pty.openpty()
    got = []

    async def main():
        done = loop.create_future()

        def read():
            got.append(os.read(ours, 1))
            if len(got) == 20:
                loop.remove_reader(ours)
                done.set_result(None)
        loop.add_reader(ours, read)
        os.write(theirs, b"0123456789")
        await until(lambda: len(got) == 10 or family == "pty")
        os.write(theirs, b"abcdefghi\n")
        await done
    try:
        run(loop, main())
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"".join(got) == b"0123456789abcdefghi\n"


@pytest.mark.parametrize("family", ["tcp", "unix"])
@pytest.mark.parametrize("end", [False, True])
def test_short_reads_lose_nothing(loop, family, end):
    """Pieces, pauses, urgent data and an end that comes with the last."""
    async def main():
        ours, theirs = tcp_pair() if family == "tcp" else socket.socketpair()
        transport, protocol = await connected(loop, ours)
        sent = 0
        for i in range(30):
            if i % 7 == 3:
                transport.pause_reading()
            if i % 11 == 5 and family == "tcp":
                theirs.send(b"urgent!", socket.MSG_OOB)
                sent += 6       # the last byte is the urgent one
            theirs.send(b"piece")
            sent += 5
            if i % 5 == 0:
                await asyncio.sleep(0)
            transport.resume_reading()
        if end:
            theirs.close()
            await until(lambda: protocol.ended)
        else:
            await until(lambda: len(protocol.received) >= sent)
        # (Urgent bytes whose place was taken by the next come in line.)
        assert protocol.received.count(b"piece") == 30
        transport.close()
        theirs.close()
        await until(lambda: protocol.ended)
    run(loop, main())


def test_descriptors_over_a_unix_socket(loop):
    """A read ends short at passed descriptors, with more behind them."""
    async def main():
        ours, theirs = socket.socketpair()
        transport, protocol = await connected(loop, ours)
        theirs.send(b"before")
        socket.send_fds(theirs, [b"with"], [theirs.fileno()])
        theirs.send(b"after")
        await until(lambda: len(protocol.received) == 15)
        assert protocol.received == b"beforewithafter"
        transport.close()
        theirs.close()
    run(loop, main())


def test_regular_files_are_refused(loop):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        with pytest.raises(PermissionError):
            loop.add_writer(file.fileno(), print)
    # And nothing of it is left.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        loop.add_reader(ours, loop.stop)
        loop.run_forever()
        loop.remove_reader(ours)


def test_a_listener_that_accepts_part_of_its_queue(loop):
    """sock_accept() takes one at a time; the others stay."""
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            clients = [socket.create_connection(listener.getsockname())
                       for _ in range(5)]
            for _ in clients:
                connection, _ = await loop.sock_accept(listener)
                connection.close()
            for client in clients:
                client.close()
    run(loop, main())


# A number is not an identity.


def test_a_number_that_is_used_again(loop):
    """What was watched under it gets nothing of its successor's."""
    async def main():
        calls = []
        for i in range(20):
            ours, theirs = socket.socketpair()
            number = ours.fileno()
            loop.add_reader(number, calls.append, i)
            theirs.send(b"x")
            loop.remove_reader(number)
            ours.close()
            again, other = socket.socketpair()
            done = loop.create_future()
            loop.add_reader(again, done.set_result, None)
            other.send(b"y")
            await done
            loop.remove_reader(again)
            for sock in (theirs, again, other):
                sock.close()
        assert calls == []
    run(loop, main())


def test_sock_calls_on_numbers_that_are_used_again(loop):
    async def main():
        for i in range(30):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            if i % 2:
                theirs.send(b"left behind")
                await loop.sock_recv(ours, 4)
            task = loop.create_task(loop.sock_recv(ours, 100))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            ours.close()
            theirs.close()
            gc.collect()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            task = loop.create_task(loop.sock_recv(ours, 100))
            await asyncio.sleep(0)
            assert not task.done()
            theirs.send(b"new")
            assert await task == b"new"
    run(loop, main())


def test_a_duplicate_outlives_the_closed_one():
    """The kernel goes on reporting it; the loop must not spin or call."""
    loop = ouro.Loop()

    async def main():
        calls = []
        ours, theirs = socket.socketpair()
        duplicate = ours.dup()
        loop.add_reader(ours, calls.append, 1)
        ours.close()            # behind the loop's back
        theirs.send(b"x")
        await asyncio.sleep(0.01)
        del calls[:]
        third, fourth = socket.socketpair()
        done = loop.create_future()
        loop.add_reader(third, done.set_result, None)
        fourth.send(b"x")
        await done
        loop.remove_reader(third)
        for sock in (duplicate, theirs, third, fourth):
            sock.close()
    run(loop, main())
    loop.close()


# Writing: gathered, and sent at the latest when ...


def received_now(sock):
    try:
        return sock.recv(1 << 16)
    except BlockingIOError:
        return b""


FLUSHING = {
    "the job has ended": None,
    "write_eof": lambda loop, transport: transport.write_eof(),
    "close": lambda loop, transport: transport.close(),
    "abort": lambda loop, transport: transport.abort(),
    "get_extra_info": lambda loop, transport: transport.get_extra_info(
        "socket"),
    "get_write_buffer_size": lambda loop, transport:
        transport.get_write_buffer_size(),
    "set_write_buffer_limits": lambda loop, transport:
        transport.set_write_buffer_limits(1000),
    "the high-water mark": lambda loop, transport:
        transport.write(bytes(80_000)),
}


@pytest.mark.parametrize("how", FLUSHING)
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_writes_leave(loop, family, how):
    async def main():
        ours, theirs = tcp_pair() if family == "tcp" else socket.socketpair()
        theirs.setblocking(False)
        transport, _ = await connected(loop, ours)
        transport.write(b"one")
        transport.writelines([b"two", bytearray(b"three")])
        if FLUSHING[how] is None:
            await asyncio.sleep(0)
        else:
            FLUSHING[how](loop, transport)
        # On the loopback interface what was sent has arrived.
        assert received_now(theirs).startswith(b"onetwothree")
        transport.abort()
        theirs.close()
        await asyncio.sleep(0)
    run(loop, main())


def test_writes_leave_before_the_loop_stops(loop):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = run(loop, connected(loop, ours))

    def write():
        transport.write(b"data")
        loop.stop()
    loop.call_soon(write)
    loop.run_forever()
    assert received_now(theirs) == b"data"
    transport.write(b"outside")     # no job: for the next turn, or at once
    transport.abort()
    run(loop, asyncio.sleep(0))
    assert received_now(theirs) == b"outside"
    theirs.close()


def test_writes_leave_before_an_exception_does(loop):
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = run(loop, connected(loop, ours))

    def write():
        transport.write(b"data")
        raise KeyboardInterrupt
    loop.call_soon(write)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert received_now(theirs) == b"data"
    transport.abort()
    run(loop, asyncio.sleep(0))
    theirs.close()


@pytest.mark.parametrize("kind", ["bytearray", "memoryview", "derived"])
def test_only_bytes_are_kept_by_reference(loop, kind):
    """What its owner can change is sent or copied inside write()."""
    async def main():
        ours, theirs = socket.socketpair()
        transport, _ = await connected(loop, ours)
        for size in (10, 100_000):
            raw = bytearray(b"a" * size)
            data = {"bytearray": raw, "memoryview": memoryview(raw),
                    "derived": type("B", (bytes,), {})(raw)}[kind]
            transport.write(data)
            raw[:] = b"b" * size
            got = bytearray()
            while len(got) < size:
                await asyncio.sleep(0)
                theirs.setblocking(False)
                got += received_now(theirs)
            # (What asyncio could not send at once may be a view.)
            if size == 10:
                assert got == b"a" * size
        transport.abort()
        theirs.close()
        await asyncio.sleep(0)
    run(loop, main())


def test_order_of_writes_is_kept(loop):
    async def main():
        ours, theirs = tcp_pair()
        transport, _ = await connected(loop, ours)
        wanted = bytearray()
        got = bytearray()
        for i in range(300):
            piece = bytes([i % 256]) * (1, 7, 500, 17_000)[i % 4]
            wanted += piece
            transport.write(piece if i % 3 else bytearray(piece))
            if i % 10 == 9:
                await asyncio.sleep(0)
                got += received_now(theirs)
        while len(got) < len(wanted):
            await asyncio.sleep(0)
            got += received_now(theirs)
        assert got == wanted
        transport.abort()
        theirs.close()
        await asyncio.sleep(0)
    run(loop, main())
