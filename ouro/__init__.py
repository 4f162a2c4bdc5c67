"""asyncio in C: the loop, futures, tasks and streams as one engine.

Five ways to use it, from the least change to a program to the most:

    python -m ouro app.py               the program itself stays as it is
    ouro.install()                      all of asyncio, from here on
    import ouro as asyncio              in the modules that do so
    ouro.run(main())                    one run
    asyncio.Runner(loop_factory=ouro.new_event_loop)

Every public name of asyncio, submodules too, is a name of this module:
native where ouro has it, else asyncio's own.  This package is thin: what
happens while a program runs happens in the extension, ouro._ouro.
"""

import asyncio
import importlib
import types

from . import _mirror  # noqa: F401  (import ouro.streams, ...)
from ._install import install, is_installed, is_native, native, uninstall
from ._run import Loop, Runner, new_event_loop, policy_class, run
from ._version import __version__

EventLoopPolicy = policy_class()
if EventLoopPolicy is None:
    del EventLoopPolicy
del policy_class

_OWN = {"EventLoopPolicy", "Loop", "Runner", "install", "is_installed",
        "new_event_loop", "run", "uninstall"} & globals().keys()

__all__ = sorted({*asyncio.__all__, *_OWN})     # noqa: PLE0605


def __getattr__(name):
    if not name.startswith("__"):
        try:
            value = getattr(asyncio, name)
        except AttributeError:
            pass
        else:
            if not isinstance(value, types.ModuleType):
                value = native(value)
                if is_native(value):    # it stays; others may be patched
                    globals()[name] = value
                return value
            if value.__name__.startswith("asyncio."):
                return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    public = (name for name in dir(asyncio) if not name.startswith("_"))
    return sorted({*globals(), *__all__, *public})
