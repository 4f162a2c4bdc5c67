"""Worker processes: start them, read what they report, end those that hang.

Data flows from worker.py's messages into outcomes, one for each test id asked
for, whatever happens to the worker.  Written on asyncio itself: nothing is
installed in this process.
"""

import asyncio
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from worker import DUMP_SIGNAL

WORKER = pathlib.Path(__file__).with_name("worker.py")
LOG_TAIL = 6000     # characters of what a worker that died had written


@dataclasses.dataclass
class Outcome:
    # pass, skip; fail, error, hang, crash, missing, unloadable
    outcome: str
    detail: str = ""
    seconds: float = 0
    flaky: bool = False     # failed, then passed alone
    final: bool = False     # it would be the same alone

    @property
    def bad(self):
        return self.outcome not in ("pass", "skip")


@dataclasses.dataclass
class Job:
    """Tests of one module (or a listing of several), under one `impl`."""

    impl: str
    modules: list
    tests: list | None
    setup: str | None = None


class Worker:
    """One worker process; `run` collects what it reports.

    `outcomes` has what it finished, `running` the test that it ended in.
    """

    def __init__(self, job, tests, timeout):
        self.orders = json.dumps({"impl": job.impl, "modules": job.modules,
                                  "tests": tests, "setup": job.setup})
        self.timeout = timeout
        self.outcomes = {}
        self.fixtures = []      # messages of setUpClass and setUpModule
        self.listed = {}        # module name -> its message
        self.ready = {}
        self.facts = {}
        self.running = None
        self.end = None         # done, hang or crash

    async def run(self):
        with tempfile.TemporaryDirectory(prefix="ouro-test-") as folder:
            log = pathlib.Path(folder, "log")
            home = pathlib.Path(folder, "cwd")
            home.mkdir()
            with log.open("wb") as stream:
                await self._run(stream, home)
            text = log.read_bytes().decode(errors="replace")
            self.log = text[-LOG_TAIL:]

    async def _run(self, log, folder):
        ours, theirs = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", WORKER, str(theirs)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder,
            env=environment(), pass_fds=[theirs], start_new_session=True)
        os.close(theirs)
        with process.stdin:
            process.stdin.write(self.orders.encode())
        reader = asyncio.StreamReader(limit=1 << 22)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), open(ours, "rb"))
        ended = asyncio.ensure_future(end_of(process))
        try:
            self.end = await self._listen(reader, ended)
            if self.end == "hang":
                process.send_signal(DUMP_SIGNAL)
                await asyncio.wait([ended], timeout=1)
        finally:
            transport.close()
            try:        # with all that it has started
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            ended.cancel()
            self.status = process.wait()

    async def _listen(self, reader, ended):
        while True:
            line = asyncio.ensure_future(reader.readline())
            # Loading, and what comes between two tests, may take longer.
            limit = self.timeout * (1 if self.running else 3)
            await asyncio.wait([line, ended], timeout=limit,
                               return_when=asyncio.FIRST_COMPLETED)
            if not line.done() and ended.done():
                # A grandchild may hold the pipe open.
                await asyncio.wait([line], timeout=0.5)
            if not line.done():
                line.cancel()
                return "crash" if ended.done() else "hang"
            if not line.result():
                return "crash"
            message = json.loads(line.result())
            if message["kind"] == "done":
                return "done"
            self._take(message)

    def _take(self, message):
        match message.pop("kind"):
            case "start":
                self.running = message["id"]
            case "end":
                test = message.pop("id")
                self.outcomes[test] = Outcome(**message)
                self.running = None
            case "fixture":
                self.fixtures.append(message)
            case "tests":
                self.listed[message["module"]] = message
            case "ready":
                self.ready = message
            case "fact":
                for name, value in message.items():
                    self.facts[name] = self.facts.get(name, 0) + value


async def end_of(process):
    """Wait until a process has ended (and leave it to be reaped)."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def environment():
    """Ours, without what would change asyncio's behaviour."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHONASYNCIO", "PYTHONWARN",
                                    "PYTHONDEV"))}


async def run_job(job, timeout):
    """Run all of a job's tests; returns ({id: Outcome}, [Worker, ...])."""
    outcomes, workers = {}, []
    left = list(job.tests)
    while left:
        worker = Worker(job, left, timeout)
        await worker.run()
        workers.append(worker)
        outcomes.update(worker.outcomes)
        if job.modules[0] not in worker.listed:
            lost = Outcome("unloadable", worker.log, final=True)
            return {**dict.fromkeys(left, lost), **outcomes}, workers
        there = set(worker.listed[job.modules[0]]["ids"])
        for test in left:
            if test not in there:
                outcomes[test] = Outcome(
                    "missing", f"there is no such test under {job.impl}",
                    final=True)
        left = [test for test in left if test not in outcomes]
        if left and worker.end == "done":
            outcomes.update(dict.fromkeys(left, _not_started(worker)))
            break
        if left:
            culprit = worker.running or left.pop(0)
            detail = (f"no end after {timeout:g} s" if worker.end == "hang"
                      else f"the process ended with status {worker.status}")
            outcomes[culprit] = Outcome(
                worker.end, f"{detail}\n{worker.log}")
            left = [test for test in left if test != culprit]
    return outcomes, workers


def _not_started(worker):
    """Why unittest passed over tests: their class's or module's fixture."""
    bad = [message for message in worker.fixtures
           if message["outcome"] == "error"]
    if bad:
        return Outcome("error", "".join(item["detail"] for item in bad))
    if worker.fixtures:
        return Outcome("skip", worker.fixtures[0]["detail"])
    return Outcome("error", f"not run\n{worker.log}")


async def list_tests(modules, timeout):
    """What asyncio itself has: {module: message with `ids`}."""
    worker = Worker(Job("asyncio", modules, None), None, timeout)
    await worker.run()
    if worker.end != "done":
        raise SystemExit("the tests cannot be listed:\n" + worker.log)
    return worker.listed
