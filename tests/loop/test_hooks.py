"""Exceptions that nobody catches: handlers, and what is logged."""

import asyncio
import contextvars
import sys

import pytest

variable = contextvars.ContextVar("variable", default="unset")


def once(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def fail(*args):
    raise ZeroDivisionError("from fail")


def test_the_default_handler_logs(same):
    def program(loop, trace):
        loop.call_soon(fail)
        loop.call_later(0, fail, 1, "x")
        once(loop)
        once(loop)
        for context in ({}, {"message": ""}, {"message": "m"},
                        {"message": "m", "exception": ValueError(1)},
                        {"message": "m", "b": [2], "a": object, "c": "text"},
                        {"message": "m", "exception": None}):
            loop.call_exception_handler(context)
        loop.default_exception_handler({"message": "direct"})

    assert len(same(program)) == 9


@pytest.mark.parametrize("debug", [False, True])
def test_tracebacks_of_the_creation(same, debug):
    def program(loop, trace):
        loop.set_debug(debug)
        loop.call_soon(fail, 1)
        loop.call_soon(lambda: loop.call_exception_handler({"message": "m"}))
        once(loop)
        loop.set_debug(False)
        # (How far up the stack is shown differs by asyncio's own frames.)
        trace[:] = [(level, text.splitlines()[:2], text.splitlines()[-2:],
                     error) for level, text, error in trace]

    same(program)


def test_a_handler_of_the_users(same):
    def program(loop, trace):
        def handler(a_loop, context):
            trace.append((a_loop is loop, sorted(context),
                          context["message"], repr(context["exception"]),
                          repr(sys.exc_info()[1]), variable.get()))

        loop.set_exception_handler(handler)
        trace.append(loop.get_exception_handler() is handler)
        context = contextvars.copy_context()
        context.run(variable.set, "of the handle")
        loop.call_soon(fail, context=context)

        async def main():
            variable.set("of the task")
            raise ValueError("never retrieved")

        loop.create_task(main())
        once(loop)
        once(loop)
        loop.set_exception_handler(None)
        trace.append(loop.get_exception_handler())

    same(program)


def test_handlers_that_fail(same):
    def program(loop, trace):
        loop.set_exception_handler(fail)
        loop.call_soon(fail)
        loop.call_exception_handler({"message": "m"})
        once(loop)
        loop.default_exception_handler = fail
        loop.call_exception_handler({"message": "m"})
        loop.set_exception_handler(None)
        loop.call_exception_handler({"message": "m"})
        trace.errors(lambda: loop.call_exception_handler(None))

    same(program)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_handlers_that_leave(same, error):
    def program(loop, trace):
        def leave(*args):
            raise error

        loop.set_exception_handler(leave)
        loop.call_soon(fail)
        loop.call_soon(trace.append, "after")
        for _ in range(2):
            try:
                once(loop)
            except error:
                trace.append("left")

    assert same(program)[0] == "left"


def test_a_context_that_is_entered_already(same):
    def program(loop, trace):
        context = contextvars.copy_context()
        loop.call_soon(trace.append, "never", context=context)
        context.run(once, loop)
        trace[:] = [entry[0] if isinstance(entry, tuple) else entry
                    for entry in trace]

    assert same(program) == ["ERROR"]


def test_callbacks_see_their_context(same):
    def program(loop, trace):
        def look():
            trace.append(variable.get())
            variable.set("changed")

        token = variable.set("outer")
        handle = loop.call_soon(look)
        loop.call_later(0, look)
        empty = contextvars.Context()
        loop.call_soon(look, context=empty)
        loop.call_soon_threadsafe(look, context=None)
        variable.set("later")
        once(loop)
        once(loop)
        trace.extend([variable.get(), handle._context[variable],
                      empty[variable]])
        variable.reset(token)

    same(program)


def test_task_factories(same):
    def program(loop, trace):
        def factory(a_loop, coro, **kwargs):
            trace.append((a_loop is loop, sorted(kwargs)))
            return asyncio.Task(coro, loop=a_loop, **kwargs)

        async def main():
            return asyncio.current_task().get_name()

        async def nothing():
            pass

        loop.set_task_factory(factory)
        trace.append(loop.get_task_factory() is factory)
        trace.append(loop.run_until_complete(
            loop.create_task(main(), name="a name")))
        context = contextvars.copy_context()
        trace.append(loop.run_until_complete(
            loop.create_task(main(), name="a name", context=context)))
        loop.run_until_complete(nothing())
        loop.set_task_factory(fail)
        coro = main()
        trace.errors(lambda: loop.create_task(coro),
                     lambda: loop.run_until_complete(coro))
        loop.set_task_factory(None)
        trace.append(loop.get_task_factory())
        trace.append(loop.run_until_complete(
            loop.create_task(coro, name="other")))

    same(program)


def test_the_task_type_of_the_module(same, monkeypatch):
    class Task(asyncio.Task):
        pass

    def program(loop, trace):
        async def main():
            trace.append(type(asyncio.current_task()).__name__)

        monkeypatch.setattr(asyncio.tasks, "Task", Task)
        loop.run_until_complete(loop.create_task(main()))
        monkeypatch.undo()

    assert same(program) == ["Task"]
