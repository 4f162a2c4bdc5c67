"""Making connections, compared with asyncio's ways and words."""

import _socket
import asyncio
import gc
import os
import socket
import sys
import threading
import warnings

import pytest
from networlds import (
    WORLDS,
    Recorder,
    StockLoop,
    run,
    same,
    until,
)

import ouro


def free_port():
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def info(address, family=socket.AF_INET):
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address


def resolver(*infos):
    """A loop.getaddrinfo() that answers with these."""
    async def getaddrinfo(host, port, *, family=0, type=0, proto=0, flags=0):
        return list(infos)
    return getaddrinfo


def outcome(call, filter=lambda text: text):
    """What a call that connects comes to, in all worlds."""
    async def scenario(loop, log):
        try:
            transport, protocol = await call(loop)
        except Exception as exc:
            log.append((type(exc).__name__, filter(str(exc)),
                        getattr(exc, "errno", None),
                        [type(each).__name__
                         for each in getattr(exc, "exceptions", ())]))
        else:
            log.append((type(transport).__name__, type(protocol).__name__))
            transport.close()
            await asyncio.sleep(0.01)
    return same(scenario)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_literal(listener, monkeypatch):
    """Literal addresses are not looked up."""
    def forbidden(*args, **kwargs):
        raise AssertionError(args)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    port = listener.getsockname()[1]
    for address in (("127.0.0.1", port), ("127.0.0.1", str(port)),
                    (b"127.0.0.1", port)):
        assert outcome(lambda loop: loop.create_connection(
            asyncio.Protocol, *address)) \
            == [("_SelectorSocketTransport", "Protocol")]


def test_patched_resolution(listener, monkeypatch):
    """socket.getaddrinfo() and loop.getaddrinfo() can be replaced."""
    address = listener.getsockname()
    monkeypatch.setattr(socket, "getaddrinfo",
                        lambda host, port, *args: [info(address)]
                        if (host, port) == ("somewhere", "else") else None)

    def call(loop):
        return loop.create_connection(asyncio.Protocol, "somewhere", "else")
    outcome(call)
    monkeypatch.undo()

    def call_patched(loop):
        loop.getaddrinfo = resolver(info(address))
        return loop.create_connection(asyncio.Protocol, "somewhere", "else")
    assert outcome(call_patched)[0][1] == "Protocol"


def test_getaddrinfo(monkeypatch):
    async def scenario(loop, log):
        log.append(await loop.getaddrinfo("127.0.0.1", 80))
        log.append(await loop.getaddrinfo("127.0.0.1", 80, proto=6,
                                          type=socket.SOCK_STREAM))
        log.append(await loop.getnameinfo(("127.0.0.1", 80),
                                          socket.NI_NUMERICHOST
                                          | socket.NI_NUMERICSERV))
        try:
            await loop.getaddrinfo("no.such.host.invalid", None)
        except socket.gaierror as exc:
            log.append(exc.errno)
    same(scenario)


