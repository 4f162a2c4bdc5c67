"""TaskGroups whose private methods are overridden, and whose private state is
looked at or set: as with asyncio's.  Programs do so to let the other tasks go
on, to hear of each end, or to stop a group before there was cancel()."""

import asyncio
import sys

import pytest

import ouro

KINDS = [(asyncio, asyncio.SelectorEventLoop), (ouro, ouro.Loop)]


class Failed(Exception):
    pass


def same(scenario):
    """Run it with asyncio's names and with ours; return what it noted."""
    notes = []
    for names, factory in KINDS:
        log, loop = [], factory()
        loop.set_exception_handler(
            lambda loop, context: log.append(repr(context["exception"])))
        try:
            loop.run_until_complete(scenario(names, log))
        finally:
            loop.close()
        notes.append(log)
    assert notes[0] == notes[1]
    return notes[0]


async def fail(log, turns=1):
    for _ in range(turns):
        await asyncio.sleep(0)
    log.append("fails")
    raise Failed(turns)


async def work(log, what="worked"):
    try:
        for _ in range(5):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    log.append(what)


async def attempt(log, group, *coroutines, body=None):
    """Note what comes out of `async with`."""
    try:
        async with group as entered:
            assert entered is group
            for coroutine in coroutines:
                group.create_task(coroutine)
            if body is not None:
                await body()
    except BaseExceptionGroup as errors:
        log.append([repr(error) for error in errors.exceptions])
    except BaseException as error:
        log.append(repr(error))
    log.append(asyncio.current_task().cancelling())


PATCHES = ["subclass", "instance", "class"]


def with_method(names, how, name, function, monkeypatch):
    """A TaskGroup that has `function` for a method."""
    if how == "subclass":
        return type("Group", (names.TaskGroup,), {name: function})()
    if how == "class":
        monkeypatch.setattr(names.TaskGroup, name, function)
        return names.TaskGroup()
    group = names.TaskGroup()
    setattr(group, name, function.__get__(group))
    return group


@pytest.mark.parametrize("how", PATCHES)
def test_others_go_on(how):
    """A well-known recipe: nobody is cancelled, the errors come at the end."""
    async def scenario(names, log):
        with pytest.MonkeyPatch.context() as patch:
            group = with_method(names, how, "_abort", lambda self: None, patch)
            await attempt(log, group, fail(log), work(log), fail(log, 3))
            log.append(group._aborting)
    assert "worked" in same(scenario)


def test_others_and_the_block_go_on():
    class Mixin:
        def __init__(self):
            super().__init__()
            self._parent_cancel_requested = True

        def _abort(self):
            return None

    async def scenario(names, log):
        class Group(Mixin, names.TaskGroup):
            pass
        await attempt(log, Group(), fail(log), work(log),
                      body=lambda: work(log, "left"))
    assert "left" in same(scenario)


@pytest.mark.parametrize("how", PATCHES)
def test_each_end_is_told(how):
    async def scenario(names, log):
        base = names.TaskGroup._on_task_done

        def told(self, task):
            log.append(("end", task.get_name(), len(self._tasks)))
            base(self, task)

        with pytest.MonkeyPatch.context() as patch:
            group = with_method(names, how, "_on_task_done", told, patch)
            async with group:
                for name in "abc":
                    group.create_task(work(log)).set_name(name)
            log.append(repr(group))
            group = with_method(names, how, "_on_task_done", told, patch)
            async with group:
                log.append(group._tasks)
    assert ("end", "c", 1) in same(scenario)


def test_each_failure_is_told():
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def _on_task_done(self, task):
                super()._on_task_done(task)
                log.append((len(self._tasks), len(self._errors)))

        await attempt(log, Group(), fail(log), work(log))
    assert (1, 1) in same(scenario)


def test_an_end_that_is_not_passed_on():
    """What is not taken out of _tasks is waited for."""
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def _on_task_done(self, task):
                self._tasks.discard(task)
                if not self._tasks and self._on_completed_fut:
                    self._on_completed_fut.set_result(True)
                log.append(repr(task.exception()))

        await attempt(log, Group(), fail(log), work(log), fail(log, 2))
        stuck = type("Group", (names.TaskGroup,), {
            "_on_task_done": lambda self, task: None})()
        task = names.create_task(attempt(log, stuck, work(log)))
        await asyncio.sleep(0.01)
        log.append(repr(stuck))
        stuck._tasks.clear()
        task.cancel()
        await asyncio.wait([task])
    same(scenario)


