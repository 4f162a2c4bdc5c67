"""TLS, compared with asyncio's: connections, data, and how they end."""

import asyncio
import contextlib
import contextvars
import random
import shutil
import socket
import ssl
import subprocess

import pytest
from networlds import (
    Recorder,
    connect,
    in_all_worlds,
    receive_some,
    same,
    socket_pair,
    until,
)
from tlspeer import Peer, client_context, server_context


async def wrapped(loop, protocol, **options):
    """A transport over TLS with that protocol, and the peer."""
    ours, theirs = socket_pair("tcp")
    peer = Peer(loop, theirs)
    shaking = asyncio.ensure_future(peer.handshake())
    options = {"ssl": client_context(), "server_hostname": "localhost",
               **options}
    transport, _ = await loop.create_connection(
        lambda: protocol, sock=ours, **options)
    await shaking
    return transport, peer


async def notify(peer):
    await peer.notify()


async def shut_down(peer):
    peer.sock.shutdown(socket.SHUT_WR)


async def reset(peer):
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         b"\1\0\0\0\0\0\0\0")
    peer.sock.close()


async def write_rubbish(peer):
    peer.sock.send(b"this is no record of TLS at all")


@in_all_worlds
async def test_a_connection(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    transport.write(b"one")
    transport.writelines([b"two", bytearray(b"three"), memoryview(b"four")])
    log.append(await peer.receive(15))
    await peer.send(b"answer")
    await until(lambda: protocol.received)
    log.append(bytes(protocol.received))
    transport.close()
    transport.write(b"too late")
    await peer.close()
    await protocol.lost


@in_all_worlds
async def test_what_a_transport_tells(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    log.append((transport.is_closing(), transport.is_reading(),
                transport.can_write_eof(),
                transport.get_protocol() is protocol,
                transport.get_write_buffer_size(),
                transport.get_read_buffer_size(),
                transport.get_write_buffer_limits(),
                transport.get_read_buffer_limits(),
                isinstance(transport, asyncio.Transport),
                transport._start_tls_compatible, transport._protocol_paused,
                transport._sendfile_compatible))
    info = transport.get_extra_info
    log.append((info("peercert")["subject"], info("compression"),
                type(info("cipher")).__name__, len(info("cipher")),
                info("ssl_object").version(), info("nothing"),
                info("nothing", 7), info("sslcontext").verify_mode,
                info("socket").fileno() > 0, len(info("peername"))))
    log.append(peer.ssl.cipher() == info("cipher"))
    for wrong in ("text", 1, None, [b"x"]):
        with pytest.raises(TypeError) as caught:
            transport.write(wrong)
        log.append(str(caught.value))
    with pytest.raises(NotImplementedError):
        transport.write_eof()
    transport.write(b"")
    transport.pause_reading()
    transport.pause_reading()
    log.append(transport.is_reading())
    transport.resume_reading()
    transport.resume_reading()
    log.append(transport.is_reading())
    transport.abort()
    log.append(transport.is_closing())
    await protocol.lost
    log.append(transport.get_protocol() is None)
    transport.close()
    for name in ("get_protocol", "is_reading", "pause_reading",
                 "get_write_buffer_size", "get_write_buffer_limits"):
        with pytest.raises(AttributeError) as caught:
            getattr(transport, name)()
        log.append(type(caught.value).__name__)
    peer.sock.close()


@in_all_worlds
async def test_water_marks(loop, log):
    transport, peer = await wrapped(loop, Recorder(log))
    for kind in ("read", "write"):
        setter = getattr(transport, f"set_{kind}_buffer_limits")
        getter = getattr(transport, f"get_{kind}_buffer_limits")
        for high, low in ((None, None), (8, None), (None, 5), (9, 3), (0, 0)):
            setter(high, low)
            log.append(getter())
        for high, low in ((1, 2), (-1, None), (None, -1)):
            with pytest.raises(ValueError) as caught:
                setter(high=high, low=low)
            log.append(str(caught.value))
    transport.abort()
    await asyncio.sleep(0)
    peer.sock.close()


@in_all_worlds
async def test_a_buffered_protocol(loop, log):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = memoryview(bytearray(1000))
            self.data = bytearray()
            self.lost = loop.create_future()

        def get_buffer(self, hint):
            return self.buffer

        def buffer_updated(self, count):
            self.data += self.buffer[:count]

        def eof_received(self):
            log.append("eof")

        def connection_lost(self, exc):
            self.lost.set_result(exc)

    protocol = Buffered()
    transport, peer = await wrapped(loop, protocol)
    message = random.Random(1).randbytes(70_001)
    await peer.send(message)
    await until(lambda: len(protocol.data) >= len(message))
    log.append(bytes(protocol.data) == message)
    await peer.notify()
    log.append(await protocol.lost)
    peer.sock.close()


def test_a_buffered_protocol_without_views():
    """asyncio loses what follows the first record."""
    import ouro

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(100_000)
            self.data = bytearray()

        def get_buffer(self, hint):
            return self.buffer

        def buffer_updated(self, count):
            self.data += self.buffer[:count]

    async def scenario(loop):
        protocol = Buffered()
        transport, peer = await wrapped(loop, protocol)
        message = random.Random(1).randbytes(70_001)
        await peer.send(message)
        await until(lambda: len(protocol.data) >= len(message))
        assert bytes(protocol.data) == message
        transport.abort()
        await asyncio.sleep(0)
        peer.sock.close()

    loop = ouro.Loop()
    loop.run_until_complete(asyncio.wait_for(scenario(loop), 120))
    loop.close()


@pytest.mark.parametrize("what", [
    "get_buffer", "buffer_updated", "bytes", "none", "empty"])
def test_a_buffered_protocol_that_fails(what):
    async def scenario(loop, log):
        lost = loop.create_future()

        class Buffered(asyncio.BufferedProtocol):
            def get_buffer(self, hint):
                if not started:
                    return bytearray(10)
                if what == "get_buffer":
                    raise ValueError("get")
                return {"bytes": bytes(10), "none": None,
                        "empty": bytearray()}.get(what, bytearray(10))

            def buffer_updated(self, count):
                raise ValueError("updated")

            def connection_lost(self, exc):
                lost.set_result(exc)

        started = False
        transport, peer = await wrapped(loop, Buffered())
        started = True
        await peer.send(b"data")
        log.append(repr(await lost))
        peer.sock.close()
    same(scenario)


@pytest.mark.parametrize("what", ["made", "data", "eof", "lost"])
@pytest.mark.parametrize("error", [ValueError("p"), OSError(5, "p")])
def test_protocols_that_raise(what, error):
    async def scenario(loop, log):
        protocol = Recorder(log, **{what: error})
        ours, theirs = socket_pair("tcp")
        peer = Peer(loop, theirs)
        connecting = asyncio.ensure_future(loop.create_connection(
            lambda: protocol, sock=ours, ssl=client_context(),
            server_hostname="localhost"))
        with contextlib.suppress(ssl.SSLError):
            await peer.handshake()
        if what == "made":
            await protocol.lost
            connecting.cancel()
            await asyncio.wait([connecting])
        else:
            await connecting
            await peer.send(b"data")
            await until(lambda: protocol.received)
            if what != "data":
                await peer.notify()
            await protocol.lost
        theirs.close()
    same(scenario)


@pytest.mark.parametrize("answer", [None, True])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("how", ["says so", "hangs up", "both", "in one"])
def test_the_peer_half_closes(how, version, answer):
    """It writes no more and goes on reading."""
    async def scenario(loop, log):
        protocol = Recorder(log, eof=answer)
        context = client_context()
        context.maximum_version = ssl.TLSVersion[version]
        transport, peer = await wrapped(loop, protocol, ssl=context)
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if how == "in one":
            peer.ssl.write(b"last words")
        else:
            await peer.send(b"last words")
            await until(lambda: protocol.received)
        if how != "hangs up":
            await peer.notify()
        if how != "says so":
            peer.sock.shutdown(socket.SHUT_WR)
        await until(lambda: ("p", "eof") in log or protocol.lost.done())
        transport.write(b"an answer that comes too late")
        transport.close()
        rest = bytearray()
        with contextlib.suppress(ConnectionError):
            while got := await receive_some(loop, peer.sock):
                rest += got
        peer.sock.close()
        await protocol.lost
        # (Who sees the end first, the peer or the protocol, is open.)
        log.append((bytes(protocol.received), rest[:1] in (b"", b"\x15"),
                    b"answer" in rest))
    same(scenario)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_renegotiation_is_refused():
    async def scenario(loop, log):
        protocol = Recorder(log)
        context = server_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        server = await loop.create_server(lambda: protocol, "127.0.0.1", 0,
                                          ssl=context)
        address = "%s:%d" % server.sockets[0].getsockname()
        client = await asyncio.to_thread(
            subprocess.Popen, ["openssl", "s_client", "-connect", address],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, bufsize=0)
        with client:
            client.stdin.write(b"hello\n")
            await until(lambda: protocol.received)
            client.stdin.write(b"R\n")
            log.append(str(await protocol.lost).partition(" (_ssl")[0])
        log.append(bytes(protocol.received))
        server.close()
    same(scenario)


@pytest.mark.parametrize("answer", [None, True])
def test_the_peer_ends(answer):
    async def scenario(loop, log):
        protocol = Recorder(log, eof=answer)
        transport, peer = await wrapped(loop, protocol)
        await peer.send(b"last words")
        await peer.close()
        await protocol.lost
        log.append((bytes(protocol.received), transport.is_closing()))
    same(scenario)


def test_the_peer_closes_without_a_word():
    async def scenario(loop, log):
        protocol = Recorder(log)
        transport, peer = await wrapped(loop, protocol)
        await peer.send(b"cut")
        peer.sock.shutdown(socket.SHUT_WR)
        await protocol.lost
        log.append((bytes(protocol.received), transport.is_closing()))
        peer.sock.close()
    same(scenario)


def test_end_while_reading_is_paused():
    async def scenario(loop, log):
        protocol = Recorder(log)
        transport, peer = await wrapped(loop, protocol)
        transport.pause_reading()
        await peer.send(b"kept")
        peer.sock.shutdown(socket.SHUT_WR)
        for _ in range(20):
            await asyncio.sleep(0.001)
        log.append(bytes(protocol.received))
        transport.resume_reading()
        await protocol.lost
        log.append(bytes(protocol.received))
        peer.sock.close()
    same(scenario)


@in_all_worlds
async def test_rubbish_on_the_line(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    await write_rubbish(peer)
    log.append(type(await protocol.lost).__name__)
    peer.sock.close()


@in_all_worlds
async def test_a_reset(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    await reset(peer)
    await protocol.lost


@in_all_worlds
async def test_writing_after_the_end(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    transport.abort()
    await protocol.lost
    for _ in range(8):
        transport.write(b"nobody")
    transport.writelines([b"nobody"])
    peer.sock.close()


@in_all_worlds
async def test_writing_before_abort(loop, log):
    def say_and_abort(protocol):
        protocol.transport.write(b"last words")
        protocol.transport.abort()

    protocol = Recorder(log, data=say_and_abort)
    transport, peer = await wrapped(loop, protocol)
    await peer.send(b"a question")
    words = await peer.receive(10)
    await protocol.lost
    log.append(words)
    peer.sock.close()


@in_all_worlds
async def test_a_peer_that_does_not_answer(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol, ssl_shutdown_timeout=0.01)
    transport.close()
    exc = await protocol.lost
    log.append(str(exc))
    peer.sock.close()


@in_all_worlds
async def test_flow_control(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    transport.set_write_buffer_limits(high=100_000)
    message = random.Random(2).randbytes(1 << 20)
    sent = 0
    while "pause" not in str(log):
        transport.write(message)
        sent += len(message)
    log.append(transport.get_write_buffer_size() > 0)
    log.append(await peer.receive(sent) == message * (sent // len(message)))
    await until(lambda: "resume" in str(log))
    transport.abort()
    await protocol.lost
    log[:] = [entry for entry in log if entry != ("p", "data", "bytes")]
    peer.sock.close()


@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview])
def test_a_write_that_fails(shape):
    """It waits and counts until the transport has ended."""
    class Refuses:
        def __init__(self, ssl_object):
            self.ssl_object = ssl_object

        def write(self, data):
            raise ssl.SSLError("refused")

        def __getattr__(self, name):
            return getattr(self.ssl_object, name)

    async def scenario(loop, log):
        protocol = Recorder(log)
        transport, peer = await wrapped(loop, protocol)
        inner = transport._ssl_protocol
        inner._sslobj = Refuses(inner._sslobj)
        transport.write(shape(b"lost"))
        log.append((transport.get_write_buffer_size(),
                    transport.is_closing()))
        transport.write(shape(b"as well"))
        transport.writelines([b"and", b"this"])
        log.append(transport.get_write_buffer_size())
        log.append(repr(await protocol.lost))
        peer.sock.close()
    same(scenario)


@pytest.mark.parametrize("buffered", [True, False])
def test_set_protocol_in_get_buffer(buffered):
    """The new protocol is told what has come, if it has buffers, too."""
    class Buffered(Recorder, asyncio.BufferedProtocol):
        next = None

        def get_buffer(self, sizehint):
            if self.next is not None:
                self.transport.set_protocol(self.next)
                self.next = None
            return memory

        def buffer_updated(self, count):
            self.received += memory[:count]
            self._note("updated", count)

    memory = memoryview(bytearray(100))

    async def scenario(loop, log):
        first = Buffered(log, "first")
        transport, peer = await wrapped(loop, first)
        second = (Buffered if buffered else Recorder)(log, "second")
        second.transport = transport
        first.next = second
        await peer.send(b"data")
        await until(lambda: first.received or second.received)
        await peer.send(b"more")
        await until(lambda: len(first.received + second.received) == 8)
        transport.abort()
        await second.lost
        peer.sock.close()
    same(scenario)


@in_all_worlds
async def test_reading_paused(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    transport.pause_reading()
    message = random.Random(3).randbytes(3 << 20)
    sending = asyncio.ensure_future(peer.send(message))
    await until(lambda: transport.get_read_buffer_size() >= 256 * 1024)
    log.append(len(protocol.received))
    transport.resume_reading()
    await until(lambda: len(protocol.received) == len(message))
    await sending
    log[:] = [bytes(protocol.received) == message]
    transport.abort()
    await protocol.lost
    peer.sock.close()


@in_all_worlds
async def test_another_protocol(loop, log):
    one, other = Recorder(log, "one"), Recorder(log, "other")
    transport, peer = await wrapped(loop, one)
    await peer.send(b"1")
    await until(lambda: one.received)
    transport.set_protocol(other)
    await peer.send(b"2")
    await until(lambda: other.received)
    await peer.notify()
    await other.lost
    peer.sock.close()


@pytest.mark.parametrize("end", [notify, shut_down, reset, write_rubbish])
def test_contexts(end):
    variable = contextvars.ContextVar("variable", default="none")

    async def scenario(loop, log):
        def seen(protocol):
            log.append(variable.get())

        protocol = Recorder(log, made=seen, data=seen, eof=seen, lost=seen)
        variable.set("maker's")
        transport, peer = await wrapped(loop, protocol)
        variable.set("later")
        await peer.send(b"data")
        await until(lambda: protocol.received)
        await end(peer)
        await protocol.lost
        peer.sock.close()
    same(scenario)


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_serving(family, tmp_path):
    counter = iter(range(100))

    async def scenario(loop, log):
        async def answer(reader, writer):
            log.append(writer.get_extra_info("peercert"))
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        if family == "tcp":
            server = await asyncio.start_server(
                answer, "127.0.0.1", 0, ssl=server_context())
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), ssl=client_context(),
                server_hostname="localhost")
        else:
            path = str(tmp_path / str(next(counter)))
            server = await asyncio.start_unix_server(
                answer, path, ssl=server_context())
            reader, writer = await asyncio.open_unix_connection(
                path, ssl=client_context(), server_hostname="localhost")
        for size in (1, 100, 17_000, 60_000):
            writer.write(b"x" * size + b"\n")
            await writer.drain()
            log.append(await reader.readline() == b"X" * size + b"\n")
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    same(scenario)


def test_large_streams():
    """Random messages both ways, in random pieces."""
    async def scenario(loop, log):
        rng = random.Random(4)
        sizes = 1, 900, 16_384, 50_000, 400_000
        messages = [rng.randbytes(rng.choice(sizes)) for _ in range(25)]
        whole = b"".join(messages)

        async def echo(reader, writer):
            while data := await reader.read(rng.choice((10, 5_000, 100_000))):
                writer.write(data)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(
            echo, "127.0.0.1", 0, ssl=server_context())
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context(),
            server_hostname="localhost")

        async def send():
            for message in messages:
                writer.write(message)
                await writer.drain()

        _, got = await asyncio.gather(send(), reader.readexactly(len(whole)))
        log.append(got == whole)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    same(scenario)


@in_all_worlds
async def test_accepted_sockets(loop, log):
    ours, theirs = socket_pair("tcp")
    peer = Peer(loop, theirs, server_side=False)
    shaking = asyncio.ensure_future(peer.handshake())
    protocol = Recorder(log)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, ours, ssl=server_context())
    await shaking
    transport.write(b"hello")
    log.append(await peer.receive(5))
    transport.close()
    await peer.close()
    await protocol.lost


@in_all_worlds
async def test_a_dropped_transport(loop, log):
    protocol = Recorder(log)
    transport, peer = await wrapped(loop, protocol)
    protocol.transport = None
    peer.sock.close()
    await protocol.lost


def test_plain_connections_are_not_disturbed():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        transport = await connect(loop, ours, protocol)
        theirs.send(b"plain")
        await until(lambda: protocol.received)
        transport.write(b"answer")
        log.append(await receive_some(loop, theirs))
        transport.abort()
        await protocol.lost
        theirs.close()
    same(scenario)


def test_an_older_protocol():
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        peer = Peer(loop, theirs, server_side=False)
        shaking = asyncio.ensure_future(peer.handshake())
        protocol = Recorder(log)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, ours, ssl=context)
        await shaking
        log.append(peer.ssl.version())
        await peer.send(b"x" * 20_000)
        await until(lambda: len(protocol.received) == 20_000)
        transport.write(b"y" * 20_000)
        log.append(await peer.receive(20_000) == b"y" * 20_000)
        transport.close()
        await peer.close()
        await protocol.lost
        log[:] = [entry for entry in log if entry != ("p", "data", "bytes")]
    same(scenario)
