"""One process that runs some tests of one test module.

usage: worker.py FD, with the orders (JSON) on standard input:

    impl      "asyncio", or a module with install()
    setup     null, or the path of a Python file with a class Setup, whose
              methods are called on the way (see class Setup)
    modules   names of test modules
    tests     ids to run, or null: only tell which tests there are

What it reports flows to descriptor FD, one JSON object a line; `kind` says
what it is: `ready`, `tests` (a module's ids), `start`, `end`, `fixture`,
`fact`, `done`.
"""

import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import sys
import time
import unittest

PREFIX = "test.test_asyncio."
DUMP_SIGNAL = signal.SIGRTMAX       # asks where a test that hangs, hangs
DETAIL = 8000                       # characters of a traceback that are kept


def short_id(test):
    return test.id().removeprefix(PREFIX)


def tests_of(module):
    """The tests of a module, in order; a failing import is raised."""
    todo = [unittest.defaultTestLoader.loadTestsFromModule(module)]
    while todo:
        item = todo.pop()
        if isinstance(item, unittest.TestSuite):
            todo += reversed(list(item))
        else:
            yield item


class Setup:
    """What a run may do besides: here, nothing."""

    def __init__(self, implementation):
        """implementation: the module under test, or asyncio."""

    def prepare(self):
        """After install(), before a test module is imported."""

    def loaded(self, modules):
        """The test modules are imported: {name: module}."""

    def start(self, test):
        """A test, named by its id, begins."""

    def stop(self, test, outcome):
        """It has ended; returns why it is to fail after all, or None."""

    def finish(self, send):
        """All tests have ended; send("fact", name=count) is summed up."""


class Reporter(unittest.TestResult):
    """Turns unittest's calls into messages."""

    def __init__(self, send, setup):
        super().__init__()
        self.send = send
        self.setup = setup
        self.running = None

    def startTest(self, test):
        super().startTest(test)
        self.running, self.outcome, self.text = test, "pass", ""
        self.send("start", id=short_id(test))
        self.setup.start(short_id(test))
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        # 3.12.1 stops the tests of a skipped class without starting them.
        if self.running is not None:
            complaint = self.setup.stop(short_id(test), self.outcome)
            if complaint:
                self.outcome, self.text = "fail", complaint
            self.send("end", id=short_id(test), outcome=self.outcome,
                      detail=self.text[-DETAIL:],
                      seconds=time.monotonic() - self.began)
        self.running = None

    def _failed(self, outcome, test, error):
        # Neither the error nor its traceback is kept: they hold objects that
        # later tests would find alive.
        text = (self._exc_info_to_string(error, test) if error
                else "unexpected success")
        if self.running is None:
            self.send("fixture", outcome="error", detail=text[-DETAIL:])
        else:
            self.outcome, self.text = outcome, self.text + text

    def addError(self, test, err):
        self._failed("error", test, err)

    def addFailure(self, test, err):
        self._failed("fail", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._failed("fail", test, err)

    def addUnexpectedSuccess(self, test):
        self._failed("fail", test, None)

    def addExpectedFailure(self, test, err):
        pass

    def addSkip(self, test, reason):
        if self.running is not None:
            if self.outcome == "pass":
                self.outcome, self.text = "skip", reason
        elif isinstance(test, unittest.TestCase):
            self.send("end", id=short_id(test), outcome="skip", detail=reason,
                      seconds=0)
        else:
            self.send("fixture", outcome="skip", detail=reason)


def load_setup(path, implementation):
    if path is None:
        return Setup(implementation)
    name = os.path.basename(path).removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Setup(implementation)


def main():
    descriptor, process = int(sys.argv[1]), os.getpid()
    os.set_inheritable(descriptor, False)
    channel = open(descriptor, "w", buffering=1)
    orders = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # (as for what a shell starts in the background)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL)

    def send(kind, **message):
        if os.getpid() == process:      # no fork that a test forgot to end
            channel.write(json.dumps({"kind": kind, **message}) + "\n")

    # At the end of the path: nothing here may hide a module of the tests.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import stock
    swap, version = stock.install(orders["impl"])
    setup = load_setup(orders["setup"], sys.modules[orders["impl"]])
    setup.prepare()
    send("ready", version=version, forgotten=swap.forgotten)

    tests = []
    for name in orders["modules"]:
        try:
            module = importlib.import_module(PREFIX + name)
        except unittest.SkipTest as reason:
            send("tests", module=name, ids=[], skipped=str(reason))
            continue
        found = list(tests_of(module))
        send("tests", module=name, ids=[short_id(test) for test in found])
        tests += found
    if orders["tests"] is not None:
        modules = {name: module for name, module in sys.modules.items()
                   if name.startswith("test.")}
        for module in modules.values():
            swap.retarget(module)
        setup.loaded(modules)
        wanted = set(orders["tests"])
        suite = unittest.TestSuite(
            test for test in tests if short_id(test) in wanted)
        del tests
        suite.run(Reporter(send, setup))
        setup.finish(send)
    send("done")
    # Nothing that a failed test left behind may keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
