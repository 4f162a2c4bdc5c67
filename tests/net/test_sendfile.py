"""Sending files, compared with asyncio's way."""

import asyncio
import errno
import io
import os

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
from tlspeer import Peer, client_context

DATA = bytes(range(256)) * 8000


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as opened:
        yield opened


def sizes():
    return [(0, None), (0, 1000), (100, None), (100, 500_000),
            (len(DATA), None), (5, len(DATA))]


@each_family
@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("offset, count", sizes())
def test_socket(family, kind, offset, count, file):
    async def scenario(loop, log):
        source = file if kind == "file" else io.BytesIO(DATA)
        source.seek(0)
        ours, theirs = socket_pair(family)
        task = loop.create_task(
            loop.sock_sendfile(ours, source, offset, count))
        expected = DATA[offset:][:count]
        log.append(await receive(loop, theirs, len(expected)) == expected)
        log.append((await task, source.tell()))
        ours.close()
        theirs.close()
    assert same(scenario)[0] is True


@pytest.mark.parametrize("arguments", [
    {"offset": 2**70},
    {"offset": 2**63 - 1},
    {"count": 2**70},
    {"offset": 2**70, "count": 2**70},
], ids=str)
@pytest.mark.parametrize("fallback", [True, False])
def test_numbers_too_large(arguments, fallback, file):
    async def scenario(loop, log):
        file.seek(0)
        ours, theirs = socket_pair("tcp")
        try:
            log.append(await loop.sock_sendfile(ours, file, **arguments,
                                                fallback=fallback))
        except Exception as exc:
            log.append((type(exc).__name__, str(exc)))
        log.append(file.tell())
        ours.close()
        theirs.close()
    same(scenario)


@each_family
@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("offset, count", sizes())
def test_transport(family, kind, offset, count, file):
    """Between writes; what comes in meanwhile is delivered afterwards."""
    async def scenario(loop, log):
        source = file if kind == "file" else io.BytesIO(DATA)
        source.seek(0)
        ours, theirs = socket_pair(family)
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        transport.write(b"before")
        task = loop.create_task(
            loop.sendfile(transport, source, offset, count))
        expected = b"before" + DATA[offset:][:count]
        theirs.send(b"meanwhile")
        log.append(await receive(loop, theirs, len(expected)) == expected)
        log.append((await task, source.tell(), transport.is_reading(),
                    transport.get_protocol() is protocol))
        transport.write(b"after")
        log.append(await receive(loop, theirs, 5))
        await until(lambda: protocol.received)
        log.append(bytes(protocol.received))
        transport.close()
        await protocol.lost
        theirs.close()
    assert same(scenario)[0] is True


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("kind", ["tls", "pipe", "datagram", "none"])
def test_other_transports(kind, fallback, file):
    """Over TLS by reading and writing, or not at all."""
    async def scenario(loop, log):
        file.seek(7)
        transport, peer = object(), None
        if kind == "tls":
            ours, theirs = socket_pair("tcp")
            peer = Peer(loop, theirs)
            shaking = asyncio.ensure_future(peer.handshake())
            transport, _ = await loop.create_connection(
                asyncio.Protocol, sock=ours, ssl=client_context(),
                server_hostname="localhost")
            await shaking
            transport.write(b"before")
        elif kind == "pipe":
            reader, writer = os.pipe()
            transport, _ = await loop.connect_write_pipe(
                asyncio.BaseProtocol, os.fdopen(writer, "wb", 0))
        elif kind == "datagram":
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        sending = loop.create_task(loop.sendfile(
            transport, file, 3, 200_000, fallback=fallback))
        if kind == "tls":
            expected = b"before"
            if fallback:
                expected += DATA[3:][:200_000]
            log.append(await peer.receive(len(expected)) == expected)
        try:
            log.append(await sending)
        except Exception as exc:
            log.append((type(exc).__name__, str(exc).partition("<")[0]))
        log.append(file.tell())
        if kind != "none":
            transport.abort()
            await asyncio.sleep(0.001)
        if kind == "tls":
            theirs.close()
        elif kind == "pipe":
            os.close(reader)
    same(scenario)


