"""TLS, compared with asyncio's: handshakes, start_tls(), SSLProtocol itself.
"""

import asyncio
import contextlib
import os
import ssl
import sys
from unittest import mock

import pytest
from networlds import (
    Recorder,
    StockLoop,
    connect,
    in_all_worlds,
    receive_some,
    same,
    socket_pair,
    until,
)
from tlspeer import PEM, Peer, client_context, server_context

import ouro
from ouro import _ouro

OPTIONS = {"server_hostname": "localhost"}


# ---- handshakes that fail ---------------------------------------------------


def failing_handshake(act, **options):
    """create_connection() with a peer that does something else."""
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        connecting = asyncio.ensure_future(loop.create_connection(
            lambda: protocol, sock=ours,
            **{"ssl": client_context(), **OPTIONS, **options}))
        await act(loop, theirs)
        await asyncio.wait([connecting])
        error = connecting.exception()
        log.append((type(error).__name__, str(error).partition(" (_ssl")[0]))
        log.append(ours.fileno())
        theirs.close()
    return scenario


def test_the_peer_talks_something_else():
    async def act(loop, sock):
        hello = await receive_some(loop, sock)
        assert hello[0] == 0x16         # a record of the handshake
        sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        # Nothing in plaintext follows, whatever happens.
        with contextlib.suppress(ConnectionError):
            while more := await receive_some(loop, sock):
                assert more[0] == 0x15  # an alert
    same(failing_handshake(act))


def test_the_peer_hangs_up():
    async def act(loop, sock):
        await receive_some(loop, sock)
        sock.close()
    same(failing_handshake(act))


def test_the_peer_is_not_trusted():
    async def act(loop, sock):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await Peer(loop, sock).handshake()
    same(failing_handshake(act, ssl=client_context(trusting=False)))


def test_the_name_is_another():
    async def act(loop, sock):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            await Peer(loop, sock).handshake()
    same(failing_handshake(act, server_hostname="example.org"))


def test_the_peer_says_nothing():
    async def act(loop, sock):
        pass
    same(failing_handshake(act, ssl_handshake_timeout=0.02))


def test_cancelled_while_shaking_hands():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        connecting = asyncio.ensure_future(loop.create_connection(
            lambda: protocol, sock=ours, ssl=client_context(), **OPTIONS))
        await receive_some(loop, theirs)
        connecting.cancel()
        await asyncio.wait([connecting])
        log.append(connecting.cancelled())
        await until(lambda: ours.fileno() < 0)
        theirs.close()
    same(scenario)


def test_a_server_whose_clients_do_not_trust_it():
    async def scenario(loop, log):
        server = await loop.create_server(
            lambda: Recorder(log), "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        for _ in range(2):
            with pytest.raises(ssl.SSLCertVerificationError):
                await loop.create_connection(
                    asyncio.Protocol, *address,
                    ssl=client_context(trusting=False), **OPTIONS)
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *address, ssl=client_context(), **OPTIONS)
        transport.abort()
        await until(lambda: "lost" in str(log))
        server.close()
        await server.wait_closed()
    same(scenario)


# ---- what is agreed on ------------------------------------------------------


