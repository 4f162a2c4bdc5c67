"""loop.create_datagram_endpoint(), compared with asyncio's."""

import asyncio
import gc
import re
import socket

import pytest
from endpoints import (
    LOCALHOST,
    Quiet,
    endpoint,
    name_of,
    plain,
)
from networlds import in_all_worlds, same, until

# ---- making ---------------------------------------------------------------


class Fake:
    type = socket.SOCK_DGRAM

    def setblocking(self, flag):
        raise OSError("no blocking")

    def __repr__(self):
        return "<fake>"


def bad_calls():
    yield {}
    yield {"local_addr": LOCALHOST}
    yield {"local_addr": (LOCALHOST, 1, 2)}
    yield {"local_addr": [LOCALHOST, 0]}
    yield {"remote_addr": "x"}
    yield {"local_addr": (LOCALHOST, 0), "remote_addr": ("::1", 1)}
    yield {"local_addr": ("192.0.2.1", 0)}
    yield {"local_addr": (LOCALHOST, 0), "family": socket.AF_INET6}
    yield {"local_addr": (LOCALHOST, 0), "family": -5}
    yield {"local_addr": (LOCALHOST, 0), "proto": socket.IPPROTO_TCP}
    yield {"family": 12345}
    yield {"family": socket.AF_UNIX, "local_addr": (LOCALHOST, 0)}
    yield {"family": socket.AF_UNIX, "remote_addr": b"bytes"}
    yield {"family": socket.AF_UNIX, "remote_addr": "/nowhere/at/all"}
    yield {"sock": Fake()}
    yield {"sock": Fake(), "local_addr": (LOCALHOST, 0)}
    yield {"sock": Fake(), "family": 1, "proto": 2, "flags": 3}
    yield {"sock": Fake(), "reuse_port": True, "allow_broadcast": 1}
    yield {"sock": 7}
    yield {"reuse_address": True, "local_addr": (LOCALHOST, 0)}
    yield {"reuse_address": None}
    yield {"local_addr": ("nobody.invalid", 0)}
    yield {"local_addr": (LOCALHOST, "no-such-service")}


@pytest.mark.parametrize("options", list(bad_calls()), ids=repr)
def test_bad_calls(options, monkeypatch):
    real = socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        if host == "nobody.invalid":
            return []
        return real(host, *args, **kwargs)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def scenario(loop, log):
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: Quiet(log), **options)
        except Exception as exc:
            log.append(repr(exc))
        else:
            log.append("works")
            transport.close()
            await asyncio.sleep(0)
    same(scenario)


@in_all_worlds
async def test_stream_socket(loop, log):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        with ours, theirs:
            try:
                transport, protocol = await endpoint(
                    loop, log, local_addr=None, sock=ours)
            except ValueError as exc:
                log.append(re.sub(r"fd=\d+", "", str(exc)))
            else:
                theirs.send(b"packet")
                await until(lambda: protocol.count)
                transport.close()
                await protocol.lost


@in_all_worlds
async def test_options(loop, log):
    for options in ({}, {"reuse_port": True}, {"allow_broadcast": True}):
        transport, protocol = await endpoint(loop, log, **options)
        sock = transport.get_extra_info("socket")
        log.append([sock.getsockopt(socket.SOL_SOCKET, option)
                    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT,
                                   socket.SO_BROADCAST)])
        log.append((sock.gettimeout(), type(sock).__name__, sock.family,
                    sock.type))
        transport.close()
        await protocol.lost


@in_all_worlds
async def test_broadcast(loop, log):
    """To all on the loopback net: refused, if it is not allowed."""
    ours, protocol = await endpoint(loop, log, local_addr=("0.0.0.0", 0))
    address = "127.255.255.255", name_of(ours)[1]
    for options in ({}, {"allow_broadcast": True}):
        sending, sender = await endpoint(loop, log, "sender", **options)
        sending.sendto(b"to all", address)
        await until(lambda: ("sender", "error", "PermissionError") in log)
        await until(lambda wanted=options: not wanted or protocol.count)
        sending.close()
        await sender.lost
    ours.close()
    await protocol.lost


@in_all_worlds
async def test_a_port_for_two(loop, log):
    first, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, (LOCALHOST, 0), reuse_port=True)
    second, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, name_of(first), reuse_port=True)
    try:
        await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, name_of(first))
    except OSError as exc:
        log.append((exc.errno, re.sub(r"\d+", "N", str(exc))))
    first.close()
    second.close()
    await asyncio.sleep(0)


