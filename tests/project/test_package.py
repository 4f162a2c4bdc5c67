"""The ways to use ouro that do without install()."""

import asyncio
import importlib
import pkgutil
import sys

import pytest

import ouro

SUBMODULES = [info.name for info in pkgutil.iter_modules(asyncio.__path__)
              if not info.name.startswith(("windows", "__"))]


async def which():
    return type(asyncio.get_running_loop())


def test_all_public_names():
    for name in asyncio.__all__:
        value = getattr(ouro, name)
        if name not in ("Runner", "run", "new_event_loop"):
            assert value is ouro.native(getattr(asyncio, name))
    assert set(asyncio.__all__) <= set(ouro.__all__) <= set(dir(ouro))
    scope = {}
    exec("from ouro import *", scope)
    assert set(ouro.__all__) <= scope.keys()


@pytest.mark.parametrize("name", SUBMODULES)
def test_submodules(name):
    theirs = importlib.import_module(f"asyncio.{name}")
    ours = importlib.import_module(f"ouro.{name}")
    assert getattr(ouro, name) is ours
    assert ours.__name__ == f"ouro.{name}"
    for attribute, value in vars(theirs).items():
        if not attribute.startswith("__"):
            assert getattr(ours, attribute) is ouro.native(value)
            assert attribute in dir(ours)


def test_what_asyncio_does_not_have():
    for module in ouro, ouro.streams:
        with pytest.raises(AttributeError, match=(
                f"module '{module.__name__}' has no attribute 'nonsense'")):
            module.nonsense
    with pytest.raises(ImportError):
        importlib.import_module("ouro.nonsense")
    with pytest.raises(ImportError):
        exec("from ouro import nonsense")


def test_imports_of_all_kinds():
    import ouro.exceptions as exceptions
    from ouro.subprocess import PIPE
    from ouro.tasks import Task
    assert PIPE == -1
    assert Task is ouro.Task
    assert exceptions.CancelledError is asyncio.CancelledError
    assert ouro.CancelledError is asyncio.CancelledError


def test_run():
    assert ouro.run(which()) is ouro.Loop
    assert ouro.run(which(), loop_factory=asyncio.SelectorEventLoop) is (
        asyncio.SelectorEventLoop)

    async def debug():
        return asyncio.get_running_loop().get_debug()

    assert ouro.run(debug(), debug=True) is True
    assert ouro.run(debug(), debug=False) is False


def test_run_within_run():
    async def main():
        coroutine = which()
        with pytest.raises(RuntimeError, match="cannot be called from a runn"):
            ouro.run(coroutine)
        coroutine.close()
        return "done"

    assert ouro.run(main()) == "done"


def test_runner():
    with ouro.Runner() as runner:
        assert type(runner.get_loop()) is ouro.Loop
        assert runner.run(which()) is ouro.Loop
    with ouro.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert type(runner.get_loop()) is asyncio.SelectorEventLoop


def test_loop_factory():
    loop = ouro.new_event_loop()
    assert type(loop) is ouro.Loop
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()
    with asyncio.Runner(loop_factory=ouro.new_event_loop) as runner:
        assert runner.run(which()) is ouro.Loop


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="no policies")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_policy():
    old = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(ouro.EventLoopPolicy())
    try:
        assert asyncio.run(which()) is ouro.Loop
    finally:
        asyncio.set_event_loop_policy(old)


def test_version():
    assert ouro.__version__.count(".") == 2


NAMES = """
import types, ouro
print(*(name for name, value in vars(ouro).items()
        if not name.startswith("_") and name not in ouro.__all__
        and not isinstance(value, types.ModuleType)))
"""


def test_names_do_not_leak(python):
    """(In a new process: a name that was asked for is kept.)"""
    assert set(python("-c", NAMES).stdout.split()) <= {"native", "is_native"}
