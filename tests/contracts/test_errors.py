"""Exceptions in what a loop runs: nothing else is lost, two kinds leave the
loop at once, all others are told the exception handler as asyncio does."""

import contextvars
import gc
import os
import socket

import pytest
from worlds import lived, same

ERRORS = [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit,
          BaseException, StopIteration, MemoryError]


def raising(error):
    def fail(*args):
        raise error("x")
    return fail


def by_call_soon(w, fail):
    w.loop.call_soon(fail)


def by_timer(w, fail):
    w.loop.call_later(0, fail)


def by_thread_safe(w, fail):
    w.loop.call_soon_threadsafe(fail, 1, "two")


def by_future(w, fail):
    future = w.loop.create_future()
    future.add_done_callback(fail)
    future.add_done_callback(lambda _: w.note("second callback"))
    future.set_result(None)


def by_task_callback(w, fail):
    async def main():
        pass
    w.kept = w.loop.create_task(main())
    w.kept.add_done_callback(fail)
    w.kept.add_done_callback(lambda _: w.note("second callback"))


def by_task(w, fail):
    async def main():
        fail()
    w.kept = w.loop.create_task(main(), name="t")
    w.kept.add_done_callback(lambda task: w.note(
        "done", task.cancelled() or repr(task.exception())))


def by_task_later(w, fail):
    async def main():
        await w.k.sleep(0)
        fail()
    w.kept = w.loop.create_task(main(), name="t")
    w.kept.add_done_callback(lambda task: w.note(
        "done", task.cancelled() or repr(task.exception())))


def by_task_nobody_asks(w, fail):
    async def main():
        fail()
    w.loop.create_task(main(), name="t")


def by_reader(w, fail):
    one, other = w.sockets = socket.socketpair()

    def read():
        one.recv(10)
        w.loop.remove_reader(one)
        fail()
    other.send(b"x")
    w.loop.add_reader(one, read)


def by_protocol(w, fail):
    class Protocol(w.k.Protocol):
        def data_received(self, data):
            w.note("data", data)
            fail()

        def connection_lost(self, error):
            w.note("lost", repr(error))
    one, other = w.sockets = socket.socketpair()
    one.setblocking(False)
    w.transports = w.loop.run_until_complete(
        w.loop.create_connection(Protocol, sock=one))
    other.send(b"x")


def by_connection_made(w, fail):
    class Protocol(w.k.Protocol):
        def connection_made(self, transport):
            w.transports = [transport]
            fail()
    one, other = w.sockets = socket.socketpair()
    one.setblocking(False)
    w.connecting = w.loop.create_task(
        w.loop.create_connection(Protocol, sock=one))
    w.connecting.add_done_callback(lambda _: w.note("connected"))


def by_gather(w, fail):
    async def main():
        fail()
    w.kept = w.k.gather(main(), return_exceptions=True)
    w.kept.add_done_callback(lambda _: w.note("gathered"))


WAYS = [by_call_soon, by_timer, by_thread_safe, by_future, by_task_callback,
        by_task, by_task_later, by_task_nobody_asks, by_reader, by_protocol,
        by_connection_made, by_gather]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_a_callback_raises(way, error, debug):
    def program(w):
        w.loop.set_debug(debug)
        w.loop.slow_callback_duration = 1e9
        w.transports = w.sockets = ()
        w.loop.call_soon(w.note, "before")
        way(w, raising(error))
        w.loop.call_soon(w.note, "after")
        w.loop.call_later(0, w.note, "timer after")
        w.turn(6)
        w.note(w.k._get_running_loop())
        if w.transports:
            w.transports[0].abort()
        w.turn(2)
        for sock in w.sockets:
            sock.close()

    if way is by_task_nobody_asks:      # (it is told when it is freed)
        notes, theirs = lived("ouro", program), lived("asyncio", program)
        assert sorted(notes) == sorted(theirs)
    else:
        notes = same(program)
    assert ("after",) in notes and ("timer after",) in notes


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_the_order_of_what_is_told(debug):
    """A handler that prints its context prints it in asyncio's order."""
    def program(w):
        w.loop.set_debug(debug)
        w.loop.set_exception_handler(
            lambda loop, context: w.note(context["message"], *context))
        w.loop.create_future().set_exception(ZeroDivisionError())

        async def fail():
            raise ZeroDivisionError
        w.loop.create_task(fail())
        w.turn(3)

        async def wait():
            await w.loop.create_future()
        w.loop.create_task(wait())
        w.turn(3)
        gc.collect()
        w.loop.call_soon(raising(ZeroDivisionError))
        w.turn(3)

    assert len(same(program)) == 4


