"""The interpreter ends while things are under way: it must not crash, lose
what was written, or hang.  The same as with asyncio, that is."""

import pytest

TASKS = """\
import asyncio
async def forever():
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        print("ended")
"""

PENDING = {
    "a task, its loop stopped": TASKS + """
loop = asyncio.new_event_loop()
task = loop.create_task(forever())
loop.call_soon(loop.stop)
loop.run_forever()
""",
    "a task in a cycle": TASKS + """
loop = asyncio.new_event_loop()
task = loop.create_task(forever())
task.own = loop.own = task
loop.call_soon(loop.stop)
loop.run_forever()
""",
    "a task that never started": TASKS + """
loop = asyncio.new_event_loop()
task = loop.create_task(forever())
""",
    "tasks cancelled by run()": TASKS + """
async def main():
    global tasks
    tasks = [asyncio.create_task(forever()) for _ in range(3)]
    await asyncio.sleep(0)
asyncio.run(main())
""",
    "gather, wait and wait_for": TASKS + """
loop = asyncio.new_event_loop()
async def main():
    async with asyncio.timeout(1000):
        await asyncio.wait_for(asyncio.gather(forever(), asyncio.shield(
            asyncio.ensure_future(forever()))), 100)
task = loop.create_task(main())
for _ in range(10):
    loop.call_soon(loop.stop)
    loop.run_forever()
""",
    "timers and handles": """
import asyncio
loop = asyncio.new_event_loop()
handles = [loop.call_later(n, print) for n in range(1, 100)]
handles += [loop.call_soon(print), loop.call_soon_threadsafe(print)]
""",
    "futures with callbacks": """
import asyncio
loop = asyncio.new_event_loop()
future = loop.create_future()
future.add_done_callback(print)
future.own = future
other = loop.create_future()
other.set_exception(ValueError("unseen"))
other.exception()
""",
    "locks and queues": """
import asyncio
loop = asyncio.new_event_loop()
async def main():
    lock, queue, event = asyncio.Lock(), asyncio.Queue(), asyncio.Event()
    await lock.acquire()
    global waiting
    waiting = [asyncio.create_task(what)
               for what in (lock.acquire(), queue.get(), event.wait())]
    await asyncio.sleep(0)
loop.run_until_complete(main())
""",
    "an asynchronous generator": """
import asyncio
loop = asyncio.new_event_loop()
async def numbers():
    try:
        yield 1
        yield 2
    finally:
        print("closed")
async def main():
    global generator
    generator = numbers()
    print(await generator.__anext__())
loop.run_until_complete(main())
""",
}


@pytest.mark.parametrize("what", PENDING)
def test_pending(both, what):
    both(PENDING[what])


@pytest.mark.parametrize("what", PENDING)
def test_pending_in_debug_mode(both, what):
    both(PENDING[what], "-X", "dev")


TRANSPORTS = """\
import asyncio, socket
class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def connection_lost(self, error):
        print("lost", error)
loop = asyncio.new_event_loop()
one, other = socket.socketpair()
"""

OPEN = {
    "a transport": TRANSPORTS + """
kept = loop.run_until_complete(
    loop.create_connection(Protocol, sock=one))
""",
    "a transport with data to be written": TRANSPORTS + """
other.setblocking(False)
transport, protocol = loop.run_until_complete(
    loop.create_connection(Protocol, sock=one))
async def main():
    transport.write(b"x" * 10_000_000)
loop.run_until_complete(main())
""",
    "a closing transport": TRANSPORTS + """
transport, protocol = loop.run_until_complete(
    loop.create_connection(Protocol, sock=one))
transport.close()
""",
    "a server and its connections": TRANSPORTS + """
async def main():
    server = await loop.create_server(Protocol, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    client = await loop.create_connection(Protocol, *address)
    await asyncio.sleep(0.01)
    return server, client
kept = loop.run_until_complete(main())
""",
    "streams, a task reading": TRANSPORTS + """
async def main():
    reader, writer = await asyncio.open_connection(sock=one)
    global task
    task = asyncio.create_task(reader.readline())
    await asyncio.sleep(0)
loop.run_until_complete(main())
""",
    "a stream server's handler": TRANSPORTS + """
async def handle(reader, writer):
    print("accepted")
    await reader.read()
async def main():
    global server, client
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = await asyncio.open_connection(*server.sockets[0].getsockname())
    await asyncio.sleep(0.01)
loop.run_until_complete(main())
""",
    "watched descriptors": TRANSPORTS + """
loop.add_reader(one, print)
loop.add_writer(other, print)
one.close()
""",
    "a signal handler": TRANSPORTS + """
import signal
loop.add_signal_handler(signal.SIGUSR1, print)
""",
}


@pytest.mark.parametrize("what", OPEN)
def test_open(both, what):
    both(OPEN[what])


@pytest.mark.parametrize("what", OPEN)
def test_open_and_immortal(both, what):
    """Held by something that the interpreter does not clear."""
    both(OPEN[what] + "import sys; sys.modules['kept'] = globals()\n"
         "import builtins; builtins.loop = loop\n")


