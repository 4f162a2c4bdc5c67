"""Transports, servers, streams, pipes, subprocesses."""

import asyncio
import asyncio.staggered
import contextlib
import os
import socket
import subprocess

import tlskeys
from table import loop, operation


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Once(asyncio.Protocol):
    def __init__(self):
        self.done = loop().create_future()

    def data_received(self, data):
        if not self.done.done():
            self.done.set_result(data)

    def connection_lost(self, error):
        if not self.done.done():
            self.done.set_result(error)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self):
        self.done = loop().create_future()
        self.buffer = bytearray(100)

    def get_buffer(self, size):
        return self.buffer

    def buffer_updated(self, size):
        if not self.done.done():
            self.done.set_result(size)


async def closed(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@operation(times=50, debug=True)
async def streams_socketpair():
    one, other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=one)
    _, peer = await asyncio.open_connection(sock=other)
    peer.write(b"line\nexact until|rest")
    peer.writelines([b"1", b"2"])
    await peer.drain()
    await reader.readline()
    await reader.readexactly(5)
    await reader.readuntil(b"|")
    await reader.read(3)
    peer.write_eof()
    await reader.read()
    writer.get_extra_info("socket"), repr(writer), repr(reader)
    await closed(writer)
    await closed(peer)


@operation(times=30)
async def streams_server():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await closed(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        writer.write(b"x\n")
        await reader.read()
        await closed(writer)


@operation(times=30)
async def streams_unix_server():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await closed(writer)

    path = f"/tmp/ouro-leaks-{os.getpid()}"
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x\n")
        await reader.read()
        await closed(writer)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@operation(times=50)
async def streams_limits():
    reader = asyncio.StreamReader(limit=4)
    reader.feed_data(b"123456789")
    with contextlib.suppress(ValueError):
        await reader.readline()
    reader.feed_eof()
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readexactly(100)
    waiting = asyncio.create_task(asyncio.StreamReader().read(1))
    await asyncio.sleep(0)
    waiting.cancel()


@operation(times=50, debug=True)
async def transport_socketpair():
    one, other = socket.socketpair()
    echo, _ = await loop().create_connection(Echo, sock=one)
    peer, once = await loop().create_connection(Once, sock=other)
    peer.write(b"x" * 100)
    await once.done
    peer.pause_reading()
    peer.resume_reading()
    peer.set_write_buffer_limits(10, 5)
    peer.get_write_buffer_size(), repr(peer), peer.get_extra_info("peername")
    peer.close()
    await asyncio.sleep(0)
    echo.abort()
    await asyncio.sleep(0.001)


@operation(times=50)
async def transport_buffered():
    one, other = socket.socketpair()
    transport, protocol = await loop().create_connection(Buffered, sock=one)
    other.send(b"x" * 10)
    await protocol.done
    transport.close()
    other.close()
    await asyncio.sleep(0)


@operation(times=50)
async def transport_back_pressure():
    one, other = socket.socketpair()
    other.setblocking(False)
    transport, _ = await loop().create_connection(Once, sock=one)
    transport.write(b"x" * 1_000_000)
    transport.write(bytearray(1_000))
    transport.abort()
    await asyncio.sleep(0)
    other.close()


@operation(times=30)
async def server():
    server = await loop().create_server(Echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    peer, once = await loop().create_connection(Once, *address)
    peer.write(b"x")
    await once.done
    peer.close()
    server.close()
    repr(server)
    await asyncio.sleep(0.001)


@operation(times=50)
async def connect_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError):
            await asyncio.open_connection(*unused.getsockname())


@operation(times=30)
async def datagram():
    receiver, _ = await loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    sender, _ = await loop().create_datagram_endpoint(
        asyncio.DatagramProtocol,
        remote_addr=receiver.get_extra_info("sockname"))
    sender.sendto(b"x")
    await asyncio.sleep(0.001)
    sender.close()
    receiver.close()
    await asyncio.sleep(0)


class Answers(asyncio.DatagramProtocol):
    """Answers, and is paused and resumed in the middle of a burst."""

    def connection_made(self, transport):
        self.transport = transport
        self.count = 0
        self.done = loop().create_future()

    def datagram_received(self, data, addr):
        self.count += 1
        self.transport.sendto(data, addr)
        self.transport.sendto(bytearray(data), ("localhost", addr[1]))
        if self.count == 20:
            self.transport.pause_reading()
            loop().call_soon(self.transport.resume_reading)
        if self.count == 39:
            self.done.set_result(None)


@operation(times=20, debug=True)
async def datagram_burst():
    transport, protocol = await loop().create_datagram_endpoint(
        Answers, local_addr=("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        for _ in range(40):
            peer.sendto(b"x", transport.get_extra_info("sockname"))
        await protocol.done
    repr(transport)
    repr(transport.get_extra_info("socket"))
    transport.close()
    await asyncio.sleep(0)


@operation(times=30, debug=True)
async def datagram_back_pressure():
    path = "\0ouro-%x" % os.getpid()
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind(path)
    transport, _ = await loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=path, family=socket.AF_UNIX)
    while transport.get_write_buffer_size() == 0:
        transport.sendto(b"x" * 1000)
    transport.sendto(memoryview(b"held"))
    peer.recv(2000)
    await asyncio.sleep(0)
    transport.abort()
    await asyncio.sleep(0)
    peer.close()


@operation(times=30)
async def datagram_errors():
    for options in ({}, {"local_addr": 1}, {"sock": 1},
                    {"local_addr": ("192.0.2.1", 0)}):
        with contextlib.suppress(Exception):
            await loop().create_datagram_endpoint(
                asyncio.DatagramProtocol, **options)
    transport, _ = await loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, ("127.0.0.1", 0))
    for arguments in ((7,), (b"x",), (b"x", 7), (b"x", ("127.0.0.1", -1))):
        with contextlib.suppress(TypeError, AttributeError):
            transport.sendto(*arguments)
    await asyncio.sleep(0)


async def fails():
    raise OSError


@operation(times=30, debug=True)
async def staggered():
    await asyncio.staggered.staggered_race(
        [fails, lambda: asyncio.sleep(10), fails,
         lambda: asyncio.sleep(0, 1)], 0.0001)
    race = asyncio.ensure_future(asyncio.staggered.staggered_race(
        [fails, lambda: asyncio.sleep(10), fails], None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    race.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await race


@operation(times=30)
async def pipes():
    read_end, write_end = os.pipe()
    reader, once = await loop().connect_read_pipe(
        Once, open(read_end, "rb", 0))
    writer, _ = await loop().connect_write_pipe(
        asyncio.Protocol, open(write_end, "wb", 0))
    writer.write(b"x")
    await once.done
    writer.close()
    reader.close()
    await asyncio.sleep(0)


@operation(times=10)
async def subprocess_exec():
    process = await asyncio.create_subprocess_exec(
        "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    await process.communicate(b"x")


# ---- TLS --------------------------------------------------------------------


async def tls_pair(protocol=Once, peer=Echo):
    """Two transports over TLS, and their protocols."""
    one, other = socket.socketpair()
    accepting = asyncio.ensure_future(loop().connect_accepted_socket(
        peer, other, ssl=tlskeys.SERVER))
    client = await loop().create_connection(
        protocol, sock=one, ssl=tlskeys.CLIENT, server_hostname="localhost")
    return *client, *await accepting


@operation(times=15, debug=True)
async def tls_protocols():
    client, once, server, _ = await tls_pair()
    client.write(b"x" * 100)
    client.writelines([b"y", bytearray(b"z")])
    await once.done
    client.get_extra_info("peercert"), client.get_extra_info("cipher")
    client.pause_reading()
    client.resume_reading()
    client.set_write_buffer_limits(10, 5)
    client.set_read_buffer_limits(10, 5)
    client.get_write_buffer_size(), client._ssl_protocol._write_backlog
    client.close()
    await asyncio.sleep(0.005)
    server.close()


@operation(times=15)
async def tls_buffered():
    client, buffered, server, _ = await tls_pair(Buffered)
    client.write(b"x" * 1000)
    await buffered.done
    client.abort()
    await asyncio.sleep(0.005)


@operation(times=15)
async def tls_streams():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        await closed(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0,
                                        ssl=tlskeys.SERVER)
    async with server:
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=tlskeys.CLIENT,
            server_hostname="localhost")
        writer.write(b"x\n")
        await reader.read()
        await closed(writer)


@operation(times=15)
async def tls_start():
    one, other = socket.socketpair()
    plain, protocol = await loop().create_connection(Once, sock=one)
    far, echo = await loop().create_connection(Echo, sock=other)
    starting = asyncio.ensure_future(loop().start_tls(
        far, echo, tlskeys.SERVER, server_side=True))
    transport = await loop().start_tls(plain, protocol, tlskeys.CLIENT,
                                       server_hostname="localhost")
    echo.transport = await starting
    transport.write(b"x")
    await protocol.done
    transport.close()
    await asyncio.sleep(0.005)


@operation(times=15)
async def tls_fails():
    one, other = socket.socketpair()
    connecting = asyncio.ensure_future(loop().create_connection(
        Once, sock=one, ssl=tlskeys.CLIENT, server_hostname="localhost"))
    await asyncio.sleep(0.001)
    other.send(b"this is not TLS")
    await asyncio.wait([connecting])
    connecting.exception()
    other.close()


@operation(times=100)
async def pipe_streams():
    """Both ends of a pipe, with flow control."""
    readable, writable = os.pipe()
    reader = asyncio.StreamReader()
    await loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader),
        open(readable, "rb", 0))
    transport, _ = await loop().connect_write_pipe(
        asyncio.Protocol, open(writable, "wb", 0))
    transport.write(b"a")
    transport.write(bytes(100_000))
    await reader.readexactly(100_001)
    transport.close()
    await reader.read()


@operation(times=100)
async def pipe_errors():
    """Files that are no pipes, and a peer that goes away."""
    with open(__file__, "rb") as file:
        with contextlib.suppress(ValueError):
            await loop().connect_read_pipe(asyncio.Protocol, file)
    readable, writable = os.pipe()
    transport, _ = await loop().connect_write_pipe(
        asyncio.Protocol, open(writable, "wb", 0))
    os.close(readable)
    transport.write(b"x")
    await asyncio.sleep(0)
    transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
