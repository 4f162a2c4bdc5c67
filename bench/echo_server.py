"""An echo server on one implementation.  usage: echo_server.py IMPL KIND PORT

KIND: protocol | buffered (BufferedProtocol) | streams (readexactly) | lines
(readline) | sockets (sock_recv, sock_sendall) | datagrams (UDP).  The
environment has SIZE, the bytes of a request.  Prints "ready" when it listens.
"""

import os
import socket
import ssl
import sys

from implementations import asyncio, choose

SIZE = int(os.environ.get("SIZE", "1024"))
BUFFER = 1 << 18


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, count):
        self.transport.write(bytes(self.view[:count]))


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def serve_datagrams(port):
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", port))
    print("ready", flush=True)
    await asyncio.Event().wait()


async def echo_exactly(reader, writer):
    try:
        while True:
            writer.write(await reader.readexactly(SIZE))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def echo_lines(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def echo_socket(connection):
    loop = asyncio.get_running_loop()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while data := await loop.sock_recv(connection, BUFFER):
            await loop.sock_sendall(connection, data)


async def serve_sockets(port):
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)
    print("ready", flush=True)
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        task = loop.create_task(echo_socket(connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def tls():
    """The server's SSLContext, or None."""
    if "CERTIFICATE" not in os.environ:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["CERTIFICATE"])
    return context


async def main(kind, port):
    loop = asyncio.get_running_loop()
    at = ("127.0.0.1", port)
    options = {"backlog": 1024, "ssl": tls()}
    if kind == "protocol":
        server = await loop.create_server(Echo, *at, **options)
    elif kind == "buffered":
        server = await loop.create_server(BufferedEcho, *at, **options)
    elif kind == "streams":
        server = await asyncio.start_server(echo_exactly, *at, **options)
    elif kind == "lines":
        server = await asyncio.start_server(echo_lines, *at, **options)
    elif kind == "datagrams":
        return await serve_datagrams(port)
    else:
        return await serve_sockets(port)
    print("ready", flush=True)
    async with server:
        await asyncio.Event().wait()


if __name__ == "__main__":
    new_loop = choose(sys.argv[1])
    loop = new_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main(sys.argv[2], int(sys.argv[3])))
