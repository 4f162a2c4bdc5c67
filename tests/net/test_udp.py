"""Datagram endpoints, compared with asyncio's."""

import asyncio
import contextvars
import gc
import os
import random
import re
import socket
import warnings

import pytest
from endpoints import (
    LOCALHOST,
    Quiet,
    Recorder,
    endpoint,
    name_of,
    plain,
)
from networlds import WORLDS, in_all_worlds, same, until

import ouro

# ---- receiving and sending ------------------------------------------------


@pytest.mark.parametrize("connected", [False, True])
def test_echo(connected):
    async def scenario(loop, log):
        server, protocol = await endpoint(loop, log, answers={
            "data": lambda self, data: None})
        addresses = []
        protocol.datagram_received = lambda data, addr: (
            addresses.append(addr), server.sendto(data, addr))
        at = name_of(server)
        client, _ = await endpoint(
            loop, log, "c",
            **({"local_addr": None, "remote_addr": at} if connected else {}))
        sizes = [1, 2, 1000, 1472, 9000, 65507] + [5] * 40
        for size in sizes:
            before = len(log)
            client.sendto(os.urandom(1) * size, None if connected else at)
            await until(lambda: len(log) > before)
            log[-1] = (*log[-1][:2], len(log[-1][2]), type(log[-1][2]))
        log.append(set(addresses) == {name_of(client)})
        log.append([type(part) for part in addresses[0]])
        server.close()
        client.close()
        await protocol.lost
    same(scenario)


@pytest.mark.parametrize("data", [
    b"bytes", bytearray(b"bytearray"), memoryview(b"view"), b"",
    bytearray(), memoryview(b"0123")[::2], memoryview(b"01234567").cast("I"),
    type("B", (bytes,), {})(b"derived"), "text", None, 7, [1], (b"a",)])
@pytest.mark.parametrize("connected", [False, True])
def test_data(data, connected):
    async def scenario(loop, log):
        with plain() as theirs:
            at = theirs.getsockname()
            options = {"remote_addr": at} if connected else {}
            transport, protocol = await endpoint(loop, log, **options)
            try:
                log.append(transport.sendto(data, at))
            except Exception as exc:
                log.append(repr(exc))
            transport.sendto(b"end", None if connected else at)
            while not log[-1:] == [b"end"] and not transport.is_closing():
                log.append(theirs.recv(100))
            transport.close()
            await protocol.lost
    same(scenario)


def addresses():
    yield None
    yield ()
    yield (LOCALHOST,)
    yield (LOCALHOST, "1")
    yield (LOCALHOST, -1)
    yield (LOCALHOST, 65536)
    yield (LOCALHOST, 1, 0)
    yield [LOCALHOST, 1]
    yield LOCALHOST
    yield (LOCALHOST.encode(), 1)
    yield ("127.0.0.1\0", 1)
    yield ("\udc80", 1)
    yield ("::1", 1)
    yield ("", 1)
    yield ("<broadcast>", 1)
    yield ("255.255.255.255", 1)
    yield (1, LOCALHOST)


@pytest.mark.parametrize("addr", list(addresses()), ids=repr)
def test_addresses(addr):
    async def scenario(loop, log):
        transport, protocol = await endpoint(loop, log)
        try:
            log.append(transport.sendto(b"data", addr))
        except Exception as exc:
            log.append(repr(exc))
        log.append(transport.is_closing())
        transport.close()
        await protocol.lost
    same(scenario)


