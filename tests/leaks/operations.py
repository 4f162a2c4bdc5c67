"""The operations that are repeated: one function each, named as it is shown.

An `async def` runs in a loop of its own, awaited again and again; a plain
function is called with no loop running.  What an operation needs, and should
not be counted with it, it gets from a cached function (`kept`).
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import gc
import inspect
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings

TABLE = {}      # name -> Operation
kept = functools.cache

warnings.simplefilter("ignore")


class Operation:
    def __init__(self, function, times, debug):
        self.function = function
        self.times = times
        self.debug = debug

    @contextlib.contextmanager
    def ready(self):
        """A function of how often to do it."""
        if not inspect.iscoroutinefunction(self.function):
            yield self._repeat
            return

        async def repeat(times):
            for _ in range(times):
                await self.function()

        with asyncio.Runner(debug=self.debug) as runner:
            runner.get_loop().set_exception_handler(lambda loop, what: None)
            yield lambda times: runner.run(repeat(times))

    def _repeat(self, times):
        for _ in range(times):
            self.function()


def operation(times=500, debug=False, since=(3, 11)):
    def register(function):
        if sys.version_info >= since:
            TABLE[function.__name__] = Operation(function, times, debug)
            if debug:
                # Debug mode takes other ways: the operation both with and
                # without it.
                TABLE[function.__name__].debug = False
                TABLE[function.__name__ + "_debug"] = Operation(
                    function, max(min(times, 50), times // 5), True)
        return function
    return register


def loop():
    return asyncio.get_running_loop()


def nothing(*args):
    pass


async def result(value=None):
    return value


async def failure():
    raise ValueError("of the test")


async def forever():
    await loop().create_future()


class OwnTask(asyncio.Task):
    pass


class OwnFuture(asyncio.Future):
    pass


# ---- the loop -------------------------------------------------------------

@operation(debug=True)
async def call_soon():
    done = loop().create_future()
    loop().call_soon(nothing, 1, 2)
    loop().call_soon(done.set_result, None)
    await done


@operation(debug=True)
async def call_soon_cancel():
    loop().call_soon(nothing, object()).cancel()
    await asyncio.sleep(0)


@operation()
async def call_soon_failing():
    loop().call_soon(int, "x")
    await asyncio.sleep(0)


@operation(debug=True)
async def call_later():
    done = loop().create_future()
    loop().call_later(0, done.set_result, None)
    await done


@operation(debug=True)
async def call_later_cancel():
    loop().call_later(1000, nothing, object()).cancel()


@operation()
async def call_at_drop():
    loop().call_at(loop().time() + 1000, nothing).cancel()


@operation(debug=True)
async def call_soon_threadsafe():
    done = loop().create_future()
    loop().call_soon_threadsafe(done.set_result, None)
    await done


@operation(times=50)
async def call_soon_threadsafe_from_thread():
    done = loop().create_future()
    thread = threading.Thread(
        target=loop().call_soon_threadsafe, args=(done.set_result, None))
    thread.start()
    await done
    thread.join()


@operation()
async def handle_attributes():
    handle = loop().call_later(1000, nothing, 1)
    repr(handle), handle.when(), handle.cancelled(), hash(handle)
    other = loop().call_later(1000, nothing)
    handle == handle, handle < other
    other.cancel()
    handle.cancel()
    repr(handle)


@operation()
async def call_exception_handler():
    loop().call_exception_handler({"message": "of the test",
                                   "exception": ValueError()})


@operation()
async def loop_attributes():
    this = loop()
    repr(this), this.time(), this.is_running(), this.is_closed()
    this.get_debug(), this.get_task_factory(), this.get_exception_handler()
    this.slow_callback_duration = this.slow_callback_duration


@operation()
async def bad_arguments():
    for call in (lambda: loop().call_soon(), lambda: loop().call_later("1"),
                 lambda: loop().create_task(1), lambda: asyncio.Task(1),
                 lambda: asyncio.Future(1), lambda: loop().nothing,
                 lambda: asyncio.Future(loop=1),
                 lambda: loop().add_reader("x", nothing)):
        with contextlib.suppress(TypeError, AttributeError, ValueError):
            call()


@operation(times=100)
def new_loop_close():
    asyncio.new_event_loop().close()


@operation(times=100)
def new_loop_with_leftovers():
    new = asyncio.new_event_loop()
    new.call_soon(nothing, new)
    new.call_later(1000, nothing, new)
    new.create_future().add_done_callback(nothing)
    new.close()


@operation(times=100)
def new_loop_dropped():
    new = asyncio.new_event_loop()
    new.call_later(1000, nothing, new)
    new.own = new
    del new
    gc.collect()


@operation(times=100)
def run():
    asyncio.run(result())


@operation(times=50)
def run_with_tasks_left():
    async def main():
        asyncio.create_task(forever())
        await asyncio.sleep(0)

    asyncio.run(main())


@operation(times=50)
def run_failing():
    with contextlib.suppress(ValueError):
        asyncio.run(failure())


@operation(times=100)
def run_until_complete_stopped():
    new = asyncio.new_event_loop()
    task = new.create_task(forever())
    new.call_soon(new.stop)
    with contextlib.suppress(RuntimeError):
        new.run_until_complete(task)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        new.run_until_complete(task)
    new.close()


@operation(times=100)
def run_forever_keyboard_interrupt():
    def interrupt():
        raise KeyboardInterrupt

    new = asyncio.new_event_loop()
    new.call_soon(interrupt)
    new.call_soon(nothing)
    with contextlib.suppress(KeyboardInterrupt):
        new.run_forever()
    new.close()


@operation(times=100)
async def run_in_executor():
    await loop().run_in_executor(None, nothing, 1)


@operation(times=100)
async def to_thread():
    await asyncio.to_thread(nothing, 1)


@operation(times=50)
async def run_coroutine_threadsafe():
    future = None

    def work():
        nonlocal future
        future = asyncio.run_coroutine_threadsafe(result(1), this)
        future.result()

    this = loop()
    await asyncio.to_thread(work)


@operation()
async def async_generator():
    async def numbers():
        yield 1
        yield 2

    async for _ in numbers():
        break
    await asyncio.sleep(0)


@operation(times=100)
async def signal_handler():
    done = loop().create_future()
    loop().add_signal_handler(signal.SIGUSR1, done.set_result, None)
    os.kill(os.getpid(), signal.SIGUSR1)
    await done
    loop().remove_signal_handler(signal.SIGUSR1)


@kept
def pair(number=0):
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


@operation(debug=True)
async def add_reader():
    one, other = pair()
    done = loop().create_future()

    def readable():
        one.recv(1)
        loop().remove_reader(one)
        done.set_result(None)

    loop().add_reader(one, readable)
    other.send(b"x")
    await done


@operation()
async def add_writer():
    one, _ = pair()
    done = loop().create_future()
    loop().add_writer(one, lambda: done.done() or done.set_result(None))
    await done
    loop().remove_writer(one)


@operation(times=200)
async def add_reader_socket_closed_after():
    one, other = socket.socketpair()
    with one, other:
        loop().add_reader(one, nothing)
        loop().remove_reader(one)


@operation(times=200)
async def sock_recv_sendall():
    one, other = pair()
    await loop().sock_sendall(one, b"x" * 100)
    await loop().sock_recv(other, 1000)
    buffer = bytearray(1000)
    task = asyncio.create_task(loop().sock_recv_into(one, buffer))
    await asyncio.sleep(0)
    await loop().sock_sendall(other, b"y")
    await task


@operation(times=50)
async def sock_connect_accept():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        with socket.socket() as client:
            client.setblocking(False)
            await loop().sock_connect(client, server.getsockname())
            accepted, _ = await loop().sock_accept(server)
            accepted.close()


@operation(times=100)
async def getaddrinfo():
    await loop().getaddrinfo("127.0.0.1", 80)
    await loop().getnameinfo(("127.0.0.1", 80))


# ---- futures --------------------------------------------------------------

@operation(debug=True)
async def future_result():
    future = loop().create_future()
    future.set_result(object())
    future.result(), future.exception(), future.done(), future.cancelled()
    await future


@operation(debug=True)
async def future_exception():
    future = asyncio.Future()
    future.set_exception(ValueError())
    with contextlib.suppress(ValueError):
        await future


@operation()
async def future_exception_never_retrieved():
    asyncio.Future().set_exception(ValueError())


@operation(debug=True)
async def future_cancel():
    future = asyncio.Future()
    future.cancel("message")
    with contextlib.suppress(asyncio.CancelledError):
        await future


@operation(debug=True)
async def future_callbacks():
    future = asyncio.Future()
    future.add_done_callback(nothing)
    future.add_done_callback(future.__class__.done)
    future.add_done_callback(nothing)
    future.remove_done_callback(nothing)
    repr(future), future._callbacks
    future.set_result(None)
    future.add_done_callback(nothing)
    await asyncio.sleep(0)


@operation()
async def future_callbacks_dropped():
    future = asyncio.Future()
    future.add_done_callback(nothing)
    future.add_done_callback(lambda other: future)


@operation()
async def future_await_pending():
    future = asyncio.Future()
    loop().call_soon(future.set_result, 1)
    await future


@operation()
async def future_two_waiters():
    future = asyncio.Future()
    one, two = (asyncio.create_task(waits_for(future)) for _ in range(2))
    await asyncio.sleep(0)
    future.set_result(1)
    await one
    await two


async def waits_for(future):
    return await future


@operation()
async def future_attributes():
    future = asyncio.Future()
    future.own = future
    for name in ("_loop", "_state", "_result", "_exception", "_callbacks",
                 "_source_traceback", "_log_traceback", "_cancel_message",
                 "_asyncio_future_blocking"):
        getattr(future, name)
    future._asyncio_future_blocking = False
    future.get_loop(), repr(future)


@operation()
async def future_invalid_state():
    future = asyncio.Future()
    for call in (future.result, future.exception):
        with contextlib.suppress(asyncio.InvalidStateError):
            call()
    future.set_result(1)
    with contextlib.suppress(asyncio.InvalidStateError):
        future.set_result(2)
    with contextlib.suppress(TypeError):
        asyncio.Future().set_exception(StopIteration)


@operation()
async def future_subclass():
    future = OwnFuture()
    future.add_done_callback(nothing)
    loop().call_soon(future.set_result, 1)
    await future


@operation()
async def future_iterator():
    future = asyncio.Future()
    iterator = iter(future)
    next(iterator)
    with contextlib.suppress(ValueError):
        iterator.throw(ValueError())
    iter(future).close()


@operation(times=200)
async def future_wrap():
    outer = concurrent.futures.Future()
    inner = asyncio.wrap_future(outer)
    outer.set_result(1)
    await inner
    asyncio.isfuture(inner), asyncio.ensure_future(inner)


@operation()
async def future_generic_alias():
    asyncio.Future[int], asyncio.Task[int]


# ---- tasks ----------------------------------------------------------------

@operation(debug=True)
async def task():
    await asyncio.create_task(result())


@operation(debug=True)
async def task_many_steps():
    async def steps():
        for _ in range(5):
            await asyncio.sleep(0)

    await asyncio.gather(steps(), steps())


@operation(debug=True)
async def task_failing():
    with contextlib.suppress(ValueError):
        await asyncio.create_task(failure())


@operation()
async def task_failing_unseen():
    asyncio.create_task(failure())
    await asyncio.sleep(0)


@operation(debug=True)
async def task_cancel():
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel("message")
    task.cancelling()
    task.uncancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def task_cancel_unstarted():
    task = asyncio.create_task(forever())
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def task_attributes():
    task = asyncio.create_task(forever(), name="of the test")
    task.get_name(), task.set_name(1), task.get_coro(), task.get_stack()
    await asyncio.sleep(0)
    task.get_stack(), repr(task), task._fut_waiter, task._must_cancel
    task.own = task
    asyncio.current_task(), asyncio.all_tasks()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation(times=200)
async def task_destroyed_pending():
    asyncio.create_task(forever())
    await asyncio.sleep(0)
    gc.collect()


@operation()
async def task_context():
    await asyncio.create_task(result(), context=contextvars.copy_context())


@operation()
async def task_bad_yield():
    class Bad:
        def __await__(self):
            yield 42

    async def bad():
        await Bad()

    with contextlib.suppress(RuntimeError):
        await asyncio.create_task(bad())


@operation()
async def task_subclass():
    await OwnTask(result(), loop=loop())


@operation()
async def task_factory():
    loop().set_task_factory(
        lambda loop, coro, **keywords: OwnTask(coro, loop=loop, **keywords))
    try:
        await loop().create_task(result())
    finally:
        loop().set_task_factory(None)


@operation(since=(3, 12))
async def task_eager():
    loop().set_task_factory(asyncio.eager_task_factory)
    try:
        await asyncio.create_task(result())
        await asyncio.create_task(asyncio.sleep(0))
        with contextlib.suppress(ValueError):
            await asyncio.create_task(failure())
    finally:
        loop().set_task_factory(None)


@operation()
async def sleep():
    await asyncio.sleep(0)
    await asyncio.sleep(1e-6, object())


@operation()
async def sleep_cancelled():
    task = asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def unawaited():
    asyncio.sleep(0)
    asyncio.Queue().get()
    result().close()


@operation(times=200)
async def gather():
    await asyncio.gather(result(), result(), asyncio.sleep(0))
    await asyncio.gather(failure(), result(), return_exceptions=True)
    with contextlib.suppress(ValueError):
        await asyncio.gather(failure(), asyncio.sleep(0))
    outer = asyncio.gather(forever(), forever())
    outer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outer


@operation(times=200)
async def wait():
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
    await asyncio.wait(tasks)
    await asyncio.wait([asyncio.create_task(forever_until(0.001))],
                       timeout=0)


async def forever_until(seconds):
    await asyncio.sleep(seconds)


@operation(times=200)
async def wait_for():
    await asyncio.wait_for(result(), 1000)
    await asyncio.wait_for(asyncio.sleep(0), 1000)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(forever(), 1e-6)


@operation(times=200)
async def as_completed():
    for next_done in asyncio.as_completed([result(), asyncio.sleep(0)]):
        await next_done


@operation(times=200)
async def shield():
    await asyncio.shield(result())
    inner = asyncio.ensure_future(asyncio.sleep(0))
    outer = asyncio.shield(inner)
    outer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outer
    await inner


@operation(times=200)
async def timeout():
    async with asyncio.timeout(1000) as scope:
        scope.reschedule(loop().time() + 500)
        repr(scope), scope.when(), scope.expired()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await forever()


@operation(times=200)
async def task_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(result())
        group.create_task(asyncio.sleep(0))
    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(failure())
            group.create_task(forever())


# ---- synchronization, queues ----------------------------------------------

@operation()
async def lock():
    lock = asyncio.Lock()
    async with lock:
        task = asyncio.create_task(lock.acquire())
        other = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        other.cancel()
        repr(lock)
    await task
    lock.release()
    with contextlib.suppress(RuntimeError):
        lock.release()


@operation()
async def event():
    event = asyncio.Event()
    task = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    event.set()
    await task
    event.clear()


@operation()
async def condition():
    condition = asyncio.Condition()

    async def waiter():
        async with condition:
            await condition.wait()

    tasks = [asyncio.create_task(waiter()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks, return_exceptions=True)


@operation()
async def semaphore():
    semaphore = asyncio.BoundedSemaphore(1)
    async with semaphore:
        task = asyncio.create_task(semaphore.acquire())
        await asyncio.sleep(0)
    await task
    semaphore.release()
    with contextlib.suppress(ValueError):
        semaphore.release()


@operation(times=200)
async def barrier():
    barrier = asyncio.Barrier(2)
    await asyncio.gather(barrier.wait(), barrier.wait())
    task = asyncio.create_task(barrier.wait())
    await asyncio.sleep(0)
    await barrier.abort()
    await asyncio.gather(task, return_exceptions=True)


@operation()
async def queue():
    queue = asyncio.Queue(2)
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(object())
    await task
    for _ in range(2):
        await queue.put(object())
    putter = asyncio.create_task(queue.put(object()))
    await asyncio.sleep(0)
    for _ in range(4):
        queue.task_done()
        with contextlib.suppress(asyncio.QueueEmpty):
            queue.get_nowait()
        await asyncio.sleep(0)
        if putter.done():
            break
    await putter
    repr(queue), queue.qsize(), queue.empty(), queue.full()


@operation()
async def queue_cancelled():
    queue = asyncio.Queue()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@operation()
async def queue_join():
    queue = asyncio.Queue()
    queue.put_nowait(1)
    task = asyncio.create_task(queue.join())
    await asyncio.sleep(0)
    queue.task_done()
    await task


@operation()
async def queue_kinds():
    for kind in (asyncio.PriorityQueue, asyncio.LifoQueue):
        queue = kind()
        for number in (3, 1, 2):
            await queue.put(number)
        await queue.get()


@operation(since=(3, 13))
async def queue_shutdown():
    queue = asyncio.Queue()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.shutdown()
    await asyncio.gather(task, return_exceptions=True)


# ---- streams and transports -----------------------------------------------

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Once(asyncio.Protocol):
    def __init__(self):
        self.done = loop().create_future()

    def data_received(self, data):
        if not self.done.done():
            self.done.set_result(data)

    def connection_lost(self, error):
        if not self.done.done():
            self.done.set_result(error)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self):
        self.done = loop().create_future()
        self.buffer = bytearray(100)

    def get_buffer(self, size):
        return self.buffer

    def buffer_updated(self, size):
        if not self.done.done():
            self.done.set_result(size)


async def closed(writer):
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@operation(times=50, debug=True)
async def streams_socketpair():
    one, other = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=one)
    _, peer = await asyncio.open_connection(sock=other)
    peer.write(b"line\nexact until|rest")
    peer.writelines([b"1", b"2"])
    await peer.drain()
    await reader.readline()
    await reader.readexactly(5)
    await reader.readuntil(b"|")
    await reader.read(3)
    peer.write_eof()
    await reader.read()
    writer.get_extra_info("socket"), repr(writer), repr(reader)
    await closed(writer)
    await closed(peer)


@operation(times=30)
async def streams_server():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await closed(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        writer.write(b"x\n")
        await reader.read()
        await closed(writer)


@operation(times=30)
async def streams_unix_server():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await closed(writer)

    path = f"/tmp/ouro-leaks-{os.getpid()}"
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x\n")
        await reader.read()
        await closed(writer)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@operation(times=50)
async def streams_limits():
    reader = asyncio.StreamReader(limit=4)
    reader.feed_data(b"123456789")
    with contextlib.suppress(ValueError):
        await reader.readline()
    reader.feed_eof()
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readexactly(100)
    waiting = asyncio.create_task(asyncio.StreamReader().read(1))
    await asyncio.sleep(0)
    waiting.cancel()


@operation(times=50, debug=True)
async def transport_socketpair():
    one, other = socket.socketpair()
    echo, _ = await loop().create_connection(Echo, sock=one)
    peer, once = await loop().create_connection(Once, sock=other)
    peer.write(b"x" * 100)
    await once.done
    peer.pause_reading()
    peer.resume_reading()
    peer.set_write_buffer_limits(10, 5)
    peer.get_write_buffer_size(), repr(peer), peer.get_extra_info("peername")
    peer.close()
    await asyncio.sleep(0)
    echo.abort()
    await asyncio.sleep(0.001)


@operation(times=50)
async def transport_buffered():
    one, other = socket.socketpair()
    transport, protocol = await loop().create_connection(Buffered, sock=one)
    other.send(b"x" * 10)
    await protocol.done
    transport.close()
    other.close()
    await asyncio.sleep(0)


@operation(times=50)
async def transport_back_pressure():
    one, other = socket.socketpair()
    other.setblocking(False)
    transport, _ = await loop().create_connection(Once, sock=one)
    transport.write(b"x" * 1_000_000)
    transport.write(bytearray(1_000))
    transport.abort()
    await asyncio.sleep(0)
    other.close()


@operation(times=30)
async def server():
    server = await loop().create_server(Echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    peer, once = await loop().create_connection(Once, *address)
    peer.write(b"x")
    await once.done
    peer.close()
    server.close()
    repr(server)
    await asyncio.sleep(0.001)


@operation(times=50)
async def connect_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with contextlib.suppress(OSError):
            await asyncio.open_connection(*unused.getsockname())


@operation(times=30)
async def datagram():
    receiver, _ = await loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    sender, _ = await loop().create_datagram_endpoint(
        asyncio.DatagramProtocol,
        remote_addr=receiver.get_extra_info("sockname"))
    sender.sendto(b"x")
    await asyncio.sleep(0.001)
    sender.close()
    receiver.close()
    await asyncio.sleep(0)


@operation(times=30)
async def pipes():
    read_end, write_end = os.pipe()
    reader, once = await loop().connect_read_pipe(
        Once, open(read_end, "rb", 0))
    writer, _ = await loop().connect_write_pipe(
        asyncio.Protocol, open(write_end, "wb", 0))
    writer.write(b"x")
    await once.done
    writer.close()
    reader.close()
    await asyncio.sleep(0)


@operation(times=10)
async def subprocess_exec():
    process = await asyncio.create_subprocess_exec(
        "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    await process.communicate(b"x")


# ---- the two worlds -------------------------------------------------------

@operation()
async def foreign_awaitable():
    class Foreign:
        _asyncio_future_blocking = False

        def __init__(self):
            self.callbacks = []

        def get_loop(self):
            return asyncio.get_running_loop()

        def add_done_callback(self, callback, *, context=None):
            loop().call_soon(callback, self, context=context)

        def result(self):
            return 1

        def cancel(self, msg=None):
            return False

        def __await__(self):
            self._asyncio_future_blocking = True
            yield self
            return 1

    async def wait():
        await Foreign()

    await asyncio.create_task(wait())


@operation(times=200)
async def python_future():
    future = asyncio.futures._PyFuture(loop=loop())
    loop().call_soon(future.set_result, 1)
    await future


@operation(times=200)
async def python_task():
    await asyncio.tasks._PyTask(result(), loop=loop())
