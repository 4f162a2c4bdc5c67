"""Which of asyncio's public names are native here: --info's report.

A name is native if what ouro has for it is a C type or builtin of the
extension.
"""

import asyncio
import importlib
import pkgutil
import platform
import types

from ._install import is_native, native
from ._names import ASYNCIO, NATIVE
from ._version import __version__

NOBODY = "nobody"


def surface():
    """[(module, name, owner, is it native?)] of asyncio's public names."""
    return [(home, name, owner(home, name, value), is_native(native(value)))
            for home, module in _modules()
            for name, value in _public(module)]


def owner(home, name, value):
    """The room that makes the name native, "asyncio", or NOBODY."""
    aliases = name, getattr(value, "__name__", None)
    for room, table in NATIVE.items():
        for entry in " ".join(table.values()).split():
            if entry.partition("=")[0] in aliases:
                return room
    kept = ASYNCIO.get(home, "").split()
    return "asyncio" if name in kept or kept == ["*"] else NOBODY


def report():
    """What --info prints."""
    lines = [
        f"ouro     {__version__}",
        f"python   {platform.python_implementation()} "
        f"{platform.python_version()}",
        f"system   {platform.platform()}",
        "poller   epoll",
        "",
    ]
    rows = surface()
    count = sum(row[3] for row in rows)
    lines += [f"{count} of asyncio's {len(rows)} public names are native; "
              "+ marks them.", ""]
    for home, _ in _modules():
        names = [("+" if is_ours else "-") + name
                 for module, name, _, is_ours in rows if module == home]
        if names:
            lines += _columns(f"asyncio.{home}", names)
    return "\n".join(lines) + "\n"


def _columns(title, names, width=79, indent=26):
    """The names as a paragraph beside a title."""
    lines, line = [], title.ljust(indent - 1)
    for name in names:
        if len(line) + 1 + len(name) > width:
            lines.append(line)
            line = " " * (indent - 1)
        line += " " + name
    return [*lines, line]


def _modules():
    """(name, module) of asyncio's submodules that load here."""
    for info in pkgutil.iter_modules(asyncio.__path__):
        if info.name == "__main__" or info.name.startswith("windows"):
            continue
        yield info.name, importlib.import_module(f"asyncio.{info.name}")


def _public(module):
    """(name, value) that the module makes public: __all__, and what else it
    defines without an underscore."""
    exported = set(getattr(module, "__all__", ()))
    for name, value in sorted(vars(module).items()):
        if name in exported:
            yield name, value
        elif not name.startswith("_") and _defined_in(module, value):
            yield name, value


def _defined_in(module, value):
    if isinstance(value, types.ModuleType):
        return False
    home = getattr(value, "__module__", None)
    return home in (module.__name__, "_asyncio") or not callable(value)
