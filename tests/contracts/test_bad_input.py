"""Wrong arguments: asyncio's exception and message, and nothing has changed.

Each line is evaluated in both worlds, in a coroutine, and awaited if it can
be; `k` is the world's asyncio, `loop` its running loop.

Left out: Future.set_result() and remove_done_callback() without an argument,
for which each version's C compiler of arguments has words of its own, and
run_forever() in a running loop, which in 3.13 leaves asyncio's loop changed.
"""

import asyncio
import inspect
import signal
import socket

import pytest
from worlds import same

TASKS = """
k.sleep()
k.sleep('x')
k.sleep(None)
k.gather(1)
k.gather(k.sleep(0), 1)
k.gather(return_when=1)
k.wait()
k.wait([])
k.wait(1)
k.wait(k.sleep(0))
k.wait([k.sleep(0)])
k.wait([1])
k.wait([loop.create_future()], return_when='x')
k.wait([loop.create_future()], timeout='x')
k.wait_for()
k.wait_for(1, 1)
k.wait_for(k.sleep(0), 'x')
k.wait_for(loop.create_future(), -1)
k.shield()
k.shield(1)
k.as_completed(1)
k.as_completed(k.sleep(0))
k.timeout()
k.timeout('x')
k.timeout(None).__aexit__(None, None, None)
k.timeout(1).reschedule(1)
k.timeout(1).expired(1)
k.timeout_at('x')
k.TaskGroup(1)
k.TaskGroup().create_task(k.sleep(0))
k.TaskGroup().create_task(1)
k.create_task()
k.create_task(1)
k.create_task(k.sleep(0), name='a', wrong=1)
k.ensure_future(1)
k.ensure_future(loop.create_future(), loop=1)
k.wrap_future(1)
k.run_coroutine_threadsafe(1, loop)
k.run(k.sleep(0))
k.run(1)
k.Runner(1)
k.Runner().run(1)
k.Runner().run(k.sleep(0))
k.to_thread()
k.to_thread(1)
k.current_task(1)
k.all_tasks(1)
k.Task()
k.Task(1, loop=loop)
k.Task(k.sleep(0), loop=loop, wrong=1)
k.Future(1)
k.Future(loop=1)
k.Future(loop=loop).result()
k.Future(loop=loop).exception()
k.Future(loop=loop).set_exception(1)
k.Future(loop=loop).set_exception(StopIteration)
k.Future(loop=loop).set_exception(StopIteration())
k.Future(loop=loop).add_done_callback()
k.Future(loop=loop).add_done_callback(print, 1)
k.Future(loop=loop).cancel(1, 2)
done(k).set_result(1)
done(k).set_exception(ValueError())
k.current_task().set_result(1)
k.current_task().set_exception(ValueError())
k.current_task().cancelling(1)
k.current_task().get_stack(1)
k.current_task().get_stack(limit='x')
k.current_task().add_done_callback(print, context=1, x=2)
"""

SYNC = """
k.Lock(1)
k.Lock().release()
k.Lock().acquire(1)
k.Event(1)
k.Event().wait(1)
k.Condition(1)
k.Condition().notify()
k.Condition().notify_all()
k.Condition().wait()
k.Condition().wait_for(print)
k.Condition().release()
k.Semaphore(-1)
k.Semaphore('x')
k.Semaphore(1, 2)
k.BoundedSemaphore(-1)
k.BoundedSemaphore(1).release()
k.Barrier()
k.Barrier(0)
k.Barrier(-1)
k.Barrier('x')
k.Barrier(1).wait(1)
k.Queue(1, 2)
k.Queue('x').put_nowait(1)
k.Queue().task_done()
k.Queue().get_nowait()
k.Queue().get_nowait(1)
k.Queue().put()
k.Queue().put_nowait()
k.LifoQueue().get_nowait()
k.PriorityQueue().get_nowait()
full(k).put_nowait(1)
"""

STREAMS = """
k.StreamReader(limit=0)
k.StreamReader(limit=-1)
k.StreamReader(limit='x')
k.StreamReader(1, 2, 3)
k.StreamReader().read('x')
k.StreamReader().readexactly(-1)
k.StreamReader().readexactly('x')
k.StreamReader().readuntil(b'')
k.StreamReader().readline(1)
k.StreamReader().feed_data()
k.StreamReader().set_exception()
k.StreamReaderProtocol()
k.StreamWriter()
k.open_connection()
k.open_connection('localhost', 1, limit=0)
k.open_connection('localhost', 1, sock=1)
k.start_server()
k.start_server(print)
k.open_unix_connection()
k.start_unix_server(print)
"""

