"""Public methods that no other operation happens to call."""

import asyncio
import os
import socket
import tempfile

from table import loop, nothing, operation


@operation(debug=True)
async def looks_at_primitives():
    barrier = asyncio.Barrier(2)
    await barrier.reset()
    condition = asyncio.Condition()
    async with condition:
        condition.notify()
    event = asyncio.Event()
    event.is_set()
    for kind in asyncio.Lock, asyncio.Semaphore, asyncio.BoundedSemaphore:
        kind().locked()


@operation()
def makes_handles():
    own = asyncio.new_event_loop()
    asyncio.Handle(nothing, (1,), own).cancel()
    asyncio.TimerHandle(1.0, nothing, (), own).cancel()
    asyncio.set_event_loop(own)
    asyncio.get_event_loop()
    asyncio.set_event_loop(None)
    own.close()


@operation()
async def asks_what_is_a_coroutine():
    asyncio.iscoroutine(nothing)
    asyncio.iscoroutinefunction(nothing)
    async with asyncio.timeout_at(loop().time() + 100):
        pass
    async with asyncio.Timeout(None):
        pass


@operation(times=100)
async def prints_the_stack():
    with open(os.devnull, "w") as file:
        asyncio.current_task().print_stack(file=file)


@operation(times=200)
def configures_a_loop():
    own = asyncio.new_event_loop()
    own.set_exception_handler(nothing)
    own.set_exception_handler(None)
    own.set_debug(True)
    own.set_debug(False)
    own.run_until_complete(own.shutdown_asyncgens())
    own.run_until_complete(own.shutdown_default_executor())
    own.close()


@operation(times=200)
async def datagram_sockets():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.bind(("127.0.0.1", 0))
        address = one.getsockname()
        if not hasattr(loop(), "sock_sendto"):
            return
        await loop().sock_sendto(one, b"x", address)
        await loop().sock_recvfrom(one, 10)
        await loop().sock_sendto(one, b"x", address)
        await loop().sock_recvfrom_into(one, bytearray(10))


@operation(times=100)
async def sends_a_file():
    one, other = socket.socketpair()
    with one, other, tempfile.TemporaryFile() as file:
        one.setblocking(False)
        file.write(b"x" * 100)
        await loop().sock_sendfile(one, file)


@operation(times=100)
async def serves_a_unix_socket():
    closed = asyncio.Event()

    class Protocol(asyncio.Protocol):
        def connection_lost(self, exc):
            closed.set()

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        server = await loop().create_unix_server(
            asyncio.Protocol, path, start_serving=False)
        await server.start_serving()
        server.is_serving()
        server.get_loop()
        transport, _ = await loop().create_unix_connection(Protocol, path)
        shown = transport.get_extra_info("socket")
        shown.fileno()
        shown.getpeername()
        shown.gettimeout()
        shown.get_inheritable()
        shown.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        shown.dup().close()
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 100)
            await loop().sendfile(transport, file)
        transport.close()
        await closed.wait()
        if hasattr(server, "close_clients"):    # 3.13+
            server.close_clients()
            server.abort_clients()
        server.close()
        await server.wait_closed()


@operation(times=100)
async def serves_forever():
    server = await asyncio.start_server(nothing, "127.0.0.1", 0)
    task = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@operation(times=100)
async def takes_an_accepted_socket():
    closed = asyncio.Event()

    class Protocol(asyncio.Protocol):
        def connection_lost(self, exc):
            closed.set()

    one, other = socket.socketpair()
    with other:
        transport, _ = await loop().connect_accepted_socket(Protocol, one)
        transport.close()
        await closed.wait()


@operation(times=100)
async def looks_at_streams():
    one, other = socket.socketpair()
    with other:
        reader, writer = await asyncio.open_connection(sock=one)
        reader.at_eof()
        writer.can_write_eof()
        writer.is_closing()
        writer.close()
        await writer.wait_closed()


async def _waits(future):
    await future


@operation(since=(3, 14))
async def captures_call_graphs():
    future = loop().create_future()
    waiting = asyncio.create_task(_waits(future))
    reading = asyncio.create_task(asyncio.StreamReader().readline())
    await asyncio.sleep(0)
    for each in future, waiting, reading, None:
        asyncio.capture_call_graph(each)
        asyncio.format_call_graph(each)
    with open(os.devnull, "w") as file:
        asyncio.print_call_graph(reading, file=file)
    waiting.cancel()
    reading.cancel()
    await asyncio.wait([waiting, reading])


@operation(since=(3, 14))
async def says_who_awaits():
    future = loop().create_future()
    asyncio.future_add_to_awaited_by(future, asyncio.current_task())
    asyncio.future_discard_from_awaited_by(future, asyncio.current_task())
