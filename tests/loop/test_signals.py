"""Signals, in the main thread of a process of their own where they kill."""

import asyncio
import ctypes
import os
import signal
import stat
import subprocess
import threading

import pytest

USR1 = signal.SIGUSR1


def kill(number=USR1):
    os.kill(os.getpid(), number)


def test_handlers(same):
    def program(loop, trace):
        loop.add_signal_handler(USR1, trace.append, "first")
        loop.add_signal_handler(USR1, trace.append, "second")
        loop.add_signal_handler(signal.SIGUSR2, loop.stop)
        trace.append(sorted(loop._signal_handlers))
        trace.append(callable(signal.getsignal(USR1)))
        loop.call_soon(kill)
        loop.call_later(0.02, kill, signal.SIGUSR2)
        loop.run_forever()
        trace.append((loop.remove_signal_handler(USR1),
                      loop.remove_signal_handler(USR1),
                      signal.getsignal(USR1)))
        loop.close()
        trace.append((signal.getsignal(signal.SIGUSR2),
                      signal.set_wakeup_fd(-1)))

    assert "second" in same(program)


def test_the_turn_of_a_handler(same):
    """The pair is read in one turn, the handler runs in the next."""
    def program(loop, trace):
        def turn(left):
            trace.append("turn")
            if left:
                loop.call_soon(turn, left - 1)
            else:
                loop.stop()

        loop.add_signal_handler(USR1, trace.append, "handler")
        kill()
        turn(4)
        loop.run_forever()

    assert "handler" in same(program)


def test_a_cancelled_handler_is_removed(same):
    def program(loop, trace):
        loop.add_signal_handler(USR1, trace.append, "never")
        loop._signal_handlers[USR1].cancel()
        loop.call_soon(kill)
        loop.call_later(0.02, loop.stop)
        loop.run_forever()
        trace.append(dict(loop._signal_handlers))

    assert same(program) == [{}]


def test_a_handler_that_fails(same):
    def program(loop, trace):
        def fail():
            loop.call_soon(loop.stop)
            int("x")
        loop.add_signal_handler(USR1, fail)
        loop.call_soon(kill)
        loop.run_forever()

    assert len(same(program)) == 1


def test_refused(same):
    def program(loop, trace):
        async def function():
            pass

        coro = function()
        for sig in ("x", None, 2.0, 0, -1, 1000, signal.SIGKILL,
                    signal.SIGSTOP):
            trace.errors(lambda: loop.add_signal_handler(sig, print),
                         lambda: loop.remove_signal_handler(sig))
        trace.errors(lambda: loop.add_signal_handler(USR1, function),
                     lambda: loop.add_signal_handler(USR1, coro))
        coro.close()
        trace.append(dict(loop._signal_handlers))

        def elsewhere():
            trace.errors(lambda: loop.add_signal_handler(USR1, print))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    same(program)


def test_the_cause_of_a_refusal(loop):
    with pytest.raises(RuntimeError) as caught:
        loop.add_signal_handler(signal.SIGKILL, print)
    assert isinstance(caught.value.__context__, OSError)


def test_removing_is_a_method(loop):
    removed = []
    loop.remove_signal_handler = removed.append
    loop._signal_handlers[USR1] = 5
    loop.close()
    assert removed == [USR1]


def test_python_handlers_run_every_turn(same):
    def program(loop, trace):
        def handler(number, frame):
            trace.append("python")
            loop.call_soon_threadsafe(loop.stop)

        old = signal.signal(USR1, handler)
        threading.Timer(0.02, kill).start()
        loop.call_later(20, loop.stop)
        loop.run_forever()

        def spin():
            if len(trace) < 2:
                loop.call_soon(spin)

        spin()
        threading.Timer(0.02, kill).start()
        loop.run_forever()
        signal.signal(USR1, old)

    assert same(program) == ["python", "python"]


class Raise:
    """Awaiting it raises a signal that nobody has handled when it yields."""

    def __await__(self):
        raise_signal = ctypes.PyDLL(None)["raise"]
        raise_signal.restype = None
        return map(raise_signal, [USR1])


