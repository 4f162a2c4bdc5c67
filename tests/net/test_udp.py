"""Datagram endpoints, compared with asyncio's."""

import asyncio
import contextvars
import gc
import os
import random
import re
import socket
import sys
import warnings

import pytest
from networlds import WORLDS, in_all_worlds, run, same, until

import ouro

LOCALHOST = "127.0.0.1"


class Recorder(asyncio.DatagramProtocol):
    """A protocol that logs what it is told; answers: {event: what to do}."""

    def __init__(self, log, name="p", **answers):
        self.log = log
        self.name = name
        self.answers = answers
        self.count = 0
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()

    def _note(self, what, *details):
        self.log.append((self.name, what, *details))
        answer = self.answers.get(what)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer(self, *details)

    def connection_made(self, transport):
        self.transport = transport
        self._note("made")

    def datagram_received(self, data, addr):
        self.count += 1
        self._note("data", data, addr)

    def error_received(self, exc):
        self._note("error", type(exc).__name__)

    def connection_lost(self, exc):
        self._note("lost", type(exc).__name__)
        self.lost.set_result(exc)

    def pause_writing(self):
        self._note("pause")

    def resume_writing(self):
        self._note("resume")


class Quiet(Recorder):
    """One that logs the data alone: ports differ from run to run."""

    def datagram_received(self, data, addr):
        self.count += 1
        self._note("data", data)


async def endpoint(loop, log, name="p", kind=Quiet, answers=None, **options):
    options.setdefault("local_addr", (LOCALHOST, 0))
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: kind(log, name, **(answers or {})), **options)
    return transport, protocol


def plain(address=None):
    """A socket that is no endpoint."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOCALHOST, 0))
    if address is not None:
        sock.connect(address)
    sock.settimeout(10)
    return sock


def name_of(transport):
    return transport.get_extra_info("sockname")


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


# ---- several at once ------------------------------------------------------

BURST = 100


def burst(answers=None):
    """A scenario: a burst, and what is scheduled for each datagram."""
    async def scenario(loop, log):
        transport, protocol = await endpoint(loop, log, answers=answers)
        with plain(name_of(transport)) as theirs:
            for _ in range(3):
                before = protocol.count
                for i in range(BURST):
                    theirs.send(b"%d" % i)
                    if i % 50 == 49:
                        await asyncio.sleep(0)
                await until(lambda: protocol.count >= before + BURST
                            or transport.is_closing()
                            or not transport.is_reading())
                if not transport.is_reading():
                    break
            await asyncio.sleep(0.02)
            if not transport.is_reading() and not transport.is_closing():
                log.append("paused")
                transport.resume_reading()
                await until(lambda: protocol.count >= BURST)
        transport.close()
        await protocol.lost
    return scenario


def test_burst():
    log = same(burst())
    assert [data for _, what, *data in log[1:-1] if what == "data"] == (
        [[b"%d" % i] for i in range(BURST)] * 3)


def test_burst_and_call_soon():
    """What a datagram schedules comes before the next datagram."""
    same(burst({"data": lambda self, data: asyncio.get_running_loop()
                .call_soon(self.log.append, data)}))


def test_burst_and_tasks():
    async def noted(self, data):
        self.log.append(data)
        await asyncio.sleep(0)
        self.log.append((data, self.count))
    tasks = set()

    def start(self, data):
        task = asyncio.ensure_future(noted(self, data))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    same(burst({"data": start}))


def on_number(number, action):
    """Do something when the datagram with that number comes first."""
    def answer(self, data):
        if int(data) == number and self.count == number + 1:
            action(self)
    return {"data": answer}


def throw(exception):
    raise exception


@pytest.mark.parametrize("number", [0, 3, 12, 20, 41])
@pytest.mark.parametrize("what", ["pause", "close", "abort", "raise", "both"])
def test_in_the_middle_of_a_burst(number, what):
    actions = {
        "pause": lambda self: self.transport.pause_reading(),
        "close": lambda self: self.transport.close(),
        "abort": lambda self: self.transport.abort(),
        "raise": lambda self: throw(ZeroDivisionError()),
        "both": lambda self: (self.transport.pause_reading(),
                              self.transport.resume_reading()),
    }
    same(burst(on_number(number, actions[what])))


@pytest.mark.parametrize("number", [2, 15, 30])
@pytest.mark.parametrize("world", ["stock", *WORLDS])
def test_stop_and_interrupt_lose_nothing(number, world):
    """What is left of a burst comes when the loop runs again."""
    new_loop = WORLDS.get(world, asyncio.SelectorEventLoop)
    loop = new_loop()
    received = []
    transports = []

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            transports.append(transport)

        def datagram_received(self, data, addr):
            received.append(int(data))
            if len(received) == number:
                loop.stop()
            if len(received) == number + 3:
                raise KeyboardInterrupt
    loop.run_until_complete(loop.create_datagram_endpoint(
        Protocol, (LOCALHOST, 0)))
    with plain(name_of(transports[0])) as theirs:
        for i in range(50):
            theirs.send(b"%d" % i)
    loop.run_forever()
    assert received == list(range(number))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert received == list(range(number + 3))
    loop.run_until_complete(asyncio.wait_for(
        _until_length(received, 50), 10))
    assert received == list(range(50))
    transports[0].close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def _until_length(what, length):
    await until(lambda: len(what) >= length)


@in_all_worlds
async def test_set_protocol_in_a_burst(loop, log):
    transport, protocol = await endpoint(loop, log)
    second = Quiet(log, "q")

    def change(data, addr):
        log.append(data)
        if data == b"30":
            transport.set_protocol(second)
    protocol.datagram_received = change
    with plain(name_of(transport)) as theirs:
        for i in range(60):
            theirs.send(b"%d" % i)
        await until(lambda: second.count == 29)
    log.append(transport.get_protocol() is second)
    transport.close()
    await second.lost


def test_answers_to_a_burst():
    """They are sent together, in order, whatever they are."""
    async def scenario(loop, log):
        def answer(self, data):
            number = int(data)
            at = theirs.getsockname()
            self.transport.sendto(b"a" + data, at)
            if number % 10 == 3:
                self.transport.sendto(bytearray(b"b" + data),
                                      ("localhost", at[1]))
            if number % 10 == 5:
                self.transport.sendto(bytes(70_000), at)
            if number % 10 == 7:
                log.append(self.transport.get_write_buffer_size())
            if number == 77:
                self.transport.close()
        transport, protocol = await endpoint(loop, log,
                                             answers={"data": answer})
        with plain(name_of(transport)) as theirs:
            for i in range(BURST):
                theirs.send(b"%d" % i)
            await protocol.lost
            log.append([theirs.recv(100) for _ in range(78 + 8)])
        # Where errors are told of is not compared.
        errors = [each for each in log if isinstance(each, tuple)
                  and each[1:2] == ("error",)]
        log[:] = [each for each in log if each not in errors]
        log.append(len(errors))

    expected = run(asyncio.SelectorEventLoop, scenario)
    for new_loop in WORLDS.values():
        assert run(new_loop, scenario) == expected


# ---- when the socket is full ----------------------------------------------


def unix_pair(size=2000):
    """Datagram sockets of a pair: ours has a peer, and fills soon."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (ours, theirs):
        sock.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    return ours, theirs


