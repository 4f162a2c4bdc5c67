"""Servers, compared with asyncio's."""

import asyncio
import contextvars
import errno
import gc
import os
import resource
import socket
import sys
import warnings

import pytest
from networlds import WORLDS, Recorder, StockLoop, receive, run, same, until
from tlspeer import client_context, server_context

import ouro


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echoed(loop, address, data=b"echo"):
    """Connect, have the data echoed, disconnect."""
    family = socket.AF_UNIX if isinstance(address, (str, bytes)) \
        else socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    with socket.socket(family) as client:
        client.connect(address)
        client.setblocking(False)
        client.send(data)
        return await receive(loop, client, len(data))


def test_serving():
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        log.append((server.is_serving(), server.get_loop() is loop,
                    isinstance(server, asyncio.AbstractServer),
                    type(server.sockets).__name__,
                    type(server.sockets[0]).__name__))
        address = server.sockets[0].getsockname()
        log.append(await echoed(loop, address))
        server.close()
        server.close()
        log.append((server.is_serving(), server.sockets, repr(server)))
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await echoed(loop, address)
    same(scenario)


def test_several_hosts():
    async def scenario(loop, log):
        server = await loop.create_server(
            Echo, ["127.0.0.1", "::1", "127.0.0.1"], 0)
        log.append(sorted(each.family for each in server.sockets))
        for each in server.sockets:
            log.append(await echoed(loop, each.getsockname()))
        server.close()
        await server.wait_closed()
    same(scenario)


def test_started_later():
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0,
                                          start_serving=False)
        log.append(server.is_serving())
        with pytest.raises(ConnectionRefusedError):
            await echoed(loop, server.sockets[0].getsockname())
        await server.start_serving()
        await server.start_serving()
        log.append(server.is_serving())
        log.append(await echoed(loop, server.sockets[0].getsockname()))
        async with server as entered:
            log.append(entered is server)
        log.append(server.sockets)
    same(scenario)


def test_serve_forever():
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0,
                                          start_serving=False)
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0.01)
        log.append(await echoed(loop, server.sockets[0].getsockname()))
        try:
            await server.serve_forever()
        except RuntimeError as exc:
            log.append(str(exc).partition("<")[0])
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            log.append("cancelled")
        try:
            await server.serve_forever()
        except RuntimeError as exc:
            log.append(str(exc))
        # close() ends it, too.
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0.01)
        server.close()
        try:
            await task
        except asyncio.CancelledError:
            log.append("cancelled")
    same(scenario)


