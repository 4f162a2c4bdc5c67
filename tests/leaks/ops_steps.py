"""Loops whose private steps somebody has overridden: what is called at its
place, and what runs asyncio's code instead of ours."""

import asyncio
import contextlib
import os
import signal
import socket
import tempfile

from table import forever, loop, nothing, operation

STEPS = [
    "_check_callback", "_check_closed", "_check_default_executor",
    "_check_running", "_check_sendfile_params", "_check_signal",
    "_check_thread", "_ensure_fd_no_transport", "_process_self_data",
    "_set_coroutine_origin_tracking", "_sock_recv", "_sock_recv_into",
    "_sock_recvfrom", "_sock_recvfrom_into", "_sock_sendall", "_sock_sendto",
    "_sock_accept", "_sock_connect", "_sock_sendfile_native_impl",
    "_create_connection_transport", "_create_server_getaddrinfo",
    "_child_watcher_callback",
]


def override(name):
    def method(self, *args, **kwargs):
        return getattr(super(Stepped, self), name)(*args, **kwargs)
    return method


Stepped = type("Stepped", (asyncio.SelectorEventLoop,), {
    name: override(name) for name in STEPS
    if hasattr(asyncio.SelectorEventLoop, name)})


class Refuses(asyncio.SelectorEventLoop):
    """Each step of it raises that is not needed to run and to close it."""

    def refuse(self, *args, **kwargs):
        raise ZeroDivisionError

    _sock_recv = _sock_sendall = _sock_connect = _sock_accept = refuse
    _check_signal = _check_default_executor = refuse
    _check_sendfile_params = _ensure_fd_no_transport = refuse
    _create_connection_transport = _create_server_getaddrinfo = refuse


def on(kind, debug=False):
    """The operation is to run on a loop of that kind, made for each."""
    def decorate(function):
        def run():
            new = kind()
            new.set_debug(debug)
            new.set_exception_handler(nothing)
            try:
                new.run_until_complete(function())
            finally:
                new.close()

        run.__name__ = function.__name__
        return operation(times=20)(run)
    return decorate


@contextlib.contextmanager
def pair(kind=socket.SOCK_STREAM):
    one, other = socket.socketpair(type=kind)
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


@on(Stepped, debug=True)
async def steps_calls():
    done = loop().create_future()
    loop().call_soon(nothing, 1)
    loop().call_later(0, done.set_result, None)
    loop().call_soon_threadsafe(nothing)
    with contextlib.suppress(TypeError):
        loop().call_soon(forever)       # (debug mode refuses coroutines)
    await done
    await loop().run_in_executor(None, nothing)


@on(Stepped)
async def steps_signals():
    done = loop().create_future()
    loop().add_signal_handler(signal.SIGUSR1, done.set_result, None)
    os.kill(os.getpid(), signal.SIGUSR1)
    await done
    loop().remove_signal_handler(signal.SIGUSR1)


@on(Stepped)
async def steps_streams():
    with pair() as (one, other):
        waiting = asyncio.ensure_future(loop().sock_recv(one, 9))
        await asyncio.sleep(0)
        await loop().sock_sendall(other, b"x")
        await waiting
        waiting = asyncio.ensure_future(
            loop().sock_recv_into(one, bytearray(9)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])


@on(Stepped)
async def steps_datagrams():
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        await loop().sock_sendto(one, b"x", one.getsockname())
        await loop().sock_recvfrom(one, 9)
        await loop().sock_sendto(one, b"x", one.getsockname())
        await loop().sock_recvfrom_into(one, bytearray(9))


@on(Stepped)
async def steps_accept():
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.socket() as client:
        server.setblocking(False)
        client.setblocking(False)
        waiting = asyncio.ensure_future(loop().sock_accept(server))
        await asyncio.sleep(0)
        await loop().sock_connect(client, server.getsockname())
        (await waiting)[0].close()


@on(Stepped)
async def steps_sendfile():
    with tempfile.TemporaryFile() as file, pair() as (one, other):
        file.write(b"x" * 1000)
        file.flush()
        await loop().sock_sendfile(one, file, 0, 1000)


@on(Stepped)
async def steps_server():
    server = await loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    transport, _ = await loop().create_connection(
        asyncio.Protocol, *server.sockets[0].getsockname())
    transport.close()
    server.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@on(Stepped)
async def steps_unix():
    with pair() as (one, other):
        transport, _ = await loop().create_unix_connection(asyncio.Protocol,
                                                           sock=one)
        transport.abort()
        await asyncio.sleep(0)


@on(Stepped)
async def steps_watching():
    with pair() as (one, other):
        done = loop().create_future()
        loop().add_writer(one, done.set_result, None)
        await done
        loop().remove_writer(one)


def refused(coro):
    """What an overridden step raises comes out."""
    return asyncio.gather(coro, return_exceptions=True)


@on(Refuses)
async def steps_refused():
    with pair() as (one, other), tempfile.TemporaryFile() as file:
        await refused(loop().sock_recv(one, 9))
        await refused(loop().sock_sendall(one, b"x"))
        await refused(loop().sock_connect(one, "/no/such/path"))
        await refused(loop().sock_accept(one))
        await refused(loop().sock_sendfile(one, file))
        await refused(loop().create_connection(asyncio.Protocol, sock=one))
        await refused(loop().create_unix_connection(asyncio.Protocol,
                                                    sock=one))
        await refused(loop().create_server(asyncio.Protocol, "127.0.0.1", 0))
        for call in (lambda: loop().add_reader(one, nothing),
                     lambda: loop().remove_signal_handler(signal.SIGUSR1)):
            with contextlib.suppress(ZeroDivisionError):
                call()
    with contextlib.suppress(ZeroDivisionError):
        await loop().run_in_executor(None, nothing)
