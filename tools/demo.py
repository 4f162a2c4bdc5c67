#!/usr/bin/env python3
"""Runs examples/main_job.py on asyncio and on ouro and compares the two.

usage: demo.py [main_job.py's options]

The program is the same file both times; only the command line differs:
python main_job.py, python -m ouro main_job.py.
"""

import json
import pathlib
import subprocess
import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Table

TOP = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = "examples/main_job.py"
ROUNDS = 3
WAYS = {"asyncio": [], "ouro": ["-m", "ouro"]}
PARTS = {"echo": "echoes, 100 clients",
         "messages": "messages, 10,000 tasks"}


def run(way, progress, bar, done_before):
    """Run the program once; {part: (cpu seconds, wall seconds, steps)}."""
    command = [sys.executable, *WAYS[way], PROGRAM, *sys.argv[1:]]
    process = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE,
                               text=True)
    results = {}
    for line in process.stdout:
        report = json.loads(line)
        part = report["part"]
        if "done" in report:
            done = list(PARTS).index(part) + report["done"]
            progress.update(bar, completed=done_before + done)
        else:
            results[part] = report["cpu"], report["wall"], report["steps"]
    if process.wait():
        sys.exit(f"{' '.join(command)} has failed")
    return results


def best(results, part):
    """The round with the least CPU time."""
    return min(round_[part] for round_ in results)


def main():
    console = Console(highlight=False)
    console.print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds of\n"
                  f"  asyncio   python {PROGRAM}\n"
                  f"  ouro      python -m ouro {PROGRAM}\n")
    columns = (TextColumn("{task.description:8}"), BarColumn(),
               TaskProgressColumn())
    results = {way: [] for way in WAYS}
    with Progress(*columns, console=console) as progress:
        bars = {way: progress.add_task(way, total=ROUNDS * len(PARTS),
                                       start=False) for way in WAYS}
        for number in range(ROUNDS):
            for way, bar in bars.items():
                progress.start_task(bar)
                results[way].append(
                    run(way, progress, bar, number * len(PARTS)))
                progress.update(bar, completed=(number + 1) * len(PARTS))
    console.print(table(results))
    console.print("CPU and wall time, the best of the rounds; both sides of "
                  "each echo are in the\none process.")


def table(results):
    table = Table()
    table.add_column("µs for each", no_wrap=True)
    for which in "CPU", "wall":
        for way in WAYS:
            table.add_column(f"{way}\n{which}", justify="right")
        table.add_column("less", justify="right")
    for part, title in PARTS.items():
        cells = []
        for which in 0, 1:
            theirs, ours = (best(results[way], part)[which]
                            / best(results[way], part)[2] * 1e6
                            for way in WAYS)
            cells += [f"{theirs:.2f}", f"{ours:.2f}",
                      f"[bold]{theirs / ours:.1f}x[/]"]
        table.add_row(title, *cells)
    return table


if __name__ == "__main__":
    main()
