"""Sockets, transports of each kind, servers and streams."""

import asyncio
import functools
import os
import socket

from scarce_table import in_loop, scenario, turns


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
