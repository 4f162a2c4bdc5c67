"""Put an implementation of asyncio in place, and the tests on it.

Owns the knowledge of which of asyncio's objects were replaced by which: names
are noted before install(), compared after it.  From there it flows into the
test modules (whatever in them still holds a replaced object gets the
replacement), into Python children that tests start, and, for the log, back:
a mock in the place of a module's `logger` sees what the implementation logs.
"""

import functools
import importlib
import logging
import pkgutil
import sys
import types

# What is equal by value everywhere says nothing about who implements it.
PLAIN = (int, float, str, bytes, tuple, list, dict, set, frozenset, type(None),
         types.ModuleType)


def asyncio_modules():
    import asyncio
    modules = {"asyncio": asyncio}
    for info in pkgutil.iter_modules(asyncio.__path__, "asyncio."):
        if not info.name.startswith(("asyncio.__", "asyncio.windows")):
            try:
                modules[info.name] = importlib.import_module(info.name)
            except ImportError:     # of another platform
                pass
    modules["_asyncio"] = importlib.import_module("_asyncio")
    return modules


def public_state():
    """{(module name, attribute): object}, without plain values."""
    return {(name, attribute): value
            for name, module in asyncio_modules().items()
            for attribute, value in vars(module).items()
            if attribute[:2] != "__" and not isinstance(value, PLAIN)}


class Swap:
    """What install() replaced."""

    def __init__(self, before, after):
        self.pairs = {}     # id(old) -> (old, new); `old` keeps the id taken
        # Public names decide where an object had several.
        for key in sorted(before, key=lambda key: key[1].startswith("_")):
            old, new = before[key], after.get(key, before[key])
            if new is not old:
                self.pairs.setdefault(id(old), (old, new))
        # _asyncio is an extension module, which install() may leave alone.
        self.forgotten = sorted(
            ".".join(key) for key, value in after.items()
            if key[0] != "_asyncio" and self.new(value) is not value)

    def new(self, value):
        if type(value) in (staticmethod, classmethod):
            inner = self.new(value.__func__)
            return value if inner is value.__func__ else type(value)(inner)
        return self.pairs.get(id(value), (None, value))[1]

    def retarget(self, module):
        """Give a test module, its classes and functions what replaced what."""
        todo, seen = [module], set()
        while todo:
            owner = todo.pop()
            if id(owner) in seen:
                continue
            seen.add(id(owner))
            if isinstance(owner, types.FunctionType):
                todo += self._function(owner)
                continue
            for name, value in list(vars(owner).items()):
                if self.new(value) is not value:
                    setattr(owner, name, self.new(value))
                    continue
                value = getattr(value, "__func__", value)
                if (isinstance(value, (type, types.FunctionType))
                        and value.__module__ == module.__name__):
                    todo.append(value)

    def _function(self, function):
        """Swap defaults and closure; yield the functions found in there."""
        if function.__defaults__:
            function.__defaults__ = tuple(map(self.new, function.__defaults__))
        keywords = function.__kwdefaults__ or {}
        keywords.update({name: self.new(value)
                         for name, value in keywords.items()})
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:      # not filled yet
                continue
            if self.new(value) is not value:
                cell.cell_contents = self.new(value)
            elif isinstance(value, types.FunctionType):
                yield value


def install(name):
    """Install implementation `name`; returns (Swap, its version).

    To be called before a test module is imported: class bodies name asyncio's
    classes.
    """
    before = public_state()
    version = sys.version.split()[0]
    if name != "asyncio":
        module = importlib.import_module(name)
        module.install()
        version = getattr(module, "__version__", "of unknown version")
        _install_in_children(name)
    swap = Swap(before, public_state())
    for module in asyncio_modules().values():
        if "logger" in vars(module):
            module.__class__ = LoggingModule
    return swap, version


def _install_in_children(name):
    """Have `python -c` children install it too.

    They are often isolated from the environment, so sys.path goes with them.
    """
    from test.support import script_helper
    original = script_helper.run_python_until_end

    @functools.wraps(original)
    def with_install(*args, **environment):
        arguments = list(args)
        if "-c" in arguments[:-1]:
            position = arguments.index("-c") + 1
            arguments[position] = (
                f"import sys; _path = sys.path; sys.path = {sys.path!r}\n"
                f"import {name}; {name}.install(); sys.path = _path\n"
                + arguments[position])
        return original(*arguments, **environment)

    script_helper.run_python_until_end = with_install


class LoggingModule(types.ModuleType):
    """A module whose `logger`, when a test replaces it, hears everything.

    Tests check what is logged by putting a mock in the place of the logger of
    one module.  What is logged is asyncio's behaviour; which module's global
    is read to do it is not.
    """

    _METHODS = ("debug", "info", "warning", "error", "exception", "critical",
                "log")
    _replaced = {}      # module name -> what stands in its logger's place

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "logger":
            real = logging.getLogger("asyncio")
            LoggingModule._replaced.pop(self.__name__, None)
            if value is not real:
                LoggingModule._replaced[self.__name__] = value
            for method in self._METHODS:
                vars(real).pop(method, None)
                for mock in LoggingModule._replaced.values():
                    setattr(real, method, getattr(mock, method))