THREADS = {
    "a daemon thread that runs a loop": """
import asyncio, threading, time
loop = asyncio.new_event_loop()
async def ticks():
    while True:
        await asyncio.sleep(0.0001)
def run():
    asyncio.set_event_loop(loop)
    loop.run_until_complete(ticks())
threading.Thread(target=run, daemon=True).start()
time.sleep(0.05)
print("end")
""",
    "daemon threads that wake a loop": """
import asyncio, threading
loop = asyncio.new_event_loop()
def wake():
    while True:
        loop.call_soon_threadsafe(int)
for _ in range(4):
    threading.Thread(target=wake, daemon=True).start()
loop.call_later(0.05, loop.stop)
loop.run_forever()
print("end")
""",
    "a daemon thread that waits for a coroutine": """
import asyncio, threading
loop = asyncio.new_event_loop()
def call():
    asyncio.run_coroutine_threadsafe(asyncio.sleep(1000), loop).result()
threading.Thread(target=call, daemon=True).start()
loop.call_later(0.05, loop.stop)
loop.run_forever()
print("end")
""",
    "a loop that waits for ever in a daemon thread": """
import asyncio, threading, time
threading.Thread(target=asyncio.new_event_loop().run_forever,
                 daemon=True).start()
time.sleep(0.02)
print("end")
""",
    "an executor at work": """
import asyncio, time
loop = asyncio.new_event_loop()
def work():
    time.sleep(0.05)
    print("worked")
future = loop.run_in_executor(None, work)
loop.call_soon(loop.stop)
loop.run_forever()
""",
    "an executor at work, the loop closed": """
import asyncio, time
loop = asyncio.new_event_loop()
def work():
    time.sleep(0.05)
    print("worked")
future = loop.run_in_executor(None, work)
loop.close()
""",
    "to_thread, the program left by an exception": """
import asyncio, sys, time
begun = []
def work():
    begun.append(1)
    time.sleep(0.05)
    print("worked")
async def main():
    asyncio.create_task(asyncio.to_thread(work))
    while not begun:
        await asyncio.sleep(0.001)
    sys.exit(3)
asyncio.run(main())
""",
    "a thread that ends after the loop": """
import asyncio, threading, time
async def main():
    loop = asyncio.get_running_loop()
    def late():
        time.sleep(0.05)
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            print(error)
    threading.Thread(target=late).start()
asyncio.run(main())
""",
    "a queue filled from a thread": """
import asyncio, threading
loop = asyncio.new_event_loop()
def fill():
    while True:
        loop.call_soon_threadsafe(list, range(100))
threading.Thread(target=fill, daemon=True).start()
""",
}


@pytest.mark.parametrize("what", THREADS)
def test_threads(both, what):
    both(THREADS[what])


ENDS = {
    "exit in a task": """
import asyncio, sys
async def main():
    asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    sys.exit(7)
asyncio.run(main())
""",
    "exit in a callback": """
import asyncio, sys
loop = asyncio.new_event_loop()
loop.call_soon(sys.exit, "message")
loop.create_task(asyncio.sleep(1000))
loop.run_forever()
""",
    "_exit in a task": """
import asyncio, os
async def main():
    print("before", flush=True)
    os._exit(5)
asyncio.run(main())
""",
    "an exception": """
import asyncio
async def main():
    await asyncio.sleep(0)
    raise SystemExit
asyncio.run(main())
""",
    "run() at exit": """
import asyncio, atexit
async def main(n):
    await asyncio.sleep(0)
    print("run", n)
atexit.register(lambda: asyncio.run(main(2)))
asyncio.run(main(1))
""",
    "run() in a finalizer": """
import asyncio, sys
class Late:
    def __del__(self):
        try:
            loop = asyncio.new_event_loop()
            print(loop.run_until_complete(asyncio.sleep(0, "late")))
            loop.close()
        except BaseException as error:
            print(type(error).__name__)
late = Late()
""",
    "a future that outlives its loop": """
import asyncio
def make():
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.set_result(1)
    loop.close()
    return future
future = make()
print(future.result(), future.get_loop().is_closed())
""",
    "an exception nobody has seen": """
import asyncio, logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
loop = asyncio.new_event_loop()
future = loop.create_future()
future.set_exception(ValueError("unseen"))
del future
""",
}


@pytest.mark.parametrize("what", ENDS)
def test_ends(both, what):
    both(ENDS[what])


def test_loop_in_a_module_that_is_cleared(both):
    """Objects of ours are called while the extension is being cleared."""
    both("""
        import asyncio, sys, types
        module = types.ModuleType("kept")
        sys.modules["kept"] = module
        class Last:
            def __init__(self, loop):
                self.loop = loop
                self.future = loop.create_future()
                self.handle = loop.call_later(1000, print)
            def __del__(self):
                repr(self.future), repr(self.handle), repr(self.loop)
                self.handle.cancel()
                self.future.cancel()
        module.last = Last(asyncio.new_event_loop())
        module.last.own = module.last
        """)


def test_unclosed_loop_is_reported(both):
    """ResourceWarning, as asyncio gives it."""
    result = both("""
        import asyncio, gc, warnings
        warnings.simplefilter("always")
        with warnings.catch_warnings(record=True) as caught:
            loop = asyncio.new_event_loop()
            del loop
            gc.collect()
        print([item.category.__name__ for item in caught])
        """)
    assert "ResourceWarning" in result.stdout
