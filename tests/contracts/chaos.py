"""Everything at once: sockets, TLS, pipes, children, threads, locks, timeouts,
in many tasks, some of which are cancelled or time out wherever they are.

usage: chaos.py LOOP SEED OPERATIONS PEM       (LOOP: see LOOPS)

Each operation checks what it gets.  Prints 'done' if none failed or was stuck,
and neither a task, a descriptor nor a thread was left, and nobody complained.
"""

import asyncio
import contextlib
import gc
import os
import random
import selectors
import socket
import ssl
import sys
import tempfile
import threading
import warnings

WORKERS = 30
STUCK = 120     # seconds


class Subclass(asyncio.SelectorEventLoop):
    def call_soon(self, callback, *args, context=None):
        return super().call_soon(callback, *args, context=context)


LOOPS = {
    "fast": (asyncio.SelectorEventLoop, False),
    "debug": (asyncio.SelectorEventLoop, True),
    "subclass": (Subclass, False),
    "poll": (lambda: asyncio.SelectorEventLoop(selectors.PollSelector()),
             False),
}


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray(5000)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.transport.write(bytes(self.buffer[:nbytes]))


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


LOST = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)


async def serve_lines(reader, writer):
    """Echo of lines and of what a line announces; some lines end it."""
    try:
        while line := await reader.readline():
            word, _, number = line.rstrip().partition(b" ")
            if word == b"abort":
                writer.transport.abort()
            elif word == b"upgrade":
                writer.write(b"go on\n")
                await writer.start_tls(place.server_tls)
            elif word == b"bytes":
                writer.write(await reader.readexactly(int(number)))
                await writer.drain()
            else:
                writer.writelines([line, b""])
                await writer.drain()
    except LOST:
        pass
    finally:
        writer.close()


class Place:
    """What the operations share."""

    def __init__(self, seed, pem):
        self.random = random.Random(seed)
        self.pem = pem
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_tls.load_cert_chain(pem)
        self.client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client_tls.check_hostname = False
        self.client_tls.verify_mode = ssl.CERT_NONE

    def bytes(self, *sizes):
        return self.random.randbytes(self.random.choice(sizes))

    def some_time(self):
        return self.random.random() * 0.01

    async def open(self, folder):
        loop = asyncio.get_running_loop()
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.condition = asyncio.Condition()
        self.unix = os.path.join(folder, "socket")
        servers = [
            await asyncio.start_server(serve_lines, "127.0.0.1", 0),
            await asyncio.start_server(serve_lines, "127.0.0.1", 0,
                                       ssl=self.server_tls),
            await loop.create_server(BufferedEcho, "127.0.0.1", 0),
        ]
        self.plain, self.tls, self.buffered = (
            server.sockets[0].getsockname() for server in servers)
        self.datagrams, _ = await loop.create_datagram_endpoint(
            DatagramEcho, local_addr=("127.0.0.1", 0))
        self.servers = [*servers,
                        await loop.create_unix_server(Echo, self.unix)]

    def close(self):
        for server in self.servers:
            server.close()
        self.datagrams.close()


# ---- operations: each checks what it gets --------------------------------

async def exchange(reader, writer, data):
    writer.write(b"bytes %d\n" % len(data))
    writer.write(data)
    await writer.drain()
    assert await reader.readexactly(len(data)) == data


async def streams():
    secure = place.random.random() < 0.3
    reader, writer = await asyncio.open_connection(
        *(place.tls if secure else place.plain),
        ssl=place.client_tls if secure else None)
    try:
        for _ in range(place.random.randrange(4)):
            await exchange(reader, writer, place.bytes(1, 1000, 70_000,
                                                       400_000))
            writer.write(b"a line\n")
            assert await reader.readline() == b"a line\n"
        how = place.random.randrange(4)
        if how == 0:
            writer.transport.abort()
        elif how == 1:
            writer.write(b"abort\n")
            with contextlib.suppress(*LOST):
                assert await reader.read() == b""
    finally:
        writer.close()
        with contextlib.suppress(*LOST):
            await writer.wait_closed()


async def upgrade():
    reader, writer = await asyncio.open_connection(*place.plain)
    try:
        writer.write(b"upgrade\n")
        assert await reader.readline() == b"go on\n"
        await writer.start_tls(place.client_tls)
        await exchange(reader, writer, place.bytes(5, 100_000))
    finally:
        writer.close()


async def unix_streams():
    data = place.bytes(10, 5000, 300_000)
    reader, writer = await asyncio.open_unix_connection(place.unix)
    try:
        writer.write(data)
        if place.random.random() < 0.5:
            writer.write_eof()
        assert await reader.readexactly(len(data)) == data
    finally:
        writer.close()


async def send_file():
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(*place.buffered)
    try:
        with open(place.pem, "rb") as file:
            data = file.read()
            await loop.sendfile(writer.transport, file)
            assert await reader.readexactly(len(data)) == data
    finally:
        writer.close()


async def bare_socket():
    loop = asyncio.get_running_loop()
    data = place.bytes(1, 5000, 200_000)
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, place.buffered)

        async def receive():
            got = b""
            while len(got) < len(data):
                got += await loop.sock_recv(sock, 65536)
            return got
        _, got = await asyncio.gather(loop.sock_sendall(sock, data),
                                      receive())
    assert got == data