@in_all_worlds
async def test_other_shapes_of_addresses(loop, log):
    """Names are looked up by the socket; equal tuples are equal."""
    class Tuple(tuple):
        pass
    transport, protocol = await endpoint(loop, log)
    with plain() as theirs:
        port = theirs.getsockname()[1]
        for addr in (("localhost", port), Tuple((LOCALHOST, port)),
                     (type("S", (str,), {})(LOCALHOST), port),
                     (LOCALHOST, type("I", (int,), {})(port)),
                     ("".join(["127.0.", "0.1"]), int(str(port)))):
            transport.sendto(type(addr).__name__.encode(), addr)
            data, source = theirs.recvfrom(100)
            log.append((data, source == name_of(transport)))
            theirs.sendto(data, source)
            await until(lambda: log[-1] == ("p", "data", data))
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_wrong_remote_address(loop, log):
    with plain() as theirs:
        at = theirs.getsockname()
        for options in ({}, {"allow_broadcast": True}):
            transport, protocol = await endpoint(
                loop, log, local_addr=None, remote_addr=at, **options)
            for addr in ((LOCALHOST, 1), list(at), "x"):
                try:
                    transport.sendto(b"data", addr)
                except ValueError as exc:
                    log.append(str(exc).replace(str(at[1]), "PORT"))
            transport.sendto(b"1")
            transport.sendto(b"2", at)
            transport.sendto(b"3", (LOCALHOST, at[1]))
            log.append([theirs.recv(10) for _ in range(3)])
            log.append(transport.get_extra_info("peername") == (
                None if options else at))
            log.append(transport._address == at)
            transport.close()
            await protocol.lost


@in_all_worlds
async def test_refused(loop, log):
    with plain() as nobody:
        at = nobody.getsockname()
    transport, protocol = await endpoint(
        loop, log, local_addr=None, remote_addr=at)
    transport.sendto(b"data")
    await until(lambda: len(log) > 1)
    transport.sendto(b"data")
    await until(lambda: len(log) > 2)
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_too_large(loop, log):
    transport, protocol = await endpoint(loop, log)
    with plain() as theirs:
        at = theirs.getsockname()
        transport.sendto(bytes(70_000), at)
        transport.sendto(b"fits", at)
        log.append(theirs.recv(100))
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_error_received_raises(loop, log):
    transport, protocol = await endpoint(
        loop, log, answers={"error": ZeroDivisionError("of mine")})
    try:
        transport.sendto(bytes(70_000), (LOCALHOST, 1))
    except ZeroDivisionError as exc:
        log.append(repr(exc))
    transport.close()
    await protocol.lost


@in_all_worlds
async def test_sending_when_closed(loop, log):
    with plain() as theirs:
        at = theirs.getsockname()
        for options in ({}, {"local_addr": None, "remote_addr": at}):
            transport, protocol = await endpoint(loop, log, **options)
            transport.close()
            for i in range(8):
                transport.sendto(b"%d" % i, at)
            await protocol.lost
            for _ in range(2):
                try:
                    transport.sendto(b"late", at)
                except AttributeError as exc:
                    log.append(str(exc))
        theirs.setblocking(False)
        received = []
        try:
            while True:
                received.append(theirs.recv(100))
        except BlockingIOError:
            log.append(received)


# ---- Unix sockets ---------------------------------------------------------


def test_unix_paths(tmp_path):
    async def scenario(loop, log):
        first, second = str(tmp_path / "a"), str(tmp_path / "ä")
        one, p = await endpoint(loop, log, "1", Recorder,
                                local_addr=first, family=socket.AF_UNIX)
        two, q = await endpoint(loop, log, "2", Recorder,
                                local_addr=second, family=socket.AF_UNIX)
        for size in (1, 1000, 100_000):
            one.sendto(b"x" * size, second)
            await until(lambda: q.count)
            log[-1] = (len(log[-1][2]), log[-1][3])
            q.count = 0
        two.sendto(b"back", os.fsencode(first))
        await until(lambda: p.count)
        three, r = await endpoint(loop, log, "3", Recorder, local_addr=None,
                                  family=socket.AF_UNIX)
        three.sendto(b"from nowhere", first)
        await until(lambda: p.count == 2)
        log.append([each.get_extra_info(name)
                    for each in (one, two, three)
                    for name in ("sockname", "peername")])
        for bad in (None, "", str(tmp_path / "nobody"), 7, "x" * 200,
                    (LOCALHOST, 1)):
            try:
                three.sendto(b"data", bad)
            except Exception as exc:
                log.append(repr(exc))
        for each in (one, two, three):
            each.close()
        for each in (p, q, r):
            await each.lost
        log.append(sorted(os.listdir(tmp_path)))
    same(scenario)


