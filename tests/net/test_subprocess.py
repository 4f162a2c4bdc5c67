"""Child processes: transport and protocol, compared with asyncio's."""

import asyncio
import contextvars
import gc
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
import weakref

import pytest
from networlds import (
    WORLDS,
    StockLoop,
    forget_watcher,
    in_all_worlds,
    run,
    until,
)

import ouro

PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT


class Recorder(asyncio.SubprocessProtocol):
    """A protocol that logs what it is told."""

    def __init__(self, log, **raises):
        self.log = log
        self.raises = raises
        self.loop = asyncio.get_running_loop()
        self.lost = self.loop.create_future()
        self.output = {1: bytearray(), 2: bytearray()}
        self.transport = None

    def _note(self, what, *details):
        self.log.append((what, *details))
        if what in self.raises:
            raise self.raises[what]

    def connection_made(self, transport):
        self.transport = transport
        self._note("made", type(transport.get_pid()))

    def pipe_data_received(self, fd, data):
        self.output[fd] += data
        if not self.log or self.log[-1] != ("data", fd):
            self._note("data", fd)

    def pipe_connection_lost(self, fd, exc):
        self._note("pipe lost", fd, type(exc).__name__)

    def process_exited(self):
        self._note("exited", self.transport.get_returncode())

    def connection_lost(self, exc):
        if not self.lost.done():
            self.lost.set_result(exc)
        self._note("lost", exc)


async def shell(loop, log, command, raises=None, **options):
    protocol = Recorder(log, **(raises or {}))
    transport, got = await loop.subprocess_shell(
        lambda: protocol, command, **options)
    assert got is protocol and protocol.transport is transport
    return transport, protocol


def normal(entry):
    """An entry of the log without what differs from run to run."""
    text = re.sub(r"pid=\d+", "pid=N", repr(entry))
    return re.sub(r"fd=\d+ ", "", text).replace(
        "BaseSubprocessTransport", "_UnixSubprocessTransport")


def same_in_any_order(scenario):
    """Which of a child's pipes and its exit comes first is the kernel's."""
    def ordered(new_loop):
        return sorted(map(normal, run(new_loop, scenario)))
    assert ordered(ouro.Loop) == ordered(StockLoop)
    assert ordered(WORLDS["subclass"]) == ordered(StockLoop)


def in_any_order(scenario):
    """Decorator: a test of a scenario that is compared so."""
    def test():
        same_in_any_order(scenario)
    test.__name__ = test.__qualname__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    return test


@pytest.fixture(autouse=True)
def no_watcher():
    forget_watcher()
    yield
    forget_watcher()


# ---- the transport ----------------------------------------------------------

@in_any_order
async def test_output(loop, log):
    transport, protocol = await shell(
        loop, log, "read line; echo $line; read line; exit 5",
        stderr=DEVNULL)
    log.append((transport.get_returncode(), transport.is_closing(),
                transport.get_protocol() is protocol,
                transport.get_pipe_transport(2),
                transport.get_pipe_transport(7),
                type(transport.get_extra_info("subprocess")),
                sorted(transport._pipes), transport._finished))
    stdin = transport.get_pipe_transport(0)
    stdin.write(b"hello\n")
    await until(lambda: protocol.output[1])
    stdin.close()
    await protocol.lost
    log.append((bytes(protocol.output[1]), transport.get_returncode(),
                transport._loop, transport._proc, transport._protocol))
    transport.close()
    for method in [transport.kill, transport.terminate,
                   lambda: transport.send_signal(1)]:
        with pytest.raises(ProcessLookupError):
            method()
    log.append(await transport._wait())


@in_any_order      # it may have ended before it is waited for
async def test_no_pipes(loop, log):
    transport, protocol = await shell(loop, log, "exit 3", stdin=None,
                                      stdout=None, stderr=None)
    log.append(await transport._wait())
    await protocol.lost
    transport.close()


@in_any_order
async def test_stderr_to_stdout(loop, log):
    transport, protocol = await shell(loop, log, "echo x >&2; exec cat",
                                      stderr=STDOUT)
    await until(lambda: protocol.output[1])
    log.append((transport.get_pipe_transport(2), bytes(protocol.output[1])))
    transport.get_pipe_transport(0).close()
    await protocol.lost
    transport.close()


@pytest.mark.parametrize("how", ["kill", "terminate", "send_signal", "close"])
def test_signals(how):
    async def scenario(loop, log):
        transport, protocol = await shell(loop, log, "exec sleep 1000",
                                          stdin=None, stdout=None,
                                          stderr=None)
        log.append(getattr(transport, how)(
            *([signal.SIGHUP] if how == "send_signal" else [])))
        log.append(await transport._wait())
        await protocol.lost
        transport.close()
        log.append(transport.is_closing())
    same_in_any_order(scenario)


