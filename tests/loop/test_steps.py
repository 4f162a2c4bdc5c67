"""The methods that asyncio's loop calls of its own, one by one: a subclass
that overrides them sees the same calls on ours."""

import asyncio
import contextlib
import functools
import io
import os
import signal
import socket
import ssl
import tempfile
import threading

import pytest

import ouro

PEM = os.path.join(os.path.dirname(__file__), "..", "net", "localhost.pem")

# What is called more or less often without anybody having asked for it: the
# clock, by how many timers there are; is_running(), twice by close(); and
# _timer_handle_cancelled(), by debug-mode reprs and the like.
UNCOUNTED = {"time", "get_debug", "is_running"}

STEPS = sorted(
    name for name in dir(asyncio.SelectorEventLoop)
    if not name.startswith("__") and name not in UNCOUNTED
    and callable(getattr(asyncio.SelectorEventLoop, name)))


class Calls(list):
    """What was called while it was on, and what the program notes."""

    on = False

    @contextlib.contextmanager
    def recorded(self):
        self.on = True
        try:
            yield
        finally:
            self.on = False


def recording(base, calls):
    """A subclass that overrides each method and notes the call."""
    def override(name):
        def method(self, *args, **kwargs):
            if calls.on:
                calls.append(name)
            return getattr(super(kind, self), name)(*args, **kwargs)

        return method

    kind = type("Recording", (base,), {name: override(name)
                                       for name in STEPS})
    return kind


def calls_on(base, program):
    calls = Calls()
    program(recording(base, calls), calls)
    return calls


def alike(program):
    expected = calls_on(asyncio.SelectorEventLoop, program)
    assert calls_on(ouro.Loop, program) == expected
    return expected


def in_a_loop(body):
    """The program that runs body(loop, calls) in a task."""
    def program(make, calls):
        loop = make()

        async def main():
            with calls.recorded():
                await body(loop, calls)

        loop.run_until_complete(main())
        loop.close()

    return program


PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def body(function):
    PROGRAMS[function.__name__] = in_a_loop(function)
    return function


@contextlib.contextmanager
def nonblocking_pair(kind=socket.SOCK_STREAM):
    left, right = socket.socketpair(type=kind)
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


# ---- life ------------------------------------------------------------------

@program
def making_and_closing(make, calls):
    with calls.recorded():
        loop = make()
        calls.append("|")
        loop.close()
        calls.append("|")
        loop.close()


@program
def run_until_complete(make, calls):
    loop = make()
    with calls.recorded():
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()


@program
def run_forever(make, calls):
    loop = make()
    loop.call_soon(loop.stop)
    with calls.recorded():
        loop.run_forever()
    loop.close()


@program
def debug_mode(make, calls):
    loop = make()
    loop.slow_callback_duration = 60
    with calls.recorded():
        loop.set_debug(True)
        loop.call_soon(len, "")
        loop.call_at(1, print)
        loop.call_soon_threadsafe(len, "")
        calls.append("|")
        loop.set_debug(False)

    async def main():
        loop.set_debug(True)
        await asyncio.sleep(0)
        loop.set_debug(False)

    with calls.recorded():
        loop.run_until_complete(main())
    loop.close()


@program
def refusals(make, calls):
    loop = make()

    async def main():
        with calls.recorded():
            # (run_forever() of 3.13.0 leaves the loop as if it had ended.)
            for call in (loop.close, lambda:
                         loop.run_until_complete(loop.create_future())):
                with pytest.raises(RuntimeError) as caught:
                    call()
                calls.append(str(caught.value))

    loop.run_until_complete(main())
    loop.close()
    with calls.recorded():
        coro = asyncio.sleep(0)
        for call in (
            lambda: loop.call_soon(len),
            lambda: loop.call_later(1, len),
            lambda: loop.call_soon_threadsafe(len),
            lambda: loop.add_reader(0, len),
            lambda: loop.create_task(coro),
            lambda: loop.run_until_complete(coro),
            lambda: loop.run_in_executor(None, len),
            lambda: loop.add_signal_handler(signal.SIGUSR1, len),
        ):
            with pytest.raises(RuntimeError) as caught:
                call()
            calls.append(str(caught.value))
        loop.remove_reader(0)
        loop.remove_signal_handler(signal.SIGUSR1)
        coro.close()


