"""Futures and tasks without __init__(): what both worlds say to that."""

import asyncio

import pytest

import ouro

FUTURE = """
    _state _loop _callbacks _result _exception _log_traceback
    _source_traceback _cancel_message _asyncio_future_blocking
    done() cancelled() cancel() result() exception() get_loop() __repr__()
    __iter__() add_done_callback(print) remove_done_callback(print)
    set_result(1) set_exception(OSError)""".split()
# (Other methods of such a task crash asyncio.)
TASK = """
    _coro _fut_waiter _must_cancel done() cancelled() cancel() result()
    exception() get_loop() __repr__() get_name()""".split()


def outcome(cls, expression):
    """What an expression of a new object comes to: text."""
    try:
        return repr(eval(f"new.{expression}", {"new": cls.__new__(cls)}))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("expression", FUTURE)
def test_future(expression):
    assert (outcome(ouro.Future, expression)
            == outcome(asyncio.Future, expression))


@pytest.mark.parametrize("expression", TASK)
def test_task(expression):
    assert (outcome(ouro.Task, expression)
            == outcome(asyncio.Task, expression))