@pytest.mark.parametrize("leave", [KeyboardInterrupt, SystemExit, "stop"])
def test_leftovers_run_first_and_in_order(leave):
    """What was ready when the loop was left comes before what is new."""
    def program(w):
        def go():
            w.loop.call_soon(w.note, "of the turn that was left")
            if leave == "stop":
                w.loop.stop()
            else:
                raise leave

        async def step(number):
            w.note("task", number)
            await w.k.sleep(0)
            w.note("task again", number)

        one, other = socket.socketpair()
        w.loop.add_reader(one, lambda: w.note("readable", one.recv(9)))
        w.loop.call_soon(w.note, 1)
        w.loop.call_soon(go)
        w.loop.create_task(step(2))
        w.loop.call_soon(w.note, 3)
        w.loop.call_later(0, w.note, "timer")
        try:
            w.loop.run_forever()
        except leave if leave != "stop" else ():
            pass
        w.note("|")
        other.send(b"x")
        w.loop.call_soon(w.note, "new")
        w.turn()
        w.note("|")
        w.turn(2)
        w.loop.remove_reader(one)
        one.close()
        other.close()

    notes = same(program)
    assert ("task", "2") in notes


def test_every_event_of_a_turn_that_was_left():
    def program(w):
        pairs = [socket.socketpair() for _ in range(5)]
        left = []

        def read(number):
            # (asyncio calls twice who is ready twice.)
            try:
                w.note("read", number, pairs[number][0].recv(9))
            except BlockingIOError:
                pass
            if not left:
                left.append(number)
                raise KeyboardInterrupt

        for number, (one, other) in enumerate(pairs):
            one.setblocking(False)
            w.loop.add_reader(one, read, number)
            other.send(b"x")
        w.turn(3)
        for one, other in pairs:
            w.loop.remove_reader(one)
            one.close()
            other.close()

    assert len([n for n in same(program) if n[0] == "read"]) == 5


class Incoming:
    """Five of a kind that receive, each with something to be received; what
    comes is noted, and the first to be told raises an error."""

    def __init__(self, w, error):
        self.w = w
        self.error = error
        self.got = []
        self.kept = []
        self.ends = []

    def told(self, number, data):
        self.got.append((number, bytes(data)))
        if len(self.got) == 1:
            raise self.error

    def pair(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        self.ends.append(theirs)
        ours.setblocking(False)
        return ours, lambda: theirs.send(b"data\n")

    async def connect(self, factory):
        ours, send = self.pair()
        transport, _ = await self.w.loop.create_connection(factory, sock=ours)
        self.kept.append(transport)
        return send

    async def protocol(self, number):
        class Protocol(self.w.k.Protocol):
            def data_received(_, data):
                self.told(number, data)
        return await self.connect(Protocol)

    async def buffered_protocol(self, number):
        class Protocol(self.w.k.BufferedProtocol):
            def get_buffer(_, hint):
                _.buffer = bytearray(100)
                return _.buffer

            def buffer_updated(_, count):
                self.told(number, _.buffer[:count])
        return await self.connect(Protocol)

    async def stream(self, number):
        ours, send = self.pair()
        reader, writer = await self.w.k.open_connection(sock=ours)
        self.kept.append(writer)
        self.task(self.tell(number, reader.readline()))
        return send

    async def sock_recv(self, number):
        ours, send = self.pair()
        self.ends.append(ours)
        self.task(self.tell(number, self.w.loop.sock_recv(ours, 9)))
        return send

    async def sock_accept(self, number):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.ends.append(listener)
        address = listener.getsockname()

        async def accept():
            sock, _ = await self.w.loop.sock_accept(listener)
            sock.close()
            self.told(number, b"accepted")
        self.task(accept())
        return lambda: self.ends.append(socket.create_connection(address))

    async def pipe(self, number):
        ours, theirs = os.pipe()
        self.ends.append(os.fdopen(theirs, "wb", 0))

        class Protocol(self.w.k.Protocol):
            def data_received(_, data):
                self.told(number, data)
        transport, _ = await self.w.loop.connect_read_pipe(
            Protocol, os.fdopen(ours, "rb", 0))
        self.kept.append(transport)
        return lambda: os.write(theirs, b"data")

    async def datagram(self, number):
        class Protocol(self.w.k.DatagramProtocol):
            def datagram_received(_, data, address):
                self.told(number, data)
        transport, _ = await self.w.loop.create_datagram_endpoint(
            Protocol, local_addr=("127.0.0.1", 0))
        self.kept.append(transport)
        theirs = socket.socket(type=socket.SOCK_DGRAM)
        self.ends.append(theirs)
        return lambda: theirs.sendto(
            b"data", transport.get_extra_info("sockname"))

    async def tell(self, number, receiving):
        self.told(number, await receiving)

    def task(self, coroutine):
        task = self.w.loop.create_task(coroutine)
        task.add_done_callback(lambda task: task.exception())
        self.kept.append(task)

    def close(self):
        for each in self.kept:
            if hasattr(each, "close"):
                each.close()
        self.w.turn(3)
        for each in self.ends:
            each.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", [
    "protocol", "buffered_protocol", "stream", "sock_recv", "sock_accept",
    "pipe", "datagram"])
