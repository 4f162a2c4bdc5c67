"""What programs patch in asyncio and the standard library is called, by ours
as by asyncio's: an entry for each name of docs/architecture.md ("What is
patched, and noticed")."""

import asyncio
import concurrent.futures
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from worlds import KINDS, lived


def connect_tls(w):
    one, other = socket.socketpair()
    with one, other:
        w.loop.run_until_complete(asyncio.wait_for(w.loop.create_connection(
            w.k.Protocol, sock=one, ssl=True, server_hostname="x"), 5))


def start_child(w):
    w.loop.run_until_complete(w.loop.subprocess_exec(
        w.k.SubprocessProtocol, "true"))


def resolve(w):
    w.loop.run_until_complete(w.loop.getaddrinfo("127.0.0.1", 1))


def reverse(w):
    w.loop.run_until_complete(w.loop.getnameinfo(("127.0.0.1", 1)))


def open_socket(w):
    w.loop.run_until_complete(w.loop.create_connection(
        w.k.Protocol, "127.0.0.1", 1))


def make_task(w):
    async def main():
        pass
    w.loop.run_until_complete(w.loop.create_task(main()))


def call_in_a_thread(w):
    w.loop.run_until_complete(w.loop.run_in_executor(None, int))


def run_program(w):
    async def main():
        w.k.create_task(w.k.sleep(60))      # (to be cancelled)
        await w.k.sleep(0)
    w.k.run(main())


def make_loop(w):
    type(w.loop)().close()


def run_loop(w):
    w.loop.call_soon(w.loop.stop)
    w.loop.run_forever()


def wait_for_an_event(w):
    w.k.Event().wait().send(None)


PATCHES = {
    "coroutines._is_debug_mode": (asyncio.coroutines, make_loop),
    "events._get_running_loop": (asyncio.events, run_loop),
    "_get_running_loop by run()": (asyncio.events, run_program),
    "_get_running_loop by wait()": (asyncio.events, wait_for_an_event),
    "tasks.Task": (asyncio.tasks, make_task),
    "socket.getaddrinfo": (socket, resolve),
    "socket.getnameinfo": (socket, reverse),
    "socket.socket": (socket, open_socket),
    "subprocess.Popen": (subprocess, start_child),
    "ssl.create_default_context": (ssl, connect_tls),
    "futures.ThreadPoolExecutor": (concurrent.futures, call_in_a_thread),
    "runners._cancel_all_tasks": (asyncio.runners, run_program),
    "tasks.gather": (asyncio.tasks, run_program),
    "signal.signal": (signal, run_program),
    "signal.getsignal": (signal, run_program),
    "threading.current_thread": (threading, run_program),
}


INSTALLED = """
import asyncio
from asyncio import events

async def main():
    pass

for name, use in [
        ("new_event_loop", lambda: asyncio.run(main())),
        ("set_event_loop", lambda: asyncio.run(main())),
        ("get_event_loop_policy", asyncio.new_event_loop)]:
    real = getattr(events, name)
    def replacement(*args):
        print(name, len(args))
        return real(*args)
    setattr(events, name, replacement)
    result = use()
    if result is not None:
        result.close()
    setattr(events, name, real)
"""


def test_patches_of_where_loops_come_from(both):
    """(ouro.run() makes its loops itself: this is for asyncio.run().)"""
    both(INSTALLED)


class Seen(Exception):
    """Raised by what has been put in the place of something."""


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_is_called(name, monkeypatch):
    owner, use = PATCHES[name]
    attribute = name.partition(" ")[0].rpartition(".")[2]

    def program(w):
        def replacement(*args, **kwargs):
            raise Seen(name)

        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, replacement)
            try:
                use(w)
            except Seen:
                w.note("seen")
            except BaseException as error:
                w.note(type(error).__name__)

    notes = {kind: lived(kind, program)[-1:] for kind in KINDS}
    assert notes["ouro"] == notes["asyncio"]


@pytest.mark.parametrize("name", ["call_soon", "call_later", "call_at",
                                  "time", "create_task", "create_future",
                                  "call_exception_handler"])
