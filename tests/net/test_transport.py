"""Stream transports, compared with asyncio's."""

import asyncio
import contextvars
import gc
import socket
import struct
import sys
import threading
import time
import warnings
import weakref

import pytest
from networlds import (
    WORLDS,
    Recorder,
    StockLoop,
    connect,
    each_family,
    receive,
    receive_some,
    run,
    same,
    socket_pair,
    until,
)

import ouro

# ---- life and death ---------------------------------------------------------

@each_family
def test_life(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        log.append((transport.is_closing(), transport.is_reading(),
                    transport.get_protocol() is protocol,
                    transport.can_write_eof()))
        theirs.send(b"hello")
        await until(lambda: protocol.received)
        transport.write(b"answer")
        log.append(await receive(loop, theirs, 6))
        transport.close()
        log.append((transport.is_closing(), transport.is_reading()))
        await protocol.lost
        log.append((await receive_some(loop, theirs),
                    bytes(protocol.received), ours.fileno(),
                    transport.get_protocol()))
        theirs.close()
    same(scenario)


def test_turns():
    """In which turn each step comes."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        turns = 0

        def tick():
            nonlocal turns
            turns += 1
            log.append(("turn", turns))
            if turns < 12:
                loop.call_soon(tick)
        waiter = loop.create_future()
        waiter.add_done_callback(lambda _: log.append("waiter"))
        loop.call_soon(tick)
        transport = loop._make_socket_transport(ours, protocol, waiter)
        loop.call_soon(log.append, "after making")
        await waiter
        log.append("awaited")
        transport.close()
        loop.call_soon(log.append, "after closing")
        await protocol.lost
        log.append("lost awaited")
        await until(lambda: turns == 12)
        theirs.close()
    same(scenario)


def test_close_before_made():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        waiter = loop.create_future()
        transport = loop._make_socket_transport(ours, protocol, waiter)
        transport.close()
        await waiter
        await protocol.lost
        theirs.close()
    assert ("p", "made") in same(scenario)


@each_family
def test_eof_closes(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        await connect(loop, ours, protocol)
        theirs.close()
        log.append(await protocol.lost)
    same(scenario)


@each_family
def test_eof_kept_open(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log, eof=True)
        transport = await connect(loop, ours, protocol)
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: ("p", "eof") in log)
        await asyncio.sleep(0.02)
        transport.write(b"still there")
        log.append(await receive(loop, theirs, 11))
        transport.close()
        await protocol.lost
        theirs.close()
    assert same(scenario).count(("p", "eof")) == 1


@each_family
def test_data_and_eof_at_once(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder([])
        theirs.send(b"x" * 100_000 if family == "tcp" else b"x" * 1000)
        theirs.close()
        await connect(loop, ours, protocol)
        log.append(await protocol.lost)
        log.append(len(protocol.received))
    same(scenario)


@each_family
@pytest.mark.parametrize("how", ["close", "abort"])
def test_twice(family, how):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        getattr(transport, how)()
        getattr(transport, how)()
        transport.close()
        transport.abort()
        await protocol.lost
        transport.close()
        log.append(transport.is_closing())
        theirs.close()
    same(scenario)


def test_reset_by_peer():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        await connect(loop, ours, protocol)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        theirs.close()
        log.append(repr(await protocol.lost))
    same(scenario)


def test_writes_after_loss():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        transport.abort()
        for _ in range(8):
            transport.write(b"lost")
        await protocol.lost
        log.append(transport._conn_lost)
        theirs.close()
    assert ("logged", "socket.send() raised exception.") in same(scenario)


def test_send_error():
    """asyncio tells in write(), ouro at the end of the job."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("unix")
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        transport.pause_reading()
        theirs.close()
        transport.write(b"into the void")
        log.append(repr(await protocol.lost))
    assert same(scenario)[1:] == [("p", "lost", "BrokenPipeError"),
                                  "BrokenPipeError(32, 'Broken pipe')"]


# ---- writing ----------------------------------------------------------------

@each_family
def test_what_can_be_written(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        for data in (b"bytes ", bytearray(b"bytearray "),
                     memoryview(b"--memoryview--")[2:-2], b"",
                     type("Sub", (bytes,), {})(b" subclass "), bytearray(),
                     memoryview(b"")):
            transport.write(data)
        transport.writelines([b"lines ", b"", bytearray(b"of "),
                              memoryview(b"all ")])
        transport.writelines([b"one ", b"two "])
        transport.writelines([])
        transport.writelines(iter((b"iterated",)))
        expected = (b"bytes bytearray memoryview subclass lines of all "
                    b"one two iterated")
        log.append(await receive(loop, theirs, len(expected)))
        log.append(log[-1] == expected)
        transport.close()
        await protocol.lost
        theirs.close()
    assert same(scenario)[2] is True


@pytest.mark.parametrize("call", [
    lambda t: t.write("text"), lambda t: t.write(None), lambda t: t.write(7),
    lambda t: t.write([b"list"]), lambda t: t.write(),
    lambda t: t.write(b"a", b"b"), lambda t: t.writelines(None),
    lambda t: t.writelines(["text"]),
    pytest.param(lambda t: t.writelines([b"a", 7]), marks=pytest.mark.skipif(
        sys.version_info >= (3, 15),
        reason="asyncio keeps the first piece, and never writes again")),
    lambda t: t.set_write_buffer_limits(high=1, low=2),
    lambda t: t.set_write_buffer_limits(low=-1),
    lambda t: t.set_write_buffer_limits(high=-1),
    lambda t: t.set_write_buffer_limits(high="1"),
    lambda t: t.get_extra_info(), lambda t: t.close(1),
])
def test_bad_calls(call):
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        try:
            log.append(call(transport))
        except Exception as exc:
            log.append(type(exc).__name__)
            text = str(exc)
            if "argument" not in text:
                log.append(text)
        transport.write(b"unharmed")
        log.append(await receive(loop, theirs, 8))
        transport.close()
        await protocol.lost
        theirs.close()
    same(scenario)


def test_not_contiguous():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        transport.write(memoryview(b"abcdef")[::2])
        log.append(repr(await protocol.lost))
        theirs.close()
    assert "BufferError" in same(scenario)[-1]


@each_family
def test_write_eof(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        transport.write(b"last words")
        transport.write_eof()
        transport.write_eof()
        for late in (lambda: transport.write(b"x"),
                     lambda: transport.writelines([b"x"])):
            try:
                late()
            except RuntimeError as exc:
                log.append(str(exc))
        log.append(await receive(loop, theirs, 100))
        theirs.send(b"heard")
        await until(lambda: protocol.received)
        log.append(transport.is_closing())
        theirs.close()
        await protocol.lost
    same(scenario)


@each_family
@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_all_is_sent_before_the_end(family, end):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        blob = bytes(range(256)) * 20_000
        transport.write(blob)
        transport.write(b"the end")
        getattr(transport, end)()
        log.append(await receive(loop, theirs, 1 << 30) == blob + b"the end")
        theirs.close()
        log.append(await protocol.lost)
    assert same(scenario) == [True, None]


@each_family
def test_abort_drops_what_waits(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        transport.write(bytes(20_000_000))
        log.append(transport.get_write_buffer_size() > 0)
        transport.abort()
        log.append(transport.get_write_buffer_size())
        log.append(await protocol.lost)
        log.append(len(await receive(loop, theirs, 1 << 30)) < 20_000_000)
        theirs.close()
    assert same(scenario) == [True, 0, None, True]


@each_family
def test_flow_control(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        log.append(transport.get_write_buffer_limits())
        transport.set_write_buffer_limits(high=200_000)
        log.append(transport.get_write_buffer_limits())
        transport.set_write_buffer_limits(low=1000)
        log.append(transport.get_write_buffer_limits())
        transport.set_write_buffer_limits(high=300_000, low=100)
        total = 0
        while ("p", "pause") not in log:
            transport.write(b"x" * 50_000)
            total += 50_000
        log.append(transport.get_write_buffer_size() > 300_000)
        log.append(transport._protocol_paused)
        log.append(len(await receive(loop, theirs, total)) == total)
        await until(lambda: ("p", "resume") in log)
        log.append(transport.get_write_buffer_size())
        transport.close()
        await protocol.lost
        theirs.close()
    same(scenario)


@each_family
def test_limits_lowered_under_what_waits(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        transport.set_write_buffer_limits(high=1 << 40)
        transport.write(bytes(20_000_000))
        log.append("now")
        transport.set_write_buffer_limits(high=0)
        log.append(transport.get_write_buffer_limits())
        transport.abort()
        await protocol.lost
        theirs.close()
    assert ("p", "pause") in same(scenario)


@each_family
def test_answers_of_the_paused(family):
    """resume_writing() writes at once, and closes."""
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)

        def go_on(protocol):
            protocol.transport.write(b"and more")
            protocol.transport.close()
        protocol = Recorder(log, resume=go_on)
        transport = await connect(loop, ours, protocol)
        blob = bytes(5_000_000)
        transport.write(blob)
        got = await receive(loop, theirs, 1 << 30)
        log.append(got == blob + b"and more")
        await protocol.lost
        theirs.close()
    # asyncio loses the connection twice, and reports the second time.
    expected = [each for each in run(StockLoop, scenario)
                if not (isinstance(each, tuple) and each[0] == "handler")]
    for new_loop in WORLDS.values():
        assert run(new_loop, scenario) == expected


def test_errors_of_flow_control():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log, pause=ZeroDivisionError("p"),
                            resume=ZeroDivisionError("r"))
        transport = await connect(loop, ours, protocol)
        transport.write(bytes(10_000_000))
        await receive(loop, theirs, 10_000_000)
        await until(lambda: ("p", "resume") in log)
        log.append(transport.is_closing())
        transport.close()
        await protocol.lost
        theirs.close()
    same(scenario)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12+ keeps views")
def test_leftover_is_a_view():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        data = bytearray(20_000_000)
        transport.write(data)
        try:
            data.append(1)
        except BufferError:
            log.append("still needed")
        log.append(len(await receive(loop, theirs, 20_000_000)))
        transport.close()
        await protocol.lost
        data.append(1)
        theirs.close()
    same(scenario)


@each_family
def test_large_transfer_both_ways(family):
    async def scenario(loop, log):
        pair = socket_pair(family)
        blob = bytes(range(251)) * 40_000
        protocols = [Recorder([]), Recorder([])]
        transports = [await connect(loop, sock, protocol)
                      for sock, protocol in zip(pair, protocols)]
        for start in range(0, len(blob), 70_001):
            for transport in transports:
                transport.write(blob[start:start + 70_001])
        await until(lambda: all(len(each.received) == len(blob)
                                for each in protocols))
        log.append([bytes(each.received) == blob for each in protocols])
        transports[0].close()
        for each in protocols:
            log.append(await each.lost)
    assert same(scenario) == [[True, True], None, None]


@pytest.mark.parametrize("size", [1, 1000, 16_384, 65_535, 65_536, 65_537,
                                  131_072, 300_000])
def test_message_sizes(size):
    """Echo of messages around the sizes at which reading changes."""
    async def scenario(loop, log):
        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(data)
        pair = socket_pair("tcp")
        await connect(loop, pair[0], Echo())
        client = Recorder([])
        transport = await connect(loop, pair[1], client)
        message = bytes(range(256)) * (size // 256 + 1)
        for _ in range(5):
            client.received.clear()
            transport.write(message[:size])
            await until(lambda: len(client.received) == size)
            log.append(bytes(client.received) == message[:size])
        transport.close()
        await client.lost
    assert same(scenario) == [True] * 5


# ---- gathered writes --------------------------------------------------------

@pytest.mark.parametrize("what", [
    lambda t: t.get_extra_info("socket"), lambda t: t.get_write_buffer_size(),
    lambda t: t.write_eof(), lambda t: t.close(), lambda t: t.abort(),
    lambda t: t._sock, lambda t: t.write(b"x" * 70_000),
    lambda t: t.set_write_buffer_limits(),
])
def test_flushed_by(what):
    """What is written is with the peer when these have been called."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        transport.write(b"first")
        what(transport)
        time.sleep(0.02)
        log.append(theirs.recv(5))
        transport.abort()
        await protocol.lost
        theirs.close()
    assert same(scenario) == [b"first"]


def test_flushed_at_the_end_of_the_job():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)

        def read():
            time.sleep(0.02)
            log.append(theirs.recv(100))
        loop.call_soon(lambda: [transport.write(b"%d" % i) for i in range(9)])
        loop.call_soon(read)
        await until(lambda: log)
        transport.close()
        await protocol.lost
        theirs.close()
    assert same(scenario) == [b"012345678"]


def test_written_while_the_loop_does_not_run():
    for new_loop in (StockLoop, *WORLDS.values()):
        loop = new_loop()
        ours, theirs = socket_pair("tcp")
        log = []

        async def start():
            return await connect(loop, ours, Recorder([]))
        transport = loop.run_until_complete(start())
        transport.write(b"at once")
        time.sleep(0.02)
        assert theirs.recv(100) == b"at once"
        transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        theirs.close()
        assert log == []


def test_written_by_another_thread():
    """It is no good idea, but with asyncio it arrives."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        thread = threading.Timer(0.05, transport.write, (b"from afar",))
        thread.start()
        theirs.setblocking(True)
        theirs.settimeout(10)
        log.append(await loop.run_in_executor(None, theirs.recv, 100))
        thread.join()
        transport.close()
        await protocol.lost
        theirs.close()
    for new_loop in (StockLoop, ouro.Loop):
        assert run(new_loop, scenario)[0] == b"from afar"


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


# ---- contexts ---------------------------------------------------------------

def test_contexts():
    async def scenario(loop, log):
        variable = contextvars.ContextVar("variable", default="none")

        def note(self, what):
            log.append((what, variable.get()))
            variable.set(what)
        ours, theirs = socket_pair("tcp")
        variable.set("maker")
        protocol = Recorder([], made=lambda p: note(p, "made"),
                            data=lambda p: note(p, "data"),
                            eof=lambda p: note(p, "eof"),
                            pause=lambda p: note(p, "pause"),
                            lost=lambda p: note(p, "lost"))
        transport = await connect(loop, ours, protocol)
        variable.set("task")
        for _ in range(2):
            theirs.send(b"data")
            await asyncio.sleep(0.01)
        transport.pause_reading()
        variable.set("resumer")
        transport.resume_reading()
        theirs.send(b"data")
        await asyncio.sleep(0.01)
        variable.set("writer")
        transport.write(bytes(10_000_000))
        log.append(variable.get())
        variable.set("closer")
        transport.abort()
        await protocol.lost
        log.append(variable.get())
        theirs.close()
    same(scenario)


def test_current_task():
    """No task runs while a protocol is called."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")

        def note(protocol):
            log.append(asyncio.current_task())
        protocol = Recorder([], made=note, data=note, lost=note)
        transport = await connect(loop, ours, protocol)
        theirs.send(b"x")
        await asyncio.sleep(0.01)
        transport.close()
        await protocol.lost
        theirs.close()
    assert same(scenario) == [None, None, None]


# ---- leaving the loop -------------------------------------------------------

@pytest.mark.parametrize("what", ["made", "data", "eof", "lost"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_leaving(what, error):
    for new_loop in (StockLoop, *WORLDS.values()):
        loop = new_loop()
        log = []
        ours, theirs = socket_pair("tcp")

        async def start():
            protocols.append(Recorder(log, **{what: error()}))
            loop._make_socket_transport(ours, protocols[0])
            await asyncio.sleep(1)
        protocols = []
        theirs.send(b"data")
        loop.call_later(0.05, theirs.close)
        with pytest.raises(error):
            loop.run_until_complete(start())
        # What the exception has left behind is done in the next run.
        protocol, = protocols
        protocol.answers = {}
        theirs.close()
        if what == "eof":
            protocol.transport.close()
        loop.run_until_complete(protocol.lost)
        assert log[-1][:2] == ("p", "lost")
        loop.run_until_complete(asyncio.sleep(0))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


# ---- what transports tell ---------------------------------------------------

@each_family
def test_extra_info(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        names = ours.getsockname(), theirs.getsockname()
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        sock = transport.get_extra_info("socket")
        log.append((type(sock).__name__, sock.fileno() == ours.fileno(),
                    transport.get_extra_info("sockname") == names[0],
                    transport.get_extra_info("peername") == names[1],
                    transport.get_extra_info("none"),
                    transport.get_extra_info("none", 3),
                    transport.get_extra_info(name="none", default=4),
                    sorted(transport._extra)))
        transport.close()
        await protocol.lost
        log.append((transport.get_extra_info("peername") == names[1],
                    transport.get_extra_info("socket").fileno()))
        theirs.close()
    same(scenario)


@pytest.mark.parametrize("asked", ["while open", "when closed"])
def test_extra_info_of_accepted(asked):
    async def scenario(loop, log):
        made = loop.create_future()
        lost = loop.create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport):
                made.set_result(transport)

            def connection_lost(self, exc):
                lost.set_result(exc)
        server = await loop.create_server(Server, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        client = socket.create_connection(address)
        transport = await made
        if asked == "when closed":
            transport.close()
            await lost
        sock = transport.get_extra_info("socket")
        log.append((transport.get_extra_info("sockname") == address,
                    transport.get_extra_info("peername")
                    == client.getsockname(), type(sock).__name__,
                    sock.family, sock.type, sock.fileno() == -1,
                    sock.gettimeout()))
        if asked == "while open":
            log.append((sock.getsockopt(socket.IPPROTO_TCP,
                                        socket.TCP_NODELAY) != 0,
                        sock.getpeername() == client.getsockname(),
                        transport._sock.getblocking(),
                        transport.get_extra_info("socket") is sock))
            transport.close()
            await lost
            log.append(sock.fileno())
        client.close()
        server.close()
        await server.wait_closed()
    same(scenario)


@each_family
def test_repr(family):
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        fd = ours.fileno()

        def note():
            log.append(repr(transport).replace(f"fd={fd}", "fd=N"))
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        note()
        transport.pause_reading()
        note()
        transport.write(bytes(20_000_000))
        log.append(repr(transport).partition("bufsize")[0].replace(
            f"fd={fd}", "fd=N"))
        transport.close()
        log.append(repr(transport).partition("bufsize")[0].replace(
            f"fd={fd}", "fd=N"))
        transport.abort()
        await protocol.lost
        note()
        theirs.close()
    assert same(scenario)[-1] == "<_SelectorSocketTransport closed fd=N>"


def test_attributes():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        transport.whatever = 3
        log.append((isinstance(transport, asyncio.Transport),
                    transport._loop is loop, transport._protocol is protocol,
                    transport._sock is ours, transport._closing,
                    transport._sock_fd == ours.fileno(), transport._eof,
                    transport._paused, transport._server,
                    transport._start_tls_compatible,
                    str(transport._sendfile_compatible),
                    transport.whatever, weakref.ref(transport)() is transport))
        transport.close()
        await protocol.lost
        log.append((transport._loop, transport._protocol, transport._sock))
        theirs.close()
    same(scenario)


def test_descriptor_is_taken():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        for call in (lambda: loop.add_reader(ours, print),
                     lambda: loop.remove_reader(ours.fileno()),
                     lambda: loop.add_writer(ours, print),
                     lambda: loop.remove_writer(ours)):
            try:
                call()
            except RuntimeError as exc:
                log.append(str(exc).partition(" is used by")[2][:20])
        transport.close()
        loop.remove_reader(ours)
        await protocol.lost
        theirs.close()
    assert len(same(scenario)) == 4


# ---- garbage ----------------------------------------------------------------

def test_dropped_open():
    """A loop that is dropped with its transports is collected, with the
    warning for each."""
    for new_loop in (StockLoop, *WORLDS.values()):
        loop = new_loop()
        ours, theirs = socket_pair("tcp")
        fd = ours.fileno()

        async def start(loop):
            return weakref.ref(await connect(loop, ours, Recorder([])))
        transport = loop.run_until_complete(start(loop))
        gc.collect()
        assert transport() is not None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.close()
            del loop
            gc.collect()
        texts = [str(each.message) for each in caught]
        del caught  # which may hold the transport
        gc.collect()
        assert transport() is None
        assert f"unclosed transport <_SelectorSocketTransport fd={fd}>" \
            in texts, texts
        assert ours.fileno() == -1
        theirs.close()


def test_nothing_is_left():
    """Connections leave no objects behind."""
    async def one(loop):
        pair = socket_pair("tcp")
        protocols = [Recorder([]), Recorder([])]
        transports = [await connect(loop, sock, protocol)
                      for sock, protocol in zip(pair, protocols)]
        transports[0].write(b"x" * 100_000)
        await until(lambda: len(protocols[1].received) == 100_000)
        transports[0].close()
        for each in protocols:
            await each.lost
        return [weakref.ref(each) for each in (*transports, *protocols)]

    loop = ouro.Loop()
    references = loop.run_until_complete(one(loop))
    loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    assert [each() for each in references] == [None] * 4
    loop.close()


def test_random_traffic():
    """Many connections, random sizes, pauses and ends, on one loop."""
    import random
    rng = random.Random(7)

    class Peer(asyncio.Protocol):
        def __init__(self):
            self.got = 0
            self.sent = 0
            self.lost = loop.create_future()
            self.can_write = True

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.got += len(data)
            if rng.random() < 0.1:
                self.transport.pause_reading()
                loop.call_later(rng.random() / 100,
                                self.transport.resume_reading)

        def eof_received(self):
            return True

        def pause_writing(self):
            self.can_write = False

        def resume_writing(self):
            self.can_write = True

        def connection_lost(self, exc):
            assert exc is None, exc
            self.lost.set_result(None)

    async def talk(one, other):
        for _ in range(60):
            size = rng.choice([1, 10, 1000, 20_000, 100_000, 400_000])
            while not one.can_write:
                await asyncio.sleep(0.001)
            if rng.random() < 0.3:
                one.transport.writelines([bytes(size // 3)] * 3)
                size = size // 3 * 3
            else:
                kind = rng.choice([bytes, bytearray])
                one.transport.write(kind(size))
            one.sent += size
            if rng.random() < 0.5:
                await asyncio.sleep(0)
        one.transport.write_eof()
        await until(lambda: other.got == one.sent)

    async def main():
        peers = []
        for _ in range(10):
            family = rng.choice(["tcp", "unix"])
            pair = [Peer(), Peer()]
            for sock, peer in zip(socket_pair(family), pair):
                await connect(loop, sock, peer)
            peers.append(pair)
        await asyncio.gather(*(talk(*pair) for pair in peers),
                             *(talk(*pair[::-1]) for pair in peers))
        for pair in peers:
            for peer in pair:
                peer.transport.close()
        await asyncio.gather(*(peer.lost for pair in peers for peer in pair))

    loop = ouro.Loop()
    loop.run_until_complete(asyncio.wait_for(main(), 60))
    loop.close()
