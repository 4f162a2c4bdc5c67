"""Async methods and functions in C look like Python's `async def`s."""

import asyncio
import copy
import functools
import inspect
import pickle
import pydoc
import unittest.mock as mock

import pairs
import pytest

from ouro import _ouro

FUNCTIONS = pairs.coroutine_functions()
parametrize = pytest.mark.parametrize(
    ("stock", "native"), [entry[1:3] for entry in FUNCTIONS],
    ids=[entry[0] for entry in FUNCTIONS])


@parametrize
def test_coroutine_function(stock, native):
    assert inspect.iscoroutinefunction(stock)
    assert inspect.iscoroutinefunction(native)
    assert asyncio.iscoroutinefunction(native)
    assert inspect.iscoroutinefunction(functools.partial(native, 1))
    assert not inspect.isasyncgenfunction(native)
    assert inspect.isroutine(native)


@parametrize
def test_signature(stock, native):
    assert str(inspect.signature(native)) == str(inspect.signature(stock))
    assert native.__name__ == stock.__name__
    assert native.__annotations__ == stock.__annotations__
    assert native.__defaults__ == stock.__defaults__
    assert native.__kwdefaults__ == stock.__kwdefaults__
    assert (inspect.getfullargspec(native).args
            == inspect.getfullargspec(stock).args)


def test_all_coroutine_functions_are_of_this_kind():
    for name, stock, native, _ in pairs.functions():
        if inspect.iscoroutinefunction(stock):
            assert isinstance(native, pairs.AsyncMethod), name


@pytest.mark.parametrize(("cls", "name", "signature"), [
    (_ouro.Queue, "put", "(item)"),
    (_ouro.Lock, "__aenter__", "()"),
    (_ouro.Lock, "__aexit__", "(exc_type, exc, tb)")])
def test_bound(cls, name, signature):
    instance, function = cls(), getattr(cls, name)
    bound = getattr(instance, name)
    assert inspect.ismethod(bound)
    assert bound.__self__ is instance
    assert bound.__func__ is function
    assert bound.__name__ == name
    assert str(inspect.signature(bound)) == signature
    assert repr(bound) == (
        f"<bound method {cls.__name__}.{name} of {instance!r}>")
    assert inspect.iscoroutinefunction(bound)
    assert function.__get__(None, cls) is function
    assert function.__get__(instance) == bound == getattr(instance, name)
    assert hash(bound) == hash(getattr(instance, name))
    assert bound != getattr(cls(), name)
    with pytest.raises(TypeError, match="doesn't apply to a 'int' object"):
        function.__get__(3)(1, 2, 3)
    with pytest.raises(AttributeError):
        bound.nonsense = 1


def test_calling_the_unbound_method():
    async def main():
        queue = _ouro.Queue()
        await _ouro.Queue.put(queue, 1)
        return await _ouro.Queue.get(queue)

    assert asyncio.run(main()) == 1


def test_overriding_and_super():
    class Queue(_ouro.Queue):
        async def get(self):
            return [await super().get()]

    async def main():
        queue = Queue()
        await queue.put(1)
        return await queue.get()

    assert asyncio.run(main()) == [1]


def test_attributes():
    function = _ouro.sleep
    assert repr(function).startswith("<function sleep at 0x")
    assert function.__qualname__ == "sleep"
    assert function.__doc__.startswith("Coroutine that completes after")
    assert _ouro.Queue.get.__qualname__ == "Queue.get"
    assert type(function).__name__ == "function"
    assert callable(function)
    with pytest.raises(AttributeError):
        del function.nonsense
    function.nonsense = 1
    try:
        assert function.__dict__ == {"nonsense": 1}
    finally:
        del function.nonsense
    with pytest.raises(TypeError, match="__name__ must be set to a string"):
        function.__name__ = 1
    with pytest.raises(TypeError, match="__qualname__ must be set to a str"):
        del function.__qualname__
    with pytest.raises(TypeError, match="cannot create"):
        type(function)()


def test_wraps_does_not_make_a_coroutine_function():
    @functools.wraps(_ouro.sleep)
    def function():
        pass

    assert function.__name__ == "sleep"
    assert not asyncio.iscoroutinefunction(function)
    assert not inspect.iscoroutinefunction(function)


def test_pickle_and_copy():
    assert pickle.loads(pickle.dumps(_ouro.sleep)) is _ouro.sleep
    for function in _ouro.sleep, _ouro.Queue.get:
        assert copy.copy(function) is function
        assert copy.deepcopy(function) is function


def test_help():
    text = pydoc.plain(pydoc.render_doc(_ouro.Queue.put))
    assert "put(self, item)" in text
    text = pydoc.plain(pydoc.render_doc(_ouro.sleep))
    assert "sleep(delay, result=None)" in text


@pytest.mark.parametrize("instance", [False, True])
def test_autospec(instance):
    spec = mock.create_autospec(_ouro.Queue, instance=instance)
    for name in "get", "put", "join", "put_nowait", "empty":
        stock = getattr(asyncio.queues.Queue, name)
        assert (isinstance(getattr(spec, name), mock.AsyncMock)
                == inspect.iscoroutinefunction(stock)), name
    queue = spec if instance else spec()
    queue.get.return_value = 5
    assert asyncio.run(queue.get()) == 5
    queue.get.assert_awaited_once_with()


def test_mocks_of_functions():
    with mock.patch.object(_ouro, "sleep") as sleep:
        assert isinstance(sleep, mock.AsyncMock)
        asyncio.run(_ouro.sleep(1))
        sleep.assert_awaited_once_with(1)
    assert isinstance(mock.Mock(spec=_ouro.Queue()).get, mock.AsyncMock)
    assert isinstance(mock.MagicMock(_ouro.Queue).get, mock.AsyncMock)
    with mock.patch.object(_ouro.Queue, "get", autospec=True) as get:
        get.return_value = 3
        assert asyncio.run(_ouro.Queue().get()) == 3


def test_wrapped_mock():
    wrapped = mock.AsyncMock(wraps=_ouro.sleep)
    assert asyncio.run(wrapped(0, 7)) == 7
