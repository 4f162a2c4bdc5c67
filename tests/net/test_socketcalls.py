"""Sockets and transports whose class somebody has changed."""

import asyncio
import pathlib
import socket
import ssl
import unittest.mock

import pytest
from networlds import Recorder, connect, in_all_worlds, same, socket_pair

PEM = pathlib.Path(__file__).parent / "localhost.pem"


class Counting(socket.socket):
    """Notes the calls that move data or make connections."""

    calls = ()

    def recv(self, *args):
        self.calls.add("recv")
        return super().recv(*args)

    def recv_into(self, *args):
        self.calls.add("recv_into")
        return super().recv_into(*args)

    def send(self, *args):
        self.calls.add("send")
        return super().send(*args)

    def sendmsg(self, *args):
        self.calls.add("sendmsg")
        return super().sendmsg(*args)

    def accept(self):
        self.calls.add("accept")
        return super().accept()


def counting(sock):
    sock = Counting(sock.family, sock.type, sock.proto, sock.detach())
    sock.setblocking(False)
    sock.calls = set()
    return sock


async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


def tls(side):
    context = ssl.SSLContext(side)
    if side is ssl.PROTOCOL_TLS_SERVER:
        context.load_cert_chain(PEM)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_subclass_of_socket_is_used_by_its_methods(secure):
    async def scenario(loop, log):
        listener = counting(socket.create_server(("127.0.0.1", 0)))
        server = await asyncio.start_server(
            echo, sock=listener,
            ssl=tls(ssl.PROTOCOL_TLS_SERVER) if secure else None)
        sock = counting(socket.socket())
        await loop.sock_connect(sock, listener.getsockname())
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls(ssl.PROTOCOL_TLS_CLIENT) if secure else None,
            server_hostname="localhost" if secure else None)
        writer.writelines([b"hel", b"lo\n"])
        log.append(await reader.read())
        writer.close()
        await writer.wait_closed()
        server.close()
        log.extend(sorted(sock.calls))
        log.extend(sorted(listener.calls))
    assert "accept" in same(scenario)


@in_all_worlds
async def test_a_patched_socket_class(loop, log):
    calls = set()
    recv = socket.socket.recv

    def spy(self, *args):
        calls.add("recv")
        return recv(self, *args)

    ours, theirs = socket_pair("tcp")
    with unittest.mock.patch("socket.socket.recv", spy):
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        theirs.send(b"hello")
        theirs.close()
        await protocol.lost
    transport.close()
    log.append((bytes(protocol.received), calls))


@in_all_worlds
async def test_get_extra_info_is_patched_on_a_base(loop, log):
    ours, theirs = socket_pair("tcp")
    protocol = Recorder(log)
    transport = await connect(loop, ours, protocol)
    for base in asyncio.Transport, asyncio.BaseTransport:
        with unittest.mock.patch.object(base, "get_extra_info") as patched:
            patched.return_value = "patched"
            log.append(transport.get_extra_info("sockname"))
            log.append(patched.call_args_list)
        with unittest.mock.patch.object(
                base, "get_extra_info",
                lambda self, name: (self is transport, name)):
            log.append(transport.get_extra_info("peername"))
    assert transport.get_extra_info("sockname") == ours.getsockname()
    transport.close()
    await protocol.lost
    theirs.close()