@in_any_order
async def test_exec(loop, log):
    protocol = Recorder(log)
    transport, _ = await loop.subprocess_exec(
        lambda: protocol, sys.executable, "-c",
        "import os, sys; print(os.getcwd(), os.environ.get('X'), sys.argv)",
        "one", b"two", cwd="/", env={"X": "y"}, stdin=None)
    await protocol.lost
    log.append(bytes(protocol.output[1]))
    transport.close()


@in_any_order
async def test_much_output(loop, log):
    transport, protocol = await shell(
        loop, log, "head -c 3000000 /dev/zero", stdin=None, stderr=None)
    await protocol.lost
    log.append(len(protocol.output[1]))
    transport.close()


@in_all_worlds
async def test_bad_arguments(loop, log):
    def factory():
        return Recorder(log)
    for options in [{"universal_newlines": True}, {"shell": False},
                    {"bufsize": 4096}, {"text": True}, {"encoding": "utf8"},
                    {"errors": "strict"}, {"no_such": 1}]:
        with pytest.raises((ValueError, TypeError)) as caught:
            await loop.subprocess_shell(factory, "true", **options)
        log.append((type(caught.value), str(caught.value)))
    for options in [{"shell": True}, {"universal_newlines": 1},
                    {"bufsize": 1}, {"text": 1}, {"encoding": ""},
                    {"errors": ""}]:
        with pytest.raises(ValueError) as caught:
            await loop.subprocess_exec(factory, "true", **options)
        log.append(str(caught.value))
    for call in [lambda: loop.subprocess_shell(factory, ["true"]),
                 lambda: loop.subprocess_shell(factory),
                 lambda: loop.subprocess_exec(factory),
                 lambda: loop.subprocess_shell(factory, "true", 1),
                 lambda: loop.subprocess_exec(lambda: 1 / 0, "true"),
                 lambda: loop.subprocess_exec(factory, None),
                 lambda: loop.subprocess_exec(factory, "/no/such/program"),
                 lambda: loop.subprocess_exec(factory, "/")]:
        with pytest.raises(Exception) as caught:
            await call()
        log.append((type(caught.value), str(caught.value)))


@pytest.mark.parametrize("what", ["made", "data", "pipe lost", "exited",
                                  "lost"])
def test_protocol_raises(what):
    async def scenario(loop, log):
        errors = {what: ZeroDivisionError("x")}
        transport, protocol = await shell(
            loop, log, "echo x", raises=errors, stdin=None, stderr=None)
        await protocol.lost
        await until(lambda: transport._loop is None)
        transport.close()
    same_in_any_order(scenario)