# ---- calls -----------------------------------------------------------------

@program
def call_soon_and_later(make, calls):
    loop = make()
    with calls.recorded():
        loop.call_soon(len, "")
        loop.call_later(1, print).cancel()
        loop.call_at(1, print)
        loop.create_future().cancel()
        task = loop.create_task(asyncio.sleep(0))
    loop.run_until_complete(task)
    loop.close()


@program
def call_soon_threadsafe(make, calls):
    loop = make()
    with calls.recorded():
        loop.call_soon_threadsafe(len, "")
        calls.append("|")
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@body
async def exceptions(loop, calls):
    loop.set_exception_handler(lambda *args: None)
    loop.call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)


@body
async def asynchronous_generators(loop, calls):
    async def generator():
        yield 1

    items = generator()
    await items.__anext__()
    calls.append("|")
    del items
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    items = generator()
    await items.__anext__()
    calls.append("|")
    await loop.shutdown_asyncgens()


@body
async def signals(loop, calls):
    seen = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, seen.set)
    calls.append("|")
    os.kill(os.getpid(), signal.SIGUSR1)
    await seen.wait()
    calls.append("|")
    loop.remove_signal_handler(signal.SIGUSR1)


@program
def the_default_executor(make, calls):
    loop = make()

    async def main():
        # (How many turns a thread takes is its own affair.)
        for debug in False, True:
            gate = threading.Event()
            loop.set_debug(debug)
            with calls.recorded():
                future = loop.run_in_executor(None, gate.wait)
            gate.set()
            await future
        loop.set_debug(False)
        await loop.shutdown_default_executor()
        with calls.recorded(), pytest.raises(RuntimeError):
            calls.append("|")
            loop.run_in_executor(None, len, "")

    loop.run_until_complete(main())
    loop.close()


# ---- descriptors and sockets -----------------------------------------------

@body
async def readers_and_writers(loop, calls):
    with nonblocking_pair() as (left, right):
        seen = asyncio.Event()
        loop.add_reader(left, print)
        loop.add_reader(left, lambda: (left.recv(1), seen.set()))
        right.send(b"x")
        await seen.wait()
        loop.remove_reader(left)
        loop.remove_reader(left)
        loop.add_writer(left, print)
        loop.remove_writer(left)


@body
async def receiving(loop, calls):
    with nonblocking_pair() as (left, right):
        right.send(b"x")
        await loop.sock_recv(left, 1)
        for receive in (functools.partial(loop.sock_recv, left, 1),
                        functools.partial(loop.sock_recv_into, left,
                                          bytearray(1))):
            calls.append("|")
            task = loop.create_task(receive())
            await asyncio.sleep(0)
            right.send(b"y")
            await task


@body
async def receiving_datagrams(loop, calls):
    with nonblocking_pair(socket.SOCK_DGRAM) as (left, right):
        for receive in (functools.partial(loop.sock_recvfrom, left, 1),
                        functools.partial(loop.sock_recvfrom_into, left,
                                          bytearray(1))):
            calls.append("|")
            task = loop.create_task(receive())
            await asyncio.sleep(0)
            right.send(b"y")
            await task
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        await loop.sock_sendto(one, b"x", one.getsockname())
        await loop.sock_recvfrom(one, 1)