def test_wait_closed():
    """By version: whether connections are waited for."""
    async def scenario(loop, log):
        made = loop.create_future()
        server = await loop.create_server(
            lambda: Recorder([], made=lambda p: made.set_result(p)),
            "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        protocol = await made
        before = loop.create_task(server.wait_closed())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        log.append(before.done())
        server.close()
        after = loop.create_task(server.wait_closed())
        for _ in range(3):
            await asyncio.sleep(0)
        log.append((before.done(), after.done()))
        protocol.transport.close()
        await protocol.lost
        for _ in range(3):
            await asyncio.sleep(0)
        log.append((before.done(), after.done(), server._waiters))
        client.close()
    same(scenario)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.13+")
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_end_clients(how):
    async def scenario(loop, log):
        protocols = []
        server = await loop.create_server(
            lambda: Recorder([], made=lambda p: protocols.append(p)),
            "127.0.0.1", 0)
        clients = [socket.create_connection(server.sockets[0].getsockname())
                   for _ in range(3)]
        await until(lambda: len(protocols) == 3)
        protocols[0].transport.close()
        server.close()
        getattr(server, how)()
        await server.wait_closed()
        log.append([each.lost.done() for each in protocols])
        for each in clients:
            each.close()
    same(scenario)


def noting(log, variable):
    """A factory of protocols: they and it note what is called with which
    value of the variable, and give it another."""
    def note(what):
        log.append((what, variable.get()))
        variable.set(what)

    def factory():
        note("factory")
        return Recorder([], made=lambda _: note("made"),
                        data=lambda _: note("data"),
                        lost=lambda _: note("lost"))
    return factory


def test_context_of_connections():
    async def scenario(loop, log):
        variable = contextvars.ContextVar("variable", default="none")

        factory = noting(log, variable)
        variable.set("server")
        server = await loop.create_server(factory, "127.0.0.1", 0)
        variable.set("later")
        for _ in range(2):
            await talk(log, server.sockets[0].getsockname(), tls=False)
        server.close()
        await server.wait_closed()
    same(scenario)


async def talk(log, address, tls):
    """Connect, send two pieces, disconnect; what the server notes of each
    is awaited."""
    def count(what):
        return [each[0] for each in log].count(what)

    received, lost = count("data"), count("lost")
    options = {"ssl": client_context(), "server_hostname": "localhost"}
    _, writer = await asyncio.open_connection(
        *address, **(options if tls else {}))
    for _ in range(2):
        writer.write(b"x")
        received += 1
        await until(lambda: count("data") == received)
    writer.close()
    await writer.wait_closed()
    await until(lambda: count("lost") > lost)


@pytest.mark.parametrize("tls", [False, True])
def test_context_of_a_server_started_later(tls):
    """From 3.15 on it is that in which the server was made."""
    async def scenario(loop, log):
        variable = contextvars.ContextVar("variable", default="none")

        factory = noting(log, variable)
        variable.set("server")
        server = await loop.create_server(
            factory, "127.0.0.1", 0, start_serving=False,
            ssl=server_context() if tls else None)
        variable.set("later")
        context = getattr(server, "_context", None)
        log.append(("context", context is not None and context[variable]))
        await server.start_serving()
        variable.set("last")
        for _ in range(2):
            await talk(log, server.sockets[0].getsockname(), tls)
        server.close()
        await server.wait_closed()
    same(scenario)


@pytest.mark.parametrize("given", ["none", "own", "odd"])
def test_start_serving_in_a_context(given):
    """_start_serving(context=): a copy of it for each connection."""
    async def scenario(loop, log):
        variable = contextvars.ContextVar("variable", default="none")

        def note(what):
            log.append((what, variable.get()))
            variable.set(what)

        class Odd:
            def copy(self):
                return own.copy()

        own = contextvars.copy_context()
        own.run(variable.set, "own")
        context = {"none": None, "own": own, "odd": Odd()}[given]
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        variable.set("started")
        try:
            loop._start_serving(lambda: Recorder(
                [], made=lambda _: note("made"), data=lambda _: note("data"),
                lost=lambda _: note("lost")), sock, context=context)
        except TypeError:
            log.append(("no context",))
            sock.close()
            return
        variable.set("later")
        for _ in range(2):
            await talk(log, sock.getsockname(), False)
        loop._stop_serving(sock)
    same(scenario)


@pytest.mark.parametrize("how", ["instance", "class"])
def test_who_replaces_the_wake_up(how, monkeypatch):
    """It is called when the server is closed and all connections are gone."""
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        woken = server._wakeup

        def wake(*ignored):
            log.append("woken")
            woken()

        with monkeypatch.context() as patch:
            patch.setattr(server if how == "instance" else type(server),
                          "_wakeup", wake)
            with socket.create_connection(
                    server.sockets[0].getsockname()) as client:
                client.setblocking(False)
                client.send(b"echo")
                await receive(loop, client, 4)
                server.close()
                log.append("closed")
            await until(lambda: server._waiters is None)
            await server.wait_closed()
    assert same(scenario) == ["closed", "woken"]


def test_factory_fails():
    async def scenario(loop, log):
        calls = []

        def factory():
            calls.append(None)
            if len(calls) == 1:
                raise ZeroDivisionError("factory")
            return Echo()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with socket.create_connection(address) as client:
            client.setblocking(False)
            log.append(await receive(loop, client, 1))
        log.append(await echoed(loop, address))
        server.close()
        await server.wait_closed()

    def strip(log):
        # (Only in debug mode asyncio tells of it; it drops the socket to
        # the collector, which warns.)
        return [each for each in log if isinstance(each, bytes)]
    expected = strip(run(StockLoop, scenario))
    assert expected == [b"", b"echo"]
    for new_loop in WORLDS.values():
        assert strip(run(new_loop, scenario)) == expected


def test_made_while_closing():
    """A connection that has been accepted when the server is closed."""
    async def scenario(loop, log):
        def factory():
            server.close()
            return Recorder(log)
        server = await loop.create_server(factory, "127.0.0.1", 0)
        with socket.create_connection(
                server.sockets[0].getsockname()) as client:
            client.setblocking(False)
            log.append(await receive(loop, client, 1))
    for new_loop in WORLDS.values():
        assert b"" in run(new_loop, scenario)


def test_many_at_once():
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=200)
        address = server.sockets[0].getsockname()
        log.extend(await asyncio.gather(
            *(echoed(loop, address, b"%d" % i) for i in range(150))))
        server.close()
        await server.wait_closed()
    same(scenario)


