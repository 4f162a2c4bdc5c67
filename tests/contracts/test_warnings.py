"""What is left open or unfinished warns as in asyncio, with the same words."""

import asyncio
import gc
import os
import re
import socket
import ssl
import sys
import warnings

import pytest
from worlds import lived, same

PEM = os.path.join(os.path.dirname(__file__), "..", "net", "localhost.pem")

LEFT = {}


def left(function):
    LEFT[function.__name__] = function
    return function


class Peers(list):
    """Ends that are closed without a word when the test is over."""

    def __call__(self, one):
        self.append(one)
        return one

    def close(self):
        for one in self:
            one.close()
        self.clear()


def socket_with_a_peer(peers):
    one, other = socket.socketpair()
    one.setblocking(False)
    peers(other)
    return one


async def connected(world, peers):
    transport, _ = await world.loop.create_connection(
        world.k.Protocol, sock=socket_with_a_peer(peers))
    await asyncio.sleep(0)
    return transport


@left
async def connection(world, peers):
    return await connected(world, peers)


@left
async def paused(world, peers):
    transport = await connected(world, peers)
    transport.pause_reading()
    return transport


@left
async def unsent(world, peers):
    transport = await connected(world, peers)
    transport.write(bytes(1 << 24))
    return transport


@left
async def closing_and_unsent(world, peers):
    transport = await unsent(world, peers)
    transport.close()
    return transport


@left
async def closing(world, peers):
    transport = await connected(world, peers)
    transport.close()
    return transport


@left
async def aborted(world, peers):
    transport = await unsent(world, peers)
    transport.abort()
    return transport


@left
async def datagrams(world, peers):
    transport, _ = await world.loop.create_datagram_endpoint(
        world.k.DatagramProtocol, local_addr=("127.0.0.1", 0))
    return transport


@left
async def reading_pipe(world, peers):
    reading, writing = os.pipe()
    peers(open(writing, "wb"))
    transport, _ = await world.loop.connect_read_pipe(
        world.k.Protocol, open(reading, "rb", 0))
    await asyncio.sleep(0)
    return transport


@left
async def paused_pipe(world, peers):
    transport = await reading_pipe(world, peers)
    transport.pause_reading()
    return transport


@left
async def closing_pipe(world, peers):
    transport = await reading_pipe(world, peers)
    transport.close()
    return transport


@left
async def writing_pipe(world, peers):
    reading, writing = os.pipe()
    peers(open(reading, "rb"))
    transport, _ = await world.loop.connect_write_pipe(
        world.k.BaseProtocol, open(writing, "wb", 0))
    await asyncio.sleep(0)
    return transport


@left
async def unsent_pipe(world, peers):
    transport = await writing_pipe(world, peers)
    transport.write(bytes(1 << 20))
    return transport


@left
async def pipe_of_a_socket(world, peers):
    transport, _ = await world.loop.connect_write_pipe(
        world.k.BaseProtocol, socket_with_a_peer(peers))
    return transport


@left
async def server(world, peers):
    return await world.loop.create_server(world.k.Protocol, "127.0.0.1", 0)


@left
async def server_of_the_file_system(world, peers):
    return await world.loop.create_unix_server(
        world.k.Protocol, b"\0ouro-left-%d" % os.getpid())


@left
async def child_that_has_ended(world, peers):
    transport, _ = await world.loop.subprocess_exec(
        world.k.SubprocessProtocol, sys.executable, "-c", "")
    await transport._wait()
    for _ in range(3):
        await asyncio.sleep(0.001)
    return transport


@left
async def tls(world, peers):
    context = ssl.create_default_context(cafile=PEM)
    task = world.loop.create_task(world.loop.create_connection(
        world.k.Protocol, sock=socket_with_a_peer(peers), ssl=context,
        server_hostname="localhost"))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])


@left
async def writer(world, peers):
    sock = socket_with_a_peer(peers)
    return (await world.k.open_connection(sock=sock))[1]