async def datagrams():
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            if not arrived.done():
                arrived.set_result(data)
    transport, _ = await loop.create_datagram_endpoint(
        Receiver, remote_addr=place.datagrams.get_extra_info("sockname"))
    try:
        with contextlib.suppress(TimeoutError):    # (they may be lost)
            async with asyncio.timeout(1):
                transport.sendto(b"a datagram")
                assert await arrived == b"a datagram"
    finally:
        transport.close()


async def pipes():
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    reader = asyncio.StreamReader()
    with open(read, "rb", 0) as file, open(write, "wb", 0) as other:
        source, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file)
        try:
            sink, _ = await loop.connect_write_pipe(asyncio.Protocol, other)
            try:
                data = place.bytes(10, 200_000)
                sink.write(data)
                assert await reader.readexactly(len(data)) == data
            finally:
                sink.abort()
                await asyncio.sleep(0)
        finally:
            source.close()
            await asyncio.sleep(0)


async def child_answers():
    data = place.bytes(0, 10, 100_000)
    process = await asyncio.create_subprocess_exec(
        "/bin/cat", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await process.communicate(data)
        assert (output, process.returncode) == (data, 0)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def child_killed():
    process = await asyncio.create_subprocess_exec("/bin/sleep", "1000")
    try:
        await asyncio.sleep(place.some_time())
    finally:
        process.kill()
        assert await process.wait() == -9


async def child_killed_late():
    """It ends by itself meanwhile, or not; its status is never lost."""
    process = await asyncio.create_subprocess_shell("exit 3")
    try:
        await asyncio.sleep(place.some_time())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        assert await process.wait() in (3, -9)


async def thread():
    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(pow, 3, 4) == 81
    future = loop.create_future()

    def set_result():
        if not future.done():
            future.set_result(5)
    other = threading.Thread(target=loop.call_soon_threadsafe,
                             args=(set_result,))
    other.start()
    try:
        assert await future == 5
    finally:
        other.join()


async def thread_asks_back():
    loop = asyncio.get_running_loop()

    def ask():
        coroutine = asyncio.sleep(0.001, "slept")
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(STUCK)
    assert await loop.run_in_executor(None, ask) == "slept"


async def queue():
    items = asyncio.Queue(2)

    async def put():
        for item in range(20):
            await items.put(item)

    async def get():
        return [await items.get() for _ in range(20)]
    _, got = await asyncio.gather(put(), get())
    assert got == list(range(20))


async def group():
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(asyncio.sleep(place.some_time()))
            if place.random.random() < 0.3:
                raise KeyError


async def guarded():
    async with place.semaphore:
        async with place.lock:
            await asyncio.sleep(place.some_time() / 10)
    async with place.condition:
        place.condition.notify()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(place.some_time()):
                await place.condition.wait()


async def several():
    sleepers = [asyncio.ensure_future(asyncio.sleep(place.some_time(), number))
                for number in range(5)]
    try:
        await asyncio.wait(sleepers, timeout=place.some_time())
        got = [await each for each in asyncio.as_completed(sleepers)]
        assert sorted(got) == list(range(5))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.sleep(0.005)),
                                   place.some_time())
    finally:
        for sleeper in sleepers:
            sleeper.cancel()


OPERATIONS = [
    bare_socket, child_answers, child_killed, child_killed_late, datagrams,
    group, guarded, pipes, queue, send_file, several, streams, thread,
    thread_asks_back, unix_streams, upgrade,
]


# ---- running them --------------------------------------------------------

async def disturb(operation):
    """Run it, and maybe cancel it somewhere, or let it time out."""
    task = asyncio.create_task(operation())
    fate = place.random.random()
    if fate < 0.2:
        await asyncio.sleep(place.some_time())
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, STUCK)
    elif fate < 0.3:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(task, place.some_time())
    else:
        await asyncio.wait_for(task, STUCK)


async def work(operations):
    for operation in operations:
        await disturb(operation)
        if place.random.random() < 0.01:
            gc.collect(place.random.randrange(3))


# A client that leaves before the handshake is over; told in debug mode only.
USUAL = "Error on transport creation for incoming connection"


async def main(count):
    complaints = []

    def complain(loop, context):
        if context["message"] != USUAL or not loop.get_debug():
            complaints.append(context)
    asyncio.get_running_loop().set_exception_handler(complain)
    operations = iter(place.random.choices(OPERATIONS, k=count))
    with tempfile.TemporaryDirectory() as folder:
        await place.open(folder)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(WORKERS):
                    workers.create_task(work(operations))
        finally:
            place.close()
    async with asyncio.timeout(STUCK):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0.01)
    assert not complaints, complaints


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def run(make_loop, debug, count):
    with asyncio.Runner(loop_factory=make_loop, debug=debug) as runner:
        runner.run(main(count))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    unraisable = []
    sys.unraisablehook = unraisable.append
    make_loop, debug = LOOPS[sys.argv[1]]
    place = Place(int(sys.argv[2]), sys.argv[4])
    asyncio.run(asyncio.sleep(0))
    before = descriptors()
    run(make_loop, debug, int(sys.argv[3]))
    assert descriptors() == before
    assert threading.active_count() == 1
    assert not unraisable, unraisable
    print("done")