async def agreed(loop, log, server, client, note):
    """Connect by these contexts; note(transport) is logged for both sides."""
    accepted = []

    class Protocol(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            log.append((self.name, note(transport)))
            if self.name == "server":
                accepted.append(self)

    listening = await loop.create_server(
        lambda: Protocol([], "server"), "127.0.0.1", 0, ssl=server)
    try:
        transport, protocol = await loop.create_connection(
            lambda: Protocol([], "client"),
            *listening.sockets[0].getsockname(), ssl=client, **OPTIONS)
        await until(lambda: accepted)
        transport.close()
        await protocol.lost
        await accepted[0].lost
    except OSError as exc:      # (SSLErrors are)
        log.append((type(exc).__name__, getattr(exc, "reason", None)))
    finally:
        listening.close()
    log.sort(key=str)


def test_protocols_of_the_application():
    async def scenario(loop, log):
        server, client = server_context(), client_context()
        server.set_alpn_protocols(["h2", "http/1.1"])
        client.set_alpn_protocols(["http/1.1", "h2"])

        def note(transport):
            it = transport.get_extra_info("ssl_object")
            return (it.selected_alpn_protocol(), it.server_side,
                    it.server_hostname, it.version())
        await agreed(loop, log, server, client, note)
    assert len(same(scenario)) == 2


@pytest.mark.parametrize("how", ["another context", "an alert", "an error"])
def test_names_of_servers(how):
    async def scenario(loop, log):
        def chosen(ssl_object, name, context):
            log.append(("asked for", type(ssl_object).__name__, name,
                        context is server))
            if how == "an alert":
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            if how == "an error":
                raise KeyError(name)
            ssl_object.context = other

        server, other = server_context(), server_context()
        other.set_alpn_protocols(["other"])
        server.sni_callback = chosen
        await agreed(loop, log, server, client_context(), lambda transport:
                     transport.get_extra_info("ssl_object").context is other)
    with mock.patch("sys.unraisablehook"):
        assert any(each[0] == "asked for" for each in same(scenario))


@pytest.mark.parametrize("shown", [True, False])
def test_certificates_of_clients(shown):
    async def scenario(loop, log):
        server, client = server_context(), client_context()
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(PEM)
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        if shown:
            client.load_cert_chain(PEM)
        await agreed(loop, log, server, client, lambda transport:
                     transport.get_extra_info("peercert")["subject"])
    assert len(same(scenario)) == (2 if shown else 1)


# ---- start_tls() ------------------------------------------------------------


@pytest.mark.parametrize("server_side", [False, True])
def test_start_tls(server_side):
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        peer = Peer(loop, theirs, server_side=not server_side)
        protocol = Recorder(log)
        plain = await connect(loop, ours, protocol)
        plain.write(b"in the clear")
        log.append(await receive_some(loop, theirs))
        shaking = asyncio.ensure_future(peer.handshake())
        transport = await loop.start_tls(
            plain, protocol,
            server_context() if server_side else client_context(),
            server_side=server_side,
            server_hostname=None if server_side else "localhost")
        await shaking
        log.append((transport.get_extra_info("cipher") == peer.ssl.cipher(),
                    plain.get_protocol() is transport._ssl_protocol))
        transport.write(b"hidden")
        log.append(await peer.receive(6))
        await peer.send(b"answer")
        await until(lambda: protocol.received)
        transport.close()
        await peer.close()
        await protocol.lost
    same(scenario)


def test_start_tls_fails():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        protocol = Recorder(log)
        plain = await connect(loop, ours, protocol)
        starting = asyncio.ensure_future(loop.start_tls(
            plain, protocol, client_context(), **OPTIONS))
        await receive_some(loop, theirs)
        plain.get_protocol()
        theirs.send(b"no, thanks")
        await asyncio.wait([starting])
        log.append(type(starting.exception()).__name__)
        plain.write(b"secret")
        with contextlib.suppress(ConnectionError):
            while more := await receive_some(loop, theirs):
                log.append(b"secret" in more)
        await until(lambda: ours.fileno() < 0)
        theirs.close()
    same(scenario)


def test_a_stream_goes_on_in_tls():
    async def scenario(loop, log):
        async def serve(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            await writer.start_tls(server_context())
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        writer.write(b"plain\n")
        log.append(await reader.readline())
        await writer.start_tls(client_context(), **OPTIONS)
        log.append(writer.get_extra_info("cipher") is not None)
        for _ in range(3):
            writer.write(b"hidden\n")
            await writer.drain()
            log.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    same(scenario)


def test_tls_over_tls():
    async def scenario(loop, log):
        ours, theirs = socket_pair("tcp")
        far, near = Recorder(log, "far"), Recorder(log, "near")
        accepting = asyncio.ensure_future(loop.connect_accepted_socket(
            lambda: far, ours, ssl=server_context()))
        outer, _ = await loop.create_connection(
            lambda: near, sock=theirs, ssl=client_context(), **OPTIONS)
        far_outer, _ = await accepting
        accepting = asyncio.ensure_future(loop.start_tls(
            far_outer, far, server_context(), server_side=True))
        inner = await loop.start_tls(outer, near, client_context(), **OPTIONS)
        far_inner = await accepting
        inner.write(b"x" * 50_000)
        await until(lambda: len(far.received) == 50_000)
        far_inner.write(b"y" * 40_000)
        await until(lambda: len(near.received) == 40_000)
        log.append((inner.get_extra_info("socket").fileno()
                    == theirs.fileno(), inner.is_closing()))
        inner.abort()
        await near.lost
        await far.lost
        log[:] = sorted(str(entry) for entry in set(log)
                        if entry[1] != "data")
    same(scenario)


# ---- SSLProtocol, by itself -------------------------------------------------


def both():
    """asyncio's class and ours, each with a loop of its world."""
    from asyncio import sslproto
    assert sslproto.SSLProtocol is not _ouro.SSLProtocol
    return [(StockLoop, sslproto.SSLProtocol),
            (StockLoop, _ouro.SSLProtocol),
            (ouro.Loop, _ouro.SSLProtocol)]


def compare(function):
    """function(loop, class, log) leaves the same log with all of them."""
    logs = []
    for new_loop, kind in both():
        loop, log = new_loop(), []
        loop.set_exception_handler(
            lambda _, what: log.append((what["message"],
                                        repr(what.get("exception")))))
        try:
            function(loop, kind, log)
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()
        logs.append(log)
    assert logs[1] == logs[0]
    assert logs[2] == logs[0]
    return logs[0]


def test_arguments():
    def what(loop, kind, log):
        context = client_context()
        for args, kwargs in [
                ((), {}), ((loop,), {}), ((loop, None, None, None, True), {}),
                ((loop, None, context, None), {"ssl_handshake_timeout": 0}),
                ((loop, None, context, None), {"ssl_handshake_timeout": -1.5}),
                ((loop, None, context, None), {"ssl_shutdown_timeout": 0}),
                ((loop, None, context, None), {"ssl_shutdown_timeout": "1"}),
                ((loop, None, context, None), {"nonsense": 1}),
                ((loop, None, 7, None), {})]:
            with pytest.raises(Exception) as caught:
                kind(*args, **kwargs)
            log.append((caught.type, str(caught.value)))
    compare(what)


def test_a_default_context():
    def what(loop, kind, log):
        for hostname in (None, "localhost"):
            with mock.patch("ssl.create_default_context",
                            wraps=ssl.create_default_context) as make:
                protocol = kind(loop, asyncio.Protocol(), None, None,
                                server_hostname=hostname)
            log.append((make.call_args_list,
                        protocol._sslcontext.check_hostname,
                        protocol._server_hostname))
            protocol._app_transport.abort()
    compare(what)


def test_without_the_ssl_module():
    def what(loop, kind, log):
        with mock.patch("asyncio.sslproto.ssl", None):
            with pytest.raises(RuntimeError) as caught:
                kind(loop, asyncio.Protocol(), None, None)
        log.append(str(caught.value))
    compare(what)


def test_attributes():
    def what(loop, kind, log):
        app = asyncio.Protocol()
        protocol = kind(loop, app, client_context(), None,
                        ssl_handshake_timeout=5, **OPTIONS)
        for name in ("_state", "_app_state", "_transport", "_waiter",
                     "_server_side", "_server_hostname", "_write_buffer_size",
                     "_conn_lost", "_ssl_handshake_timeout",
                     "_ssl_shutdown_timeout", "_handshake_timeout_handle",
                     "_shutdown_timeout_handle", "_handshake_start_time",
                     "_eof_received", "_ssl_reading_paused",
                     "_ssl_writing_paused", "_app_reading_paused",
                     "_app_writing_paused", "_incoming_high_water",
                     "_incoming_low_water", "_outgoing_high_water",
                     "_outgoing_low_water", "_app_protocol_is_buffer",
                     "_write_backlog", "max_size"):
            log.append((name, str(getattr(protocol, name))))
        assert isinstance(protocol, asyncio.BufferedProtocol)
        assert protocol._app_protocol is app
        assert protocol._loop is loop
        assert len(protocol.get_buffer(-1)) == protocol.max_size
        protocol.kept = 1
        log.append(vars(protocol)["kept"])
        protocol._app_transport.abort()
    compare(what)


class Below(mock.Mock):
    """A transport below that only remembers."""


def test_writing_before_the_handshake():
    def what(loop, kind, log):
        protocol = kind(loop, mock.Mock(spec=asyncio.Protocol),
                        client_context(), None, **OPTIONS)
        transport = protocol._app_transport
        transport.write(b"dropped")
        below = Below()
        protocol.connection_made(below)
        protocol._sslobj = mock.Mock()
        transport.write(b"one")
        transport.writelines([b"two", b"three"])
        log.append((list(protocol._write_backlog),
                    transport.get_write_buffer_size() > 0))
        protocol._sslobj.write.side_effect = [2, 1, ssl.SSLWantReadError]
        protocol._sslobj.read.side_effect = [b"got", ssl.SSLWantReadError]
        protocol.buffer_updated(0)
        log.append((protocol._sslobj.write.call_args_list,
                    list(protocol._write_backlog), str(protocol._state),
                    protocol._app_protocol.method_calls[1:],
                    below.method_calls[1:]))
        with pytest.raises(RuntimeError) as caught:
            protocol.connection_made(below)
        log.append(str(caught.value))
        transport.abort()
        protocol.connection_lost(None)
    compare(what)


def test_the_transport_below_pauses():
    def what(loop, kind, log):
        protocol = kind(loop, asyncio.Protocol(), client_context(), None,
                        **OPTIONS)
        protocol.pause_writing()
        with pytest.raises(AssertionError):
            protocol.pause_writing()
        below = Below()
        protocol.connection_made(below)
        log.append(len(below.method_calls))
        protocol.resume_writing()
        log.append([call[0] for call in below.method_calls])
        with pytest.raises(AssertionError):
            protocol.resume_writing()
        protocol._app_transport.abort()
        protocol.connection_lost(None)
    compare(what)


@pytest.mark.parametrize("error", [
    ValueError("v"), OSError(1, "o"), asyncio.CancelledError(), None])
def test_fatal_errors(error):
    def what(loop, kind, log):
        protocol = kind(loop, asyncio.Protocol(), client_context(), None,
                        **OPTIONS)
        protocol._fatal_error(error)
        below = Below()
        protocol.connection_made(below)
        protocol._fatal_error(error, "what happened")
        log.append(below._force_close.call_args_list)
        protocol._app_transport.abort()
        protocol.connection_lost(error)
    compare(what)


def test_the_waiter():
    def what(loop, kind, log):
        for error in (None, ConnectionResetError, OSError(1, "o")):
            waiter = loop.create_future()
            protocol = kind(loop, asyncio.Protocol(), client_context(), waiter,
                            **OPTIONS)
            protocol.connection_made(Below())
            protocol.connection_lost(error)
            log.append((waiter.done(), repr(waiter.exception())))
    compare(what)


def test_before_init():
    protocol = _ouro.SSLProtocol.__new__(_ouro.SSLProtocol)
    transport = _ouro._SSLProtocolTransport.__new__(
        _ouro._SSLProtocolTransport)
    for thing in (protocol, transport):
        for name in dir(thing):
            if name.startswith("__"):
                continue
            with contextlib.suppress(AttributeError, TypeError,
                                     NotImplementedError):
                getattr(thing, name)()
    protocol = _ouro.SSLProtocol(StockLoop(), None, client_context(), None,
                                 **OPTIONS)
    with pytest.raises(RuntimeError):
        protocol.__init__(protocol._loop, None, client_context(), None,
                          **OPTIONS)
    protocol._app_transport.close()
    protocol._loop.close()


@in_all_worlds
async def test_patched_objects(loop, log):
    """Who replaces a method of ssl.SSLObject sees it called."""
    read, write = ssl.SSLObject.read, ssl.SSLObject.write

    def counted(self, *args):
        log.append("read")
        return read(self, *args)

    def doubled(self, data):
        return write(self, bytes(data) * 2) // 2

    ours, theirs = socket_pair("tcp")
    peer = Peer(loop, theirs)
    peer.ssl = peer.ssl._sslobj     # by itself
    shaking = asyncio.ensure_future(peer.handshake())
    protocol = Recorder(log)
    transport, _ = await loop.create_connection(
        lambda: protocol, sock=ours, ssl=client_context(), **OPTIONS)
    await shaking
    log.clear()
    with mock.patch.object(ssl.SSLObject, "read", counted), \
            mock.patch.object(ssl.SSLObject, "write", doubled):
        transport.write(b"ab")
        log.append(await peer.receive(4))
        await peer.send(b"data")
        await until(lambda: protocol.received)
    transport.abort()
    await protocol.lost
    theirs.close()


@in_all_worlds
async def test_another_class_of_objects(loop, log):
    class Mine(ssl.SSLObject):
        def read(self, *args):
            return super().read(*args)

    context = client_context()
    context.sslobject_class = Mine
    ours, theirs = socket_pair("tcp")
    peer = Peer(loop, theirs)
    shaking = asyncio.ensure_future(peer.handshake())
    protocol = Recorder(log)
    transport, _ = await loop.create_connection(
        lambda: protocol, sock=ours, ssl=context, **OPTIONS)
    await shaking
    log.append(type(transport.get_extra_info("ssl_object")).__name__)
    transport.write(b"x" * 30_000)
    log.append(await peer.receive(30_000) == b"x" * 30_000)
    await peer.send(b"y" * 30_000)
    await until(lambda: len(protocol.received) == 30_000)
    await peer.notify()
    await protocol.lost
    log[:] = [entry for entry in log if entry != ("p", "data", "bytes")]
    theirs.close()


# ---- no Python in between ---------------------------------------------------


def test_no_python_frames():
    """Neither asyncio's nor ours: not while data flows."""
    seen = []
    watched = {os.path.dirname(asyncio.__file__),
               os.path.dirname(ouro.__file__)}

    def profile(frame, event, arg):
        name = frame.f_code.co_filename
        if event == "call" and (os.path.dirname(name) in watched
                                or name == ssl.__file__):
            seen.append(frame.f_code.co_qualname)

    async def main():
        async def echo(reader, writer):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
            writer.close()

        server = await ouro.start_server(
            echo, "127.0.0.1", 0, ssl=server_context())
        reader, writer = await ouro.open_connection(
            *server.sockets[0].getsockname(), ssl=client_context(), **OPTIONS)
        sys.setprofile(profile)
        try:
            for _ in range(20):
                writer.write(b"line\n")
                await writer.drain()
                assert await reader.readline() == b"line\n"
        finally:
            sys.setprofile(None)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop = ouro.Loop()
    loop.run_until_complete(main())
    loop.close()
    assert seen == []


