"""asyncio's functions that are written in Python, and ouro's for them."""

import importlib
import inspect
import types

from ouro import _ouro
from ouro._names import NATIVE

AsyncMethod = type(_ouro.sleep)

# Names that begin so are not for users.
PRIVATE = "_"
SPECIAL = {"__init__", "__aenter__", "__aexit__", "__anext__"}


def _public(name):
    return name in SPECIAL or not name.startswith(PRIVATE)


def _public_class(cls):
    return cls.__name__.endswith("EventLoop") or _public(cls.__name__)


def objects():
    """(name, asyncio's, ouro's) of all that ouro replaces."""
    for table in NATIVE.values():
        for home, names in table.items():
            try:
                module = importlib.import_module(f"asyncio.{home}")
            except ImportError:     # of a later Python
                continue
            for entry in names.split():
                name, _, native_name = entry.partition("=")
                stock = vars(module).get(name)
                native = getattr(_ouro, native_name or name, None)
                if stock is not None and native is not None:
                    yield f"{home}.{name}", stock, native


def functions():
    """(name, asyncio's function, ouro's, ouro's class or None)."""
    for name, stock, native in objects():
        if isinstance(stock, types.FunctionType):
            yield name, stock, native, None
        elif inspect.isclass(stock) and _public_class(stock):
            for attribute in filter(_public, dir(stock)):
                function = inspect.getattr_static(stock, attribute)
                mine = inspect.getattr_static(native, attribute, None)
                if (isinstance(function, types.FunctionType)
                        and mine is not None
                        and not isinstance(mine, types.FunctionType)):
                    yield f"{name}.{attribute}", function, mine, native


def coroutine_functions():
    """The same, where ouro's is a coroutine function."""
    return [entry for entry in functions()
            if isinstance(entry[2], AsyncMethod)]


def instance(cls):
    """An object to call methods on with wrong arguments: they see no more of
    it than its class."""
    return cls.__new__(cls)