def test_unix_abstract():
    async def scenario(loop, log):
        name = "\0ouro-%d" % random.getrandbits(60)
        one, p = await endpoint(loop, log, "1", local_addr=name,
                                family=socket.AF_UNIX)
        two, q = await endpoint(loop, log, "2", local_addr=None,
                                remote_addr=name, family=socket.AF_UNIX)
        two.sendto(b"hello")
        await until(lambda: p.count)
        log.append(two.get_extra_info("peername") == name.encode())
        seen = []
        p.datagram_received = lambda data, addr: seen.append((data, addr))
        three, r = await endpoint(loop, log, "3", local_addr=name + "!",
                                  family=socket.AF_UNIX)
        three.sendto(b"here", name)
        await until(lambda: seen)
        log.append(seen == [(b"here", (name + "!").encode())])
        for each in (one, two, three):
            each.close()
        for each in (p, q, r):
            await each.lost
    same(scenario)


def test_unix_stale(tmp_path):
    async def scenario(loop, log):
        path = str(tmp_path / "socket")
        for kind in ("none", "stale", "file", "directory"):
            if kind == "file":
                os.unlink(path)
                with open(path, "w"):
                    pass
            elif kind == "directory":
                os.unlink(path)
                os.mkdir(path)
            try:
                transport, protocol = await endpoint(
                    loop, log, local_addr=path, family=socket.AF_UNIX)
            except OSError as exc:
                log.append((kind, repr(exc)))
            else:
                log.append((kind, transport.get_extra_info("sockname")))
                transport.close()
                await protocol.lost
        os.rmdir(path)
        try:
            await endpoint(loop, log, local_addr=path + "/x/y",
                           family=socket.AF_UNIX)
        except OSError as exc:
            log.append(repr(exc))
    same(scenario)


# ---- what a transport shows -----------------------------------------------


@in_all_worlds
async def test_appearance(loop, log):
    transport, protocol = await endpoint(loop, log)

    def look():
        log.append((re.sub(r"fd=\d+", "", repr(transport)),
                    transport.is_closing(), transport.is_reading()))
    look()
    kinds = (asyncio.BaseTransport, asyncio.Transport,
             asyncio.ReadTransport, asyncio.WriteTransport,
             asyncio.DatagramTransport)
    log.append([isinstance(transport, kind) for kind in kinds])
    log.append([type(transport).__name__, transport.get_write_buffer_limits(),
                transport.get_write_buffer_size(),
                transport.get_protocol() is protocol,
                transport.get_extra_info("nothing"),
                transport.get_extra_info("nothing", 7),
                sorted(transport._extra), transport._loop is loop,
                transport._address, transport._closing,
                transport._conn_lost])
    for call in (lambda: transport.write(b""), transport.write_eof,
                 transport.can_write_eof):
        try:
            log.append(call())
        except NotImplementedError as exc:
            log.append(repr(exc))
    transport.pause_reading()
    transport.pause_reading()
    look()
    transport.resume_reading()
    transport.resume_reading()
    look()
    transport.close()
    look()
    transport.close()
    transport.pause_reading()
    transport.resume_reading()
    await protocol.lost
    look()
    log.append((transport._sock, transport._loop, transport.get_protocol()))
    transport.close()
    transport.abort()
    transport.attribute = 1
    log.append(transport.attribute)


def test_unclosed():
    async def scenario(loop, log):
        sock = plain()
        transport = loop._make_datagram_transport(sock, Quiet(log))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop._remove_reader(sock.fileno())
        if type(transport).__module__.startswith("ouro"):
            transport.pause_reading()
            transport.abort()
        else:
            transport.abort()
        del transport
        await asyncio.sleep(0)
    same(scenario)


def test_warns_when_dropped():
    for new_loop in (asyncio.SelectorEventLoop, *WORLDS.values()):
        loop = new_loop()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loop.run_until_complete(loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, (LOCALHOST, 0)))
            loop.close()
            del loop
            gc.collect()
        assert [re.sub(r"\d+", "N", str(each.message)) for each in caught
                if each.category is ResourceWarning][:1] == [
            "unclosed transport <_SelectorDatagramTransport fd=N>"]


