"""Eager task factories look like asyncio's, which are Python functions.

anyio knows an eager factory by its __code__ and takes the constructor of the
tasks out of its __closure__.
"""

import asyncio
import copy
import gc
import inspect
import sys
import weakref

import pytest

import ouro

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12),
                                reason="there are none")

ATTRIBUTES = ("__name__", "__qualname__", "__module__", "__doc__", "__code__",
              "__defaults__", "__kwdefaults__", "__annotations__", "__dict__",
              "__type_params__")


def make(constructor):
    return ouro.create_eager_task_factory(constructor)


def make_task(coro, **kwargs):
    return ouro.Task(coro, **kwargs)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes(name):
    expected = getattr(asyncio.eager_task_factory, name)
    assert getattr(ouro.eager_task_factory, name) == expected
    assert getattr(make(make_task), name) == expected


def test_globals():
    assert (ouro.eager_task_factory.__globals__
            is asyncio.eager_task_factory.__globals__)


def test_signature():
    assert (inspect.signature(ouro.eager_task_factory)
            == inspect.signature(asyncio.eager_task_factory))


def test_repr():
    assert repr(make(make_task)).startswith(
        "<function create_eager_task_factory.<locals>.factory at 0x")


@pytest.mark.parametrize("factory, constructor", [
    (lambda: ouro.eager_task_factory, lambda: ouro.Task),
    (lambda: make(make_task), lambda: make_task),
])
def test_closure(factory, constructor):
    factory = factory()
    closure = factory.__closure__
    assert closure is factory.__closure__
    assert [cell.cell_contents for cell in closure] == [constructor()]


def test_is_its_own_copy():
    factory = make(make_task)
    assert copy.copy(factory) is factory
    assert copy.deepcopy(factory) is factory


def test_binds_like_a_function():
    class Owner:
        factory = ouro.eager_task_factory

    owner = Owner()
    assert owner.factory.__self__ is owner
    assert owner.factory.__func__ is Owner.factory is ouro.eager_task_factory


def test_attributes_can_be_added():
    factory = make(make_task)
    factory.mark = 1
    assert factory.__dict__ == {"mark": 1}


def test_calls_by_any_way():
    """From the loop, directly, and by the constructor in the closure."""
    async def answer():
        return 42

    async def main(factory):
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        assert loop.get_task_factory() is factory
        constructor = factory.__closure__[0].cell_contents
        tasks = [loop.create_task(answer(), name="a"),
                 factory(loop, answer(), name="a"),
                 constructor(answer(), loop=loop, name="a",
                             eager_start=True)]
        for task in tasks:
            assert type(task) is ouro.Task
            assert task.done() and task.result() == 42
            assert task.get_name() == "a"

    for factory in ouro.eager_task_factory, make(make_task):
        ouro.run(main(factory))


def test_collected_with_its_constructor():
    class Constructor:
        def __call__(self, coro, **kwargs):
            return ouro.Task(coro, **kwargs)

    constructor = Constructor()
    constructor.factory = make(constructor)
    constructor.closure = constructor.factory.__closure__
    gone = weakref.ref(constructor), weakref.ref(constructor.factory)
    del constructor
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