@pytest.mark.parametrize("port", [80, None, "80"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_threads_for_names_alone(monkeypatch, host, port):
    """A literal address is answered by the loop's thread."""
    threads = []
    ask = _socket.getaddrinfo

    def recorded(*args):
        threads.append(threading.get_ident())
        return ask(*args)

    monkeypatch.setattr(_socket, "getaddrinfo", recorded)
    expected = socket.getaddrinfo(host, port)
    threads.clear()
    loop = ouro.Loop()
    got = loop.run_until_complete(loop.getaddrinfo(host, port))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert got == expected
    at_once = host != "localhost" and port != "80"
    assert (threads == [threading.get_ident()]) == at_once


def test_nobody_listens():
    port = free_port()
    assert outcome(lambda loop: loop.create_connection(
        asyncio.Protocol, "127.0.0.1", port))[0][0] \
        == "ConnectionRefusedError"


def test_several_addresses_fail():
    """One message for all that are alike, else "Multiple exceptions"."""
    port, other = free_port(), free_port()

    def call(loop, *infos, **options):
        loop.getaddrinfo = resolver(*infos)
        return loop.create_connection(asyncio.Protocol, "host", 1, **options)
    refused = [info(("127.0.0.1", port)), info(("127.0.0.1", other))]
    assert "Multiple exceptions: " in outcome(
        lambda loop: call(loop, *refused))[0][1]
    assert outcome(lambda loop: call(loop, refused[0], refused[0]))[0][0] \
        == "ConnectionRefusedError"
    outcome(lambda loop: call(loop, info(("255.255.255.255", 1)), refused[0]))
    # (a family that the address is not of: no OSError at all)
    outcome(lambda loop: call(loop, info(("::1",), socket.AF_INET6)))
    assert outcome(lambda loop: call(loop))[0][1] \
        == "getaddrinfo() returned empty list"
    if sys.version_info >= (3, 12):
        assert outcome(lambda loop: call(loop, *refused, all_errors=True)) \
            == [("ExceptionGroup", "create_connection failed (2 "
                 "sub-exceptions)", None, ["ConnectionRefusedError"] * 2)]
        outcome(lambda loop: call(loop, refused[0], all_errors=True))


def test_later_address_answers(listener):
    port = free_port()

    def call(loop, **options):
        loop.getaddrinfo = resolver(info(("127.0.0.1", port)),
                                    info(listener.getsockname()))
        return loop.create_connection(asyncio.Protocol, "host", 1, **options)
    assert outcome(call)[0][1] == "Protocol"
    assert outcome(lambda loop: call(loop, happy_eyeballs_delay=0.1))[0][1] \
        == "Protocol"
    assert outcome(lambda loop: call(loop, interleave=1))[0][1] == "Protocol"


def test_happy_eyeballs(listener):
    """An address that does not answer is not waited for."""
    with socket.socket() as full:       # its backlog is exhausted
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        blockers = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
            blockers.append(sock)

        def call(loop):
            loop.getaddrinfo = resolver(info(full.getsockname()),
                                        info(listener.getsockname()))
            # (The kernel gives up after two minutes.)
            return asyncio.wait_for(
                loop.create_connection(asyncio.Protocol, "host", 1,
                                       happy_eyeballs_delay=0.05), 60)
        assert outcome(call)[0][1] == "Protocol"
        for sock in blockers:
            sock.close()


def test_a_race_without_exceptions(monkeypatch):
    async def race(functions, delay, **options):
        return None, None, []
    monkeypatch.setattr("asyncio.staggered.staggered_race", race)

    def call(loop):
        loop.getaddrinfo = resolver(info(("127.0.0.1", 1)))
        return loop.create_connection(asyncio.Protocol, "host", 1,
                                      happy_eyeballs_delay=0.05)
    outcome(call)


def test_interleave():
    """In which order addresses are tried."""
    infos = [info(("v4-1", 1)), info(("v4-2", 1)), info(("v4-3", 1)),
             info(("v6-1", 1), socket.AF_INET6),
             info(("v6-2", 1), socket.AF_INET6)]

    for count in (None, 0, 1, 2, 3, 5):
        async def scenario(loop, log):
            async def sock_connect(sock, address):
                log.append(address[0])
                raise OSError(address[0])
            loop.getaddrinfo = resolver(*infos)
            loop.sock_connect = sock_connect
            try:
                await loop.create_connection(asyncio.Protocol, "host", 1,
                                             interleave=count)
            except OSError as exc:
                log.append(str(exc))
        assert len(same(scenario)) == 6


@pytest.mark.parametrize("delay", [None, 0, 0.001, 5])
@pytest.mark.parametrize("interleave", [None, 0, 1, 2, 10])
@pytest.mark.parametrize("answers", [None, 0, 3])
def test_the_order_of_a_race(delay, interleave, answers):
    """Which addresses are tried, in which order, until one answers."""
    infos = [info((f"192.0.2.{i}", 1)) for i in range(3)]
    infos += [info((f"2001:db8::{i}", 1, 0, 0), socket.AF_INET6)
              for i in range(2)]

    async def scenario(loop, log):
        tried = []

        async def sock_connect(sock, address):
            tried.append(address[0])
            number = len(tried)
            log.append((address[0], sock.family))
            await asyncio.sleep(0)
            if number != answers:
                raise OSError(5, address[0])

        def make(sock, *args, **kwargs):
            sock.close()
            raise OSError(6, "this one answers")
        loop.getaddrinfo = resolver(*infos)
        loop.sock_connect = sock_connect
        loop._make_socket_transport = make
        try:
            await loop.create_connection(
                asyncio.Protocol, "host", 1, interleave=interleave,
                happy_eyeballs_delay=delay)
        except OSError as exc:
            log.append((type(exc).__name__, str(exc)))
        await asyncio.sleep(0)
    same(scenario)


def test_local_address(listener):
    port = listener.getsockname()[1]

    def call(loop, local, **options):
        return loop.create_connection(asyncio.Protocol, "127.0.0.1", port,
                                      local_addr=local, **options)
    assert outcome(lambda loop: call(loop, ("127.0.0.1", 0)))[0][1] \
        == "Protocol"
    outcome(lambda loop: call(loop, ("::1", 0)))
    outcome(lambda loop: call(loop, ("192.0.2.1", 0)))
    outcome(lambda loop: call(loop, ("127.0.0.1",)))
    outcome(lambda loop: call(loop, 7))

    def call_two(loop):
        loop.getaddrinfo = resolver(info(("192.0.2.1", 0)),
                                    info(("192.0.2.2", 0)))
        return call(loop, ("host", 0))
    outcome(call_two)


@pytest.mark.parametrize("call", [
    lambda loop: loop.create_connection(asyncio.Protocol),
    lambda loop: loop.create_connection(asyncio.Protocol, "h", 1,
                                        sock=socket.socket()),
    lambda loop: loop.create_connection(asyncio.Protocol, "h", 1,
                                        server_hostname="h"),
    lambda loop: loop.create_connection(asyncio.Protocol, "", 1, ssl=True),
    lambda loop: loop.create_connection(asyncio.Protocol, ssl=True,
                                        sock=socket.socket()),
    lambda loop: loop.create_connection(asyncio.Protocol, "h", 1,
                                        ssl_handshake_timeout=1),
    lambda loop: loop.create_connection(asyncio.Protocol, "h", 1,
                                        ssl_shutdown_timeout=1),
    lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1",
                                        "no such service"),
    lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1", 1,
                                        family=socket.AF_INET6),
    lambda loop: loop.create_connection(asyncio.Protocol, "a" * 64 + ".b", 1),
    lambda loop: loop.create_connection(asyncio.Protocol, 7, 1),
    lambda loop: loop.create_connection(asyncio.Protocol, "127.0.0.1",
                                        1 << 20),
    lambda loop: loop.create_connection(None, "127.0.0.1", 1),
])
def test_bad_arguments(call):
    outcome(call)