LOOP = """
loop.call_soon()
loop.call_soon(print, wrong=1)
loop.call_soon_threadsafe()
loop.call_later()
loop.call_later(1)
loop.call_later(None, print)
loop.call_later('x', print)
loop.call_at()
loop.call_at(None, print)
loop.create_future(1)
loop.create_task()
loop.create_task(1)
loop.set_task_factory(1)
loop.set_exception_handler(1)
loop.set_default_executor(1)
loop.run_until_complete()
loop.run_until_complete(1)
loop.run_until_complete(k.sleep(0))
loop.close()
loop.set_debug()
loop.run_in_executor()
loop.run_in_executor(None)
loop.run_in_executor(1, print)
loop.shutdown_asyncgens(1)
loop.add_reader()
loop.add_reader('x', print)
loop.add_reader(-1, print)
loop.add_reader(None, print)
loop.add_reader(10 ** 30, print)
loop.add_writer('x', print)
loop.remove_reader()
loop.remove_reader('x')
loop.remove_writer(-1)
loop.add_signal_handler()
loop.add_signal_handler('x', print)
loop.add_signal_handler(0, print)
loop.add_signal_handler(9999, print)
loop.add_signal_handler(signal.SIGKILL, print)
loop.add_signal_handler(signal.SIGUSR1, main)
loop.remove_signal_handler('x')
loop.remove_signal_handler(0)
k.Handle()
k.TimerHandle()
k.TimerHandle(None, print, (), loop)
k.set_event_loop(1)
"""

NET = """
loop.getaddrinfo()
loop.getaddrinfo('127.0.0.1')
loop.getaddrinfo('127.0.0.1', 1, 2)
loop.getaddrinfo('127.0.0.1', 'no such service')
loop.getaddrinfo('127.0.0.1', 1, family='x')
loop.getnameinfo()
loop.getnameinfo(1)
loop.getnameinfo(('127.0.0.1', 'x'), 3)
loop.sock_recv(sock)
loop.sock_recv(sock, 'x')
loop.sock_recv(sock, -1)
loop.sock_recv(blocking, 1)
loop.sock_recv_into(sock, b'')
loop.sock_sendall(sock)
loop.sock_sendall(sock, 'x')
loop.sock_sendall(blocking, b'')
loop.sock_connect(sock)
loop.sock_connect(blocking, ('127.0.0.1', 1))
loop.sock_accept()
loop.sock_accept(blocking)
loop.sock_recvfrom(blocking, 1)
loop.sock_sendto(blocking, b'', ('127.0.0.1', 1))
loop.sock_sendfile(sock, open(__file__))
loop.sock_sendfile(sock, open(__file__, 'rb'), -1)
loop.sock_sendfile(sock, open(__file__, 'rb'), 0, 0)
loop.sock_sendfile(udp, open(__file__, 'rb'))
loop.sendfile(None, None)
loop.create_connection()
loop.create_connection(k.Protocol)
loop.create_connection(k.Protocol, 'localhost')
loop.create_connection(k.Protocol, '127.0.0.1', 1, sock=sock)
loop.create_connection(k.Protocol, sock=udp)
loop.create_connection(k.Protocol, '127.0.0.1', 1, server_hostname='x')
loop.create_connection(k.Protocol, '127.0.0.1', 1, ssl_handshake_timeout=1)
loop.create_connection(k.Protocol, '127.0.0.1', 1, ssl_shutdown_timeout=1)
loop.create_connection(k.Protocol, sock=sock, ssl=True)
loop.create_server()
loop.create_server(k.Protocol)
loop.create_server(k.Protocol, '127.0.0.1', 0, sock=sock)
loop.create_server(k.Protocol, sock=udp)
loop.create_server(k.Protocol, '127.0.0.1', 0, ssl=True)
loop.create_server(k.Protocol, '127.0.0.1', 0, ssl_handshake_timeout=1)
loop.create_server(k.Protocol, 1, 0)
loop.create_unix_connection(k.Protocol)
loop.create_unix_connection(k.Protocol, '/nowhere', sock=sock)
loop.create_unix_connection(k.Protocol, '/nowhere/at/all')
loop.create_unix_connection(k.Protocol, '/x', ssl=True)
loop.create_unix_connection(k.Protocol, sock=udp)
loop.create_unix_server(k.Protocol)
loop.create_unix_server(k.Protocol, '/x', sock=sock)
loop.create_unix_server(k.Protocol, '/x', ssl=True)
loop.create_unix_server(k.Protocol, '/nowhere/at/all')
loop.create_datagram_endpoint(k.DatagramProtocol)
loop.create_datagram_endpoint(k.DatagramProtocol, sock=sock)
loop.create_datagram_endpoint(k.DatagramProtocol, ('x',))
loop.create_datagram_endpoint(k.DatagramProtocol, ('127.0.0.1', 0), sock=udp)
loop.create_datagram_endpoint(k.DatagramProtocol, reuse_address=True)
loop.connect_accepted_socket(k.Protocol, udp)
loop.connect_accepted_socket(k.Protocol, sock, ssl=True)
loop.connect_accepted_socket(k.Protocol, sock, ssl_handshake_timeout=1)
loop.start_tls(None, None, None)
loop.connect_read_pipe(k.Protocol, open(__file__))
loop.connect_write_pipe(k.Protocol, open(__file__))
loop.subprocess_shell(k.SubprocessProtocol, 1)
loop.subprocess_shell(k.SubprocessProtocol, 'x', universal_newlines=True)
loop.subprocess_shell(k.SubprocessProtocol, 'x', shell=False)
loop.subprocess_shell(k.SubprocessProtocol, 'x', bufsize=1)
loop.subprocess_shell(k.SubprocessProtocol, 'x', text=True)
loop.subprocess_shell(k.SubprocessProtocol, 'x', encoding='utf-8')
loop.subprocess_shell(k.SubprocessProtocol, 'x', errors='strict')
loop.subprocess_exec(k.SubprocessProtocol)
loop.subprocess_exec(k.SubprocessProtocol, 'x', shell=True)
loop.subprocess_exec(k.SubprocessProtocol, '/nowhere/at/all')
k.create_subprocess_exec()
k.create_subprocess_exec('/nowhere/at/all')
k.create_subprocess_shell(1)
"""

