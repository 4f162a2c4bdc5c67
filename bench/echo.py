"""CPU of an echoed request, as a multiple of a bare C server over epoll.

usage: echo.py [--conns 32] [--size 1024] [--seconds 0.12] [--rounds 15]
               [--json FILE] [IMPL/KIND ...]

All servers are up at once and warm; server and load share one CPU; the load
comes in short slices, in shuffled order, and each round's figure is divided
by that round's bare C.  The first two rounds do not count: until a first
connection has closed, the C library maps and unmaps large read buffers.
"""

import argparse
import itertools
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
BARE = "bare"
BARE_PROGRAM = "bare_echo"
LOAD_PROGRAM = "load"
DEFAULT = [
    f"{implementation}/{kind}"
    for kind in ("protocol", "buffered", "streams", "lines", "sockets")
    for implementation in ("ouro", "uvloop", "asyncio")
]
WARM_UP = 2


def compiled(name):
    """Path of the C program, compiled if need be."""
    folder = pathlib.Path(tempfile.gettempdir()) / "ouro-bench"
    folder.mkdir(exist_ok=True)
    program, source = folder / name, HERE / f"{name}.c"
    if (
        not program.exists()
        or program.stat().st_mtime < source.stat().st_mtime
    ):
        subprocess.check_call(["gcc", "-O2", "-o", str(program), str(source)])
    return str(program)


def on_one_cpu():
    os.sched_setaffinity(0, {0})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def cpu_ns(pid):
    """CPU time of the process so far, all its threads, in nanoseconds."""
    return sum(
        int(
            pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat")
            .read_text()
            .split()[0]
        )
        for thread in os.listdir(f"/proc/{pid}/task")
    )


class Server:
    def __init__(self, name, port, size):
        self.port = str(port)
        command = (
            [compiled(BARE_PROGRAM)]
            if name == BARE
            else [
                sys.executable,
                str(HERE / "echo_server.py"),
                *name.split("/"),
            ]
        )
        self.process = subprocess.Popen(
            [*command, self.port],
            stdout=subprocess.PIPE,
            env={**os.environ, "SIZE": str(size)},
            preexec_fn=on_one_cpu,
        )
        self.ready = bool(self.process.stdout.readline())

    def slice(self, options):
        """CPU ns a request over one slice of load."""
        before = cpu_ns(self.process.pid)
        load = subprocess.run(
            [
                compiled(LOAD_PROGRAM),
                self.port,
                str(options.conns),
                str(options.size),
                str(options.seconds),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            preexec_fn=on_one_cpu,
        )
        requests = int(load.stdout.split()[3])
        return (cpu_ns(self.process.pid) - before) / requests

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def run_round(servers, options):
    order = [name for name in servers if name != BARE] + [BARE, BARE]
    random.shuffle(order)
    got = {}
    for name in order:
        got.setdefault(name, []).append(servers[name].slice(options))
    bare = statistics.mean(got[BARE])
    return {
        name: (statistics.mean(ns), statistics.mean(ns) / bare)
        for name, ns in got.items()
    }


def measure(names, options):
    """{name: {"ns": median, "ratio": median, "quartiles": [a, b]}}"""
    ports = itertools.count(12000 + os.getpid() % 15000)
    servers = {}
    try:
        for name in [BARE, *names]:
            server = servers[name] = Server(name, next(ports), options.size)
            if not server.ready:
                print(f"{name}: did not start", file=sys.stderr)
                servers.pop(name).stop()
        rounds = [
            run_round(servers, options)
            for _ in range(options.rounds + WARM_UP)
        ][WARM_UP:]
    finally:
        for server in servers.values():
            server.stop()
    return {name: summarize([r[name] for r in rounds]) for name in servers}


def summarize(figures):
    ratios = sorted(ratio for _, ratio in figures)
    quarter = len(ratios) // 4
    return {
        "ns": round(statistics.median(ns for ns, _ in figures)),
        "ratio": round(statistics.median(ratios), 3),
        "quartiles": [
            round(ratios[quarter], 3),
            round(ratios[-1 - quarter], 3),
        ],
    }


def parse_arguments(description, seconds):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--conns", type=int, default=32)
    parser.add_argument("--size", type=int, default=1024, help="bytes")
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("names", nargs="*")
    return parser.parse_args()


def report(table, options, unit):
    """Print the ratios, which are multiples of `unit`; write the file."""
    for name, row in table.items():
        low, high = row["quartiles"]
        print(
            f"{name:22} {row['ratio']:6.2f} x {unit} "
            f"(quartiles {low:.2f}..{high:.2f}) {row['ns']:8} ns"
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {
                    "python": platform.python_version(),
                    "connections": options.conns,
                    "bytes": options.size,
                    "rounds": options.rounds,
                    "unit": unit,
                    "servers": table,
                },
                file,
                indent=1,
            )
            file.write("\n")


def main():
    options = parse_arguments(__doc__.split("\n")[0], 0.12)
    report(measure(options.names or DEFAULT, options), options, "bare C")


if __name__ == "__main__":
    main()