def test_methods_that_fail():
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def _abort(self):
                raise ZeroDivisionError

        await attempt(log, Group(), work(log), body=lambda: fail(log))
        group = Group()
        await attempt(log, group, fail(log), work(log))
    same(scenario)


@pytest.mark.parametrize("how", PATCHES)
def test_what_is_raised_as_it_is(how):
    async def scenario(names, log):
        for body in (None, lambda: fail(log)):
            with pytest.MonkeyPatch.context() as patch:
                group = with_method(names, how, "_is_base_error",
                                    lambda self, error: True, patch)
                await attempt(log, group, fail(log), fail(log, 2), body=body)
    assert "Failed(1)" in same(scenario)


def test_methods_that_are_called():
    async def scenario(names, log):
        group = names.TaskGroup()
        async with group:
            task = group.create_task(work(log))
            await asyncio.sleep(0)
            assert group._abort() is None
            log.append(repr(group))
        log.append(task.cancelled())
        log.append(names.TaskGroup()._is_base_error(SystemExit()))
        log.append(names.TaskGroup()._is_base_error(Failed()))
        group = names.TaskGroup()
        async with group:
            task = group.create_task(work(log))
            await asyncio.sleep(0)
            stranger = asyncio.get_running_loop().create_future()
            stranger.cancel()
            group._on_task_done(stranger)
            log.append(repr(group))
        for call in (lambda: group._is_base_error(1),
                     lambda: group._is_base_error(),
                     lambda: group._on_task_done(),
                     lambda: group._abort(1)):
            with pytest.raises((AssertionError, TypeError)) as caught:
                call()
            log.append(str(caught.value).partition("\n")[0])
    same(scenario)


def test_a_task_that_is_taken_out():
    """_tasks is what counts."""
    async def scenario(names, log):
        group = names.TaskGroup()
        async with group:
            task = group.create_task(work(log))
            assert group._tasks == {task} and group._tasks is group._tasks
            group._tasks.discard(task)
            log.append(repr(group))
        log.append("left")
        await task
        group = names.TaskGroup()
        async with group:
            assert group._tasks == set()
            group.create_task(work(log))
            group.create_task(work(log))
            log.append(repr(group))
        log.append(group._tasks)
    assert same(scenario)[1] == "left"


def test_state_that_is_set():
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def __init__(self):
                super().__init__()
                self._loop = None
                self._parent_task = None
                self._tasks = set()
                self._errors = []
                self._base_error = None
                self._on_completed_fut = None

        group = Group()
        await attempt(log, group, fail(log), work(log))
        group = Group()
        group._errors = [Failed("before")]
        await attempt(log, group, work(log))
        group = Group()
        group._base_error = Failed("before")
        await attempt(log, group, work(log))
        group = names.TaskGroup()
        group._entered = True
        coroutine = work(log)
        with pytest.raises(AttributeError) as caught:
            group.create_task(coroutine)
        log.append(str(caught.value))
        coroutine.close()
    same(scenario)


def test_bad_state_is_refused():
    group = ouro.TaskGroup()
    with pytest.raises(TypeError):
        group._errors = 1
    with pytest.raises(TypeError):
        group._base_error = 1
    group._tasks = 1
    with pytest.raises(TypeError):
        repr(group)
    del group._tasks
    assert repr(group) == "<TaskGroup>"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="came with 3.12")
def test_an_eager_end_is_told():
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def _on_task_done(self, task):
                log.append(("end", task.done(), len(self._tasks)))
                super()._on_task_done(task)

        asyncio.get_running_loop().set_task_factory(names.eager_task_factory)
        async with Group() as group:
            group.create_task(asyncio.sleep(0, 1))
            group.create_task(asyncio.sleep(-1, 1))
            await asyncio.sleep(0)
    same(scenario)


@pytest.mark.skipif(sys.version_info < (3, 15), reason="came with 3.15")
def test_cancel_aborts():
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def _abort(self):
                log.append("aborts")
                super()._abort()

        group = Group()
        group.cancel()
        log.append(group._cancel_on_enter)
        await attempt(log, group)
        group = Group()
        await attempt(log, group, work(log),
                      body=lambda: asyncio.sleep(0, group.cancel()))
    assert "aborts" in same(scenario)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="came with 3.14")
def test_who_awaits_a_task():
    async def scenario(names, log):
        class Group(names.TaskGroup):
            def _on_task_done(self, task):
                super()._on_task_done(task)
                log.append(task._asyncio_awaited_by)

        async with Group() as group:
            task = group.create_task(asyncio.sleep(0))
            assert task._asyncio_awaited_by == {asyncio.current_task()}
    assert same(scenario) == [None]
