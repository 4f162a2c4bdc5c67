"""add_reader, add_writer and their like; selectors of Python's."""

import asyncio
import os
import selectors
import signal
import socket
import tempfile

import pytest

import ouro


def turns(loop, count=1):
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()


def test_replacing_and_removing(same):
    def program(loop, trace):
        a, b = socket.socketpair()
        with a, b:
            first = loop._add_reader(a, trace.append, 1)
            second = loop._add_reader(a.fileno(), trace.append, 2)
            third = loop._add_writer(a, trace.append, 3)
            trace.append([each.cancelled() for each in (first, second, third)])
            b.send(b"x")
            turns(loop)
            trace.append((loop.remove_writer(a), loop.remove_writer(a)))
            turns(loop)
            second.cancel()     # the watch goes with it, at the next event
            turns(loop)
            trace.append((loop.remove_reader(a), loop.remove_reader(b)))
            trace.append((loop.add_reader(a, print), loop.remove_reader(a)))

    same(program)


class Odd:
    """Has whatever one likes for a descriptor."""

    def __init__(self, value):
        self.value = value

    def fileno(self):
        return self.value

    def __repr__(self):
        return "<Odd>"


def test_bad_descriptors(same):
    def program(loop, trace):
        with tempfile.TemporaryFile() as file:
            for bad in ("x", None, 3.5, -1, -2 ** 70, 10 ** 6, object, file,
                        Odd("3"), Odd(None), Odd(-1), Odd([]), Odd(-5),
                        Odd(-2 ** 70)):
                trace.errors(
                    lambda: loop.add_reader(bad, print),
                    lambda: loop.add_writer(bad, print),
                    lambda: loop.remove_reader(bad),
                    lambda: loop.remove_writer(bad))
        trace[:] = [text.replace(str(-2 ** 70), "?") for text in trace]

    same(program)


def test_numbers_too_large(same):
    def program(loop, trace):
        for number in (2 ** 31, 2 ** 32 + 1, 2 ** 70):
            for bad in (number, Odd(number)):
                trace.errors(lambda: loop.add_reader(bad, print),
                             lambda: loop.add_writer(bad, print),
                             lambda: loop.remove_reader(bad),
                             lambda: loop.remove_writer(bad))

    same(program)


def test_a_file_object_that_was_closed(same):
    def program(loop, trace):
        a, b = socket.socketpair()
        loop.add_reader(a, trace.append, "never")
        a.close()
        trace.errors(lambda: loop.remove_reader(a),
                     lambda: loop.remove_reader(a),
                     lambda: loop.add_reader(a, print))
        b.close()
        turns(loop)

    same(program)


@pytest.mark.parametrize("way", ["reader", "sock_recv"])
def test_a_number_that_the_loop_itself_gets(loop, way):
    """Somebody closed a socket that the loop watches still.

    (asyncio, from 3.12 on, then waits for ever for the child.)
    """
    seen = []

    async def main():
        one, other = socket.socketpair()
        one.setblocking(False)
        if way == "reader":
            loop.add_reader(one, seen.append, "old")
        else:
            loop.call_soon(other.send, b"x")
            await loop.sock_recv(one, 9)
        other.close()
        one.close()
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")
        os.kill(os.getpid(), signal.SIGUSR1)
        child = await asyncio.create_subprocess_exec("true")
        seen.append(await child.wait())
        loop.remove_signal_handler(signal.SIGUSR1)
    loop.run_until_complete(main())
    assert seen == ["signal", 0]


def test_a_listening_socket_is_closed_by_its_owner(loop):
    """(asyncio's second server never hears of a client then.)"""
    async def main():
        first = socket.create_server(("127.0.0.1", 0))
        await loop.create_server(asyncio.Protocol, sock=first)
        number = first.fileno()
        first.close()
        second = socket.create_server(("127.0.0.1", 0))
        assert second.fileno() == number
        made = loop.create_future()

        class Noting(asyncio.Protocol):
            def connection_made(self, transport):
                made.set_result(transport)
        server = await loop.create_server(Noting, sock=second)
        client, _ = await loop.create_connection(asyncio.Protocol,
                                                 *second.getsockname())
        (await made).close()
        client.close()
        server.close()
    loop.run_until_complete(main())


def test_a_number_that_came_back(same):
    def program(loop, trace):
        a, b = socket.socketpair()
        number = a.fileno()
        loop.add_reader(number, trace.append, "old")
        c, d = socket.socketpair()
        with b, c, d:
            os.dup2(c.fileno(), a.detach())     # which closes it
            trace.append(loop.remove_reader(number))
            loop.add_reader(number, lambda: trace.append(os.read(number, 9)))
            d.send(b"x")
            turns(loop, 2)
            trace.append(loop.remove_reader(number))
            os.close(number)

    assert same(program) == [True, b"x", True]


def test_a_duplicate_keeps_nobody_awake(loop):
    a, b = socket.socketpair()
    copy = a.dup()
    loop.add_reader(a, print)
    a.close()
    b.send(b"x")
    loop._remove_reader(a)
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    copy.close()
    b.close()