@body
async def sending(loop, calls):
    with nonblocking_pair() as (left, right):
        await loop.sock_sendall(left, b"x")
        calls.append("|")
        task = loop.create_task(loop.sock_sendall(left, bytes(1 << 20)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


@body
async def connecting_and_accepting(loop, calls):
    with socket.create_server(("127.0.0.1", 0)) as server, \
            socket.socket() as client:
        server.setblocking(False)
        client.setblocking(False)
        waiting = loop.create_task(loop.sock_accept(server))
        await asyncio.sleep(0)
        await loop.sock_connect(client, server.getsockname())
        (await waiting)[0].close()


@body
async def files_that_cannot_be_sent(loop, calls):
    with nonblocking_pair() as (left, right):
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(left, io.BytesIO(b"x"), fallback=False)


@body
async def sending_files(loop, calls):
    with tempfile.TemporaryFile() as file, \
            nonblocking_pair() as (left, right), \
            nonblocking_pair() as (third, fourth):
        file.write(bytes(1 << 20))
        file.flush()
        file.seek(0)
        transport, _ = await loop.create_connection(asyncio.Protocol,
                                                    sock=left)
        await loop.sendfile(transport, file, 0, 1000)
        calls.append("|")
        await loop.sock_sendfile(third, file, 0, 1000)
        calls.append("|")
        task = loop.create_task(loop.sock_sendfile(third, file))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        transport.abort()
        await asyncio.sleep(0)


# ---- transports ------------------------------------------------------------

class Accepted(asyncio.Protocol):
    """Tells who made it, and how it ended."""

    def __init__(self, loop):
        self.made = loop.create_future()
        self.lost = loop.create_future()
        self.got = loop.create_future()

    def connection_made(self, transport):
        self.made.set_result(transport)

    def data_received(self, data):
        if not self.got.done():
            self.got.set_result(data)

    def connection_lost(self, exception):
        self.lost.set_result(None)


@body
async def servers_and_connections(loop, calls):
    accepted = Accepted(loop)
    server = await loop.create_server(lambda: accepted, "127.0.0.1", 0)
    calls.append("|")
    transport, _ = await loop.create_connection(
        asyncio.Protocol, *server.sockets[0].getsockname())
    await accepted.made
    calls.append("|")
    transport.write(b"x")
    await accepted.got
    calls.append("|")
    transport.pause_reading()
    transport.resume_reading()
    accepted.made.result().pause_reading()
    transport.write(bytes(1 << 24))
    calls.append("|")
    transport.abort()
    accepted.made.result().close()
    await accepted.lost
    calls.append("|")
    server.close()
    await server.wait_closed()


@body
async def an_end_of_file(loop, calls):
    protocol = Accepted(loop)
    with nonblocking_pair() as (left, right):
        await loop.create_connection(lambda: protocol, sock=left)
        right.close()
        await protocol.lost


@body
async def connections_of_the_file_system(loop, calls):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        accepted = Accepted(loop)
        server = await loop.create_unix_server(lambda: accepted, path)
        calls.append("|")
        transport, _ = await loop.create_unix_connection(asyncio.Protocol,
                                                         path)
        await accepted.made
        calls.append("|")
        transport.close()
        await accepted.lost
        server.close()
        await server.wait_closed()


@body
async def datagrams(loop, calls):
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    calls.append("|")
    transport.close()
    await asyncio.sleep(0)
    with nonblocking_pair(socket.SOCK_DGRAM) as (left, right):
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, sock=left)
        calls.append("|")
        transport.abort()
        await asyncio.sleep(0)


@body
async def pipes(loop, calls):
    reading, writing = os.pipe()
    protocol = Accepted(loop)
    reader, _ = await loop.connect_read_pipe(lambda: protocol,
                                             open(reading, "rb"))
    calls.append("|")
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol,
                                              open(writing, "wb"))
    reader.pause_reading()
    reader.resume_reading()
    calls.append("|")
    writer.write(b"x")
    await protocol.got
    calls.append("|")
    reader.pause_reading()
    writer.write(bytes(1 << 20))
    calls.append("|")
    writer.abort()
    reader.close()
    await protocol.lost


