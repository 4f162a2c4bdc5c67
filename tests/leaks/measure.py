"""Runs one operation many times and measures what stays behind.

usage: measure.py IMPLEMENTATION OPERATION|--list

Figures are per operation: the smallest growth of all rounds, since caches
and freelists grow in some, but a leak grows in each.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS = 10
WARM_UP = 3         # rounds that fill caches, and are not counted
AGAIN = 3           # how often what seems to leak gets more rounds
# How much growth per operation is a leak.  What leaks is whole objects, and
# malloc's smallest block has 32 bytes; below that it is noise.
LIMITS = {"objects": 0.5, "blocks": 0.9, "bytes": 28.0, "descriptors": 0.1,
          "references": 0.5}


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
        "fsmblks", "uordblks", "fordblks", "keepcost")]


def types_below(base):
    """All types derived from it."""
    found, todo = {base}, [base]
    while todo:
        new = set(type.__subclasses__(todo.pop())) - found
        found |= new
        todo += new
    return found


class Probe:
    """Counts what exists in this process."""

    def __init__(self):
        self.watched = {"None": None, "True": True, "()": ()}
        self.watched.update(
            (f"type {value.__name__}", value) for value in types_below(object)
            if str(value.__module__).partition(".")[0] == "ouro")
        libc = ctypes.CDLL(None)
        self.mallinfo = getattr(libc, "mallinfo2", None)
        if self.mallinfo is not None:
            self.mallinfo.restype = Mallinfo

    def __call__(self):
        for _ in range(3):      # finalizers make garbage, too
            gc.collect()
        figures = {"objects": len(gc.get_objects()),
                   "blocks": sys.getallocatedblocks()}
        if self.mallinfo is not None:
            info = self.mallinfo()
            figures["bytes"] = info.uordblks + info.hblkhd
        figures["descriptors"] = len(os.listdir("/proc/self/fd"))
        for name, value in self.watched.items():
            figures[f"references to {name}"] = sys.getrefcount(value)
        return figures


async def fill_freelists():
    """Freed objects are kept for reuse, up to some thousands: let all of
    these have been made, and freed, before anything is counted."""
    async def waits(future):
        await future
        await asyncio.sleep(0)

    futures = [asyncio.Future() for _ in range(5000)]
    tasks = [asyncio.create_task(waits(future)) for future in futures]
    handles = [asyncio.get_running_loop().call_later(0, future.set_result, 1)
               for future in futures]
    await asyncio.wait(tasks)
    del handles


def growth(operation, times):
    """{figure: growth per operation}, the least of all rounds."""
    probe, least = Probe(), {}

    def rounds(number):
        for _ in range(number):
            before = probe()
            operation(times)
            after = probe()
            for name in after:
                grown = (after[name] - before[name]) / times
                least[name] = min(grown, least.get(name, grown))

    rounds(WARM_UP)
    least.clear()
    rounds(ROUNDS)
    for _ in range(AGAIN):
        if leaks(least):
            rounds(ROUNDS)
    return least


def leaks(figures):
    return [name for name, value in figures.items()
            if value >= LIMITS[name.partition(" ")[0]]]


def main():
    implementation, name = sys.argv[1:]
    # (What a shell starts in the background would ignore Ctrl-C.)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module = importlib.import_module(implementation)
    if implementation != "asyncio":
        module.install()
    sys.path.append(str(HERE))
    import table
    for file in sorted(HERE.glob("ops_*.py")):
        importlib.import_module(file.stem)
    if name == "--list":
        print(json.dumps({"names": list(table.TABLE), "notes": []}))
        return
    operation = table.TABLE[name]
    asyncio.run(fill_freelists())
    with operation.ready() as repeat:
        figures = growth(repeat, operation.times)
    complaints = [f"{name}: {figures[name]:.2f} more after each"
                  for name in leaks(figures)]
    shown = {figure: round(value, 3) for figure, value in figures.items()
             if value > 0.01}
    print(json.dumps({"complaints": complaints, "figures": shown}))


if __name__ == "__main__":
    main()