def test_what_comes_in_is_not_lost(kind, error):
    """All become readable in one turn, which the first to be told leaves."""
    def program(w):
        incoming = Incoming(w, error)

        async def start():
            return [await getattr(incoming, kind)(number)
                    for number in range(5)]
        sends = w.loop.run_until_complete(start())
        w.turn(2)
        for send in sends:
            send()
        for _ in range(100):
            if len(incoming.got) < 5:
                w.turn()
        w.note(sorted(incoming.got))
        incoming.close()

    assert len(same(program)) >= 2


def test_a_context_that_cannot_be_entered():
    """It is an error like others, and all else runs."""
    def program(w):
        context = contextvars.copy_context()
        w.loop.call_soon(w.note, "never", context=context)
        future = w.loop.create_future()
        future.add_done_callback(lambda _: w.note("nor this"),
                                 context=context)
        future.add_done_callback(lambda _: w.note("this"))
        future.set_result(1)

        async def main():
            w.note("nor that")
        w.kept = w.loop.create_task(main(), context=context)
        context.run(w.turn, 2)
        w.note(w.kept.done())
        w.kept.cancel()
        w.turn(2)

    assert ("this",) in same(program)


@pytest.mark.parametrize("waits_for", ["future", "sock", "stream", "queue",
                                       "sleep"])
def test_a_wakeup_in_a_context_that_is_entered(waits_for):
    """It is reported as such, and the task is never woken again."""
    def program(w):
        context = contextvars.copy_context()
        future, queue = w.loop.create_future(), w.k.Queue()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)

        async def main():
            if waits_for == "future":
                await future
            elif waits_for == "sock":
                await w.loop.sock_recv(ours, 9)
            elif waits_for == "stream":
                reader, w.writer = await w.k.open_connection(sock=ours)
                await reader.readline()
            elif waits_for == "queue":
                await queue.get()
            else:
                await w.k.sleep(0.001)
            w.note("never")

        w.kept = w.loop.create_task(main(), context=context)
        w.turn(4)
        future.set_result(1)
        queue.put_nowait(1)
        theirs.send(b"line\n")
        for _ in range(1000):
            if not w.notes:
                context.run(w.turn)
        w.note(w.kept.done())
        w.kept._log_destroy_pending = False
        if waits_for == "stream":
            w.writer.close()
        w.turn(2)
        ours.close()
        theirs.close()

    # (From 3.12 on the handler runs in that context, and fails as well.)
    assert ("never",) not in same(program)
