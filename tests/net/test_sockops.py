"""sock_recv() and its like, compared with asyncio's."""

import asyncio
import errno
import gc
import os
import random
import socket
import ssl

import pytest
from networlds import (
    Recorder,
    connect,
    each_family,
    receive,
    same,
    socket_pair,
    until,
)

import ouro


@each_family
def test_recv(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        theirs.send(b"already there")
        log.append(await loop.sock_recv(ours, 7))
        log.append(await loop.sock_recv(ours, 100))
        task = loop.create_task(loop.sock_recv(ours, 100))
        await asyncio.sleep(0.01)
        log.append(task.done())
        theirs.send(b"later")
        log.append(await task)
        for i in range(5):
            theirs.send(b"%d" % i)
            log.append(await loop.sock_recv(ours, 1))
        theirs.close()
        log.append(await loop.sock_recv(ours, 100))
        log.append(await loop.sock_recv(ours, 100))
        ours.close()
    same(scenario)


@each_family
def test_recv_into(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        buffer = bytearray(10)
        task = loop.create_task(loop.sock_recv_into(ours, buffer))
        await asyncio.sleep(0.01)
        theirs.send(b"0123456789abc")
        log.append((await task, bytes(buffer)))
        log.append((await loop.sock_recv_into(ours, memoryview(buffer)[3:]),
                    bytes(buffer)))
        buffer.append(1)
        theirs.close()
        log.append(await loop.sock_recv_into(ours, buffer))
        ours.close()
    same(scenario)


@each_family
def test_sendall(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        log.append(await loop.sock_sendall(ours, b"small"))
        log.append(await loop.sock_sendall(ours, b""))
        log.append(await receive(loop, theirs, 5))
        blob = bytes(range(256)) * 40_000
        for data in (blob, bytearray(blob), memoryview(blob)):
            task = loop.create_task(loop.sock_sendall(ours, data))
            log.append(await receive(loop, theirs, len(blob)) == blob)
            log.append(await task)
        theirs.close()
        try:
            for _ in range(3):
                await loop.sock_sendall(ours, blob)
        except OSError as exc:
            log.append(type(exc).__mro__[1].__name__)
        ours.close()
    same(scenario)


@each_family
def test_both_directions_at_once(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        blob = bytes(5_000_000)

        async def read(sock):
            got = 0
            while got < len(blob):
                got += len(await loop.sock_recv(sock, 1 << 20))
            return got
        log.append(await asyncio.gather(
            loop.sock_sendall(ours, blob), loop.sock_sendall(theirs, blob),
            read(ours), read(theirs)))
        ours.close()
        theirs.close()
    same(scenario)


def test_accept():
    async def scenario(loop, log):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            task = loop.create_task(loop.sock_accept(listener))
            await asyncio.sleep(0.01)
            clients = [socket.create_connection(listener.getsockname())
                       for _ in range(3)]
            conns = [await task]
            for _ in range(2):
                conns.append(await loop.sock_accept(listener))
            for (conn, address), client in zip(conns, clients):
                log.append((address == client.getsockname(),
                            conn.gettimeout(), type(conn).__name__))
                conn.close()
                client.close()
    same(scenario)


def test_datagrams():
    async def scenario(loop, log):
        one, other = (socket.socket(type=socket.SOCK_DGRAM) for _ in "12")
        for sock in (one, other):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        names = [sock.getsockname() for sock in (one, other)]
        task = loop.create_task(loop.sock_recvfrom(one, 100))
        await asyncio.sleep(0.01)
        log.append(await loop.sock_sendto(other, b"first", names[0]))
        data, address = await task
        log.append((data, address == names[1]))
        for text in (b"second", b"", b"third and long"):
            log.append(await loop.sock_sendto(other, text, names[0]))
        data, address = await loop.sock_recvfrom(one, 100)
        log.append(data)
        buffer = bytearray(20)
        log.append((await loop.sock_recvfrom_into(one, buffer))[0])
        log.append((await loop.sock_recvfrom_into(one, buffer, 5))[0])
        log.append(bytes(buffer))
        task = loop.create_task(loop.sock_recvfrom_into(one, buffer))
        await asyncio.sleep(0.01)
        other.sendto(b"last", names[0])
        log.append((await task)[0])
        one.close()
        other.close()
    same(scenario)


def test_cancel_in_flight():
    """What is cancelled takes nothing of what comes later."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        for _ in range(5):
            task = loop.create_task(loop.sock_recv(ours, 100))
            await asyncio.sleep(0.005)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                log.append("cancelled")
            theirs.send(b"kept")
            await asyncio.sleep(0.005)
            log.append(await loop.sock_recv(ours, 100))
        blob = bytes(20_000_000)
        task = loop.create_task(loop.sock_sendall(ours, blob))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        log.append(task.cancelled())
        log.append(loop.remove_writer(ours))
        log.append(loop.remove_reader(ours))
        ours.close()
        theirs.close()
    same(scenario)


def test_numbers_are_used_again():
    """A new socket with the old one's number, and no event of the old."""
    async def scenario(loop, log):
        for i in range(20):
            ours, theirs = socket_pair("tcp" if i % 3 else "unix")
            task = loop.create_task(loop.sock_recv(ours, 10))
            await asyncio.sleep(0)
            theirs.send(b"%d" % i)
            log.append(await task)
            if i % 2:
                dup = ours.dup()        # keeps the registration alive
                ours.close()
                theirs.send(b"stray")
                await asyncio.sleep(0)
                dup.close()
            ours.close()
            theirs.close()
    same(scenario)


@each_family
def test_closed_after_the_event(family):
    """Whoever waits for it reads nothing from the number's next owner."""
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        first, second = socket_pair(family)
        heirs = []

        def close():
            loop.remove_reader(first)
            number = ours.fileno()
            ours.close()
            heirs.extend(socket_pair(family))
            log.append(number in [heir.fileno() for heir in heirs])
            for heir in heirs:
                heir.send(b"of somebody else")

        loop.add_reader(first, close)
        task = loop.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0.01)
        second.send(b"before")
        theirs.send(b"what is waited for")
        try:
            log.append(await task)
        except OSError as exc:
            log.append(exc.errno)
        for sock in (theirs, first, second, *heirs):
            sock.close()
    assert same(scenario) == [True, errno.EBADF]


@each_family
def test_closed_after_the_read(family):
    """What was received first is delivered."""
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        first, second = socket_pair(family)

        def close():
            loop.remove_reader(first)
            ours.close()

        loop.add_reader(first, close)
        task = loop.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0.01)
        theirs.send(b"received")
        second.send(b"after")
        log.append(await task)
        for sock in (theirs, first, second):
            sock.close()
    assert same(scenario) == [b"received"]


def test_messages_of_any_size():
    async def scenario(loop, log):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        for size in (1000, 200_000, 300_000):
            try:
                theirs.send(bytes(size))
            except OSError as exc:      # the system allows less
                log.append(exc.errno)
            else:
                log.append(len(await loop.sock_recv(ours, 1_000_000)))
        ours.close()
        theirs.close()
    same(scenario)


def test_numbers_too_large():
    async def scenario(loop, log):
        class Odd(socket.socket):
            def fileno(self):
                return 2**32 + theirs.fileno()

        ours, theirs = socket_pair("unix")
        odd = Odd(fileno=ours.detach())
        odd.setblocking(False)
        try:
            log.append(await asyncio.wait_for(loop.sock_recv(odd, 10), 60))
        except OverflowError as exc:
            log.append(str(exc))
        odd.close()
        theirs.close()
    same(scenario)


def test_handed_on():
    """The same descriptor for sock_*, for a reader, for a transport."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        task = loop.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        theirs.send(b"one")
        log.append(await task)
        ready = loop.create_future()
        loop.add_reader(ours, lambda: ready.done() or ready.set_result(1))
        theirs.send(b"two")
        await ready
        log.append(loop.remove_reader(ours))
        log.append(await loop.sock_recv(ours, 10))
        task = loop.create_task(loop.sock_recv(ours, 10))
        await asyncio.sleep(0)
        theirs.send(b"three")
        log.append(await task)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        try:
            await loop.sock_recv(ours, 10)
        except RuntimeError as exc:
            log.append(str(exc).partition(" <")[0].partition("is used")[2])
        theirs.send(b"four")
        await until(lambda: protocol.received)
        log.append(bytes(protocol.received))
        transport.close()
        await protocol.lost
        theirs.close()
    same(scenario)


@pytest.mark.parametrize("call", [
    lambda loop, sock: loop.sock_recv(sock, 0),
    lambda loop, sock: loop.sock_recv(sock, -1),
    lambda loop, sock: loop.sock_recv(sock, "1"),
    lambda loop, sock: loop.sock_recv(sock, 1.5),
    lambda loop, sock: loop.sock_recv(sock, None),
    lambda loop, sock: loop.sock_recv_into(sock, bytearray()),
    lambda loop, sock: loop.sock_recv_into(sock, b"read-only"),
    lambda loop, sock: loop.sock_recv_into(sock, None),
    lambda loop, sock: loop.sock_sendall(sock, "text"),
    lambda loop, sock: loop.sock_sendall(sock, None),
    lambda loop, sock: loop.sock_sendall(sock, memoryview(b"abcd")[::2]),
    lambda loop, sock: loop.sock_sendto(sock, "text", ("h", 1)),
    lambda loop, sock: loop.sock_sendto(sock, b"", None),
    lambda loop, sock: loop.sock_recvfrom(sock, "7"),
    lambda loop, sock: loop.sock_recvfrom_into(sock, b"read-only"),
    lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(2), 3),
    lambda loop, sock: loop.sock_accept(sock),
    lambda loop, sock: loop.sock_recv(7, 1),
    lambda loop, sock: loop.sock_recv(None, 1),
])
@pytest.mark.parametrize("family, empty", [
    ("tcp", False), ("tcp", True), ("unix", True)])
def test_bad_calls(call, family, empty):
    """Refused at once, also when the socket is known to have no bytes."""
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        if empty:
            task = loop.create_task(loop.sock_recv(ours, 100))
            await asyncio.sleep(0)
            theirs.send(b"all there is")
            log.append(await task)
        try:
            log.append(await asyncio.wait_for(call(loop, ours), 60))
        except Exception as exc:
            log.append((type(exc).__name__, str(exc)))
        theirs.send(b"unharmed")
        log.append(await loop.sock_recv(ours, 100))
        ours.close()
        theirs.close()
    same(scenario)


def test_closed_sockets():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        ours.close()
        theirs.close()
        for call in (loop.sock_recv(ours, 1), loop.sock_sendall(ours, b"x"),
                     loop.sock_recv_into(ours, bytearray(1)),
                     loop.sock_accept(ours)):
            try:
                await call
            except OSError as exc:
                log.append(repr(exc))
    same(scenario)


def test_ssl_sockets():
    async def scenario(loop, log):
        context = ssl.create_default_context()
        with socket.socket() as plain:
            sock = context.wrap_socket(plain, server_hostname="h",
                                       do_handshake_on_connect=False)
            for call in (lambda: loop.sock_recv(sock, 1),
                         lambda: loop.sock_recv_into(sock, bytearray(1)),
                         lambda: loop.sock_sendall(sock, b""),
                         lambda: loop.sock_accept(sock),
                         lambda: loop.sock_connect(sock, ("127.0.0.1", 1)),
                         lambda: loop.create_connection(asyncio.Protocol,
                                                        sock=sock),
                         lambda: loop.create_server(asyncio.Protocol,
                                                    sock=sock)):
                try:
                    await call()
                except TypeError as exc:
                    log.append(str(exc))
            sock.close()
    assert len(same(scenario)) == 7


def test_blocking_sockets_in_debug_mode():
    async def main():
        ours, theirs = socket_pair("tcp")
        ours.setblocking(True)
        for call in (loop.sock_recv(ours, 1), loop.sock_sendall(ours, b""),
                     loop.sock_accept(ours),
                     loop.sock_recv_into(ours, bytearray(1)),
                     loop.sock_connect(ours, ("127.0.0.1", 1))):
            with pytest.raises(ValueError,
                               match="the socket must be non-blocking"):
                await call
        ours.close()
        theirs.close()
    loop = ouro.Loop()
    loop.set_debug(True)
    loop.run_until_complete(main())
    loop.close()


def test_random_traffic():
    async def echo(loop, sock):
        with sock:
            while data := await loop.sock_recv(sock, 1 << 16):
                await loop.sock_sendall(sock, data)

    async def talk(loop, address, seed):
        rng = random.Random(seed)
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            for _ in range(30):
                message = rng.randbytes(rng.choice([1, 100, 5000, 200_000]))
                task = loop.create_task(loop.sock_sendall(sock, message))
                got = b""
                while len(got) < len(message):
                    if rng.random() < 0.1:
                        # Cancelled before it has begun: it takes nothing.
                        waiter = loop.create_task(
                            loop.sock_recv(sock, 1 << 16))
                        waiter.cancel()
                        await asyncio.wait([waiter])
                    got += await loop.sock_recv(sock, 1 << 16)
                assert got == message
                await task

    async def main(loop):
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            listener.setblocking(False)

            async def serve():
                while True:
                    sock, _ = await loop.sock_accept(listener)
                    servers.append(loop.create_task(echo(loop, sock)))
            servers = []
            server = loop.create_task(serve())
            await asyncio.gather(*(talk(loop, listener.getsockname(), i)
                                   for i in range(20)))
            server.cancel()
            await asyncio.gather(*servers)

    before = set(os.listdir("/proc/self/fd"))
    loop = ouro.Loop()
    loop.run_until_complete(asyncio.wait_for(main(loop), 60))
    loop.close()
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before
