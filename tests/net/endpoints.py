"""Datagram endpoints and their protocols, for tests."""

import asyncio
import socket

LOCALHOST = "127.0.0.1"


class Recorder(asyncio.DatagramProtocol):
    """A protocol that logs what it is told; answers: {event: what to do}."""

    def __init__(self, log, name="p", **answers):
        self.log = log
        self.name = name
        self.answers = answers
        self.count = 0
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()

    def _note(self, what, *details):
        self.log.append((self.name, what, *details))
        answer = self.answers.get(what)
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer(self, *details)

    def connection_made(self, transport):
        self.transport = transport
        self._note("made")

    def datagram_received(self, data, addr):
        self.count += 1
        self._note("data", data, addr)

    def error_received(self, exc):
        self._note("error", type(exc).__name__)

    def connection_lost(self, exc):
        self._note("lost", type(exc).__name__)
        self.lost.set_result(exc)

    def pause_writing(self):
        self._note("pause")

    def resume_writing(self):
        self._note("resume")


class Quiet(Recorder):
    """One that logs the data alone: ports differ from run to run."""

    def datagram_received(self, data, addr):
        self.count += 1
        self._note("data", data)


async def endpoint(loop, log, name="p", kind=Quiet, answers=None, **options):
    options.setdefault("local_addr", (LOCALHOST, 0))
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: kind(log, name, **(answers or {})), **options)
    return transport, protocol


def plain(address=None):
    """A socket that is no endpoint."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOCALHOST, 0))
    if address is not None:
        sock.connect(address)
    sock.settimeout(10)
    return sock


def name_of(transport):
    return transport.get_extra_info("sockname")