def test_wrong_sockets():
    for make in (lambda: socket.socket(type=socket.SOCK_DGRAM),):
        def call(loop, method="create_connection"):
            with make() as sock:
                return loop.create_task(
                    getattr(loop, method)(asyncio.Protocol, sock=sock))
        for method in ("create_connection", "connect_accepted_socket",
                       "create_unix_connection"):
            outcome(lambda loop: call(loop, method),
                    lambda text: text.partition(", got")[0])


def test_factory_fails(listener):
    def factory():
        raise ZeroDivisionError("factory")
    outcome(lambda loop: loop.create_connection(factory,
                                                *listener.getsockname()))


def test_sock_connect(listener):
    async def scenario(loop, log):
        with socket.socket() as sock:
            sock.setblocking(False)
            log.append(await loop.sock_connect(sock, listener.getsockname()))
            log.append(sock.getpeername() == listener.getsockname())
        for address in (("127.0.0.1", free_port()), ("127.0.0.1",), 7, None,
                        ("::1", 1)):
            with socket.socket() as sock:
                sock.setblocking(False)
                try:
                    await loop.sock_connect(sock, address)
                except Exception as exc:
                    log.append((type(exc).__name__, str(exc).rstrip(
                        "0123456789)")))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, "/no/such/path")
            except OSError as exc:
                log.append(repr(exc))
    same(scenario)


def test_cancelled():
    """Cancelling leaves neither a socket nor a watch behind."""
    for new_loop in (StockLoop, *WORLDS.values()):
        before = set(os.listdir("/proc/self/fd"))
        loop = new_loop()

        async def main():
            with socket.socket() as full:
                full.bind(("127.0.0.1", 0))
                full.listen(0)
                blockers = [socket.socket() for _ in range(3)]
                for sock in blockers:
                    sock.setblocking(False)
                    sock.connect_ex(full.getsockname())
                for _ in range(3):
                    task = loop.create_task(loop.create_connection(
                        asyncio.Protocol, *full.getsockname()))
                    await asyncio.sleep(0.01)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                for sock in blockers:
                    sock.close()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loop.run_until_complete(main())
            loop.close()
            gc.collect()
        assert set(os.listdir("/proc/self/fd")) == before


