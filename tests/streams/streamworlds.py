"""The combinations of loops and streams that must all behave the same."""

import asyncio
import types

import ouro

NAMES = """StreamReader StreamWriter StreamReaderProtocol open_connection
    start_server open_unix_connection start_unix_server""".split()


def kit(module):
    return types.SimpleNamespace(**{name: getattr(module, name)
                                    for name in NAMES})


STOCK = asyncio.SelectorEventLoop, kit(asyncio)
WORLDS = {
    "native": (ouro.Loop, kit(ouro)),
    "native on asyncio's loop": (asyncio.SelectorEventLoop, kit(ouro)),
    "asyncio's on the native loop": (ouro.Loop, kit(asyncio)),
}


def run(world, scenario, debug=False):
    """What scenario(log, streams) logs and returns, and what the loop's
    exception handler is told."""
    make_loop, streams = world
    log = []
    loop = make_loop()
    loop.set_debug(debug)
    loop.set_exception_handler(
        lambda loop, context: log.append(describe(context)))
    try:
        result = loop.run_until_complete(
            asyncio.wait_for(scenario(log.append, streams), 120))
        for _ in range(5):
            loop.run_until_complete(asyncio.sleep(0))
        log.append(("result", result))
    finally:
        loop.close()
    return log.copy()      # what comes after the end does not count


def describe(context):
    """The context of an exception handler, without addresses."""
    return sorted((key, str(value).partition("(<Task")[0]
                   if key in ("message", "exception")
                   else type(value).__name__.lower())
                  for key, value in context.items())
