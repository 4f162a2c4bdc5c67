"""Protocols without __init__(), and without what it has made."""

import pytest

import ouro


@pytest.fixture
def loop():
    ouro_loop = ouro.new_event_loop()
    yield ouro_loop
    ouro_loop.close()


class Connected:
    def __getattr__(self, name):
        return lambda *args: None


def test_serve_without_init():
    protocol = ouro.StreamReaderProtocol.__new__(ouro.StreamReaderProtocol)
    protocol._client_connected_cb = print
    with pytest.raises(AttributeError):
        protocol.connection_made(Connected())


def subprocess_protocol(loop):
    return ouro._ouro.SubprocessStreamProtocol(2**16, loop)


def refused_by_its_pipes(loop):
    class Child(Connected):
        def get_pipe_transport(self, fd):
            return self

    protocol = subprocess_protocol(loop)
    protocol._limit = None
    with pytest.raises(TypeError):
        protocol.connection_made(Child())
    return protocol


def test_pipe_without_limit(loop):
    refused_by_its_pipes(loop)


def test_a_child_that_could_not_be_connected(loop):
    """It may end before its pipes do (asyncio's transport is None then)."""
    protocol = refused_by_its_pipes(loop)
    protocol.process_exited()
    assert protocol._transport is None
    assert protocol.pipe_connection_lost(1, None) is None


def test_pipe_lost_without_future(loop):
    protocol = subprocess_protocol(loop)
    del protocol._stdin_closed
    with pytest.raises(AttributeError):
        protocol.pipe_connection_lost(0, None)


def test_fd_of_transport_that_cannot_tell(loop):
    class Odd:
        def __bool__(self):
            raise KeyError

    class Transport:
        def is_closing(self):
            return Odd()

    transport = Transport()
    loop._transports[1000] = transport
    with pytest.raises(KeyError):
        loop.remove_reader(1000)


def test_nothing_is_fed(loop):
    """Something true without a byte, before there is any memory."""
    reader = ouro.StreamReader(loop=loop)
    reader.feed_data(iter([]))
    assert reader._buffer == b""
