"""The implementations that the benchmarks compare.

asyncio    Python's own
uvloop     its loop, asyncio on top
ouro       ouro.install(): everything
ouro-loop  ouro's loop alone, asyncio on top

choose() must be called before anything is taken from asyncio.
"""

import asyncio


def choose(name):
    """Put the implementation in place; returns its new_event_loop()."""
    if name == "asyncio":
        return asyncio.new_event_loop
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    import ouro

    if name == "ouro":
        ouro.install()
    elif name != "ouro-loop":
        raise SystemExit(f"no such implementation: {name}")
    return ouro.new_event_loop
