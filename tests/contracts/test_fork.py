"""fork(): in the child the parent's loop is dead, and a new one works; the
parent notices nothing."""

import sys

import pytest


def test_child_runs_a_loop_of_its_own(both):
    both("""
        import asyncio, os
        async def child():
            await asyncio.sleep(0.001)
            return await asyncio.to_thread(os.getpid) == os.getpid()
        async def main():
            await asyncio.sleep(0)
            if not os.fork():
                asyncio.events._set_running_loop(None)
                asyncio._enter_task = None
                os._exit(0 if asyncio.new_event_loop().run_until_complete(
                    asyncio.sleep(0, True)) else 1)
            print(os.wait()[1])
            await asyncio.sleep(0.01)
            print(await child())
        asyncio.run(main())
        """)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio's since 3.12")
def test_no_loop_runs_in_the_child(both):
    both("""
        import asyncio, os
        async def main():
            if not os.fork():
                try:
                    asyncio.get_running_loop()
                except RuntimeError:
                    os._exit(9)
                os._exit(1)
            print(os.waitstatus_to_exitcode(os.wait()[1]))
        asyncio.run(main())
        """)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio's since 3.12")
@pytest.mark.skipif(sys.version_info >= (3, 16), reason="no policies")
def test_no_loop_of_the_policy_in_the_child(both):
    both("""
        import asyncio, os
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        if not os.fork():
            local = asyncio.events._event_loop_policy._local
            os._exit(9 if local._loop is None else 1)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        loop.close()
        """, "-W", "ignore")


def test_signals_of_the_child_are_its_own(python):
    """They do not wake the parent's loop (with asyncio, since 3.12)."""
    program = """
import asyncio, os, signal

async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, print, "handled")
    if not os.fork():
        known = signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os._exit(9 if known == -1 else 1)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    loop.add_signal_handler(signal.SIGUSR2, loop.stop)
    os.kill(os.getpid(), signal.SIGUSR2)
    try:
        await asyncio.sleep(60)
    finally:
        print("woken")

try:
    asyncio.run(main())
except RuntimeError as error:
    print(error)
"""
    result = python("-m", "ouro", "-c", program)
    assert result.stdout.splitlines()[:2] == ["9", "woken"], result


def test_what_the_child_does_is_not_seen_by_the_parent(both):
    """Unwatching and closing in the child must not reach the kernel's set,
    which the two share."""
    both("""
        import asyncio, os, socket
        loop = asyncio.new_event_loop()
        one, other = socket.socketpair()
        got = []
        def readable():
            got.append(one.recv(10))
            loop.stop()
        loop.add_reader(one, readable)
        loop.call_soon(loop.stop)
        loop.run_forever()
        if not os.fork():
            loop.close()
            del loop
            os._exit(0)
        print(os.wait()[1])
        other.send(b"x")
        loop.call_later(5, loop.stop)
        loop.run_forever()
        print(got)
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        """)


def test_a_loop_of_the_parent_runs_in_the_child(both):
    """One that does not run at the fork."""
    both("""
        import asyncio, os, socket
        loop = asyncio.new_event_loop()
        early = loop.create_task(asyncio.sleep(0.001, "early"))
        loop.run_until_complete(asyncio.sleep(0))
        async def main(name):
            one, other = socket.socketpair()
            one.setblocking(False)
            receiving = loop.create_task(loop.sock_recv(one, 5))
            await asyncio.sleep(0)
            other.send(b"hello")
            print(name, await early, await receiving)
            done = loop.create_future()
            loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(
                done.set_result, "woken"))
            print(await done, flush=True)
            one.close()
            other.close()
        child = os.fork()
        if not child:
            loop.run_until_complete(main("child"))
            loop.close()
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        loop.run_until_complete(main("parent"))
        loop.close()
        """, "-W", "ignore")