@pytest.mark.parametrize("how", ["cancel", "close peer"])
def test_cut_short(how, file):
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        big = io.BytesIO(bytes(30_000_000))
        for source in (file, big) if how == "cancel" else (big,):
            source.seek(0)
            task = loop.create_task(loop.sendfile(
                transport, source, 0, 1 << 40 if source is big else None))
            await asyncio.sleep(0.05)
            if how == "cancel":
                task.cancel()
            else:
                theirs.close()
            await asyncio.wait([task])
            log.append("cancelled" if task.cancelled()
                       else "sent" if task.exception() is None
                       else isinstance(task.exception(), OSError))
        transport.abort()
        await protocol.lost
        log.append(transport.is_closing())
        theirs.close()
    # (Whether the smaller file fits into the buffers is the kernel's.)
    same(scenario)


@pytest.mark.parametrize("call", [
    lambda loop, t, s, f: loop.sendfile(t, f, -1),
    lambda loop, t, s, f: loop.sendfile(t, f, 0, 0),
    lambda loop, t, s, f: loop.sendfile(t, f, 0, -1),
    lambda loop, t, s, f: loop.sendfile(t, f, 0, "1"),
    lambda loop, t, s, f: loop.sendfile(t, f, 1.5),
    lambda loop, t, s, f: loop.sendfile(t, io.StringIO("text"),
                                        fallback=False),
    lambda loop, t, s, f: loop.sendfile(t, io.BytesIO(b"x"), fallback=False),
    lambda loop, t, s, f: loop.sock_sendfile(s, f, -1),
    lambda loop, t, s, f: loop.sock_sendfile(s, f, 0, 0),
    lambda loop, t, s, f: loop.sock_sendfile(s, f, 0, 1.5),
    lambda loop, t, s, f: loop.sock_sendfile(s, f, None),
    lambda loop, t, s, f: loop.sock_sendfile(s, io.BytesIO(b"x"),
                                             fallback=False),
])
def test_bad_arguments(call, file):
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        sock, peer = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        try:
            log.append(await call(loop, transport, sock, file))
        except Exception as exc:
            log.append((type(exc).__name__, str(exc)))
        transport.write(b"unharmed")
        log.append(await receive(loop, theirs, 8))
        transport.close()
        await protocol.lost
        for each in (theirs, sock, peer):
            each.close()
    same(scenario)


class Unseekable(io.RawIOBase):
    """It fails when read for the third time; seek() always fails."""

    mode = "rb"
    reads = 0

    def readinto(self, buffer):
        self.reads += 1
        if self.reads == 3:
            raise OSError(errno.EIO, "broken")
        buffer[:] = bytes(len(buffer))
        return len(buffer)


@pytest.mark.parametrize("make, fallback", [
    (lambda: io.BytesIO(b"x"), False),
    (object, False),
    (Unseekable, True),
], ids=["memory", "object", "unseekable"])
@pytest.mark.parametrize("way", ["transport", "socket"])
def test_contexts(way, make, fallback):
    """An error that comes up while another is handled has it as context."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        if way == "transport":
            protocol = Recorder([])
            target = await connect(loop, ours, protocol)
            send = loop.sendfile
        else:
            target, send = ours, loop.sock_sendfile
        try:
            await send(target, make(), fallback=fallback)
        except Exception as exc:
            log.append((repr(exc), repr(exc.__context__)))
        if way == "transport":
            target.abort()
            await protocol.lost
        ours.close()
        theirs.close()
    assert same(scenario)


def test_text_and_closed(file):
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        with open(os.devnull) as text:
            try:
                await loop.sendfile(transport, text)
            except ValueError as exc:
                log.append(str(exc))
        transport.close()
        try:
            await loop.sendfile(transport, file)
        except RuntimeError as exc:
            log.append(str(exc))
        try:
            await loop.sendfile(asyncio.Transport(), file)
        except Exception as exc:
            log.append(type(exc).__name__)
        await protocol.lost
        theirs.close()
    same(scenario)
