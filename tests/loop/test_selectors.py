"""A selector that the program passes in is what the loop waits by."""

import asyncio
import os
import selectors
import socket

import pytest

import ouro

KINDS = [selectors.SelectSelector, selectors.PollSelector,
         selectors.EpollSelector, selectors.DefaultSelector]


class Recording(selectors.PollSelector):
    """One that notes what it is asked to do."""

    def __init__(self):
        super().__init__()
        self.log = []

    def register(self, fileobj, events, data=None):
        self.log.append(("register", events))
        return super().register(fileobj, events, data)

    def unregister(self, fileobj):
        self.log.append(("unregister",))
        return super().unregister(fileobj)

    def modify(self, fileobj, events, data=None):
        # (ouro tells the handles, which are `data`, after the events.)
        if self.get_key(fileobj).events != events:
            self.log.append(("modify", events))
        return super().modify(fileobj, events, data)


class Collect(asyncio.Protocol):
    def __init__(self):
        self.received = bytearray()
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.received += data

    def connection_lost(self, exc):
        self.lost.set_result(exc)


class Answers(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.received = []

    def datagram_received(self, data, addr):
        self.received.append(data)
        if data.startswith(b"?"):
            self.transport.sendto(b"!" + data, addr)


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


async def back_pressure(loop):
    """More than the socket takes, both ways."""
    ours, theirs = socket.socketpair()
    blob = os.urandom(2_000_000)
    one, p = await loop.create_connection(Collect, sock=ours)
    other, q = await loop.create_connection(Collect, sock=theirs)
    one.write(blob)
    other.write(blob[::-1])
    one.write_eof()
    other.write_eof()
    await p.lost
    await q.lost
    assert q.received == blob and p.received == blob[::-1]


async def streams(loop):
    async def handle(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    for _ in range(3):
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        for i in range(10):
            writer.write(b"line %d\n" % i)
            assert await reader.readline() == b"LINE %d\n" % i
        writer.close()
        await writer.wait_closed()
    server.close()


async def datagrams(loop):
    one, p = await loop.create_datagram_endpoint(
        Answers, ("127.0.0.1", 0))
    other, q = await loop.create_datagram_endpoint(
        Answers, remote_addr=one.get_extra_info("sockname"))
    for burst in (1, 1, 1, 5, 40, 1):
        del q.received[:]
        for i in range(burst):
            other.sendto(b"?%d" % i)
        await until(lambda: len(q.received) == burst)
        assert q.received == [b"!?%d" % i for i in range(burst)]
    one.close()
    other.close()
    await asyncio.sleep(0)


async def pipes(loop):
    read_end, write_end = os.pipe()
    reader, p = await loop.connect_read_pipe(
        Collect, os.fdopen(read_end, "rb", 0))
    writer, q = await loop.connect_write_pipe(
        Collect, os.fdopen(write_end, "wb", 0))
    data = os.urandom(300_000)
    writer.write(data)
    writer.close()
    await p.lost
    assert p.received == data


async def sockets(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        blob = bytes(1_000_000)
        sending = asyncio.ensure_future(loop.sock_sendall(ours, blob))
        got = 0
        while got < len(blob):
            got += len(await loop.sock_recv(theirs, 1 << 16))
        await sending
        waiting = asyncio.ensure_future(loop.sock_recv(ours, 10))
        await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.wait([waiting])
        theirs.send(b"kept")
        assert await loop.sock_recv(ours, 10) == b"kept"


async def callbacks(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        got = []
        done = loop.create_future()

        def read():
            got.append(ours.recv(1))
            if len(got) == 5:
                loop.remove_reader(ours)
                loop.add_writer(ours, done.set_result, None)
        loop.add_reader(ours, read)
        theirs.send(b"12345678")
        await done
        loop.remove_writer(ours)
        assert b"".join(got) == b"12345"


async def wake_up(loop):
    assert await loop.run_in_executor(None, int, "7") == 7
    loop.call_later(0.001, (done := loop.create_future()).set_result, 1)
    assert await done == 1


PROGRAMS = [back_pressure, streams, datagrams, pipes, sockets, callbacks,
            wake_up]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_works_by_any_selector(kind, program):
    calls = []

    class Counting(kind):
        def select(self, timeout=None):
            calls.append(timeout)
            return super().select(timeout)
    loop = ouro.Loop(Counting())
    loop.run_until_complete(asyncio.wait_for(program(loop), 120))
    loop.run_until_complete(asyncio.sleep(0.001))
    selector = loop._selector
    assert type(selector) is Counting
    assert calls
    # All that is left is what wakes the loop.
    assert len(selector.get_map()) == 1
    loop.close()
    assert selector.get_map() is None


@pytest.mark.parametrize("program", [callbacks, datagrams, back_pressure])
def test_what_it_is_asked(program):
    """Everything is registered and, with the loop's end, unregistered."""
    logs = []
    for new_loop in (ouro.Loop, asyncio.SelectorEventLoop):
        selector = Recording()
        loop = new_loop(selector)
        del selector.log[:]
        loop.run_until_complete(asyncio.wait_for(program(loop), 120))
        logs.append(list(selector.log))
        loop.close()
    for log in logs:
        counts = {what: sum(entry[0] == what for entry in log)
                  for what in ("register", "unregister")}
        assert counts["register"] == counts["unregister"] > 0
    if program is callbacks:
        assert logs[0] == logs[1]


@pytest.mark.parametrize("timeout", [0, 5])
def test_its_timeouts(timeout):
    """None to wait for ever, 0 with work ready, else until the next timer."""
    class Told(selectors.SelectSelector):
        def select(self, wanted=None):
            asked.append(wanted)
            return super().select(0 if wanted else wanted)
    asked = []
    loop = ouro.Loop(Told())
    loop.call_soon(lambda: None)
    handle = loop.call_later(100, print)
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    assert set(asked) == {0}
    handle.cancel()
    handle = loop.call_later(100, print)
    del asked[:]

    class Stop(Exception):
        pass

    def stop(wanted=None):
        asked.append(wanted)
        raise Stop
    loop._selector.select = stop
    with pytest.raises(Stop):
        loop.run_forever()
    assert len(asked) == 1 and 90 < asked[0] <= 100
    handle.cancel()
    with pytest.raises(Stop):
        loop.run_forever()
    assert asked[1] is None
    loop.close()


class Entry:
    """A key of select() that runs `look` when its fd is asked for."""

    def __init__(self, key, look):
        self.key = key
        self.look = look

    @property
    def fd(self):
        return self.look(self.key.fd)


def loop_of_entries(look):
    class Odd(selectors.SelectSelector):
        def select(self, timeout=None):
            return [(Entry(key, look), mask)
                    for key, mask in super().select(timeout)] * 3

    return ouro.Loop(Odd())


def test_none_is_no_selector():
    async def main():
        assert loop._selector is not None
        loop._selector = None
        await asyncio.sleep(0.001)

    loop = ouro.Loop()
    with pytest.raises(AttributeError, match="'select'"):
        loop.run_until_complete(main())
    loop.close()


def test_replaced_while_its_events_are_read():
    def look(fd):
        if isinstance(loop._selector, selectors.SelectSelector):
            loop._selector = selectors.PollSelector()
        return fd

    async def main():
        got = loop.create_future()
        loop.add_reader(ours, lambda: got.done() or got.set_result(1))
        theirs.send(b"x")
        await got
        loop.remove_reader(ours)

    loop = loop_of_entries(look)
    ours, theirs = socket.socketpair()
    loop.run_until_complete(asyncio.wait_for(main(), 60))
    ours.close()
    theirs.close()
    loop.close()


def test_an_event_of_no_descriptor():
    async def main():
        loop.add_reader(ours, print)
        theirs.send(b"x")
        await asyncio.sleep(1)

    loop = loop_of_entries(lambda fd: 2**32 + fd)
    ours, theirs = socket.socketpair()
    with pytest.raises(OverflowError):
        loop.run_until_complete(main())
    loop.remove_reader(ours)
    ours.close()
    theirs.close()
    loop.close()