@body
async def starting_tls(loop, calls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with nonblocking_pair() as (left, right):
        transport, protocol = await loop.create_connection(asyncio.Protocol,
                                                           sock=left)
        task = loop.create_task(loop.start_tls(
            transport, protocol, context, server_hostname="localhost"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        calls.on = False
    await asyncio.sleep(0)


@body
async def tls(loop, calls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    calls.append("|")
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0,
                                      ssl=context)
    server.close()
    await server.wait_closed()


@body
async def what_waits_and_wakes(loop, calls):
    queue = asyncio.Queue()
    task = loop.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(1)
    await task
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))
    await asyncio.wait_for(asyncio.sleep(0), 60)
    async with asyncio.timeout(60):
        await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
    await asyncio.shield(asyncio.sleep(0))
    for item in asyncio.as_completed([asyncio.sleep(0)]):
        await item
    await asyncio.wrap_future(
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_step(name):
    assert alike(PROGRAMS[name])


# ---- one step --------------------------------------------------------------

@pytest.mark.parametrize("base", [asyncio.SelectorEventLoop, ouro.Loop])
def test_a_check_that_lets_everything_pass(base):
    class Loop(base):
        def _check_closed(self):
            pass

    loop = Loop()
    loop.close()
    loop.call_soon(print)
    loop.call_later(1, print)
    loop.call_soon_threadsafe(print)
    loop._check_closed = functools.partial(ouro.Loop._check_closed, loop)
    if base is ouro.Loop:
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            loop.call_soon(print)


@pytest.mark.parametrize("base", [asyncio.SelectorEventLoop, ouro.Loop])
@pytest.mark.parametrize("name, arguments, call", [
    ("_check_closed", (), lambda loop: loop.call_soon(len)),
    ("_check_running", (), lambda loop: loop.run_forever()),
    ("_check_thread", (), lambda loop: loop.call_soon(len)),
    ("_check_callback", (len, "call_soon"), lambda loop: loop.call_soon(len)),
    ("_check_default_executor", (),
     lambda loop: loop.run_in_executor(None, len, "")),
    ("_check_signal", (signal.SIGUSR1,),
     lambda loop: loop.remove_signal_handler(signal.SIGUSR1)),
    ("_set_coroutine_origin_tracking", (),
     lambda loop: loop.run_forever()),
    ("_ensure_fd_no_transport", (0,), lambda loop: loop.remove_reader(0)),
])
def test_a_check_that_refuses(base, name, arguments, call):
    """By a method of the class, of a subclass, of the instance."""
    class Refused(Exception):
        pass

    def refuse(*args):
        raise Refused(*args[-len(arguments):] if arguments else ())

    subclass = type("Loop", (base,), {})
    for owner in subclass, None:
        loop = subclass() if owner else base()
        loop.set_debug(True)
        setattr(owner or loop, name, refuse)
        with pytest.raises(Refused) as caught:
            call(loop)
        assert caught.value.args == arguments
        delattr(owner or loop, name)
        loop.close()


@pytest.mark.parametrize("base", [asyncio.SelectorEventLoop, ouro.Loop])
def test_the_self_pipe(base):
    data = []

    class Loop(base):
        def _process_self_data(self, received):
            data.append(received)
            super()._process_self_data(received)

    loop = Loop()
    assert loop._internal_fds == 1
    loop.call_soon_threadsafe(len, "")
    loop.run_until_complete(asyncio.sleep(0.001))
    assert b"".join(data) == b"\0"
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    assert bytes([signal.SIGUSR1]) in b"".join(data)
    loop.close()
    assert loop._internal_fds == 0
    assert loop._ssock is None and loop._csock is None


@pytest.mark.parametrize("base", [asyncio.SelectorEventLoop, ouro.Loop])
def test_the_ends_of_the_self_pipe(base):
    """For those who wake a loop past its methods."""
    loop = base()
    assert loop._csock is loop._csock and loop._ssock.fileno() > 0
    assert loop._internal_fds == 1
    csock, ready = loop._csock, loop._ready
    handle = asyncio.Handle(loop.stop, (), loop)
    threading.Timer(0.001, lambda: (ready.append(handle),
                                    csock.send(b"\0"))).start()
    loop.run_forever()
    loop.close()
    assert loop._ssock is None and loop._csock is None
    assert loop._internal_fds == 0


@pytest.mark.parametrize("name, steps", [
    ("sock_recv", ["_sock_recv", "_sock_read_done"]),
    ("create_connection", ["_create_connection_transport"]),
    ("create_server", ["_create_server_getaddrinfo"]),
])
def test_a_plain_subclass_stays_with_ours(name, steps):
    """A detour by asyncio's code is for those who need it."""
    def kind_of(loop):
        loop.close()
        coro = getattr(loop, name)(*{"sock_recv": (None, 1)}.get(
            name, (asyncio.Protocol, "127.0.0.1", 0)))
        coro.close()
        return type(coro).__name__

    class Loop(ouro.Loop):
        def call_soon(self, *args, **kwargs):
            return super().call_soon(*args, **kwargs)

    ours = kind_of(ouro.Loop())
    assert kind_of(Loop()) == ours
    for step in steps:
        kind = type("Loop", (Loop,), {step: getattr(ouro.Loop, step)})
        assert kind_of(kind()) == ours
        kind = type("Loop", (Loop,), {step: lambda *args: None})
        assert kind_of(kind()) == "coroutine"