@in_all_worlds
async def test_contexts(loop, log):
    variable = contextvars.ContextVar("variable", default="none")

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            log.append(variable.get())
            variable.set("made")

        def datagram_received(self, data, addr):
            log.append((data, variable.get()))
            variable.set(data)

        def connection_lost(self, exc):
            log.append(("lost", variable.get()))
    variable.set("outer")
    transport, _ = await loop.create_datagram_endpoint(
        Protocol, (LOCALHOST, 0))
    variable.set("later")
    with plain(name_of(transport)) as theirs:
        for i in range(30):
            theirs.send(b"%d" % i)
        await until(lambda: log[-1][0] == b"29")
    variable.set("closing")
    transport.close()
    await asyncio.sleep(0.01)


@in_all_worlds
async def test_socket_of_others(loop, log):
    """A socket with methods of its own is used by them."""
    class Socket(socket.socket):
        def recvfrom(self, size):
            log.append(("recvfrom", size))
            data, addr = super().recvfrom(size)
            if data == b"fail":
                raise RuntimeError("on purpose")
            if data == b"error":
                raise OSError(5, "on purpose")
            if data == b"block":
                raise BlockingIOError
            return data.upper(), addr

        def sendto(self, data, addr):
            log.append(("sendto", data))
            if data == b"block" and log.count(("sendto", data)) < 3:
                raise BlockingIOError
            if data == b"error":
                raise OSError(5, "on purpose")
            if data == b"fail":
                raise RuntimeError("on purpose")
            return super().sendto(data, addr)

        def send(self, data):
            log.append(("send", data))
            return super().send(data)
    sock = Socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOCALHOST, 0))
    transport, protocol = await endpoint(loop, log, local_addr=None,
                                         sock=sock)
    with plain() as theirs:
        at = theirs.getsockname()
        for data in (b"one", b"block", b"error", b"two"):
            transport.sendto(data, at)
            if data == b"block":
                log.append(transport.get_write_buffer_size())
                await until(lambda: log.count(("sendto", b"block")) == 3)
        log.append([theirs.recv(100) for _ in range(3)])
        for data in (b"one", b"block", b"error", b"two"):
            theirs.sendto(data, name_of(transport))
            before = len(log)
            await until(lambda: len(log) > before)
        await until(lambda: log[-1] == ("p", "data", b"TWO"))
        theirs.sendto(b"fail", name_of(transport))
        await protocol.lost
    sock = Socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOCALHOST, 0))
    transport, protocol = await endpoint(loop, log, local_addr=None,
                                         sock=sock)
    transport.sendto(b"fail", at)
    await protocol.lost


def test_guarded_descriptor():
    """add_reader() refuses the descriptor of an endpoint."""
    async def scenario(loop, log):
        transport, protocol = await endpoint(loop, log)
        for call in (loop.add_reader, loop.add_writer):
            try:
                call(transport.get_extra_info("socket").fileno(), print)
            except RuntimeError as exc:
                log.append(re.sub(r"\d+|<.*>", "", str(exc)))
        transport.close()
        await protocol.lost
    same(scenario)


def test_random_traffic():
    """Between several endpoints, some connected: nothing is lost or changed
    as long as nobody's buffer is full."""
    async def scenario(loop, seed):
        rng = random.Random(seed)
        got = []

        class Protocol(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                got.append((name_of(self.transport), addr, data))
                if data[0] % 3 == 0:
                    answer = bytes([data[0] + 1]) + data[1:]
                    self.transport.sendto(answer, addr)
                    sent.append((addr, name_of(self.transport), answer))
        ends = []
        for _ in range(4):
            ends.append((await loop.create_datagram_endpoint(
                Protocol, (LOCALHOST, 0)))[0])
        sent = []
        for _ in range(60):
            for _ in range(rng.choice([1, 1, 1, 5, 20])):
                source, target = rng.choice(ends), rng.choice(ends)
                data = (bytes([rng.choice([0, 3, 1, 2])])
                        + rng.randbytes(rng.choice([1, 10, 1000])))
                source.sendto(data, name_of(target))
                sent.append((name_of(target), name_of(source), data))
            await until(lambda: len(got) >= len(sent))
        assert sorted(got) == sorted(sent)
        for end in ends:
            end.close()
        await asyncio.sleep(0)
    for seed in range(3):
        loop = ouro.Loop()
        loop.run_until_complete(asyncio.wait_for(scenario(loop, seed), 120))
        loop.close()