def test_burst_of_clients():
    """All are served; but protocols get their attributes before so many are
    made that CPython would no longer let them share the attributes' keys."""
    made = []

    class Counting(Echo):
        def __init__(self):
            made.append(self)
            self.made_before_connected = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self.made_before_connected = len(made)

    async def scenario(loop, log):
        server = await loop.create_server(Counting, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [socket.create_connection(address) for _ in range(80)]
        await until(lambda: len(made) == len(clients)
                    and made[-1].made_before_connected)
        for client in clients:
            client.close()
        server.close()
        await server.wait_closed()

    run(ouro.Loop, scenario)
    assert made[0].made_before_connected < 30


def test_out_of_descriptors():
    """accept() fails with EMFILE: reported, and tried again after a second.
    """
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [socket.socket() for _ in range(2)]
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, limits[1]))
        taken = []
        try:
            while True:
                try:
                    taken.append(os.dup(0))
                except OSError:
                    break
            for client in clients:
                client.connect(address)
                client.setblocking(False)
                client.send(b"patience")
            await until(lambda: log)
        finally:
            for fd in taken:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for client in clients:
            log.append(await receive(loop, client, 8))
            client.close()
        server.close()
        await server.wait_closed()

    # (asyncio reports it `backlog` times.)
    for new_loop in (StockLoop, *WORLDS.values()):
        log = run(new_loop, scenario)
        report = next(each for each in log if each[0] == "handler")
        assert report == ("handler", "socket.accept",
                          "OSError(24, 'Too many open files')",
                          ["exception", "message", "socket"])
        assert [each for each in log if each == b"patience"] \
            == [b"patience"] * 2


# ---- what can go wrong ------------------------------------------------------

def errors_of(call):
    """What a call that fails says, in all worlds."""
    async def scenario(loop, log):
        try:
            server = await call(loop)
        except Exception as exc:
            log.append((type(exc).__name__, str(exc), repr(exc.__context__)))
        else:
            log.append("no error")
            server.close()
    return same(scenario)


@pytest.mark.parametrize("call", [
    lambda loop: loop.create_server(Echo),
    lambda loop: loop.create_server(Echo, None, None),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 0,
                                    sock=socket.socket()),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 0, ssl=True),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 0, ssl=False),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 0,
                                    ssl_handshake_timeout=1),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 0,
                                    ssl_shutdown_timeout=1),
    lambda loop: loop.create_server(Echo, "192.0.2.1", 9),
    lambda loop: loop.create_server(Echo, "127.0.0.1", "no such service"),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 1 << 20),
    lambda loop: loop.create_server(Echo, "127.0.0.1", 0, backlog="many"),
    lambda loop: loop.create_server(Echo, 7, 0),
    lambda loop: loop.create_server(Echo, [], 0),
])
def test_bad_arguments(call):
    errors_of(call)


@pytest.mark.parametrize("call", [
    lambda loop: loop.create_server(),
    lambda loop: loop.create_server(Echo, "h", 1, 2),
    lambda loop: loop.create_server(Echo, nonsense=1),
    lambda loop: loop.create_unix_server(),
    lambda loop: loop.create_unix_server(Echo, "p", 3),
    lambda loop: loop.create_connection(),
    lambda loop: loop.connect_accepted_socket(Echo),
    lambda loop: loop.getaddrinfo("h"),
    lambda loop: loop.sock_connect(1),
    lambda loop: loop.start_tls(1, 2),
])
def test_bad_signatures(call):
    texts = []
    for new_loop in (StockLoop, ouro.Loop):
        loop = new_loop()
        with pytest.raises(TypeError) as info:
            call(loop)
        texts.append(str(info.value).replace("BaseSelectorEventLoop.", "")
                     .replace("BaseEventLoop.", ""))
        loop.close()
    assert texts[0] == texts[1]


def test_wrong_socket():
    async def call(loop):
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            try:
                await loop.create_server(Echo, sock=sock)
            except ValueError as exc:
                text = str(exc).partition(", got")[0]
            raise ValueError(text)
    errors_of(call)


def test_address_in_use():
    async def call(loop):
        try:
            return await loop.create_server(Echo, "127.0.0.1", port)
        except OSError as exc:
            assert exc.errno == errno.EADDRINUSE
            assert exc.__suppress_context__
            raise
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "error while attempting to bind on address" \
            in errors_of(call)[0][1]


def test_no_reuse_port(monkeypatch):
    async def call(loop):
        return await loop.create_server(Echo, "127.0.0.1", 0,
                                        reuse_port=True)
    assert errors_of(call) == ["no error"]
    monkeypatch.setattr(socket, "SO_REUSEPORT", 12345)
    assert "defined but not implemented" in errors_of(call)[0][1]
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    assert errors_of(call)[0][1] \
        == "reuse_port not supported by socket module"