OUTSIDE = """
k.get_running_loop()
k.current_task()
k.all_tasks()
k.create_task(main())
k.sleep(1).send(None)
k.gather(main())
k.shield(main())
k.ensure_future(main())
k.timeout(1).__aenter__().send(None)
k.Queue().get().send(None)
k.to_thread(print).send(None)
loop.run_until_complete(other.create_future())
loop.run_until_complete(main(), 1)
"""

CLOSED = """
loop.call_soon(print)
loop.call_soon_threadsafe(print)
loop.call_later(1, print)
loop.call_at(1, print)
loop.create_task(main())
loop.run_forever()
loop.run_until_complete(main())
loop.run_in_executor(None, print)
loop.add_reader(0, print)
loop.add_writer(0, print)
loop.remove_reader(0)
loop.add_signal_handler(signal.SIGUSR1, print)
loop.stop()
loop.close()
loop.create_future().set_result(1)
loop.is_running()
"""


async def main():
    """A coroutine function."""


def done(k):
    future = k.Future(loop=asyncio.get_running_loop())
    future.set_result(0)
    return future


def full(k):
    queue = k.Queue(1)
    queue.put_nowait(0)
    return queue


def names(world, **more):
    return {"k": world.k, "loop": world.loop, "main": main, "done": done,
            "full": full, "signal": signal, "__file__": __file__, **more}


def state_of(loop):
    return (loop.is_running(), loop.is_closed(), loop.get_debug(),
            loop.get_exception_handler() is not None,
            loop.get_task_factory(), signal.getsignal(signal.SIGUSR1),
            len(asyncio.all_tasks(loop)) if loop.is_running() else 0)


@pytest.mark.parametrize("line", [
    line for table in (TASKS, SYNC, STREAMS, LOOP, NET)
    for line in table.split("\n") if line])
def test_in_a_coroutine(line):
    def program(world):
        async def attempt():
            before = state_of(world.loop)
            with socket.socket() as sock, \
                    socket.socket(type=socket.SOCK_DGRAM) as udp, \
                    socket.socket() as blocking:
                sock.setblocking(False)
                udp.setblocking(False)
                try:
                    result = eval(line, names(world, sock=sock, udp=udp,
                                              blocking=blocking))
                    if inspect.isawaitable(result):
                        await asyncio.wait_for(result, 60)
                except Exception as error:
                    world.note("raised", type(error).__name__, error)
                else:
                    world.note("nothing raised")
            world.note(before == state_of(world.loop))
        world.loop.run_until_complete(attempt())
    same(program)


@pytest.mark.parametrize("line", [line for line in OUTSIDE.split("\n")
                                  if line])
def test_outside_of_a_loop(line):
    def program(world):
        asyncio.set_event_loop(None)
        other = type(world.loop)()
        try:
            world.attempt(eval, line, names(world, other=other))
        finally:
            other.close()
    same(program)


@pytest.mark.parametrize("line", [line for line in CLOSED.split("\n")
                                  if line])
def test_a_closed_loop(line):
    def program(world):
        world.loop.close()
        before = state_of(world.loop)
        try:
            eval(line, names(world))
        except Exception as error:
            world.note("raised", type(error).__name__, error)
        world.note(before == state_of(world.loop))
    same(program)


def test_one_loop_for_all_of_a_primitive():
    """What has waited on one loop refuses another."""
    def program(world):
        other = type(world.loop)()
        for make, wait in ((world.k.Lock, "acquire"),
                           (world.k.Event, "wait"),
                           (world.k.Queue, "get"),
                           (lambda: world.k.Semaphore(0), "acquire"),
                           (lambda: world.k.Barrier(2), "wait")):
            made = make()

            async def use():
                if wait == "acquire" and not made.locked():
                    await made.acquire()
                await asyncio.wait_for(getattr(made, wait)(), 0.001)

            for loop in (world.loop, other):
                try:
                    loop.run_until_complete(use())
                except Exception as error:
                    world.note(type(error).__name__, error)
        other.close()
    same(program)
