"""The swap: ouro's objects in the place of asyncio's, and back again.

It goes by identity.  _names.NATIVE says which objects of asyncio have a
native counterpart; whatever holds one of them in asyncio, its submodules or
_asyncio (a name under whatever alias, a class attribute, a default argument,
a closure) holds the counterpart while installed.  Modules of asyncio that
are imported later are swapped when they have been imported.  Other people's
modules are never touched: what they have bound before stays asyncio's, and
the two work together.
"""

import asyncio
import sys
import types

from . import _imports, _ouro
from ._names import NATIVE

# id(object) -> (object, its counterpart); both ways.
_native_for = {}
_stock_for = {}
_installed = False


def install():
    """Put ouro in the place of asyncio's own implementation, everywhere.

    Raises RuntimeError while an event loop runs in this thread.  Calling it
    again does nothing.
    """
    global _installed
    _refuse_while_running("install")
    if _installed:
        return
    _installed = True
    _imports.watch(_is_asyncio, _arrived)
    for name, module in _modules():
        _collect(name, module)
    for _, module in _modules():
        _swap(module, _native_for)
    _tell_extension()


def uninstall():
    """Give asyncio its own implementation back.

    Raises RuntimeError while an event loop runs in this thread.  Objects
    made in between stay what they are, and go on working.
    """
    global _installed
    _refuse_while_running("uninstall")
    if not _installed:
        return
    _installed = False
    _imports.unwatch(_arrived)
    for _, module in _modules():
        _swap(module, _stock_for)
    _tell_extension()


def is_installed():
    """True between install() and uninstall()."""
    return _installed


def native(value):
    """The native counterpart of an object of asyncio's, or the object."""
    stock, counterpart = _native_for.get(id(value), (None, None))
    return counterpart if stock is value and stock is not None else value


def is_native(value):
    """True for what takes the place of an object of asyncio's."""
    return id(value) in _stock_for and _stock_for[id(value)][0] is value


def _refuse_while_running(what):
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            f"ouro.{what}() cannot be called while an event loop is running")


def _tell_extension():
    tell = getattr(_ouro, "_set_installed", None)
    if tell is not None:
        tell(_installed)


def _is_asyncio(name):
    return name.startswith("asyncio.") or name in ("asyncio", "_asyncio")


def _modules():
    """(name, module) of asyncio, what is loaded of it, and _asyncio."""
    return [(name, module) for name, module in list(sys.modules.items())
            if _is_asyncio(name) and isinstance(module, types.ModuleType)]


def _arrived(module):
    """A module of asyncio has been imported while installed."""
    _collect(module.__name__, module)
    _swap(module, _native_for)


def _collect(name, module):
    """Pair the module's objects with their native counterparts."""
    home = name.removeprefix("asyncio.")
    for table in NATIVE.values():
        for entry in table.get(home, "").split():
            stock_name, _, native_name = entry.partition("=")
            counterpart = getattr(_ouro, native_name or stock_name, None)
            stock = _stock(module, stock_name)
            if counterpart is None or stock is None or stock is counterpart:
                continue
            _native_for[id(stock)] = stock, counterpart
            _stock_for[id(counterpart)] = counterpart, stock


def _stock(module, name):
    """asyncio's own object of that name, however it has been patched."""
    accelerated = getattr(sys.modules.get("_asyncio"), name, None)
    stock = accelerated or vars(module).get(name)
    home = getattr(stock, "__module__", None) or ""
    return stock if _is_asyncio(home) else None


def _swap(module, table):
    """Swap what a module holds: names, and what its functions and classes
    hold."""
    _swap_attributes(module, module.__name__, table, set())


def _swap_attributes(owner, home, table, seen):
    for name, value in list(vars(owner).items()):
        new = _counterpart(value, table)
        if new is not value:
            setattr(owner, name, new)
            continue
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            for part in (value.fget, value.fset, value.fdel):
                if part is not None:
                    _swap_inside(part, home, table, seen)
        else:
            _swap_inside(value, home, table, seen)


def _swap_inside(value, home, table, seen):
    """Swap what a function or class that is defined in `home` holds."""
    if id(value) in seen or getattr(value, "__module__", None) != home:
        return
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        _swap_in_function(value, home, table, seen)
    elif isinstance(value, type) and value.__flags__ & _HEAP_TYPE:
        _swap_attributes(value, home, table, seen)


_HEAP_TYPE = 1 << 9


def _swap_in_function(function, home, table, seen):
    defaults = function.__defaults__ or ()
    new = tuple(_counterpart(value, table) for value in defaults)
    if any(a is not b for a, b in zip(new, defaults)):
        function.__defaults__ = new
    for name, value in (function.__kwdefaults__ or {}).items():
        if _counterpart(value, table) is not value:
            function.__kwdefaults__[name] = _counterpart(value, table)
    cells = zip(function.__code__.co_freevars, function.__closure__ or ())
    for name, cell in cells:
        try:
            value = cell.cell_contents
        except ValueError:      # still empty
            continue
        # (__class__ is what super() works with: it stays.)
        if name != "__class__" and _counterpart(value, table) is not value:
            cell.cell_contents = _counterpart(value, table)
        else:
            _swap_inside(value, home, table, seen)


def _counterpart(value, table):
    old, new = table.get(id(value), (None, None))
    if old is not None and old is value:
        return new
    if isinstance(value, (staticmethod, classmethod)):
        inner = _counterpart(value.__func__, table)
        if inner is not value.__func__:
            return type(value)(inner)
    return value


for _name, _module in _modules():
    _collect(_name, _module)
