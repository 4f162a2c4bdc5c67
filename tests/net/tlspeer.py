"""Contexts for TLS, and a peer that needs nothing of the loop under test.

localhost.pem is a key made for these tests alone, with its certificate.
"""

import asyncio
import contextlib
import pathlib
import ssl

from networlds import receive_some

PEM = pathlib.Path(__file__).with_name("localhost.pem")


def server_context():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(PEM)
    return context


def client_context(trusting=True):
    return ssl.create_default_context(cafile=PEM if trusting else None)


class Peer:
    """The other side of a TLS connection, over a socket that does not block.
    """

    def __init__(self, loop, sock, server_side=True):
        self.loop = loop
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        context = server_context() if server_side else client_context()
        self.ssl = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side,
            server_hostname=None if server_side else "localhost")

    async def flush(self):
        data = memoryview(self.outgoing.read())
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[self.sock.send(data):]
            await asyncio.sleep(0)

    async def _run(self, call, *args):
        while True:
            try:
                return call(*args)
            except ssl.SSLWantReadError:
                await self.flush()
                got = await receive_some(self.loop, self.sock)
                if got:
                    self.incoming.write(got)
                else:
                    self.incoming.write_eof()
            finally:
                await self.flush()

    async def handshake(self):
        await self._run(self.ssl.do_handshake)

    async def send(self, data):
        await self._run(self.ssl.write, data)

    async def receive(self, size):
        data = bytearray()
        while len(data) < size:
            got = await self._run(self.ssl.read, size - len(data))
            if not got:
                break
            data += got
        return bytes(data)

    async def notify(self):
        """Send close_notify, without waiting for the answer."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.ssl.unwrap()
        await self.flush()

    async def close(self):
        """The whole of the closing handshake."""
        await self._run(self.ssl.unwrap)
        self.sock.close()