def test_what_the_child_runs_is_not_seen_by_the_parent(python):
    """(With asyncio they share the kernel's set.)"""
    result = python("-W", "ignore", "-m", "ouro", "-c", """
import asyncio, os, socket
loop = asyncio.new_event_loop()
one, other = socket.socketpair()
one.setblocking(False)
def read():
    print(name, one.recv(9), flush=True)
    loop.stop()
name = "parent"
loop.add_reader(one, read)
loop.call_soon(loop.stop)
loop.run_forever()
if not os.fork():
    name = "child"
    other.send(b"x")
    loop.call_later(20, loop.stop)
    loop.run_forever()
    loop.remove_reader(one)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    os._exit(0)
os.wait()
other.send(b"y")
loop.call_later(20, loop.stop)
loop.run_forever()
loop.close()
""")
    assert result.stdout == "child b'x'\nparent b'y'\n", result


def test_transports_of_the_parent_live_on(python, tmp_path):
    """(asyncio's do not: the child's clean-up silences the socket.)"""
    program = tmp_path / "program.py"
    program.write_text("""\
import asyncio, gc, os, socket
one, other = socket.socketpair()
async def main():
    reader, writer = await asyncio.open_connection(sock=one)
    writer.write(b"before ")
    if not os.fork():
        del reader, writer
        gc.collect()
        os._exit(0)
    os.wait()
    writer.write(b"after")
    await writer.drain()
    await asyncio.sleep(0.01)
    other.setblocking(False)
    print(other.recv(100))
    other.send(b"line\\n")
    print(await reader.readline())
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
""")
    result = python("-m", "ouro", program)
    assert result.stdout == "b'before after'\nb'line\\n'\n", result.stderr


def test_what_was_written_is_written_once(both):
    """Neither held back by the fork nor sent by both."""
    both("""
        import asyncio, os, socket, time
        one, other = socket.socketpair()
        async def main():
            reader, writer = await asyncio.open_connection(sock=one)
            writer.write(b"once")
            if not os.fork():
                other.setblocking(False)
                print(other.recv(100), flush=True)
                os._exit(0)
            os.wait()
            await asyncio.sleep(0.01)
            other.setblocking(False)
            try:
                print(other.recv(100))
            except BlockingIOError:
                print("nothing more")
            writer.close()
        asyncio.run(main())
        """)


def test_fork_from_a_thread_while_the_loop_runs(both):
    both("""
        import asyncio, os
        def fork():
            for _ in range(20):
                child = os.fork()
                if not child:
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        async def busy():
            while True:
                await asyncio.sleep(0)
        async def main():
            task = asyncio.create_task(busy())
            await asyncio.to_thread(fork)
            task.cancel()
            print("done")
        asyncio.run(main())
        """, "-W", "ignore")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(both, method):
    both(f"""
        import asyncio, multiprocessing
        async def job(n):
            await asyncio.sleep(0.001)
            return n * n
        def work(n):
            return asyncio.run(job(n))
        async def main():
            await asyncio.sleep(0)
            with multiprocessing.get_context("{method}").Pool(2) as pool:
                print(await asyncio.to_thread(pool.map, work, range(5)))
        if __name__ == "__main__":
            asyncio.run(main())
        """, "-W", "ignore")


def test_process_pool(both):
    both("""
        import asyncio, concurrent.futures, multiprocessing
        def square(n):
            return n * n
        async def main():
            loop = asyncio.get_running_loop()
            context = multiprocessing.get_context("fork")
            with concurrent.futures.ProcessPoolExecutor(
                    2, mp_context=context) as pool:
                print(await asyncio.gather(*(
                    loop.run_in_executor(pool, square, n)
                    for n in range(10))))
        if __name__ == "__main__":
            asyncio.run(main())
        """, "-W", "ignore")


def test_subprocess_closes_descriptors(both):
    """None of the loop's descriptors is inherited."""
    both("""
        import asyncio, os, subprocess, sys
        async def main():
            await asyncio.sleep(0.001)
            asyncio.get_running_loop().add_signal_handler(10, print)
            code = "import os; print(len(os.listdir('/proc/self/fd')))"
            print(subprocess.run([sys.executable, "-c", code],
                                 close_fds=False, stdout=subprocess.PIPE)
                  .stdout)
        asyncio.run(main())
        """)
