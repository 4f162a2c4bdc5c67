"""How many times less CPU than asyncio each workload takes.

usage: compare.py [--rounds N] [--scale F] [--json FILE] [NAME ...]

Every round runs each implementation once, in a process of its own, one after
the other; the ratio is taken within the round, and its median is what counts:
so it holds on a machine that is busy or changes its speed.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
IMPLEMENTATIONS = ("asyncio", "uvloop", "ouro")


def run(implementation, names, scale):
    """{workload: ns an operation}, or {} where it cannot run."""
    command = [sys.executable, str(HERE / "workloads.py"), implementation]
    done = subprocess.run(
        command + names,
        capture_output=True,
        text=True,
        env={**os.environ, "REPEAT": "1", "SCALE": str(scale)},
    )
    if done.returncode:
        print(f"{implementation}: {done.stderr[-300:]}", file=sys.stderr)
        return {}
    return {name: ns[0] for name, ns in json.loads(done.stdout).items()}


def summarize(rounds):
    """{workload: {implementation: {"ns": median, "ratio": median}}}"""
    table = {}
    for name in rounds[0]["asyncio"]:
        row = table[name] = {}
        for implementation in IMPLEMENTATIONS:
            pairs = [
                (r["asyncio"][name], r[implementation][name])
                for r in rounds
                if name in r[implementation]
            ]
            if pairs:
                row[implementation] = {
                    "ns": round(statistics.median(b for _, b in pairs), 1),
                    "ratio": round(
                        statistics.median(a / b for a, b in pairs), 2
                    ),
                }
    return table


def show(table):
    print(
        f"{'CPU ns an operation':26}"
        + "".join(f"{name:>18}" for name in IMPLEMENTATIONS)
    )
    for name, row in table.items():
        cells = "".join(
            f"{row[i]['ns']:>10.0f} {row[i]['ratio']:>6.2f}x"
            if i in row
            else f"{'-':>18}"
            for i in IMPLEMENTATIONS
        )
        print(f"{name:26}{cells}")


def measure(names, rounds, scale):
    got = []
    for _ in range(rounds):
        got.append({i: run(i, names, scale) for i in IMPLEMENTATIONS})
    return summarize(got)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.3)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    table = measure(options.names, options.rounds, options.scale)
    show(table)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {
                    "python": platform.python_version(),
                    "rounds": options.rounds,
                    "workloads": table,
                },
                file,
                indent=1,
            )
            file.write("\n")


if __name__ == "__main__":
    main()
