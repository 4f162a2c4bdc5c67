"""ouro.streams for asyncio.streams: each submodule of asyncio under ouro.

A mirror has the names of its original, native where there is a native one,
and is made when it is first imported.
"""

import importlib
import importlib.machinery
import sys
import types

from ._install import is_native, native

_PACKAGE = __name__.rpartition(".")[0]


class _Mirror(types.ModuleType):
    def __getattr__(self, name):
        original = sys.modules[_original(self.__name__)]
        try:
            value = native(getattr(original, name))
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r} has no attribute "
                                 f"{name!r}") from None
        if is_native(value):    # it stays; others may be patched
            vars(self)[name] = value
        return value

    def __dir__(self):
        return dir(sys.modules[_original(self.__name__)])


class _Finder:
    """Stands last: a real submodule of ouro is found before."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, child = name.rpartition(".")
        if package != _PACKAGE or child.startswith("_"):
            return None
        try:
            importlib.import_module(_original(name))
        except ImportError:
            return None
        return importlib.machinery.ModuleSpec(name, _Finder)

    @staticmethod
    def create_module(spec):
        original = sys.modules[_original(spec.name)]
        return _Mirror(spec.name, original.__doc__)

    @staticmethod
    def exec_module(module):
        pass


def _original(name):
    return "asyncio." + name.rpartition(".")[2]


sys.meta_path.append(_Finder)
