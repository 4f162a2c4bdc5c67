"""A program lets something go while it is in use: nothing is used after that.

(What is wrong here shows as a crash, at the latest under the sanitizers.)
"""

import asyncio
import gc

import pytest
from networlds import (
    Recorder,
    Subclass,
    connect,
    receive,
    socket_pair,
    until,
)
from tlspeer import client_context

import ouro


class Waiter:
    """A future that the transport's forgets as soon as it is asked."""

    _asyncio_future_blocking = False

    def __init__(self, loop):
        self.loop = loop

    def done(self):
        self.loop.transport._reset_empty_waiter()
        return False

    def set_result(self, result):
        self.loop.told.append(result)

    def set_exception(self, exception):
        self.loop.told.append(str(exception))


class OddLoop(Subclass):
    odd = False

    def create_future(self):
        return Waiter(self) if self.odd else super().create_future()


@pytest.mark.parametrize("end", ["sent", "aborted"])
def test_who_waits_for_all_to_be_sent(end):
    loop = OddLoop()
    loop.told = []
    ours, theirs = socket_pair("tcp")

    async def main():
        protocol = Recorder([])
        loop.transport = transport = await connect(loop, ours, protocol)
        transport.write(bytes(10_000_000))
        loop.odd = True
        transport._make_empty_waiter()
        loop.odd = False
        if end == "aborted":
            transport.abort()
            await protocol.lost
        else:
            await receive(loop, theirs, 10_000_000)
            await until(lambda: loop.told)
        transport.abort()

    loop.run_until_complete(main())
    loop.close()
    theirs.close()
    assert loop.told == [None if end == "sent"
                         else "Connection is closed by peer"]


def tls_transport(protocol):
    """Of an SSLProtocol that it alone refers to."""
    tls = ouro._ouro.SSLProtocol(ouro.new_event_loop(), protocol,
                                 client_context(), None,
                                 server_hostname="localhost")
    return tls._get_app_transport()


def close_twice(transport):
    transport.close()
    transport.close()
    gc.collect()


def test_tls_closed_by_pause_writing():
    class Protocol(asyncio.Protocol):
        def pause_writing(self):
            close_twice(transport)
            raise ZeroDivisionError

    transport = tls_transport(Protocol())
    told = []
    transport._loop.set_exception_handler(
        lambda loop, context: told.append(context["message"]))
    transport.set_write_buffer_limits(0)
    assert told == ["protocol.pause_writing() failed"]
    transport._loop.close()


def test_tls_closed_by_the_next_protocol():
    class Protocol:
        def __getattr__(self, name):
            close_twice(transport)
            raise AttributeError(name)

    transport = tls_transport(asyncio.Protocol())
    transport.set_protocol(Protocol())
    assert transport._ssl_protocol is None
    transport._loop.close()


def test_tls_closed_by_a_limit():
    class Limit(int):
        def __ge__(self, other):
            close_twice(transport)
            return True

    transport = tls_transport(asyncio.Protocol())
    transport.set_read_buffer_limits(Limit(7))
    assert transport._ssl_protocol is None
    transport._loop.close()
