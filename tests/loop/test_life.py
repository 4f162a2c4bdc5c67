"""Birth, death, garbage, forks and the end of the interpreter."""

import asyncio
import gc
import os
import socket
import sys
import threading
import warnings
import weakref

import pytest

import ouro


def test_an_unclosed_loop_is_reported_and_freed():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = ouro.Loop()
        text = repr(loop)
        a, b = socket.socketpair()
        loop.add_reader(a, loop.stop)
        loop.call_later(100, loop.stop)
        loop.call_soon(loop.stop)
        loop.attribute = loop
        gone = weakref.ref(loop)
        del loop
        gc.collect()
    a.close()
    b.close()
    assert [str(each.message) for each in caught] == [
        f"unclosed event loop {text}"]
    assert caught[0].category is ResourceWarning
    del caught  # which holds the loop
    gc.collect()
    assert gone() is None


def test_a_closed_loop_is_freed_at_once():
    loop = ouro.Loop()
    loop.call_later(100, print)
    loop.call_soon(print)
    gone = weakref.ref(loop)
    loop.close()
    del loop
    assert gone() is None


def test_a_loop_in_its_own_tasks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = ouro.Loop()

        async def wait(fut):
            await fut

        fut = loop.create_future()
        fut.task = loop.create_task(wait(fut))
        fut.task._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0))
        gone = weakref.ref(loop)
        del loop, fut
        gc.collect()
    assert gone() is None


@pytest.mark.parametrize("armed", ["ready", "timer", "reader", "posted"])
def test_armed_means_rooted(loop, armed):
    class Callback:
        def __call__(self):
            pass

    callback = Callback()
    seen = weakref.ref(callback)
    a, b = socket.socketpair()
    with a, b:
        if armed == "ready":
            loop.call_soon(callback)
        elif armed == "timer":
            loop.call_later(100, callback)
        elif armed == "reader":
            loop.add_reader(a, callback)
        else:
            loop.call_soon_threadsafe(callback)
        del callback
        gc.collect()
        assert seen() is not None
        loop.close()
    gc.collect()
    assert seen() is None


def test_descriptors_are_given_back():
    def count():
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for _ in range(20):
        loop = ouro.Loop()
        loop.add_signal_handler(10, print)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert count() == before


def test_collection_while_it_runs(loop):
    """The collector sees every reference that the engine owns, once."""
    async def child(n):
        await asyncio.sleep(0.001 * (n % 5))
        gc.collect()

    async def main():
        a, b = socket.socketpair()
        with a, b:
            a.setblocking(False)
            loop.add_reader(a, lambda: a.recv(100))
            loop.add_writer(b, lambda: (b.send(b"x"), gc.collect(),
                                        loop.remove_writer(b)))
            thread = threading.Thread(target=lambda: [
                loop.call_soon_threadsafe(gc.collect) for _ in range(20)])
            thread.start()
            for _ in range(20):
                loop.call_soon(gc.collect)
                loop.call_later(0.001, gc.collect)
            await asyncio.gather(*(child(n) for n in range(20)))
            thread.join()
            loop.remove_reader(a)

    loop.run_until_complete(main())


@pytest.mark.parametrize("read", ["_ready", "_scheduled", "_selector"])
def test_collection_of_queues_in_python(read):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = ouro.Loop()
        loop.call_soon(loop.stop)
        loop.call_later(100, loop.stop)
        loop.create_task(asyncio.sleep(0))
        getattr(loop, read)
        gone = weakref.ref(loop)
        del loop
        gc.collect()
    assert gone() is None


def test_a_resurrected_loop():
    saved = []

    class Loop(ouro.Loop):
        def __del__(self):
            saved.append(self)

    loop = Loop()
    del loop
    loop = saved.pop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert not saved


def test_fork(loop):
    """The child leaves the parent's descriptors alone, and has loops of its
    own."""
    a, b = socket.socketpair()
    got = []
    loop.add_reader(a, lambda: got.append(a.recv(9)))
    loop.add_signal_handler(10, got.append, "signal")
    loop.call_soon(print, "not in the child")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            loop.remove_reader(a)
            loop.call_soon_threadsafe(print)
            loop.close()
            with asyncio.Runner(loop_factory=ouro.Loop) as runner:
                status = runner.run(asyncio.sleep(0, 7))
        finally:
            os._exit(status)
    loop._ready.clear()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    b.send(b"x")
    os.kill(os.getpid(), 10)
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert sorted(map(str, got)) == ["b'x'", "signal"]
    a.close()
    b.close()


def test_fork_inside_a_running_loop(python):
    script = """\
import asyncio, os, signal
import ouro
async def child():
    await asyncio.sleep(0)
    return 7
async def main():
    asyncio.get_running_loop().add_signal_handler(10, print)
    pid = os.fork()
    if pid == 0:
        assert signal.set_wakeup_fd(-1) == -1
        assert asyncio._get_running_loop() is None
        loop = ouro.Loop()
        os._exit(loop.run_until_complete(child()))
    await asyncio.sleep(0.01)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
with asyncio.Runner(loop_factory=ouro.Loop) as runner:
    print(runner.run(main()))
"""
    done = python("-W", "ignore", "-c", script)
    assert done.stdout == "7\n", done


@pytest.mark.parametrize("script", [
    "loop.call_later(60, print)",
    "loop.create_task(asyncio.sleep(60)); once()",
    "loop.run_in_executor(None, time.sleep, 0.1)",
    "threading.Thread(target=loop.run_forever, daemon=True).start(); "
    "time.sleep(0.05)",
    "loop.add_signal_handler(10, print); loop.cycle = loop",
    "sys.modules['keep'] = loop; loop.call_soon(print)",
    "loop._ready; loop._scheduled; loop._selector; loop.call_soon(print)",
    "once(); loop.close(); del loop, ouro; import gc; gc.collect()",
    "h = loop.call_soon(print); del sys.modules['ouro._ouro'], loop, ouro",
])
def test_the_end_of_the_interpreter(python, script):
    start = """\
import asyncio, sys, threading, time, warnings
warnings.simplefilter("ignore")
import ouro
loop = ouro.Loop()
def once():
    loop.call_soon(loop.stop)
    loop.run_forever()
"""
    done = python("-c", start + script)
    assert done.returncode == 0, done
    assert "Fatal" not in done.stderr and "Error" not in done.stderr, done


def test_threads_that_run_on_while_it_closes():
    loop = ouro.Loop()
    refused = []

    def elsewhere():
        try:
            while True:
                loop.call_soon_threadsafe(int)
        except RuntimeError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=elsewhere, daemon=True)
               for _ in range(3)]
    for thread in threads:
        thread.start()
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    for thread in threads:
        thread.join(100)
    assert refused == ["Event loop is closed"] * 3


def test_subclass_layouts():
    class Slots(ouro.Loop):
        __slots__ = ("extra",)

    class Mixed(ouro.Loop, dict if False else object):
        pass

    for kind in Slots, Mixed:
        loop = kind()
        loop.extra = 5
        assert weakref.ref(loop)() is loop
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert sys.getsizeof(ouro.Loop.__new__(ouro.Loop)) < 4096


def test_the_loop_is_one_of_asyncios_kind():
    """Programs ask for these classes before they reach for private names."""
    for kind in (asyncio.AbstractEventLoop, asyncio.BaseEventLoop,
                 asyncio.selector_events.BaseSelectorEventLoop):
        assert issubclass(ouro.Loop, kind)
