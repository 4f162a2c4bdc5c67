"""Stream transports, from made to lost: compared with asyncio's."""

import asyncio
import contextvars
import gc
import os
import socket
import struct
import warnings
import weakref

import pytest
from networlds import (
    WORLDS,
    Recorder,
    StockLoop,
    connect,
    each_family,
    in_all_worlds,
    receive,
    receive_some,
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


class Bare:
    """No protocol at all."""


class Late:
    """A protocol whose methods are found late."""

    def __init__(self, log):
        self.log = log

    def __getattr__(self, name):
        return lambda *args: self.log.append(name)


@in_all_worlds
async def test_protocols_without_methods(loop, log):
    async def attempt(awaitable):
        try:
            transport, _ = await awaitable
        except Exception as exc:
            log.append(str(exc))
        else:
            transport.close()
            await until(lambda: transport.get_protocol() is None)

    async def attempt_all(factory):
        ours, theirs = socket_pair("tcp")
        await attempt(loop.create_connection(factory, sock=ours))
        ours.close()
        theirs.close()
        await attempt(loop.create_datagram_endpoint(
            factory, local_addr=("127.0.0.1", 0)))
        reading, writing = os.pipe()
        with open(reading, "rb", 0) as file:
            await attempt(loop.connect_read_pipe(factory, file))
        with open(writing, "wb", 0) as file:
            await attempt(loop.connect_write_pipe(factory, file))
        gc.collect()

    with warnings.catch_warnings():
        # (Whose the socket is then, they disagree.)
        warnings.simplefilter("ignore", ResourceWarning)
        await attempt_all(Bare)
    await attempt_all(lambda: Late(log))


@in_all_worlds
async def test_a_method_that_is_gone(loop, log):
    ours, theirs = socket_pair("tcp")
    transport = await connect(loop, ours, asyncio.Protocol())
    transport.set_protocol(Bare())
    theirs.send(b"data")
    await until(lambda: transport.get_protocol() is None)
    theirs.close()


def test_when_the_loop_is_closed():
    def use(new_loop):
        """What comes of the methods, one after the other."""
        loop = new_loop()
        ours, theirs = socket_pair("tcp")

        async def main():
            return await connect(loop, ours, asyncio.Protocol())
        transport = loop.run_until_complete(main())
        loop.close()
        log = []
        for name in ("is_closing", "get_write_buffer_size", "pause_reading",
                     "resume_reading", "close", "abort", "is_closing"):
            try:
                log.append((name, getattr(transport, name)()))
            except Exception as exc:
                log.append((name, repr(exc)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del transport
            gc.collect()
        theirs.close()
        return log

    expected = use(StockLoop)
    assert ("resume_reading",
            "RuntimeError('Event loop is closed')") in expected
    for new_loop in WORLDS.values():
        assert use(new_loop) == expected
