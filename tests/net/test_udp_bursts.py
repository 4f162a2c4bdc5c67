"""Many datagrams at once, and more than a socket takes."""

import asyncio
import random
import re
import socket
import sys

import pytest
from endpoints import (
    LOCALHOST,
    Quiet,
    endpoint,
    name_of,
    plain,
)
from networlds import WORLDS, in_all_worlds, run, same, until

# ---- several at once ------------------------------------------------------

BURST = 100


def burst(answers=None):
    """A scenario: a burst, and what is scheduled for each datagram."""
    async def scenario(loop, log):
        transport, protocol = await endpoint(loop, log, answers=answers)
        with plain(name_of(transport)) as theirs:
            for _ in range(3):
                before = protocol.count
                for i in range(BURST):
                    theirs.send(b"%d" % i)
                    if i % 50 == 49:
                        await asyncio.sleep(0)
                await until(lambda: protocol.count >= before + BURST
                            or transport.is_closing()
                            or not transport.is_reading())
                if not transport.is_reading():
                    break
            await asyncio.sleep(0.02)
            if not transport.is_reading() and not transport.is_closing():
                log.append("paused")
                transport.resume_reading()
                await until(lambda: protocol.count >= BURST)
        transport.close()
        await protocol.lost
    return scenario


def test_burst():
    log = same(burst())
    assert [data for _, what, *data in log[1:-1] if what == "data"] == (
        [[b"%d" % i] for i in range(BURST)] * 3)


def test_burst_and_call_soon():
    """What a datagram schedules comes before the next datagram."""
    same(burst({"data": lambda self, data: asyncio.get_running_loop()
                .call_soon(self.log.append, data)}))


def test_burst_and_tasks():
    async def noted(self, data):
        self.log.append(data)
        await asyncio.sleep(0)
        self.log.append((data, self.count))
    tasks = set()

    def start(self, data):
        task = asyncio.ensure_future(noted(self, data))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    same(burst({"data": start}))


def on_number(number, action):
    """Do something when the datagram with that number comes first."""
    def answer(self, data):
        if int(data) == number and self.count == number + 1:
            action(self)
    return {"data": answer}


def throw(exception):
    raise exception


@pytest.mark.parametrize("number", [0, 3, 12, 20, 41])
@pytest.mark.parametrize("what", ["pause", "close", "abort", "raise", "both"])
def test_in_the_middle_of_a_burst(number, what):
    actions = {
        "pause": lambda self: self.transport.pause_reading(),
        "close": lambda self: self.transport.close(),
        "abort": lambda self: self.transport.abort(),
        "raise": lambda self: throw(ZeroDivisionError()),
        "both": lambda self: (self.transport.pause_reading(),
                              self.transport.resume_reading()),
    }
    same(burst(on_number(number, actions[what])))


@pytest.mark.parametrize("number", [2, 15, 30])
@pytest.mark.parametrize("world", ["stock", *WORLDS])
def test_stop_and_interrupt_lose_nothing(number, world):
    """What is left of a burst comes when the loop runs again."""
    new_loop = WORLDS.get(world, asyncio.SelectorEventLoop)
    loop = new_loop()
    received = []
    transports = []

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            transports.append(transport)

        def datagram_received(self, data, addr):
            received.append(int(data))
            if len(received) == number:
                loop.stop()
            if len(received) == number + 3:
                raise KeyboardInterrupt
    loop.run_until_complete(loop.create_datagram_endpoint(
        Protocol, (LOCALHOST, 0)))
    with plain(name_of(transports[0])) as theirs:
        for i in range(50):
            theirs.send(b"%d" % i)
    loop.run_forever()
    assert received == list(range(number))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert received == list(range(number + 3))
    loop.run_until_complete(asyncio.wait_for(
        _until_length(received, 50), 10))
    assert received == list(range(50))
    transports[0].close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def _until_length(what, length):
    await until(lambda: len(what) >= length)


@in_all_worlds
async def test_set_protocol_in_a_burst(loop, log):
    transport, protocol = await endpoint(loop, log)
    second = Quiet(log, "q")

    def change(data, addr):
        log.append(data)
        if data == b"30":
            transport.set_protocol(second)
    protocol.datagram_received = change
    with plain(name_of(transport)) as theirs:
        for i in range(60):
            theirs.send(b"%d" % i)
        await until(lambda: second.count == 29)
    log.append(transport.get_protocol() is second)
    transport.close()
    await second.lost


