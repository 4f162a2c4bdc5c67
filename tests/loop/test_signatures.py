"""The loop's methods have asyncio's signatures and names."""

import asyncio
import inspect

import pytest

import ouro

STOCK = asyncio.SelectorEventLoop
PRIVATE = """_check_closed _check_running _run_once _add_reader _remove_reader
    _add_writer _remove_writer _call_soon _add_callback
    _add_callback_signalsafe _timer_handle_cancelled _process_events
    _write_to_self _check_thread _check_callback _handle_signal _check_signal
    _set_coroutine_origin_tracking _asyncgen_finalizer_hook
    _asyncgen_firstiter_hook _check_default_executor _do_shutdown
    _ensure_fd_no_transport""".split()
METHODS = sorted({name for name in dir(STOCK) if not name.startswith("_")}
                 | set(PRIVATE))


def shape(function):
    """Parameters without self; where it stands is not C's to choose."""
    return [(each.name, each.kind, each.default) for each in
            inspect.signature(function).parameters.values()
            if each.name != "self"]


@pytest.mark.parametrize("name", METHODS)
def test_signature(name):
    theirs, ours = getattr(STOCK, name), getattr(ouro.Loop, name)
    if not callable(theirs):
        return
    expected = shape(theirs)
    got = shape(ours)
    # Methods of one parameter that C takes by position alone.
    if name.startswith("_"):
        expected = [each[0] for each in expected]
        got = [each[0] for each in got]
    # Defaults that are constants of asyncio's are shown as such.
    assert [each if isinstance(each, str) else each[:2]
            for each in got] == [each if isinstance(each, str) else each[:2]
                                 for each in expected]


@pytest.mark.parametrize("name", METHODS)
def test_kind(name):
    theirs, ours = getattr(STOCK, name), getattr(ouro.Loop, name)
    assert (asyncio.iscoroutinefunction(theirs)
            == asyncio.iscoroutinefunction(ours))
    assert ours.__doc__ is not None or theirs.__doc__ is None or (
        name.startswith("_"))


def test_no_method_is_missing():
    missing = [name for name in dir(STOCK) if not hasattr(ouro.Loop, name)]
    # asyncio's own self-pipe, by its private steps.
    assert missing == [name for name in missing if name in (
        "_close_self_pipe", "_make_self_pipe", "_process_self_data",
        "_read_from_self", "_create_server_getaddrinfo")]
