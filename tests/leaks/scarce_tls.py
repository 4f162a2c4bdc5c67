"""TLS over a pair of sockets."""

import asyncio
import contextlib
import socket

import tlskeys
from scarce_table import scenario


async def accept_tls(sock):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(
        asyncio.Protocol, sock, ssl=tlskeys.SERVER)
    return transport


async def talk_tls(begin, when, one, other):
    if when == "handshake":
        begin()
    (reader, writer), peer = await asyncio.gather(
        asyncio.open_connection(sock=one, ssl=tlskeys.CLIENT,
                                server_hostname="localhost"),
        accept_tls(other))
    if when == "data":
        begin()
    peer.write(b"line\n")
    await reader.readline()
    writer.write(b"x" * 100)
    if when == "close":
        begin()
    writer.close()
    await writer.wait_closed()


async def over_tls(*args):
    one, other = socket.socketpair()
    try:
        async with asyncio.timeout(5):
            await talk_tls(*args, one, other)
    except (OSError, TimeoutError):
        pass    # what an alert of the other side's comes to
    finally:
        for sock in one, other:     # which belong to transports, or to nobody
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def tls_handshake(loop, begin):
    loop.run_until_complete(over_tls(begin, "handshake"))


scenario(tls_handshake, 300)


@scenario
def tls_data(loop, begin):
    loop.run_until_complete(over_tls(begin, "data"))


@scenario
def tls_close(loop, begin):
    loop.run_until_complete(over_tls(begin, "close"))