@pytest.mark.parametrize("where", ["instance", "class", "subclass"])
def test_a_patched_loop(where, name, monkeypatch):
    """The methods of a loop, patched while it is in use already."""
    def program(w):
        loop = w.loop
        if where == "subclass":
            loop = type("Sub", (type(loop),), {})()
        owner = loop if where == "instance" else type(loop)
        real = getattr(type(loop), name)
        calls = []

        def replacement(*args, **kwargs):
            calls.append(name)
            return real(*(args if where != "instance" else (loop, *args)),
                        **kwargs)

        async def main():
            await w.k.sleep(0.001)
            await w.k.gather(w.k.sleep(0), w.k.sleep(0))
            await w.k.wait_for(w.k.sleep(0), 10)
            loop.call_soon(int, "x")
            await w.k.sleep(0)
            await w.k.sleep(0)

        loop.run_until_complete(w.k.sleep(0))
        with monkeypatch.context() as patch:
            if where == "class" and name not in vars(owner):
                patch.setattr(owner, name, replacement, raising=False)
            else:
                patch.setattr(owner, name, replacement)
            loop.set_exception_handler(lambda *args: None)
            loop.run_until_complete(main())
        w.note(bool(calls))
        if loop is not w.loop:
            loop.close()

    assert lived("ouro", program) == lived("asyncio", program) == [("True",)]


# What a loop's work goes through in asyncio, and may be overridden.
METHODS = """
getaddrinfo getnameinfo sock_connect sock_recv sock_sendall sock_accept
sock_sendfile call_exception_handler call_soon call_soon_threadsafe call_later
call_at create_future create_task connect_read_pipe connect_write_pipe
add_signal_handler remove_signal_handler shutdown_asyncgens
shutdown_default_executor _sendfile_native _sock_sendfile_native
_add_reader _remove_reader _add_writer _remove_writer
run_in_executor time close stop run_forever is_closed is_running get_debug
create_connection create_server create_datagram_endpoint subprocess_exec
subprocess_shell _make_socket_transport _make_datagram_transport
_make_read_pipe_transport _make_write_pipe_transport
_make_subprocess_transport _process_events _write_to_self _run_once
_connect_sock _ensure_resolved _start_serving _stop_serving
_accept_connection default_exception_handler
""".split()


async def work(w, loop, path):
    """A bit of all that a loop does."""
    server = await w.k.start_server(
        lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await w.k.open_connection(
        *server.sockets[0].getsockname())
    await reader.read()
    writer.close()
    server.close()
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        theirs.send(b"x")
        await loop.sock_recv(ours, 1)
        await loop.sock_sendall(ours, b"y")
        with path.open("rb") as file:
            await loop.sock_sendfile(ours, file)
            transport, _ = await loop.create_connection(
                w.k.Protocol, sock=ours)
            await loop.sendfile(transport, file)
        # (What fills the socket is waited for.)
        transport.write(bytes(10_000_000))
        await w.k.sleep(0)
        transport.abort()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = loop.create_task(loop.sock_accept(listener))
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, listener.getsockname())
            (await accepting)[0].close()
    await w.k.to_thread(int)
    await w.k.wait_for(w.k.sleep(0.001), 60)
    await w.k.gather(w.k.sleep(0), w.k.sleep(0))
    endpoint, _ = await loop.create_datagram_endpoint(
        w.k.DatagramProtocol, local_addr=("127.0.0.1", 0))
    endpoint.close()
    for start in w.k.create_subprocess_exec, w.k.create_subprocess_shell:
        process = await start("cat", stdin=-1, stdout=-1)
        await process.communicate(b"x")
    loop.add_signal_handler(signal.SIGUSR2, int)
    loop.remove_signal_handler(signal.SIGUSR2)
    await loop.getnameinfo(("127.0.0.1", 80))
    await loop.getaddrinfo("127.0.0.1", 80)
    loop.call_soon(int, "x")
    w.k.run_coroutine_threadsafe(w.k.sleep(0), loop)
    await w.k.sleep(0.001)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


@pytest.mark.parametrize("where", ["instance", "subclass"])
def test_all_work_goes_through_methods(where, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    def program(w):
        called = set()

        def noting(name, real):
            def replacement(*args, **kwargs):
                called.add(name)
                return real(*args, **kwargs)
            return replacement

        kind = type(w.loop)
        names = [name for name in METHODS if hasattr(kind, name)]
        if where == "subclass":
            kind = type("Sub", (kind,), {
                name: noting(name, getattr(kind, name)) for name in names})
        loop = kind()
        if where == "instance":
            for name in names:
                setattr(loop, name, noting(name, getattr(loop, name)))
        asyncio.set_event_loop(loop)
        loop.run_until_complete(work(w, loop, path))
        loop.close()
        w.note(sorted(called))
        w.note(sorted(set(names) - called))

    assert lived("ouro", program) == lived("asyncio", program)
