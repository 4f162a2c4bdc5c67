"""The loop: callbacks, running, threads, signals, descriptors."""

import asyncio
import contextlib
import functools
import gc
import os
import signal
import socket
import threading

from table import failure, forever, loop, nothing, operation, result


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


@operation(times=100)
async def run_in_executor_failing():
    with contextlib.suppress(ValueError):
        await loop().run_in_executor(None, int, "x")
    with contextlib.suppress(ValueError):
        await asyncio.to_thread(int, "x")


@operation(times=100)
async def to_thread_many():
    futures = [loop().run_in_executor(None, nothing, i) for i in range(20)]
    for future in futures[::2]:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


@operation(times=20)
def executors():
    async def main():
        await asyncio.to_thread(nothing)

    for look in False, True:
        new = asyncio.new_event_loop()
        new.run_until_complete(main())
        if look:
            new._default_executor
            new.run_until_complete(main())
        new.run_until_complete(new.shutdown_default_executor())
        new.close()


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


@functools.cache
def pair():
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


async def refuse():
    raise ValueError("x")


async def spawn():
    asyncio.ensure_future(refuse())
    asyncio.ensure_future(asyncio.sleep(1000))


@operation(times=50)
def runners():
    asyncio.run(spawn())
    for factory in None, asyncio.new_event_loop:
        with asyncio.Runner(debug=True, loop_factory=factory) as runner:
            runner.run(spawn())
            with contextlib.suppress(ValueError):
                runner.run(refuse())
            with contextlib.suppress(ValueError, TypeError):
                runner.run(5)
    with contextlib.suppress(RuntimeError):
        runner.get_loop()


@operation(times=50)
def run_interrupted():
    async def main():
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(1000)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