def test_python_handlers_see_no_task_that_does_not_run(loop):
    """A signal that comes when a step of a task is over."""
    seen = []

    async def work():
        for _ in range(50):
            await Raise()

    def handler(number, frame):
        task = asyncio.current_task(loop)
        seen.append(task is None or task.get_coro().cr_running)

    old = signal.signal(USR1, handler)
    try:
        loop.run_until_complete(asyncio.wait(
            [loop.create_task(work()) for _ in range(3)]))
    finally:
        signal.signal(USR1, old)
    assert seen
    assert all(seen)


SCRIPT = """\
import asyncio, os, signal, threading
import ouro
async def main():
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        {body}
    except asyncio.CancelledError:
        print("cancelled")
        raise
with asyncio.Runner(loop_factory=ouro.Loop) as runner:
    try:
        runner.run(main())
    except KeyboardInterrupt:
        print("interrupted", runner.get_loop())
    print(runner.run(asyncio.sleep(0, "again")))
"""


@pytest.mark.parametrize("body, output", [
    ("await asyncio.sleep(30)", "cancelled\ninterrupted"),
    ("while True: await asyncio.sleep(0)", "cancelled\ninterrupted"),
    ("threading.Event().wait(30) and None; await asyncio.sleep(30)", None),
])
def test_ctrl_c(python, body, output):
    if output is None:
        body = body.replace("wait(30) and None", "wait(0.2)")
        output = "cancelled\ninterrupted"
    done = python("-c", SCRIPT.format(body=body))
    assert done.stdout.startswith(output), done
    assert done.stdout.endswith("again\n"), done


def test_ctrl_c_without_a_runner(python):
    script = """\
import os, signal, threading
import ouro
loop = ouro.Loop()
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
loop.call_later(20, print, "never")
try:
    loop.run_forever()
except KeyboardInterrupt:
    print("interrupted", loop)
loop.close()
"""
    done = python("-c", script)
    assert done.stdout == ("interrupted <Loop running=False closed=False "
                           "debug=False>\n")
    assert not done.stderr


def test_child_processes_wake_the_loop(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "exit 3")
        return await process.wait()

    assert loop.run_until_complete(main()) == 3


def test_the_descriptor_that_signals_wake(same):
    """There while a handler is; a socket that never blocks the program."""
    def program(loop, trace):
        trace.append(signal.set_wakeup_fd(-1))
        loop.add_signal_handler(USR1, print)
        fd = signal.set_wakeup_fd(-1)
        trace.append((stat.S_ISSOCK(os.fstat(fd).st_mode),
                      os.get_blocking(fd), os.get_inheritable(fd)))
        signal.set_wakeup_fd(fd)
        loop.add_signal_handler(signal.SIGUSR2, print)
        loop.remove_signal_handler(signal.SIGUSR2)
        trace.append(signal.set_wakeup_fd(fd) == fd)
        loop.remove_signal_handler(USR1)
        trace.append(signal.set_wakeup_fd(-1))

    assert same(program) == [-1, (True, False, False), True, -1]


def blocked_signals(thread="thread-self"):
    with open(f"/proc/{thread}/status") as status:
        return [line for line in status if line.startswith("SigBlk")][0]


def test_no_thread_blocks_signals(loop):
    """Children would inherit it."""
    others = os.listdir("/proc/self/task")      # (faulthandler has one)

    async def main():
        await loop.getaddrinfo("localhost", 80)
        child = await asyncio.to_thread(
            subprocess.run, ["grep", "SigBlk", "/proc/self/status"],
            stdout=subprocess.PIPE, text=True)
        masks = {child.stdout, await asyncio.to_thread(blocked_signals)}
        masks.update(blocked_signals(f"self/task/{thread}")
                     for thread in os.listdir("/proc/self/task")
                     if thread not in others)
        process = await asyncio.create_subprocess_exec(
            "grep", "SigBlk", "/proc/self/status", stdout=subprocess.PIPE)
        masks.add((await process.communicate())[0].decode())
        await loop.shutdown_default_executor()
        return masks

    assert loop.run_until_complete(main()) == {blocked_signals()}