def full_endpoint(tmp_path):
    """Options for an endpoint whose peer has to be read to go on, and the
    peer."""
    path = str(tmp_path / f"peer{random.getrandbits(40)}")
    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.bind(path)
    theirs.setblocking(False)
    return {"local_addr": None, "remote_addr": path,
            "family": socket.AF_UNIX}, theirs


def drain(sock):
    got = []
    try:
        while True:
            got.append(sock.recv(1 << 18))
    except BlockingIOError:
        return got


async def read_all(sock, until_count, got):
    while len(got) < until_count:
        got += drain(sock)
        await asyncio.sleep(0.001)


# Some releases of 3.13 do not take the header off again.
EXACT_SIZE = (
    sys.version_info < (3, 13)
    or hasattr(asyncio.selector_events._SelectorDatagramTransport,
               "_header_size")
)


@pytest.mark.parametrize("end", ["close", "abort", "drain"])
def test_full(tmp_path, end):
    async def scenario(loop, log):
        options, theirs = full_endpoint(tmp_path)
        transport, protocol = await endpoint(loop, log, **options)
        transport.set_write_buffer_limits(high=3000, low=1000)
        log.append(transport.get_write_buffer_limits())
        got = []
        with theirs:
            sent = 0
            while protocol.log[-1] != ("p", "pause"):
                transport.sendto(b"%03d" % sent + bytes(97))
                sent += 1
                assert sent < 10_000
            size = transport.get_write_buffer_size()
            log.append(size)
            log.append(re.sub(r"fd=\d+", "", repr(transport)))
            if end == "abort":
                transport.abort()
                await protocol.lost
                return
            if end == "close":
                transport.close()
                log.append(transport.is_closing())
            await read_all(theirs, sent, got)
            if end == "drain":
                transport.sendto(b"more")
                await read_all(theirs, sent + 1, got)
                if EXACT_SIZE:
                    log.append(transport.get_write_buffer_size())
                transport.close()
            await protocol.lost
            log.append((len(got), sorted(got) == got or got[-1]))
    same(scenario)


@in_all_worlds
async def test_full_pair(loop, log):
    """The mutable is copied when it has to wait."""
    ours, theirs = unix_pair()
    fill = 0
    try:
        while True:
            ours.send(b"fill")
            fill += 1
    except BlockingIOError:
        pass
    ours.setblocking(False)
    # (A pair's peer has no name: asyncio cannot send to it.)
    transport, protocol = await endpoint(loop, log, local_addr=None,
                                         sock=ours)
    transport._extra["peername"] = "somebody"
    transport.close()
    await protocol.lost
    theirs.close()


def test_keeps_copies(tmp_path):
    async def scenario(loop, log):
        options, theirs = full_endpoint(tmp_path)
        transport, protocol = await endpoint(loop, log, **options)
        with theirs:
            sent = 0
            while transport.get_write_buffer_size() == 0:
                transport.sendto(b"x" * 100)
                sent += 1
            data = bytearray(b"before")
            transport.sendto(data)
            transport.sendto(memoryview(data))
            data[:] = b"after"
            data.extend(b"wards")
            transport.sendto(data)
            got = []
            await read_all(theirs, sent + 3, got)
            log.append(got[-3:])
            transport.close()
            await protocol.lost
    same(scenario)


def test_peer_goes_while_full(tmp_path):
    async def scenario(loop, log):
        options, theirs = full_endpoint(tmp_path)
        transport, protocol = await endpoint(loop, log, **options)
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"x" * 100)
        transport.sendto(b"second")
        theirs.close()
        await until(lambda: transport.get_write_buffer_size() < 20)
        transport.close()
        await protocol.lost
        del log[log.index(("p", "error", "ConnectionRefusedError")) + 1:-1]
    same(scenario)


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
        loop.run_until_complete(asyncio.wait_for(scenario(loop, seed), 30))
        loop.close()
