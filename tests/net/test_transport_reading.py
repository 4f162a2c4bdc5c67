"""What stream transports read, compared with asyncio's."""

import asyncio
import socket

import pytest
from networlds import (
    WORLDS,
    Recorder,
    StockLoop,
    connect,
    each_family,
    run,
    same,
    socket_pair,
    until,
)

# ---- reading ----------------------------------------------------------------

@each_family
def test_pause_and_resume(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        transport.pause_reading()
        transport.pause_reading()
        log.append(transport.is_reading())
        theirs.send(b"wait")
        await asyncio.sleep(0.02)
        log.append(bytes(protocol.received))
        transport.resume_reading()
        transport.resume_reading()
        log.append(transport.is_reading())
        await until(lambda: protocol.received)
        theirs.send(b", more")
        await until(lambda: len(protocol.received) == 10)
        transport.pause_reading()
        theirs.close()
        await asyncio.sleep(0.02)
        log.append(transport.is_closing())
        transport.resume_reading()
        await protocol.lost
        transport.pause_reading()
        transport.resume_reading()
    same(scenario)


@each_family
def test_pause_in_callbacks(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        theirs.send(b"early")
        protocol = Recorder(
            log, made=lambda self: self.transport.pause_reading(),
            data=lambda self: self.transport.pause_reading())
        transport = await connect(loop, ours, protocol)
        await asyncio.sleep(0.02)
        log.append(bytes(protocol.received))
        for text in (b"one", b"two"):
            transport.resume_reading()
            await until(lambda: not transport.is_reading())
            log.append(bytes(protocol.received))
            theirs.send(text)
            await asyncio.sleep(0.02)
        transport.abort()
        await protocol.lost
        theirs.close()
    same(scenario)


@each_family
@pytest.mark.parametrize("how", ["close", "abort"])
def test_end_in_data_received(family, how):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(
            log, data=lambda self: getattr(self.transport, how)())
        await connect(loop, ours, protocol)
        theirs.send(b"x" * 1000)
        theirs.close()
        log.append(await protocol.lost)
    same(scenario)


def test_errors_in_callbacks():
    for what in ("made", "data", "eof", "lost"):
        for error in (ZeroDivisionError("!"), OSError(5, "!"),
                      asyncio.CancelledError()):
            async def scenario(loop, log, what=what, error=error):
                ours, theirs = socket_pair("tcp")
                protocol = Recorder(log, **{what: error})
                transport = await connect(loop, ours, protocol)
                theirs.send(b"data")
                await asyncio.sleep(0.01)
                theirs.close()
                log.append(repr(await protocol.lost))
                log.append(transport.is_closing())
            same(scenario)


def test_urgent_data():
    """Reading stops at the urgent mark: a short read with more behind it."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        transport.pause_reading()
        theirs.send(b"before")
        theirs.send(b"!", socket.MSG_OOB)
        theirs.send(b"after")
        await asyncio.sleep(0.02)
        transport.resume_reading()
        await until(lambda: len(protocol.received) >= 11)
        theirs.send(b"+" + b"tail")
        await until(lambda: len(protocol.received) >= 16)
        log.append(bytes(protocol.received))
        transport.close()
        await protocol.lost
        theirs.close()
    assert same(scenario) == [b"beforeafter+tail"]


# ---- buffered protocols -----------------------------------------------------

class Buffered(asyncio.BufferedProtocol):
    def __init__(self, log, buffer, error=None):
        self.log = log
        self.buffer = buffer
        self.error = error
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        self.log.append(("get_buffer", sizehint))
        return self.buffer

    def buffer_updated(self, nbytes):
        self.log.append(("updated", nbytes, bytes(self.buffer[:nbytes])))
        if self.error:
            raise self.error

    def eof_received(self):
        self.log.append("eof")

    def connection_lost(self, exc):
        self.log.append(repr(exc))
        self.lost.set_result(exc)


@each_family
def test_buffered(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Buffered(log, bytearray(8))
        await connect(loop, ours, protocol)
        theirs.send(b"0123456789abcdef")
        await until(lambda: ("updated", 8, b"89abcdef") in log)
        log.append("next")
        theirs.send(b"rest")
        await until(lambda: ("updated", 4, b"rest") in log)
        protocol.buffer.extend(b"not exported")
        theirs.close()
        await protocol.lost
    # (How often get_buffer() is called in vain is nobody's business.)
    assert [each for each in same_but_empty_reads(scenario)
            if each[0] == "updated"] == [
        ("updated", 8, b"01234567"), ("updated", 8, b"89abcdef"),
        ("updated", 4, b"rest")]


def same_but_empty_reads(scenario):
    logs = []
    for new_loop in (StockLoop, *WORLDS.values()):
        log = run(new_loop, scenario)
        logs.append([each for each in log if each[0] != "get_buffer"])
    assert all(each == logs[0] for each in logs)
    return logs[0]


@pytest.mark.parametrize("buffer", [
    b"read-only", bytearray(), None, 7, memoryview(b"read-only"), "text",
    [1, 2], memoryview(bytearray(9))[::2]])
def test_bad_buffers(buffer):
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Buffered([], buffer)
        await connect(loop, ours, protocol)
        theirs.send(b"data")
        log.append(repr(await protocol.lost))
        theirs.close()
    same(scenario)


class HandingOver(Buffered):
    """Sets another protocol while it is asked for a buffer."""

    next = None

    def get_buffer(self, sizehint):
        if self.next is not None:
            self.transport.set_protocol(self.next)
        return super().get_buffer(sizehint)


@pytest.mark.parametrize("buffered", [True, False])
def test_set_protocol_in_get_buffer(buffered):
    """What has come is told to the protocol that is there by then."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        first = HandingOver([], bytearray(8))
        transport = await connect(loop, ours, first)
        second = Buffered(log, bytearray(8)) if buffered else Recorder(log)
        second.transport = transport
        second.buffer, first.next = first.buffer, second
        theirs.send(b"data")
        await until(lambda: first.log or log)
        theirs.close()
        log.append(repr(await second.lost))
        log[:] = [entry for entry in log if entry[0] != "get_buffer"]
        log.append([entry for entry in first.log if entry[0] == "updated"])
    same(scenario)


def test_buffer_updated_fails():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Buffered([], bytearray(10), ZeroDivisionError("!"))
        await connect(loop, ours, protocol)
        theirs.send(b"data")
        log.append(repr(await protocol.lost))
        theirs.close()
    same(scenario)


@each_family
def test_set_protocol(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        first = Recorder(log, "first")
        transport = await connect(loop, ours, first)
        theirs.send(b"one")
        await until(lambda: first.received)
        second = Buffered([], bytearray(100))
        transport.set_protocol(second)
        log.append(transport.get_protocol() is second)
        theirs.send(b"two")
        await until(lambda: second.log)
        third = Recorder(log, "third")
        transport.set_protocol(third)
        theirs.send(b"three")
        await until(lambda: third.received)
        log.append((bytes(first.received), second.log[-1],
                    bytes(third.received)))
        theirs.close()
        await third.lost
    same(scenario)


# ---- how much at once ------------------------------------------------------

@each_family
def test_max_size(family):
    """Programs set it, to get no more at once."""
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        sizes = []

        class Protocol(Recorder):
            def data_received(self, data):
                sizes.append(len(data))
                if len(sizes) == 3:
                    self.transport.max_size = 10
                super().data_received(data)

        protocol = Protocol([])
        transport = await connect(loop, ours, protocol)
        log.append(transport.max_size)
        transport.max_size = 7
        log.append(transport.max_size)
        theirs.send(bytes(40))
        await until(lambda: len(protocol.received) == 40)
        log.append(sizes)
        transport.max_size = 256 * 1024
        theirs.send(bytes(range(40)))
        await until(lambda: len(protocol.received) == 80)
        log.append(sizes)
        theirs.close()
        await protocol.lost
    assert same(scenario)[-1] == [7, 7, 7, 10, 9, 40]


def test_max_size_of_a_stream():
    """What is not asked for stays in the kernel."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.transport.max_size = 1
        theirs.send(b"several bytes\n")
        log.append(await reader.read(100))
        log.append(await reader.readline())
        writer.close()
        theirs.close()
    assert same(scenario)[0] == b"s"


def test_bad_max_size():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        transport = await connect(loop, ours, Recorder([]))
        for size, error in ((0, ValueError), (-1, ValueError),
                            (-1 << 80, ValueError), ("1", TypeError)):
            with pytest.raises(error):
                transport.max_size = size
        transport.max_size = 1 << 80
        log.append(transport.max_size)
        transport.max_size = 5
        del transport.max_size
        log.append(transport.max_size)
        transport.abort()
        theirs.close()
    assert run(WORLDS["fast"], scenario) == [262144, 262144]
