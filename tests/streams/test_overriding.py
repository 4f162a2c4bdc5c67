"""Who overrides or patches something is obeyed, on every loop."""

import asyncio
import socket
from unittest import mock

import pytest

import ouro

LOOPS = [ouro.Loop, asyncio.SelectorEventLoop]


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.__module__)
def loop(request):
    loop = request.param()
    yield loop
    loop.close()


async def connect(loop, reader, protocol):
    """What open_connection() does, and the other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport, _ = await loop.create_connection(
            lambda: protocol, *listener.getsockname())
        peer, _ = listener.accept()
    return ouro.StreamWriter(transport, protocol, reader, loop), peer


def exchange(loop, reader, protocol=None, send=b"line\n"):
    """Read a line, write one, end: what the reader read."""
    async def main():
        nonlocal protocol
        if protocol is None:
            protocol = ouro.StreamReaderProtocol(reader, loop=loop)
        writer, peer = await connect(loop, reader, protocol)
        with peer:
            task = asyncio.ensure_future(reader.readline())
            await asyncio.sleep(0.01)
            peer.sendall(send)
            lines = [await task]
            writer.write(b"answer\n")
            await writer.drain()
            await asyncio.sleep(0)      # (what is written leaves in turns)
            assert peer.recv(100) == b"answer\n"
            peer.shutdown(socket.SHUT_WR)
            lines.append(await reader.read())
        writer.close()
        await writer.wait_closed()
        return lines

    return loop.run_until_complete(asyncio.wait_for(main(), 120))


def test_a_reader_class_with_methods_of_its_own(loop):
    calls = []

    class Reader(ouro.StreamReader):
        def feed_data(self, data):
            calls.append(("feed_data", bytes(data)))
            super().feed_data(data.upper())

        def feed_eof(self):
            calls.append("feed_eof")
            super().feed_eof()

        async def readuntil(self, separator=b"\n"):
            calls.append(("readuntil", separator))
            return await super().readuntil(separator)

    assert exchange(loop, Reader(loop=loop)) == [b"LINE\n", b""]
    assert calls[:2] == [("readuntil", b"\n"), ("feed_data", b"line\n")]
    assert calls.count("feed_eof") >= 1


def test_a_protocol_class_with_methods_of_its_own(loop):
    calls = []

    class Protocol(ouro.StreamReaderProtocol):
        def connection_made(self, transport):
            calls.append("made")
            super().connection_made(transport)

        def data_received(self, data):
            calls.append(data)
            super().data_received(data + b"!")

        def eof_received(self):
            calls.append("eof")
            return super().eof_received()

        def connection_lost(self, exc):
            calls.append(exc)
            super().connection_lost(exc)

        async def _drain_helper(self):
            calls.append("drain")
            await super()._drain_helper()

    reader = ouro.StreamReader(loop=loop)
    assert exchange(loop, reader, Protocol(reader, loop=loop)) == [
        b"line\n", b"!"]
    assert calls == ["made", b"line\n", "drain", "eof", None]


@pytest.mark.parametrize("owner", ["class", "instance"])
@pytest.mark.parametrize("name", ["feed_data", "_wakeup_waiter"])
def test_patched_readers(loop, owner, name):
    reader = ouro.StreamReader(loop=loop)
    original = getattr(ouro.StreamReader, name)
    calls = []

    def patched(*args):
        calls.append(args)
        return original(reader, *args[owner == "class":])

    target = reader if owner == "instance" else ouro.StreamReader
    with mock.patch.object(target, name, patched):
        assert exchange(loop, reader) == [b"line\n", b""]
    assert calls
    del calls[:]
    reader = ouro.StreamReader(loop=loop)
    assert exchange(loop, reader) == [b"line\n", b""]
    assert not calls


@pytest.mark.parametrize("owner", ["class", "instance"])
@pytest.mark.parametrize("name", ["data_received", "eof_received",
                                  "connection_lost"])
def test_patched_protocols(loop, owner, name):
    reader = ouro.StreamReader(loop=loop)
    protocol = ouro.StreamReaderProtocol(reader, loop=loop)
    original = getattr(ouro.StreamReaderProtocol, name)
    calls = []

    def patched(*args):
        calls.append(args)
        return original(protocol, *args[owner == "class":])

    target = protocol if owner == "instance" else ouro.StreamReaderProtocol
    with mock.patch.object(target, name, patched):
        assert exchange(loop, reader, protocol) == [b"line\n", b""]
    assert calls


def test_patched_while_somebody_waits(loop):
    reader = ouro.StreamReader(loop=loop)
    fed = []

    async def main():
        protocol = ouro.StreamReaderProtocol(reader, loop=loop)
        writer, peer = await connect(loop, reader, protocol)
        with peer:
            task = asyncio.ensure_future(reader.readexactly(4))
            await asyncio.sleep(0.01)
            peer.sendall(b"a")
            await asyncio.sleep(0.01)
            original = reader.feed_data
            reader.feed_data = lambda data: (fed.append(data),
                                             original(data))
            peer.sendall(b"bc")
            await asyncio.sleep(0.01)
            del reader.feed_data
            peer.sendall(b"d")
            assert await task == b"abcd"
        writer.close()

    loop.run_until_complete(main())
    assert fed == [b"bc"]


def test_readers_of_other_kinds(loop):
    """Anything that can be weakly referenced may be fed."""
    class Reader:
        _source_traceback = None

        def __init__(self):
            self.calls = []

        def __getattr__(self, name):
            return lambda *args: self.calls.append((name, *args))

    async def main():
        reader = Reader()
        protocol = ouro.StreamReaderProtocol(reader, loop=loop)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            transport, _ = await loop.create_connection(
                lambda: protocol, *listener.getsockname())
            peer, _ = listener.accept()
        with peer:
            peer.sendall(b"data")
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        transport.close()
        await protocol._get_close_waiter(None)
        return reader.calls, transport

    calls, transport = loop.run_until_complete(main())
    assert calls == [("set_transport", transport), ("feed_data", b"data"),
                     ("feed_eof",), ("feed_eof",)]


def test_writers_over_any_transport(loop):
    transport = mock.Mock()
    transport.is_closing.return_value = False
    protocol = ouro.StreamReaderProtocol(None, loop=loop)
    writer = ouro.StreamWriter(transport, protocol, None, loop)
    writer.write(b"data")
    writer.writelines([b"a", b"b"])
    loop.run_until_complete(writer.drain())
    protocol.pause_writing()
    task = loop.create_task(writer.drain())
    loop.run_until_complete(asyncio.sleep(0))
    assert not task.done() and len(protocol._drain_waiters) == 1
    protocol.resume_writing()
    loop.run_until_complete(task)
    assert len(protocol._drain_waiters) == 0
    assert writer.can_write_eof() is transport.can_write_eof()
    assert writer.get_extra_info("x") is transport.get_extra_info()
    assert transport.get_extra_info.call_args_list[0] == mock.call("x", None)
    transport.write.assert_called_once_with(b"data")
    transport.writelines.assert_called_once_with([b"a", b"b"])
    transport.is_closing.return_value = True
    protocol.connection_lost(None)
    with pytest.raises(ConnectionResetError, match="Connection lost"):
        loop.run_until_complete(writer.drain())
