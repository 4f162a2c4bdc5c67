#!/usr/bin/env python3
"""Runs the test suites of libraries on asyncio and on ouro and compares.

usage: libraries.py [--work DIR] [--ouro DIR] [--prepare] [--list]
                    [--ways asyncio,ouro] [SUITE...] [-- PYTEST-OPTIONS]

DIR/venv gets the libraries and DIR/src their source distributions, for
what tests they ship (--prepare does this, by pip, and nothing else needs the
network).  A suite whose sources have no tests is run if a checkout of that
library is in DIR/src/NAME-VERSION.  Then every suite is run twice, by
`python -m pytest` and by `python -m ouro -m pytest`, in the same environment;
tests that ended differently are run again, together, on both.  What still
differs is printed and is the exit status.  Records stay in DIR/results.

The interpreter that runs this script is the one that runs the suites.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

from library_suites import REQUIREMENTS, SUITES

TOP = pathlib.Path(__file__).resolve().parent.parent
WAYS = {"asyncio": [], "ouro": ["-m", "ouro"]}
RERUNS = 2
MOST = 40       # of the tests that differ are printed
BAD = "failed", "error"


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1][7:])
    parser.add_argument("--work", type=pathlib.Path,
                        default=TOP / "build" / "libraries")
    parser.add_argument("--ouro", type=pathlib.Path, default=TOP)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--ways", default="asyncio,ouro")
    parser.add_argument("suites", nargs="*", metavar="SUITE")
    arguments = sys.argv[1:]
    options = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; see --list")
    if chosen.list:
        print(*SUITES, sep="\n")
        return 0
    place = Place(chosen.work.resolve(), chosen.ouro.resolve())
    if chosen.prepare:
        place.prepare(chosen.suites or SUITES)
        return 0
    differing = 0
    for name in chosen.suites or SUITES:
        differing += compare(place, name, chosen.ways.split(","), options)
    return 1 if differing else 0


class Place:
    """The folder with the libraries, their sources and the records."""

    def __init__(self, work, ouro):
        self.venv = work / "venv"
        self.python = self.venv / "bin" / "python"
        self.sources = work / "src"
        self.results = work / "results"
        self.ouro = ouro
        self.results.mkdir(parents=True, exist_ok=True)
        self.sources.mkdir(exist_ok=True)

    def prepare(self, names):
        """Install the libraries and unpack their sources."""
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", self.venv],
                           check=True)
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", *REQUIREMENTS], check=True)
        for name in names:
            suite = SUITES[name]
            subprocess.run([*pip, "install", *(suite.requires
                                               or (suite.package,))],
                           check=False)
            if suite.package and not suite.installed:
                self._unpack(pip, suite.package)

    def _unpack(self, pip, package):
        if self.source(package) is not None:
            return
        version = self.version(package)
        subprocess.run([*pip, "download", "--no-deps", "--no-binary",
                        package, "-d", self.sources, f"{package}=={version}"],
                       check=False)
        for archive in self.sources.glob("*.tar.gz"):
            shutil.unpack_archive(archive, self.sources, filter="data")
            archive.unlink()

    def source(self, package):
        """The folder with the sources of a package, or None."""
        stem = package.replace("-", "_").lower()
        for folder in sorted(self.sources.iterdir(), reverse=True):
            name = folder.name.rpartition("-")[0] or folder.name
            if name.replace("-", "_").lower() == stem:
                return folder
        return None

    def version(self, package):
        """What is installed of it."""
        code = ("import importlib.metadata as m, sys; "
                "print(m.version(sys.argv[1]))")
        done = subprocess.run([self.python, "-c", code, package], check=False,
                              stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)
        return done.stdout.strip() or "?"


def compare(place, name, ways, options):
    """Run a suite on each way; how many tests end differently."""
    suite = SUITES[name]
    folder = place.results
    if not suite.installed:
        folder = place.source(suite.package)
        if folder is None:
            print(f"{name}: no sources, see --prepare")
            return 0
        for hidden in suite.hide:       # the installed one is to be tested
            shutil.rmtree(folder / hidden, ignore_errors=True)
    print(name, place.version(suite.package) if suite.installed
          else folder.name.rpartition("-")[2], flush=True)
    outcomes = {}
    for way in ways:
        outcomes[way] = run(place, name, folder, way, options)
        count = collections.Counter(outcomes[way].values())
        print(f"  {way:8}", ", ".join(f"{number} {word}" for word, number
                                      in sorted(count.items())), flush=True)
    if len(ways) < 2:
        return 0
    differing = different(*outcomes.values())
    for _ in range(RERUNS):
        again = sorted({test.partition("[")[0] for test in differing
                        if "::" in test or suite.unittest})
        if not again or len(again) > 200:
            break
        second = [run(place, name, folder, way, options, again)
                  for way in ways]
        differing &= different(*second)
    for test in sorted(differing)[:MOST]:
        print("  differs:", test, "/".join(
            str(outcomes[way].get(test)) for way in ways))
    if len(differing) > MOST:
        print("  and", len(differing) - MOST, "more")
    return len(differing)


def different(first, second):
    return {test for test in {*first, *second}
            if first.get(test) != second.get(test)}


def run(place, name, folder, way, options, only=()):
    """Run a suite, or some of its tests; {test: outcome}."""
    suite = SUITES[name]
    end = f"{way}.again" if only else way
    if only or not suite.parts:
        return run_part(place, name, folder, way, options, only, end)
    outcomes = {}
    for path in sorted(path for tests in suite.tests
                       for path in (folder / tests).rglob("test_*.py")):
        part = str(path.relative_to(folder))
        outcomes |= run_part(place, name, folder, way, options, (part,),
                             f"{end}.{path.stem}")
    return outcomes


def run_part(place, name, folder, way, options, only, end):
    """Run tests in a process of their own; {test: outcome}."""
    suite = SUITES[name]
    stem = place.results / f"{name}.{end}"
    log = stem.with_suffix(stem.suffix + ".jsonl")
    log.unlink(missing_ok=True)
    command = [place.python, *WAYS[way]]
    if suite.unittest:
        command += ["-m", suite.unittest, *suite.options, *options,
                    *(only or suite.tests)]
    else:
        command += pytest(suite, log, options, only)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                   **suite.environment}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(place.ouro), *(str(folder / path) for path in suite.paths)])
    output = stem.with_suffix(stem.suffix + ".txt")
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=file,
                                   stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            process.wait(suite.limit)
        except subprocess.TimeoutExpired:
            print(f"  {end}: stopped after {suite.limit} s")
        finally:
            with_children(process)
    outcomes = read_unittest(output) if suite.unittest else read(log)
    if not outcomes:
        print(f"  {end}: no tests were run, see {output}")
    return outcomes


def pytest(suite, log, options, only):
    """What follows the interpreter and its options for a suite by pytest."""
    return ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=",
            "--continue-on-collection-errors", *plugins(suite),
            "--timeout", str(suite.timeout), "--report-log", log,
            "-rfE", "--tb=short", *suite.options, *options,
            *(only or suite.tests)]


def plugins(suite):
    return [word for name in ("pytest_timeout", "pytest_reportlog.plugin",
                               *suite.plugins)
            for word in ("-p", name)]


def with_children(process):
    """End what is left of a suite's session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def read(log):
    """{test: outcome} of a record; the worst of a test's phases counts."""
    outcomes = {}
    try:
        lines = log.read_text().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        try:
            report = json.loads(line)
        except ValueError:      # the last one of a suite that was stopped
            continue
        kind = report.get("$report_type")
        if kind == "CollectReport" and report["outcome"] == "failed":
            outcomes[report["nodeid"]] = "error"
        if kind != "TestReport":
            continue
        test, outcome = report["nodeid"], report["outcome"]
        if outcome == "failed" and report["when"] != "call":
            outcome = "error"
        if report.get("wasxfail") is not None:
            outcome = "xfailed" if outcome == "skipped" else "xpassed"
        before = outcomes.get(test)
        if before is None or outcome in BAD or before == "passed":
            outcomes[test] = outcome if before not in BAD else before
    return outcomes


def read_unittest(output):
    """{test: outcome} of what unittest has printed, verbosely."""
    text = output.read_text(errors="replace")
    words = {"ok": "passed", "FAIL": "failed", "ERROR": "error",
             "skipped": "skipped", "expected failure": "xfailed",
             "unexpected success": "xpassed"}
    outcomes = {}
    for match in re.finditer(
            r"^(\w+) \(([\w.]+)\)((?:.*\n)*?.*?)\.\.\. ?(?:.*\n)*?.*?"
            r"\b(ok|FAIL|ERROR|skipped|expected failure|unexpected success)\b",
            text, re.M):
        name, where, _, word = match.groups()
        test = where if where.endswith(f".{name}") else f"{where}.{name}"
        outcomes[test] = words[word]
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
