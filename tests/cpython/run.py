#!/usr/bin/env python3
"""CPython's own tests of asyncio, as installed with this interpreter.

usage: run.py [--impl ouro|asyncio] [--layers A,B] [--match GLOB,...]
              [--timeout S] [--jobs N] [--verbose] [--list] [--excluded]

What asyncio itself has and does not skip is what must pass: a test that the
implementation lacks or skips has failed.  A test that fails is run once more
alone; if it passes then, it counts, and is shown as flaky.  layers.toml says
which test is of which layer, exclusions.toml which are not run, and why.

The last line is 'N passed, N failed'; the exit status is 0 if none failed.
"""

import argparse
import asyncio
import collections
import fnmatch
import importlib.util
import os
import pathlib
import platform
import re
import sys
import time
import tomllib

import pool

HERE = pathlib.Path(__file__).resolve().parent
AT_ONCE = 100       # tests given to one worker


def words(text):
    return [word for word in text.split(",") if word]


def parse_arguments(description, layers=True):
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--impl", default="ouro", help="asyncio, or a module with install()")
    if layers:
        add("--layers", type=words, help="these layers alone")
    add("--match", type=words, default=[], help="globs of test ids")
    add("--timeout", type=float, default=30, help="seconds a test may take")
    add("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    add("--verbose", action="store_true", help="show whole tracebacks")
    add("--list", action="store_true", help="only show what would be run")
    add("--excluded", action="store_true",
        help="run what exclusions.toml leaves out, and only that")
    return parser.parse_args()


class Layers:
    """layers.toml: which layer a test is of; `enabled`: None is all."""

    def __init__(self, path=HERE / "layers.toml"):
        table = tomllib.loads(path.read_text())
        self.enabled = None
        self.globs = [(glob, layer["name"]) for layer in table["layer"]
                      for glob in layer["tests"]]

    def of(self, test):
        for glob, layer in self.globs:
            if fnmatch.fnmatchcase(test, glob):
                return layer
        return test.partition(".")[0].removeprefix("test_")

    def modules(self, layer):
        """The test modules that may have tests of a layer."""
        return {f"test_{layer}"} | {
            glob.partition(".")[0] for glob, name in self.globs
            if name == layer}


class Exclusions:
    """exclusions.toml: module, glob of Class.method, name of the reason."""

    def __init__(self, path=HERE / "exclusions.toml"):
        self.globs = []         # (glob, reason)
        self.add(path)

    def add(self, path):
        table = tomllib.loads(path.read_text())
        reasons = table.pop("reasons")
        for module in [name for name in table if name.startswith("test_")]:
            self.globs += [(f"{module}.{glob}", reasons[reason])
                           for glob, reason in table[module].items()]

    def reason(self, test):
        for glob, reason in self.globs:
            if fnmatch.fnmatchcase(test, glob):
                return reason
        return None


def test_modules():
    """Names of CPython's test modules; none if they are not installed."""
    try:
        spec = importlib.util.find_spec("test.test_asyncio")
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        return []
    return sorted(path.stem
                  for path in pathlib.Path(spec.origin).parent.glob("*.py")
                  if path.stem.startswith("test_"))


class Run:
    """Choose tests, run them, tell what came out."""

    def __init__(self, options, layers, exclusions, setup=None):
        self.options = options
        self.layers = layers
        self.exclusions = exclusions
        self.setup = setup
        self.outcomes = {}
        self.excluded = collections.Counter()
        self.notices = []
        self.facts = collections.Counter()

    async def run(self):
        self.slots = asyncio.Semaphore(self.options.jobs)
        chosen = await self._choose()
        if self.options.list:
            for tests in chosen.values():
                print("\n".join(tests))
            return
        jobs = [self._job(module, tests[at:at + AT_ONCE])
                for module, tests in chosen.items()
                for at in range(0, len(tests), AT_ONCE)]
        for outcomes in await asyncio.gather(*map(self._run, jobs)):
            self.outcomes |= outcomes
        await self._check_skips()
        await self._again()

    def _job(self, module, tests, impl=None):
        setup = None if impl else self.setup
        return pool.Job(impl or self.options.impl, [module], tests, setup)

    async def _run(self, job):
        async with self.slots:
            outcomes, workers = await pool.run_job(job, self.options.timeout)
        for worker in workers:
            self.facts.update(worker.facts)
            self.version = worker.ready.get("version", "(not loaded)")
            forgotten = ", ".join(worker.ready.get("forgotten", []))
            if forgotten:
                self._notice(f"install() did not replace: {forgotten}")
        return outcomes

    def _notice(self, text):
        if text not in self.notices:
            self.notices.append(text)

    async def _choose(self):
        """{module: ids}, the modules with the most tests first."""
        options = self.options
        layers = options.layers or (
            None if options.match else self.layers.enabled)
        modules = test_modules()
        if layers is not None:
            wanted = set().union(*map(self.layers.modules, layers))
            modules = [name for name in modules if name in wanted]
        chosen = {}
        listed = await pool.list_tests(modules, 60)
        for module, message in listed.items():
            if "skipped" in message:
                self._notice(f"{module}: {message['skipped']}")
            tests = [test for test in dict.fromkeys(message["ids"])
                     if self._wanted(test, layers)]
            if tests:
                chosen[module] = tests
        return dict(sorted(chosen.items(), key=lambda item: -len(item[1])))

    def _wanted(self, test, layers):
        options = self.options
        if layers is not None and self.layers.of(test) not in layers:
            return False
        if options.match and not any(fnmatch.fnmatchcase(test, glob)
                                     for glob in options.match):
            return False
        reason = self.exclusions.reason(test)
        if reason and not options.excluded:
            self.excluded[reason] += 1
        return bool(reason) == options.excluded

    async def _check_skips(self):
        """What asyncio runs must not be skipped."""
        if self.options.impl == "asyncio":
            return
        skipped = collections.defaultdict(list)
        for test, outcome in self.outcomes.items():
            if outcome.outcome == "skip":
                skipped[test.partition(".")[0]].append(test)
        jobs = [self._job(module, tests, "asyncio")
                for module, tests in skipped.items()]
        version = self.version if self.outcomes else None
        for outcomes in await asyncio.gather(*map(self._run, jobs)):
            for test, outcome in outcomes.items():
                if outcome.outcome == "pass":
                    ours = self.outcomes[test]
                    ours.outcome, ours.final = "missing", True
                    ours.detail = f"asyncio does not skip it: {ours.detail}"
        self.version = version

    async def _again(self):
        """Failed tests once more, each alone."""
        bad = [test for test, outcome in self.outcomes.items()
               if outcome.bad and not outcome.final]
        jobs = [self._job(test.partition(".")[0], [test]) for test in bad]
        for outcomes in await asyncio.gather(*map(self._run, jobs)):
            for test, outcome in outcomes.items():
                if not outcome.bad:
                    self.outcomes[test] = outcome
                    outcome.flaky = True

    def report(self, title):
        counts = collections.defaultdict(collections.Counter)
        unloadable = False
        for test, outcome in sorted(self.outcomes.items()):
            layer = counts[self.layers.of(test)]
            layer["failed" if outcome.bad else
                  "skipped" if outcome.outcome == "skip" else "passed"] += 1
            if outcome.outcome == "unloadable":
                if unloadable:
                    continue    # said once: it will be the same for all
                unloadable = True
            if outcome.bad:
                print(f"{outcome.outcome}: {test}")
                print(outcome.detail if self.options.verbose
                      else "    " + gist(outcome))
            elif outcome.flaky:
                print(f"flaky: {test} (passed when run alone)")
        columns = ("passed", "failed", "skipped")
        print(f"{'layer':18}" + "".join(f"{name:>9}" for name in columns))
        for layer, row in sorted(counts.items()):
            print(f"{layer:18}" + "".join(f"{row[name]:9}"
                                          for name in columns))
        for notice in self.notices:
            print(f"note: {notice}")
        if self.excluded:
            print(f"{self.excluded.total()} left out "
                  f"({len(self.excluded)} reasons, see the exclusions)")
        total = sum(counts.values(), collections.Counter())
        print(f"{title}: {self.options.impl} {self.version}, "
              f"Python {platform.python_version()}, {total['skipped']} "
              "skipped as by asyncio")
        return total["passed"], total["failed"]


def gist(outcome):
    """The line that says what went wrong."""
    lines = outcome.detail.strip().splitlines() or [""]
    if outcome.outcome in ("hang", "crash", "missing"):
        return lines[0]
    raised = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(: |$)",
                                                 line)]
    return (raised or lines)[-1][:150]


def main(title, description, setup=None, layers=None, exclusions=None):
    """Run and report; returns the exit status.  tests/vloop calls it, too."""
    options = parse_arguments(description)
    if not test_modules():
        print("note: this interpreter was installed without CPython's tests "
              "(Debian: libpython3.X-testsuite); nothing was run")
        print("0 passed, 0 failed")
        return 0
    began = time.monotonic()
    run = Run(options, layers or Layers(), exclusions or Exclusions(), setup)
    asyncio.run(run.run())
    if options.list:
        return 0
    if not run.outcomes:
        sys.exit("no test fits --layers and --match")
    passed, failed = run.report(title)
    for name, value in run.facts.items():
        print(f"{name}: {value}")
    print(f"{time.monotonic() - began:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main("CPython's tests", __doc__))