def comparable(text):
    text = re.sub(r"\bpid=\d+", "pid=N", text)
    text = re.sub(r"(?<=bufsize=)[1-9]\d*", "SOME", text)
    text = re.sub(r"\bname=\d+", "name=N", text)
    return re.sub(r"('127\.0\.0\.1'), \d+", r"\1, PORT", text)


def leave(world, name):
    """Close the loop with something open, and let go of that."""
    peers = Peers()
    thing = world.loop.run_until_complete(LEFT[name](world, peers))
    world.note("before", comparable(repr(thing)))
    world.loop.close()
    world.note("after", comparable(repr(thing)))
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del thing
        gc.collect()
    for warning in sorted(caught, key=lambda each: str(each.message)):
        text = comparable(str(warning.message))
        # (asyncio's stream transports are part of a cycle; the collector
        # comes upon the socket first.)
        if not text.startswith("unclosed <socket.socket"):
            world.note(warning.category.__name__, text)
    peers.close()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", LEFT)
def test_left_open(name):
    same(lambda world: leave(world, name))


@pytest.mark.parametrize("name", [name for name in LEFT
                                  if "child" not in name])
def test_no_descriptor_is_lost(name):
    def program(world):
        leave(world, name)

    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    lived("ouro", program)
    before = count()
    lived("ouro", program)
    assert count() == before


def caught_while(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
        gc.collect()
    return [(each.category.__name__, comparable(str(each.message)))
            for each in caught]


def test_what_is_never_awaited():
    """The coroutines of every primitive, by their names."""
    def program(world):
        k = world.k

        async def main():
            queue, lock, event = k.Queue(), k.Lock(), k.Event()
            condition, barrier = k.Condition(), k.Barrier(2)
            for make in (
                lambda: k.sleep(1), lambda: k.wait_for(event, 1),
                lambda: k.wait([1]), lambda: queue.get(),
                lambda: queue.put(1), lambda: queue.join(),
                lambda: lock.acquire(), lambda: event.wait(),
                lambda: condition.wait(), lambda: condition.acquire(),
                lambda: condition.wait_for(bool), lambda: barrier.wait(),
                lambda: barrier.reset(), lambda: k.to_thread(len, ""),
                lambda: k.open_connection("h", 1),
                lambda: k.start_server(None, "h", 1),
                lambda: k.create_subprocess_exec("true"),
                lambda: k.StreamReader().read(),
                lambda: k.StreamReader().readline(),
                lambda: world.loop.create_connection(None),
                lambda: world.loop.create_server(None),
                lambda: world.loop.sock_recv(None, 1),
                lambda: world.loop.getaddrinfo("h", 1),
                lambda: world.loop.shutdown_asyncgens(),
                lambda: world.loop.shutdown_default_executor(),
                lambda: world.loop.subprocess_exec(None, "true"),
                lambda: world.loop.connect_read_pipe(None, None),
                lambda: world.loop.create_datagram_endpoint(None),
            ):
                world.notes.append(caught_while(lambda: make() and None))

        world.loop.run_until_complete(main())

    assert ("RuntimeWarning", "coroutine 'Queue.get' was never awaited") \
        in sum(same(program), [])


def test_deprecated():
    """Warnings of what asyncio itself calls deprecated."""
    def program(world):
        k = world.k

        async def main():
            queue = k.Queue()
            await k.wait([k.create_task(queue.put(1))])
            for call in (
                lambda: k.iscoroutinefunction(main),
                lambda: k.get_event_loop(),
                lambda: k.get_event_loop_policy(),
                lambda: k.DefaultEventLoopPolicy,
                lambda: k.get_child_watcher(),
                lambda: k.create_task(k.sleep(0)).cancel(msg="x"),
            ):
                try:
                    world.notes.append(caught_while(call))
                except Exception as error:
                    world.note(type(error).__name__)

        world.loop.run_until_complete(main())

    same(program)


def test_an_unclosed_loop():
    def program(world):
        def drop():
            type(world.loop)()

        world.note(caught_while(drop))

    assert "unclosed event loop" in str(same(program))