@in_all_worlds
async def test_given_socket(loop, log):
    sock = plain()
    transport, protocol = await endpoint(loop, log, local_addr=None,
                                         sock=sock)
    log.append((sock.gettimeout(), transport._sock is sock,
                transport.get_extra_info("sockname") == sock.getsockname()))
    with plain() as theirs:
        theirs.sendto(b"hello", name_of(transport))
        await until(lambda: protocol.count)
    transport.close()
    await protocol.lost
    log.append((sock.fileno(), transport._sock))


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
@in_all_worlds
async def test_ipv6(loop, log):
    try:
        one, p = await endpoint(loop, log, "1", local_addr=("::1", 0))
    except OSError:
        return
    seen = []
    p.datagram_received = lambda data, addr: seen.append(
        (data, addr == name_of(two), len(addr)))
    two, q = await endpoint(loop, log, "2", local_addr=("::1", 0))
    port = name_of(one)[1]
    for addr in (("::1", port), ("::1", port, 0), ("::1", port, 0, 0),
                 ("0:0::0:1", port), name_of(one)):
        two.sendto(b"data", addr)
        before = len(seen)
        await until(lambda: len(seen) > before)
    for addr in (("::1", port, 0, 0, 0), ("::1", port, -1),
                 ("::1", port, 1 << 20), ("127.0.0.1", port)):
        try:
            two.sendto(b"data", addr)
        except Exception as exc:
            log.append(repr(exc))
    log += seen
    for each in (one, two):
        each.close()
    await p.lost


@in_all_worlds
async def test_resolved(loop, log):
    """Names go by getaddrinfo(), which may be anybody's; the first pair that
    can be bound is taken."""
    async def resolve(host, port, **options):
        log.append((host, port, sorted(options.items())))
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (address, port))
                for address in ("192.0.2.1", "192.0.2.2", LOCALHOST)[
                    :3 if host == "name" else 1]] + [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port))]
    loop.getaddrinfo = resolve
    for name in ("name", "other"):
        try:
            transport, protocol = await endpoint(
                loop, log, local_addr=(name, 0), family=socket.AF_INET,
                flags=socket.AI_PASSIVE, proto=17)
        except OSError as exc:
            log.append(repr(exc))
        else:
            transport.close()
            await protocol.lost


@in_all_worlds
async def test_cancelled(loop, log):
    async def forever(*args, **options):
        await asyncio.Event().wait()
    transports = []
    loop.sock_connect = forever
    coroutine = loop.create_datagram_endpoint(
        lambda: Quiet(log), remote_addr=(LOCALHOST, 9))
    log.append(await _cancel(coroutine))
    del loop.sock_connect
    loop.getaddrinfo = forever
    log.append(await _cancel(loop.create_datagram_endpoint(
        lambda: Quiet(log), ("name", 9))))

    class Taken(Quiet):
        def connection_made(self, transport):
            super().connection_made(transport)
            transports.append(transport)
            task.cancel()
    task = loop.create_task(loop.create_datagram_endpoint(
        lambda: Taken(log), (LOCALHOST, 0)))
    try:
        await task
    except asyncio.CancelledError:
        log.append("cancelled")
    log.append(transports[0].is_closing())
    await asyncio.sleep(0.01)


async def _cancel(coroutine):
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        gc.collect()
        return "cancelled"


@in_all_worlds
async def test_factory_fails(loop, log):
    sock = plain()
    try:
        await loop.create_datagram_endpoint(
            lambda: 1 / 0, sock=sock)
    except ZeroDivisionError as exc:
        log.append(repr(exc))
    log.append(sock.fileno() != -1)
    sock.close()


@in_all_worlds
async def test_connection_made_raises(loop, log):
    transport, protocol = await endpoint(
        loop, log, answers={"made": ZeroDivisionError("in made")})
    with plain() as theirs:
        theirs.sendto(b"still received", name_of(transport))
        await until(lambda: protocol.count)
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_not_collected(loop, log):
    """An endpoint that nobody refers to goes on receiving."""
    name = name_of((await endpoint(loop, log))[0])
    gc.collect()
    with plain(name) as theirs:
        theirs.send(b"hello")
        await until(lambda: len(log) == 2)
    transport, = [each for each in gc.get_objects()
                  if type(each).__name__ == "_SelectorDatagramTransport"
                  and not each.is_closing()
                  and each.get_extra_info("sockname") == name]
    transport.close()