def test_sockets_are_closed_on_errors():
    """The second of two addresses fails: the first is closed."""
    for new_loop in (StockLoop, *WORLDS.values()):
        before = set(os.listdir("/proc/self/fd"))
        loop = new_loop()

        async def main():
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                with pytest.raises(OSError):
                    await loop.create_server(
                        Echo, ["127.0.0.2", "127.0.0.1", "127.0.0.3"], port)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loop.run_until_complete(main())
            loop.close()
            gc.collect()
        assert set(os.listdir("/proc/self/fd")) == before


def test_options_of_listening_sockets():
    async def scenario(loop, log):
        options = {"reuse_port": True}
        if sys.version_info >= (3, 13):
            options["keep_alive"] = True
        server = await loop.create_server(Echo, ["127.0.0.1", "::1"], 0,
                                          **options)
        for sock in server.sockets:
            log.append(sorted(
                (name, sock.getsockopt(socket.SOL_SOCKET,
                                       getattr(socket, name)) != 0)
                for name in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_KEEPALIVE",
                             "SO_ACCEPTCONN")))
            if sock.family == socket.AF_INET6:
                log.append(sock.getsockopt(socket.IPPROTO_IPV6,
                                           socket.IPV6_V6ONLY))
            log.append(sock.gettimeout())
        log.sort(key=str)
        server.close()
    same(scenario)


# ---- Unix servers -----------------------------------------------------------

@pytest.mark.parametrize("kind", ["str", "bytes", "path", "abstract"])
def test_unix_server(tmp_path, kind):
    async def scenario(loop, log):
        path = tmp_path / "socket"
        given = {"str": str(path), "bytes": os.fsencode(path), "path": path,
                 "abstract": f"\0ouro-test-{os.getpid()}"}[kind]
        server = await loop.create_unix_server(Echo, given)
        name = server.sockets[0].getsockname()
        log.append(type(name).__name__)
        log.append(await echoed(loop, name))
        server.close()
        await server.wait_closed()
        log.append(path.exists())
        path.unlink(missing_ok=True)
        if kind != "abstract":
            server = await loop.create_unix_server(Echo, given)
            path.unlink()
            server.close()
            server = await loop.create_unix_server(Echo, given)
            path.unlink()
            path.touch()
            server.close()
            log.append(path.exists())
            path.unlink()
    same(scenario)


def test_unix_server_over_stale_socket(tmp_path):
    async def scenario(loop, log):
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        server = await loop.create_unix_server(Echo, path)
        log.append(await echoed(loop, path))
        server.close()
        await server.wait_closed()
        if os.path.exists(path):
            os.unlink(path)
    same(scenario)


def test_unix_server_errors(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for call in (
        lambda loop: loop.create_unix_server(Echo, file),
        lambda loop: loop.create_unix_server(Echo, tmp_path / "no" / "dir"),
        lambda loop: loop.create_unix_server(Echo),
        lambda loop: loop.create_unix_server(Echo, file, ssl=True),
        lambda loop: loop.create_unix_server(Echo, file, sock=1),
        lambda loop: loop.create_unix_server(Echo, file,
                                             ssl_handshake_timeout=1),
        lambda loop: loop.create_unix_server(Echo, 7),
        lambda loop: loop.create_unix_server(Echo, ""),
        lambda loop: loop.create_unix_connection(Echo),
        lambda loop: loop.create_unix_connection(Echo, "a", sock=1),
        lambda loop: loop.create_unix_connection(Echo, tmp_path / "none"),
        lambda loop: loop.create_unix_connection(Echo, file),
        lambda loop: loop.create_unix_connection(Echo, "a", ssl=True),
        lambda loop: loop.create_unix_connection(Echo, "a",
                                                 server_hostname="h"),
        lambda loop: loop.create_unix_connection(Echo, "a",
                                                 ssl_shutdown_timeout=1),
    ):
        errors_of(call)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.13+")
def test_unix_file_kept(tmp_path):
    async def scenario(loop, log):
        path = tmp_path / "socket"
        server = await loop.create_unix_server(Echo, path,
                                               cleanup_socket=False)
        server.close()
        log.append(path.exists())
        path.unlink()
    assert same(scenario) == [True]


def test_private_fields_may_be_none():
    async def scenario(loop, log):
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        server._serving_forever_fut = None
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0.01)
        log.append((task.done(), server._serving_forever_fut is None))
        task.cancel()
        await asyncio.wait([task])
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        sockets = server._sockets
        server._sockets = None
        server.close()
        log.append((server.sockets, server._sockets, server.is_serving()))
        server._waiters = None
        log.append(await server.wait_closed())
        for sock in sockets:
            loop._stop_serving(sock)
    same(scenario)