def test_answers_to_a_burst():
    """They are sent together, in order, whatever they are."""
    async def scenario(loop, log):
        def answer(self, data):
            number = int(data)
            at = theirs.getsockname()
            self.transport.sendto(b"a" + data, at)
            if number % 10 == 3:
                self.transport.sendto(bytearray(b"b" + data),
                                      ("localhost", at[1]))
            if number % 10 == 5:
                self.transport.sendto(bytes(70_000), at)
            if number % 10 == 7:
                log.append(self.transport.get_write_buffer_size())
            if number == 77:
                self.transport.close()
        transport, protocol = await endpoint(loop, log,
                                             answers={"data": answer})
        with plain(name_of(transport)) as theirs:
            for i in range(BURST):
                theirs.send(b"%d" % i)
            await protocol.lost
            log.append([theirs.recv(100) for _ in range(78 + 8)])
        # Where errors are told of is not compared.
        errors = [each for each in log if isinstance(each, tuple)
                  and each[1:2] == ("error",)]
        log[:] = [each for each in log if each not in errors]
        log.append(len(errors))

    expected = run(asyncio.SelectorEventLoop, scenario)
    for new_loop in WORLDS.values():
        assert run(new_loop, scenario) == expected


# ---- when the socket is full ----------------------------------------------


def unix_pair(size=2000):
    """Datagram sockets of a pair: ours has a peer, and fills soon."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (ours, theirs):
        sock.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    return ours, theirs


def full_endpoint(tmp_path):
    """Options for an endpoint whose peer has to be read to go on, and the
    peer."""
    path = str(tmp_path / f"peer{random.getrandbits(40)}")
    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.bind(path)
    theirs.setblocking(False)
    return {"local_addr": None, "remote_addr": path,
            "family": socket.AF_UNIX}, theirs


def drain(sock):
    got = []
    try:
        while True:
            got.append(sock.recv(1 << 18))
    except BlockingIOError:
        return got


async def read_all(sock, until_count, got):
    while len(got) < until_count:
        got += drain(sock)
        await asyncio.sleep(0.001)


# Some releases of 3.13 do not take the header off again.
EXACT_SIZE = (
    sys.version_info < (3, 13)
    or hasattr(asyncio.selector_events._SelectorDatagramTransport,
               "_header_size")
)


@pytest.mark.parametrize("end", ["close", "abort", "drain"])
def test_full(tmp_path, end):
    async def scenario(loop, log):
        options, theirs = full_endpoint(tmp_path)
        transport, protocol = await endpoint(loop, log, **options)
        transport.set_write_buffer_limits(high=3000, low=1000)
        log.append(transport.get_write_buffer_limits())
        got = []
        with theirs:
            sent = 0
            while protocol.log[-1] != ("p", "pause"):
                transport.sendto(b"%03d" % sent + bytes(97))
                sent += 1
                assert sent < 10_000
            size = transport.get_write_buffer_size()
            log.append(size)
            log.append(re.sub(r"fd=\d+", "", repr(transport)))
            if end == "abort":
                transport.abort()
                await protocol.lost
                return
            if end == "close":
                transport.close()
                log.append(transport.is_closing())
            await read_all(theirs, sent, got)
            if end == "drain":
                transport.sendto(b"more")
                await read_all(theirs, sent + 1, got)
                if EXACT_SIZE:
                    log.append(transport.get_write_buffer_size())
                transport.close()
            await protocol.lost
            log.append((len(got), sorted(got) == got or got[-1]))
    same(scenario)


@in_all_worlds
async def test_full_pair(loop, log):
    """The mutable is copied when it has to wait."""
    ours, theirs = unix_pair()
    fill = 0
    try:
        while True:
            ours.send(b"fill")
            fill += 1
    except BlockingIOError:
        pass
    ours.setblocking(False)
    # (A pair's peer has no name: asyncio cannot send to it.)
    transport, protocol = await endpoint(loop, log, local_addr=None,
                                         sock=ours)
    transport._extra["peername"] = "somebody"
    transport.close()
    await protocol.lost
    theirs.close()


def test_keeps_copies(tmp_path):
    async def scenario(loop, log):
        options, theirs = full_endpoint(tmp_path)
        transport, protocol = await endpoint(loop, log, **options)
        with theirs:
            sent = 0
            while transport.get_write_buffer_size() == 0:
                transport.sendto(b"x" * 100)
                sent += 1
            data = bytearray(b"before")
            transport.sendto(data)
            transport.sendto(memoryview(data))
            data[:] = b"after"
            data.extend(b"wards")
            transport.sendto(data)
            got = []
            await read_all(theirs, sent + 3, got)
            log.append(got[-3:])
            transport.close()
            await protocol.lost
    same(scenario)


def test_peer_goes_while_full(tmp_path):
    async def scenario(loop, log):
        options, theirs = full_endpoint(tmp_path)
        transport, protocol = await endpoint(loop, log, **options)
        while transport.get_write_buffer_size() == 0:
            transport.sendto(b"x" * 100)
        transport.sendto(b"second")
        theirs.close()
        await until(lambda: transport.get_write_buffer_size() < 20)
        transport.close()
        await protocol.lost
        del log[log.index(("p", "error", "ConnectionRefusedError")) + 1:-1]
    same(scenario)
