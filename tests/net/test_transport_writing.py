"""What stream transports write, compared with asyncio's."""

import asyncio
import concurrent.futures
import socket
import sys
import threading
import time

import pytest
from networlds import (
    WORLDS,
    Recorder,
    StockLoop,
    connect,
    each_family,
    receive,
    run,
    same,
    socket_pair,
    until,
)

import ouro

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
            if "argument" not in text or text.startswith("data"):
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


@pytest.mark.parametrize("given", [False, True])
def test_flushed_by_a_call_in_a_thread(given):
    """What has been written is with the peer before the call begins."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        theirs.settimeout(20)
        has_read = threading.Event()

        def read():
            data = theirs.recv(100)
            has_read.set()
            return data
        protocol = Recorder([])
        transport = await connect(loop, ours, protocol)
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            transport.write(b"first")
            future = loop.run_in_executor(executor if given else None, read)
            has_read.wait(10)       # the job goes on, and blocks
            transport.write(b"second")
            log.append(await future)
        log.append(await asyncio.to_thread(theirs.recv, 100))
        transport.write(b"third")
        log.append(await asyncio.to_thread(theirs.recv, 100))
        transport.abort()
        await protocol.lost
        theirs.close()
    assert same(scenario) == [b"first", b"second", b"third"]


def test_flushed_by_drain():
    """But not as long as there are requests that have not been read."""
    async def main():
        ours, theirs = socket_pair("tcp")
        reader, writer = await ouro.open_connection(sock=ours)
        writer.write(b"one")
        await writer.drain()
        assert theirs.recv(100) == b"one"
        theirs.send(b"line\n" * 3)
        for answer in (b"1", b"2"):
            await reader.readline()
            writer.write(answer)
            await writer.drain()
        time.sleep(0.001)       # what is old does not wait any longer
        writer.write(b"3")
        await writer.drain()
        assert theirs.recv(100) == b"123"
        await reader.readline()
        writer.write(b"4")
        await writer.drain()
        assert theirs.recv(100) == b"4"
        writer.close()
        await writer.wait_closed()
        theirs.close()
    loop = ouro.Loop()
    loop.run_until_complete(main())
    loop.close()


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


class Answering(Recorder):
    """Answers at once; its job then lasts for some time."""

    def __init__(self, before=lambda: None, after=lambda: None):
        super().__init__([])
        self.before, self.after = before, after

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.before()
        self.transport.write(data)
        self.after()


@pytest.mark.parametrize("next_is", ["data_received", "reader", "call_soon"])
def test_answers_to_several_connections(next_is):
    """They may leave together, but not if that takes long, nor behind what
    is no answer."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        others = socket_pair("tcp")

        def look():
            theirs.settimeout(20)
            log.append(theirs.recv(100))

        def read():
            others[0].recv(100)
            look()
            loop.remove_reader(others[0])

        def linger():
            if next_is == "data_received":
                time.sleep(0.01)
            elif next_is == "call_soon":
                loop.call_soon(look)
        first = Answering(after=linger)
        transports = [await connect(loop, ours, first)]
        if next_is == "data_received":
            second = Answering(before=look)
            transports.append(await connect(loop, others[0], second))
        else:
            loop.add_reader(others[0], read if next_is == "reader" else
                            lambda: loop.remove_reader(others[0]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        theirs.send(b"one")
        others[1].send(b"two")
        time.sleep(0.02)        # so that one wait brings both
        await until(lambda: log)
        for transport in transports:
            transport.abort()
        await first.lost
        for each in (theirs, others[0], others[1]):
            each.close()
    assert same(scenario) == [b"one"]


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


def say(protocol):
    protocol.transport.write(b"last ")
    protocol.transport.write(b"words")


def say_and_fail(protocol):
    say(protocol)
    raise ZeroDivisionError


def say_and_force(protocol):
    say(protocol)
    protocol.transport._force_close(OSError())


def say_and_abort(protocol):
    say(protocol)
    protocol.transport.abort()


@each_family
@pytest.mark.parametrize("event", ["data", "eof"])
@pytest.mark.parametrize("end", [say_and_fail, say_and_force, say_and_abort])
def test_written_before_an_abrupt_end(family, event, end):
    """What the socket took arrives, however the connection ends then."""
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log, **{event: end})
        await connect(loop, ours, protocol)
        theirs.send(b"a question")
        if event == "eof":
            theirs.shutdown(socket.SHUT_WR)
        log.append(await receive(loop, theirs, 100))
        await protocol.lost
        theirs.close()
    assert b"last words" in same(scenario)


@each_family
def test_written_in_connection_lost(family):
    """As long as bytes were waiting when close() was called, it arrives;
    from some release of 3.14 on, it never does.
    """
    async def scenario(loop, log):
        ours, theirs = socket_pair(family)
        protocol = Recorder(log, lost=say)
        transport = await connect(loop, ours, protocol)
        transport.set_write_buffer_limits(1 << 30)
        transport.write(bytes(10_000_000))
        transport.close()
        log.append((await receive(loop, theirs, 10_000_100))[-10:])
        theirs.close()
    log = same(scenario)
    if sys.version_info < (3, 13):
        assert b"last words" in log
    if sys.version_info >= (3, 15):
        assert b"last words" not in log


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