@in_any_order
async def test_cancelled_start(loop, log):
    protocol = Recorder(log)
    task = loop.create_task(loop.subprocess_shell(
        lambda: protocol, "exec sleep 1000", stdin=None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await protocol.lost


def test_unclosed():
    async def scenario(loop, log):
        transport, protocol = await shell(loop, log, "true", stdin=None,
                                          stdout=None, stderr=None)
        await protocol.lost
        protocol.transport = None
        del transport
        gc.collect()
    assert ("warned", "unclosed") in run(ouro.Loop, scenario)


@in_any_order
async def test_contexts(loop, log):
    """What the protocol is told is told in the maker's context."""
    told = []
    var = contextvars.ContextVar("var", default="none")

    class Protocol(Recorder):
        def _note(self, what, *details):
            told.append((what, var.get()))
    protocol = Protocol(log)
    var.set("maker")
    transport, _ = await loop.subprocess_shell(
        lambda: protocol, "read line; echo $line", stderr=None)
    var.set("later")
    transport.get_pipe_transport(0).write(b"x\n")
    await until(lambda: protocol.output[1])
    await transport._wait()
    await protocol.lost
    # (asyncio 3.11 tells of the exit from a thread, in no context.)
    log += [each for each in told
            if each[0] not in ("exited", "lost", "pipe lost")]
    transport.close()


def without_pid(text, transport):
    text = text.replace(str(transport.get_pid()), "PID")
    for fd in range(3):
        pipe = transport.get_pipe_transport(fd)
        if pipe is not None:
            text = text.replace(f"fd={pipe._fileno} ", "")
    return text


@in_any_order
async def test_reprs(loop, log):
    transport, protocol = await shell(loop, log, "read x; exit 4")
    log.append(without_pid(repr(transport), transport))
    log.append(without_pid(repr(transport._pipes[0]), transport))
    log.append(without_pid(repr(transport._pipes[1]), transport))
    transport.get_pipe_transport(0).write(b"\n")
    await protocol.lost
    transport.close()
    log.append(without_pid(repr(transport), transport))


# ---- exits ------------------------------------------------------------------

@pytest.mark.parametrize("world", list(WORLDS))
def test_many(world):
    async def main(loop):
        started = await asyncio.gather(*(
            shell(loop, [], f"exit {number}", stdin=None, stdout=None,
                  stderr=None) for number in range(100)))
        codes = await asyncio.gather(*(transport._wait()
                                       for transport, _ in started))
        assert codes == list(range(100))
        for transport, _ in started:
            transport.close()
    loop = WORLDS[world]()
    loop.run_until_complete(main(loop))
    loop.close()


def test_reaped_elsewhere(caplog):
    async def scenario(loop, log):
        transport, protocol = await shell(loop, log, "exec cat", stderr=None)
        pid = transport.get_pid()
        os.kill(pid, signal.SIGKILL)
        # Either this or the loop's (or its thread's) is first.
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            log.append("too late")
        log.append(await transport._wait())
        transport.close()
    log = run(ouro.Loop, scenario)
    assert 255 in log
    assert any(entry[0] == "logged" and "will report returncode 255"
               in entry[1] for entry in log if isinstance(entry, tuple))


REAPING = {
    "kill": lambda transport: transport.kill(),
    "terminate": lambda transport: transport.terminate(),
    "signal": lambda transport: transport.send_signal(signal.SIGINT),
    "close": lambda transport: transport.close(),
    "poll": lambda transport: transport.get_extra_info("subprocess").poll(),
}


@pytest.mark.parametrize("how", list(REAPING))
@pytest.mark.parametrize("world", list(WORLDS))
def test_reaped_by_popen(world, how):
    """Popen reaps a child that has ended before it would signal it."""
    async def scenario(loop, log):
        read, write = os.pipe()
        transport, _ = await shell(loop, [], "read line; exit 3", stdin=read,
                                   stdout=None, stderr=None)
        os.close(read)
        os.close(write)
        os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
        REAPING[how](transport)
        assert await transport._wait() == 3
        assert transport.get_returncode() == 3
        transport.close()
    assert not [entry for entry in run(WORLDS[world], scenario)
                if entry[0] == "logged"]


def test_users_sigchld():
    """The user's handler is called, and stays."""
    calls = []

    def handler(*_):
        calls.append(1)
    before = signal.signal(signal.SIGCHLD, handler)
    try:
        async def main(loop):
            transport, protocol = await shell(loop, [], "exit 2", stdin=None)
            assert await transport._wait() == 2
            transport.close()
        loop = ouro.Loop()
        loop.run_until_complete(main(loop))
        loop.close()
        assert calls
        assert signal.getsignal(signal.SIGCHLD) is handler
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_sigchld_ignored():
    """The kernel reaps by itself: nobody knows the status."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        async def scenario(loop, log):
            transport, _ = await shell(loop, [], "exit 2", stdin=None,
                                       stdout=None, stderr=None)
            log.append(await transport._wait())
            transport.close()
        assert 255 in run(ouro.Loop, scenario)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("world", list(WORLDS))
def test_not_in_the_main_thread(world):
    done = []

    def work():
        async def main(loop):
            transport, _ = await shell(loop, [], "exit 6", stdin=None)
            done.append(await transport._wait())
            transport.close()
        loop = WORLDS[world]()
        loop.run_until_complete(main(loop))
        loop.close()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert done == [6]


@pytest.mark.parametrize("world", list(WORLDS))
def test_loop_closed_with_live_child(world):
    loop = WORLDS[world]()
    transport, protocol = loop.run_until_complete(start_sleep(loop))
    before = set(os.listdir("/proc/self/fd"))
    loop.close()
    transport.close()
    proc = transport._proc
    assert proc.wait(30) == -signal.SIGKILL
    ref = weakref.ref(loop)
    del transport, protocol, loop, proc
    gc.collect()
    assert ref() is None or world == "debug"     # (pytest keeps the log)
    assert len(os.listdir("/proc/self/fd")) < len(before)


@pytest.mark.parametrize("world", list(WORLDS))
def test_freed_after_its_loop(world, recwarn, monkeypatch):
    """The loop is closed, the child lives: its end is quiet."""
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook",
                        lambda args: unraisable.append(args.exc_value))
    loop = WORLDS[world]()
    transport, protocol = loop.run_until_complete(
        shell(loop, [], "exec cat"))
    loop.run_until_complete(asyncio.sleep(0))
    proc = transport._proc
    loop.close()
    protocol.transport = None
    ref = weakref.ref(transport)
    del transport, protocol
    gc.collect()
    assert ref() is None
    assert proc.wait(30) == -signal.SIGKILL
    assert not unraisable


async def start_sleep(loop):
    return await shell(loop, [], "exec sleep 1000", stdin=None, stdout=None,
                       stderr=None)


def test_loop_stopped_with_live_child():
    """It ends while the loop does not run."""
    loop = ouro.Loop()
    transport, protocol = loop.run_until_complete(start_sleep(loop))
    os.kill(transport.get_pid(), signal.SIGTERM)
    os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)
    assert loop.run_until_complete(transport._wait()) == -signal.SIGTERM
    loop.run_until_complete(protocol.lost)
    transport.close()
    loop.close()


def test_fork():
    """A fork's child leaves the parent's watch alone."""
    loop = ouro.Loop()
    transport, protocol = loop.run_until_complete(start_sleep(loop))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            loop.close()
            new = ouro.Loop()
            other, _ = new.run_until_complete(
                shell(new, [], "exit 9", stdin=None))
            status = 0 if new.run_until_complete(other._wait()) == 9 else 2
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    transport.kill()
    assert loop.run_until_complete(transport._wait()) == -signal.SIGKILL
    loop.run_until_complete(protocol.lost)
    transport.close()
    loop.close()


def test_patched_popen(monkeypatch):
    calls = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            calls.append((args, kwargs))
            super().__init__(*args, **kwargs)

    def once(new_loop):
        async def scenario(loop, log):
            transport, protocol = await shell(loop, [], "exit 1", stdin=None,
                                              cwd="/")
            log.append(await transport._wait())
            log.append(type(transport.get_extra_info("subprocess")))
            await protocol.lost
            transport.close()
        return run(new_loop, scenario)
    monkeypatch.setattr(subprocess, "Popen", Popen)
    assert once(StockLoop) == once(ouro.Loop)
    assert calls[0] == calls[1]


def test_patched_pipes():
    """loop.connect_read_pipe() of the user's is called."""
    async def scenario(loop, log):
        original = loop.connect_read_pipe

        async def connect(factory, pipe):
            log.append("patched")
            return await original(factory, pipe)
        loop.connect_read_pipe = connect
        transport, protocol = await shell(loop, log, "echo x", stdin=None,
                                          stderr=None)
        await transport._wait()
        await protocol.lost
        transport.close()
    assert "patched" in run(ouro.Loop, scenario)


# ---- child watchers ---------------------------------------------------------

has_watchers = pytest.mark.skipif(not hasattr(asyncio, "set_child_watcher"),
                                  reason="there are none any more")


@has_watchers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["ThreadedChildWatcher", "PidfdChildWatcher",
                                  "SafeChildWatcher", "FastChildWatcher",
                                  "MultiLoopChildWatcher"])
def test_explicit_watcher(name):
    watched = []

    class Watcher(getattr(asyncio, name)):
        def add_child_handler(self, pid, callback, *args):
            watched.append(pid)
            super().add_child_handler(pid, callback, *args)
    policy = asyncio.get_event_loop_policy()
    loop = ouro.Loop()
    watcher = Watcher()
    asyncio.set_event_loop(loop)
    watcher.attach_loop(loop)
    policy.set_child_watcher(watcher)
    try:
        async def main():
            transport, _ = await shell(loop, [], "exit 8", stdin=None)
            assert await transport._wait() == 8
            transport.close()
            return transport.get_pid()
        pid = loop.run_until_complete(main())
        assert watched == [pid]
    finally:
        policy.set_child_watcher(None)
        watcher.attach_loop(None)
        watcher.close()
        loop.close()
        asyncio.set_event_loop(None)


@has_watchers
def test_nobody_asks_for_a_watcher():
    test_loop_stopped_with_live_child()
    assert asyncio.get_event_loop_policy()._watcher is None


@has_watchers
def test_patched_get_child_watcher(monkeypatch):
    """Whoever replaces the function is asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watcher = asyncio.ThreadedChildWatcher()
    asked = []
    monkeypatch.setattr(asyncio.events, "get_child_watcher",
                        lambda: asked.append(1) or watcher)
    loop = ouro.Loop()
    transport, _ = loop.run_until_complete(shell(loop, [], "exit 5"))
    assert loop.run_until_complete(transport._wait()) == 5
    transport.close()
    loop.close()
    assert asked == [1]


# ---- the interface ----------------------------------------------------------

def parameters(function):
    return [(each.name, each.default) for each in
            inspect.signature(function).parameters.values()]


def test_signatures():
    for name in ["subprocess_exec", "subprocess_shell"]:
        assert (parameters(getattr(ouro.Loop, name))
                == parameters(getattr(StockLoop, name)))
    mine = ouro._ouro._UnixSubprocessTransport
    theirs = asyncio.unix_events._UnixSubprocessTransport
    assert issubclass(mine, asyncio.SubprocessTransport)
    for name in dir(theirs):
        if not name.startswith("_"):
            assert (parameters(getattr(mine, name))
                    == parameters(getattr(theirs, name)))