def test_level_triggered(same):
    def program(loop, trace):
        a, b = socket.socketpair()
        with a, b:
            loop.add_reader(a, lambda: trace.append(a.recv(1)))
            b.send(b"abc")
            turns(loop, 3)
            loop.remove_reader(a)

    assert same(program) == [b"a", b"b", b"c"]


def test_pipes_and_hangups(same):
    def program(loop, trace):
        r, w = os.pipe()
        loop.add_reader(r, lambda: trace.append(os.read(r, 9)))
        loop.add_writer(w, lambda: (trace.append("w"), loop.remove_writer(w)))
        turns(loop, 2)
        os.write(w, b"x")
        turns(loop, 1)
        os.close(w)
        turns(loop, 1)
        loop.remove_reader(r)
        os.close(r)

    same(program)


def test_more_than_a_waitful_of_descriptors(loop):
    pairs = [socket.socketpair() for _ in range(150)]
    seen = []
    for number, (a, b) in enumerate(pairs):
        loop.add_reader(a, lambda a=a, n=number: (a.recv(1), seen.append(n)))
        b.send(b"x")
    turns(loop, 4)
    assert sorted(seen) == list(range(150))
    for a, b in pairs:
        loop.remove_reader(a)
        a.close()
        b.close()


def test_descriptors_of_transports(loop):
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname())
        fd = transport.get_extra_info("socket").fileno()
        errors = []
        for call in (lambda: loop.add_reader(fd, print),
                     lambda: loop.remove_reader(fd),
                     lambda: loop.add_writer(fd, print),
                     lambda: loop.remove_writer(fd)):
            with pytest.raises(RuntimeError) as caught:
                call()
            errors.append(str(caught.value))
        assert set(errors) == {
            f"File descriptor {fd} is used by transport {transport!r}"}
        transport.close()
        server.close()

    loop.run_until_complete(main())


# Selectors of Python's.

SELECTORS = [selectors.SelectSelector, selectors.PollSelector,
             selectors.EpollSelector]


@pytest.mark.parametrize("kind", SELECTORS)
@pytest.mark.parametrize("read", [False, True])
def test_a_selector_is_used(kind, read):
    class Selector(kind):
        calls = 0

        def select(self, timeout=None):
            Selector.calls += 1
            return super().select(timeout)

    if read:
        loop = ouro.Loop()
        loop._selector = Selector()
    else:
        loop = ouro.Loop(Selector())

    async def handle(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async def main():
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        server.close()
        assert await loop.run_in_executor(None, int, "7") == 7
        await asyncio.sleep(0.001)
        return line

    assert loop.run_until_complete(main()) == b"HELLO\n"
    assert Selector.calls > 3
    selector = loop._selector
    assert len(selector.get_map()) == 1     # what wakes the loop
    loop.close()
    assert loop._selector is None
    assert selector.get_map() is None


def test_a_selector_that_is_looked_at(loop):
    a, b = socket.socketpair()
    with a, b:
        loop.add_reader(a, print)
        selector = loop._selector
        assert selector is loop._selector
        key = selector.get_key(a)
        assert key.events == selectors.EVENT_READ
        assert key.data[0]._callback is print and key.data[1] is None
        loop.add_writer(a, len)
        key = selector.get_key(a)
        assert key.events == selectors.EVENT_READ | selectors.EVENT_WRITE
        assert key.data[1]._callback is len
        loop.add_reader(a, repr)
        assert selector.get_key(a).data[0]._callback is repr
        loop.remove_reader(a)
        assert selector.get_key(a).data[0] is None
        loop.remove_writer(a)
        assert a.fileno() not in selector.get_map()


def test_a_selector_that_fails(loop):
    class Selector(selectors.SelectSelector):
        def select(self, timeout=None):
            raise ZeroDivisionError

    loop._selector = Selector()
    with pytest.raises(ZeroDivisionError):
        loop.run_forever()
    assert not loop.is_running()


def test_more_events_than_fit(loop):
    loop._selector = selectors.PollSelector()
    test_more_than_a_waitful_of_descriptors(loop)


# Time.

def test_a_virtual_clock(loop):
    now = [1000.0]
    waits = []

    def wait(seconds):
        waits.append(seconds)
        now[0] += seconds

    loop._set_clock(lambda: now[0], wait)
    trace = []

    async def main():
        loop.call_later(5, trace.append, 5)
        loop.call_at(1003, trace.append, 3)
        await asyncio.sleep(10)
        return loop.time()

    before = ouro._ouro._fast_steps()
    assert loop.run_until_complete(main()) == 1010
    assert ouro._ouro._fast_steps() > before
    assert trace == [3, 5] and waits == [3, 2, 5]
    loop._set_clock(None)
    assert loop.time() != 1010


def test_time_is_the_monotonic_clock(loop):
    import time
    before = time.monotonic()
    now = loop.time()
    assert before <= now <= time.monotonic()
    assert loop._clock_resolution == (
        time.get_clock_info("monotonic").resolution)
