"""The interface is asyncio's: signatures, refusals, attributes."""

import asyncio
import inspect
import sys
from unittest import mock

import pytest

import ouro

CLASSES = ["StreamReader", "StreamWriter", "StreamReaderProtocol"]
FUNCTIONS = ["open_connection", "start_server", "open_unix_connection",
             "start_unix_server"]


def members(name):
    """What asyncio's class defines itself."""
    return [member for member in vars(getattr(asyncio, name))
            if member not in ("__module__", "__dict__", "__weakref__",
                              "__doc__", "__firstlineno__",
                              "__static_attributes__")]


METHODS = [(name, member) for name in CLASSES for member in members(name)
           if inspect.isfunction(getattr(getattr(asyncio, name), member))]


def parameters(function):
    return [(parameter.name, parameter.default, parameter.kind)
            for parameter in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", FUNCTIONS + CLASSES)
def test_signatures(name):
    assert (parameters(getattr(ouro, name))
            == parameters(getattr(asyncio, name)))


@pytest.mark.parametrize("name, method", METHODS)
def test_methods(name, method):
    stock = getattr(getattr(asyncio, name), method)
    ours = getattr(getattr(ouro, name), method)
    assert (asyncio.iscoroutinefunction(ours)
            == asyncio.iscoroutinefunction(stock))
    if not method.startswith("__"):
        assert ([parameter[:2] for parameter in parameters(ours)]
                == [parameter[:2] for parameter in parameters(stock)])


@pytest.mark.parametrize("name", CLASSES)
def test_no_member_is_missing_or_of_another_version(name):
    ours = getattr(ouro, name)
    assert [member for member in members(name)
            if not hasattr(ours, member)] == []
    for member in "_replace_writer", "_replace_transport":
        assert hasattr(ours, member) == hasattr(getattr(asyncio, name),
                                                member)


def attempt(function):
    try:
        return function()
    except Exception as error:
        return type(error).__name__, str(error)


def awaited(loop, function):
    async def main():
        return await function()
    return attempt(lambda: loop.run_until_complete(main()))


@pytest.fixture
def loop():
    loop = ouro.Loop()
    yield loop
    loop.close()


WRONG_CALLS = [
    lambda it: it.StreamReader(0),
    lambda it: it.StreamReader(None),
    lambda it: it.StreamReader("x"),
    lambda it: it.StreamReader(1, 2, 3),
    lambda it: it.StreamReader(limit=1, size=2),
    lambda it: it.StreamWriter(mock.Mock(), 2, 3, 4),
    lambda it: it.StreamWriter(mock.Mock(), 2, None, None),
    lambda it: it.StreamReaderProtocol(),
    lambda it: it.StreamReaderProtocol(5),
    lambda it: it.open_connection(1, 2, 3),
    lambda it: it.start_server(),
    lambda it: it.start_unix_server(),
    lambda it: it.open_unix_connection(1, 2),
    lambda it: it.reader.feed_data(),
    lambda it: it.reader.feed_data(5),
    lambda it: it.reader.feed_data("text"),
    lambda it: it.reader.feed_data([1, 2, 999]),
    lambda it: it.reader.feed_data(it.reader, data=1),
    lambda it: it.reader.feed_eof(1),
    lambda it: it.reader.set_exception(),
    lambda it: (it.reader.set_transport(1), it.reader.set_transport(2)),
    lambda it: it.reader.read(1, 2),
    lambda it: it.reader.readexactly(),
    lambda it: it.reader.readline(1),
    lambda it: it.reader.readuntil(sep=b"x"),
    lambda it: it.protocol.data_received(),
    lambda it: it.protocol.connection_made(),
    lambda it: it.protocol.resume_writing(),
    lambda it: (it.protocol.pause_writing(), it.protocol.pause_writing()),
    lambda it: it.protocol.eof_received(1),
]

WRONG_READS = [
    lambda it: it.reader.read("x"),
    lambda it: it.reader.read(None),
    lambda it: it.reader.read(1.5),
    lambda it: it.reader.readexactly("x"),
    lambda it: it.reader.readexactly(None),
    lambda it: it.reader.readexactly(-1),
    lambda it: it.reader.readexactly(1.5),
    lambda it: it.reader.readuntil(b""),
    lambda it: it.reader.readuntil("x"),
    lambda it: it.reader.readuntil(5),
    lambda it: it.reader.readuntil(None),
    lambda it: it.reader.readuntil(()),
    lambda it: it.reader.readuntil((b"a", "b")),
    lambda it: it.reader.readuntil((b"a", 5)),
]


class Kit:
    """A module's streams, and one of each."""

    def __init__(self, module, loop):
        self.module = module
        self.reader = module.StreamReader(loop=loop)
        self.reader.feed_data(b"data")
        self.protocol = module.StreamReaderProtocol(self.reader, loop=loop)

    def __getattr__(self, name):
        return getattr(self.module, name)


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_wrong_calls(loop, call):
    stock, ours = (attempt(lambda: call(Kit(module, loop)))
                   for module in (asyncio, ouro))
    assert ours == stock
    assert isinstance(stock, tuple), "that was a right call"


@pytest.mark.parametrize("read", WRONG_READS)
def test_wrong_reads(loop, read):
    kits = [Kit(module, loop) for module in (asyncio, ouro)]
    stock, ours = (awaited(loop, lambda: read(kit)) for kit in kits)
    assert ours == stock
    assert isinstance(stock, tuple), "that was a right call"
    assert bytes(kits[1].reader._buffer) == bytes(kits[0].reader._buffer)


@pytest.mark.parametrize("limit", [1, 10, 2 ** 70, 1.5, float("inf"), True])
def test_limits(loop, limit):
    for module in asyncio, ouro:
        reader = module.StreamReader(limit, loop=loop)
        assert reader._limit is limit or reader._limit == limit
    assert repr(reader) == repr(asyncio.StreamReader(limit, loop=loop))
    reader._limit = 5
    reader.feed_data(b"1234567")
    assert awaited(loop, reader.readline) == (
        "ValueError", "Separator is not found, and chunk exceed the limit")


def test_line_errors_have_the_context_of_the_limit(loop):
    contexts = []
    for module in asyncio, ouro:
        reader = module.StreamReader(5, loop=loop)
        reader.feed_data(b"123456789\n")
        try:
            loop.run_until_complete(reader.readline())
        except ValueError as error:
            context = error.__context__
            contexts.append((type(context), context.args, context.consumed,
                             context.__context__))
    assert contexts[0] == contexts[1]


def test_new_objects_look_the_same(loop):
    def look(module):
        reader = module.StreamReader(loop=loop)
        protocol = module.StreamReaderProtocol(reader, loop=loop)
        server = module.StreamReaderProtocol(reader, print, loop)
        transport = mock.Mock()
        transport.__repr__ = lambda self: "<transport>"
        writer = module.StreamWriter(transport, protocol, reader, loop)
        seen = [repr(reader), repr(writer)]
        for it in reader, protocol, server, writer:
            names = [name for name in dir(asyncio.StreamReader())
                     if name.startswith("_") and not name.startswith("__")]
            for name in sorted({*names, *NAMES}):
                value = getattr(it, name, "no such attribute")
                seen.append((name, value if isinstance(
                    value, (type(None), bool, int, str))
                    else type(value).__name__.replace("method", "")))
        return seen

    NAMES = ["_buffer", "_waiter", "_transport", "_limit", "_eof",
             "_exception", "_paused", "_loop", "_source_traceback",
             "_stream_reader_wr", "_stream_reader", "_strong_reader",
             "_stream_writer", "_task", "_client_connected_cb", "_over_ssl",
             "_reject_connection", "_connection_lost", "_closed",
             "_drain_waiters", "_protocol", "_reader", "_complete_fut"]
    asyncio.set_event_loop(loop)
    try:
        skip = {"builtin_function_or_", "", "function"}
        stock, ours = ([entry for entry in look(module)
                        if entry[1] not in skip]
                       for module in (asyncio, ouro))
        assert ours == stock
    finally:
        asyncio.set_event_loop(None)


def test_autospec_knows_coroutines():
    spec = mock.create_autospec(ouro.StreamWriter)
    assert isinstance(spec.drain, mock.AsyncMock)
    assert not isinstance(spec.write, mock.AsyncMock)


def test_a_rejected_connection_is_reported(loop):
    contexts = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    for module in asyncio, ouro:
        protocol = module.StreamReaderProtocol(None, loop=loop)
        protocol._reject_connection = True
        transport = mock.Mock()
        protocol.connection_made(transport)
        transport.abort.assert_called_once_with()
    assert contexts[0] == contexts[1]


def test_debug_mode_notes_where_a_reader_was_made(loop):
    loop.set_debug(True)
    reader = ouro.StreamReader(loop=loop)
    assert reader._source_traceback[-1].name == sys._getframe().f_code.co_name
    protocol = ouro.StreamReaderProtocol(reader, loop=loop)
    assert protocol._source_traceback is reader._source_traceback
