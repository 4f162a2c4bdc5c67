"""The same scenario in several worlds: what happens must be the same.

A scenario is a coroutine function that gets a loop and a list, `log`, and
appends to it what a program can see.  It is run on asyncio's own loop, and
on ouro's in the ways in which that can run: fast; in debug mode; and as a
subclass that overrides something, so that every step goes by methods.
"""

import asyncio
import contextlib
import gc
import logging
import socket
import warnings

import pytest

import ouro

StockLoop = asyncio.SelectorEventLoop
assert StockLoop.__module__.startswith("asyncio.")


class Subclass(ouro.Loop):
    def call_soon(self, callback, *args, context=None):
        return super().call_soon(callback, *args, context=context)


def _debug():
    loop = ouro.Loop()
    loop.set_debug(True)
    return loop


def _stock_debug():
    loop = StockLoop()
    loop.set_debug(True)
    return loop


WORLDS = {"fast": ouro.Loop, "debug": _debug, "subclass": Subclass}


class Records(logging.Handler):
    """What is logged at WARNING and above, as text."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage().partition("\n")[0])


def forget_watcher():
    """asyncio's loops leave a child watcher behind, up to 3.13."""
    if hasattr(asyncio, "get_child_watcher"):
        asyncio.get_event_loop_policy()._watcher = None


def run(new_loop, scenario, *args):
    """The log of one run; the messages for the exception handler, the log
    records and the warnings are in it."""
    log = []
    forget_watcher()
    loop = new_loop()
    records = Records()
    logger = logging.getLogger("asyncio")
    level = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(records)
    loop.set_exception_handler(lambda _, context: log.append(
        ("handler", context["message"].partition("(")[0],
         repr(context.get("exception")),
         sorted(context.keys() - {"source_traceback"}))))
    asyncio.set_event_loop(loop)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        try:
            loop.run_until_complete(
                asyncio.wait_for(scenario(loop, log, *args), 120))
            for _ in range(4):
                loop.run_until_complete(asyncio.sleep(0))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            logger.removeHandler(records)
            logger.setLevel(level)
        gc.collect()
    log += [("logged", text) for text in records.messages
            if not text.startswith("Executing <")]
    log += [("warned", str(each.message).partition(" ")[0])
            for each in caught]
    return log


def same(scenario, *args):
    """Assert that all worlds agree; return what they agree on."""
    expected = run(StockLoop, scenario, *args)
    in_debug = run(_stock_debug, scenario, *args)
    for name, new_loop in WORLDS.items():
        got = run(new_loop, scenario, *args)
        wanted = in_debug if name == "debug" else expected
        assert got == wanted, f"{name}: {got} != {wanted}"
    return expected


def in_all_worlds(scenario):
    """Decorator: a test of a scenario that is compared in all worlds."""
    def test():
        same(scenario)
    test.__name__ = test.__qualname__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    return test


each_family = pytest.mark.parametrize("family", ["tcp", "unix"])


def socket_pair(family):
    """Two connected stream sockets that do not block."""
    if family == "unix":
        pair = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            pair = client, listener.accept()[0]
    for sock in pair:
        sock.setblocking(False)
    return pair


class Recorder(asyncio.Protocol):
    """A protocol that logs what it is told."""

    def __init__(self, log, name="p", **answers):
        self.log = log
        self.name = name
        self.answers = answers
        self.lost = asyncio.get_running_loop().create_future()
        self.received = bytearray()
        self.transport = None

    def _note(self, what, *details):
        self.log.append((self.name, what, *details))
        answer = self.answers.get(what)
        if isinstance(answer, BaseException):
            raise answer
        return answer(self) if callable(answer) else answer

    def connection_made(self, transport):
        self.transport = transport
        self._note("made")

    def data_received(self, data):
        self.received += data
        self._note("data", type(data).__name__)

    def eof_received(self):
        return self._note("eof")

    def connection_lost(self, exc):
        if not self.lost.done():
            self.lost.set_result(exc)
        self._note("lost", type(exc).__name__)

    def pause_writing(self):
        self._note("pause")

    def resume_writing(self):
        self._note("resume")


async def connect(loop, sock, protocol):
    """A transport over a connected socket, with that protocol."""
    transport, _ = await loop.create_connection(lambda: protocol, sock=sock)
    return transport


async def receive(loop, sock, size):
    """Exactly size bytes from a socket (fewer at its end)."""
    data = bytearray()
    while len(data) < size:
        got = await receive_some(loop, sock)
        if not got:
            break
        data += got
    return bytes(data)


async def receive_some(loop, sock):
    """sock.recv() by polling: no help from the loop that is tested."""
    while True:
        with contextlib.suppress(BlockingIOError):
            return sock.recv(1 << 16)
        await asyncio.sleep(0.001)


async def until(condition):
    """Wait until condition() is true."""
    while not condition():
        await asyncio.sleep(0.001)