def test_sockets_are_closed_on_errors():
    for new_loop in (StockLoop, *WORLDS.values()):
        loop = new_loop()
        before = set(os.listdir("/proc/self/fd"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(OSError):
                loop.run_until_complete(loop.create_connection(
                    asyncio.Protocol, "127.0.0.1", free_port()))
            with pytest.raises(OSError):
                loop.run_until_complete(loop.create_connection(
                    asyncio.Protocol, "127.0.0.1", free_port(),
                    local_addr=("192.0.2.1", 0)))
            with pytest.raises(OSError):
                loop.run_until_complete(loop.create_unix_connection(
                    asyncio.Protocol, "/no/such/path"))
            gc.collect()
        assert set(os.listdir("/proc/self/fd")) == before
        loop.close()


@pytest.mark.parametrize("method", [
    "create_connection", "create_unix_connection", "create_datagram_endpoint"])
@pytest.mark.parametrize("factory", [lambda: None, object, lambda: 1 / 0])
def test_the_callers_socket_stays_open(method, factory):
    """Where no transport could be made of it."""
    kind = (socket.SOCK_DGRAM if method == "create_datagram_endpoint"
            else socket.SOCK_STREAM)

    async def scenario(loop, log):
        ours, theirs = socket.socketpair(type=kind)
        with ours, theirs:
            with pytest.raises((AttributeError, ZeroDivisionError)):
                await getattr(loop, method)(factory, sock=ours)
            gc.collect()
            ours.send(b"x")
            assert theirs.recv(9) == b"x"
    assert run(ouro.Loop, scenario) == []


def test_accepted_socket(listener):
    async def scenario(loop, log):
        client = socket.create_connection(listener.getsockname())
        conn, _ = listener.accept()
        transport, protocol = await loop.connect_accepted_socket(
            lambda: Recorder(log), conn)
        client.send(b"x")
        await until(lambda: protocol.received)
        client.close()
        await protocol.lost
        for bad in ({"ssl_handshake_timeout": 1}, {"ssl_shutdown_timeout": 1}):
            with socket.socket() as sock:
                try:
                    await loop.connect_accepted_socket(asyncio.Protocol, sock,
                                                       **bad)
                except ValueError as exc:
                    log.append(str(exc))
    same(scenario)


def test_overridden_methods(listener):
    """A subclass's methods are called."""
    calls = []

    class Loop(ouro.Loop):
        def _make_socket_transport(self, *args, **kwargs):
            calls.append("_make_socket_transport")
            return super()._make_socket_transport(*args, **kwargs)

        async def sock_connect(self, *args):
            calls.append("sock_connect")
            return await super().sock_connect(*args)

        async def getaddrinfo(self, *args, **kwargs):
            calls.append("getaddrinfo")
            return [info(listener.getsockname())]

        def _add_reader(self, *args, **kwargs):
            calls.append("_add_reader")
            return super()._add_reader(*args, **kwargs)

    loop = Loop()
    transport, _ = loop.run_until_complete(
        loop.create_connection(asyncio.Protocol, "host", 1))
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert calls == ["getaddrinfo", "sock_connect", "_make_socket_transport",
                     "_add_reader"]


@pytest.mark.parametrize("host", ["127.0.0.1\0x", "::1\0", "1.2.3.4\0.5"])
def test_hosts_end_at_their_end(host):
    async def scenario(loop, log):
        for call in (lambda: loop.create_connection(Recorder, host, 1),
                     lambda: loop.create_server(Recorder, host, 0),
                     lambda: loop.getaddrinfo(host, 1)):
            try:
                log.append(await call())
            except Exception as exc:
                log.append((type(exc).__name__, str(exc)))
    same(scenario)


def test_families_too_large():
    async def scenario(loop, log):
        for family in (2**32 + socket.AF_INET, 2**70):
            try:
                log.append(await loop.create_connection(
                    Recorder, "127.0.0.1", 1, family=family))
            except Exception as exc:
                log.append((type(exc).__name__, str(exc)))
    same(scenario)
