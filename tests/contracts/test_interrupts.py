"""KeyboardInterrupt at any moment: the loop runs what was left.

What is scheduled here is C all through (list.append, native coroutines), so
an interrupt falls between two of them, or into the loop itself, and never
into one: each must be called once, and in order.
"""

import pytest

PROGRAM = """
import asyncio, random, signal, socket, sys
generator = random.Random(int(sys.argv[1]))
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
reported = []
loop.set_exception_handler(lambda loop, what: reported.append(what))
running = False
interrupts = 0

def interrupt(number, frame):
    if running:
        raise KeyboardInterrupt

def run():
    global running, interrupts
    signal.setitimer(signal.ITIMER_REAL, generator.uniform(1e-5, 5e-4))
    try:
        running = True
        loop.run_forever()
        running = False
    except KeyboardInterrupt:
        running = False
        interrupts += 1

signal.signal(signal.SIGALRM, interrupt)
called, threaded, timed, futures, tasks = [], [], [], [], []
queue = asyncio.Queue()
one, other = socket.socketpair()
one.setblocking(False)
other.setblocking(False)

for number in range(300):
    for _ in range(generator.randrange(1, 30)):
        loop.call_soon(called.append, number)
    loop.call_soon_threadsafe(threaded.append, number)
    loop.call_later(generator.uniform(0, 1e-3), timed.append, number)
    future = loop.create_future()
    future.add_done_callback(futures.append)
    loop.call_soon(future.set_result, number)
    tasks.append(loop.create_task(asyncio.sleep(generator.choice([0, 1e-4]))))
    tasks.append(loop.create_task(queue.get()))
    loop.call_soon(queue.put_nowait, number)
    tasks.append(loop.create_task(loop.sock_sendall(other, b"x")
                                  if number % 3 else asyncio.sleep(0)))
    tasks.append(loop.create_task(
        asyncio.wait_for(asyncio.sleep(0), generator.choice([None, 10]))))
    loop.call_later(generator.uniform(0, 3e-4), loop.stop)
    run()
signal.setitimer(signal.ITIMER_REAL, 0)
other.close()
for _ in range(1000):
    if all(task.done() for task in tasks) and len(timed) == 300:
        break
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
assert called == sorted(called), "order"
assert sorted(timed) == threaded == list(range(300)), (timed, threaded)
assert [future.result() for future in futures] == threaded
for task in tasks:
    assert task.done() and not task.cancelled(), task
    task.exception()
assert queue.empty()
interrupted = [task for task in tasks if task.exception()]
assert not interrupted, interrupted
assert not reported, reported
assert len(one.recv(1000)) == 200
loop.close()
print(interrupts > 20 or interrupts)
"""


@pytest.mark.parametrize("seed", range(3))
def test_interrupts(python, seed):
    program = "import ouro; ouro.install()\n" + PROGRAM
    done = python("-c", program, seed)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
