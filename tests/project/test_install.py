"""install() reaches every place in asyncio, and uninstall() goes back."""

import pytest

LOOK = """\
import asyncio, gc, importlib, pkgutil, sys, types
def modules():
    return {name: module for name, module in list(sys.modules.items())
            if name in ("asyncio", "_asyncio") or name.startswith("asyncio.")}
def snapshot():
    return {(name, attribute): value
            for name, module in modules().items()
            for attribute, value in vars(module).items()
            if not attribute.startswith("__")}
def everything():
    for info in pkgutil.iter_modules(asyncio.__path__):
        if info.name != "__main__" and not info.name.startswith("windows"):
            importlib.import_module("asyncio." + info.name)
"""


@pytest.fixture
def check(python):
    """Runs code that must not fail in a fresh interpreter."""

    def run(code, *options):
        done = python(*options, "-c", LOOK + code)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


def test_no_name_of_asyncio_holds_what_was_replaced(check):
    check("""
everything()
before = snapshot()
import ouro
ouro.install()
replaced = {id(value): value for key, value in before.items()
            if snapshot()[key] is not value}
assert replaced
left = [key for key, value in snapshot().items() if id(value) in replaced]
assert not left, left
""")


def test_nothing_of_asyncio_reaches_what_was_replaced(check):
    # Not by way of a default argument, a class attribute or a closure.
    check("""
everything()
before = snapshot()
import ouro
ouro.install()
old = {id(value): value for key, value in before.items()
       if snapshot()[key] is not value}
def reaches(value, home, seen):
    if id(value) in old:
        return True
    if id(value) in seen or getattr(value, "__module__", "") != home:
        return False
    seen.add(id(value))
    parts = []
    if isinstance(value, types.FunctionType):
        parts += value.__defaults__ or ()
        parts += (value.__kwdefaults__ or {}).values()
        parts += [cell.cell_contents for cell in value.__closure__ or ()]
    elif isinstance(value, type):
        for part in vars(value).values():
            parts += [getattr(part, name, None)
                      for name in ("__func__", "fget", "fset")] + [part]
    return any(reaches(part, home, seen) for part in parts)
bad = [(name, attribute) for (name, attribute), value in snapshot().items()
       if reaches(value, name, set())]
assert not bad, bad
""")


def test_private_aliases(check):
    check("""
import ouro
python_task, python_future = asyncio.tasks._PyTask, asyncio.futures._PyFuture
ouro.install()
assert asyncio.tasks._CTask is asyncio.Task is ouro.Task
assert asyncio.futures._CFuture is asyncio.Future is ouro.Future
assert asyncio.tasks._PyTask is python_task
assert asyncio.futures._PyFuture is python_future
import _asyncio
assert _asyncio.Task is ouro.Task and _asyncio.Future is ouro.Future
""")


def test_uninstall_gives_everything_back(check):
    check("""
import ouro
everything()
before = snapshot()
policy = asyncio.unix_events.__dict__.get("_UnixDefaultEventLoopPolicy")
factory = policy and policy._loop_factory
for _ in range(3):
    ouro.install()
    ouro.install()
    assert ouro.is_installed() and asyncio.Task is ouro.Task
    ouro.uninstall()
    ouro.uninstall()
    assert not ouro.is_installed()
    assert snapshot().keys() == before.keys()
    assert all(snapshot()[key] is before[key] for key in before)
    assert not policy or policy._loop_factory is factory
assert all(type(finder).__module__ != "ouro._imports"
           for finder in sys.meta_path)
""")


def test_modules_imported_later(check):
    # (asyncio loads all but a few of its own modules itself.)
    check("""
later = [name for name in modules() if name.startswith("asyncio.stagg")]
for name in later:
    del sys.modules[name]
import ouro
ouro.install()
import asyncio.staggered, asyncio.proactor_events
assert type(asyncio.staggered.__loader__).__module__ != "ouro._imports"
assert asyncio.staggered.__spec__.loader is asyncio.staggered.__loader__
scope = vars(asyncio.proactor_events)
assert scope["futures"].Future is ouro.Future
""")


def test_import_of_a_module_that_binds_names(check):
    check("""
import ouro, pathlib, tempfile
with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "later_one.py").write_text(
        "from .tasks import Task\\nfrom _asyncio import Future\\n"
        "def function(task=Task): return task\\n")
    asyncio.__path__.append(folder)
    stock = asyncio.Task
    import asyncio.later_one as one
    assert one.Task is stock
    ouro.install()
    assert one.Task is one.function() is ouro.Task is not stock
    del sys.modules["asyncio.later_one"]
    import asyncio.later_one as other
    assert other is not one and other.Task is ouro.Task
    ouro.uninstall()
    assert other.Task is other.function() is stock
""")


def test_other_modules_are_not_touched(check):
    check("""
mine = types.ModuleType("mine")
sys.modules["mine"] = mine
exec("from asyncio import Task, Future, gather, run", vars(mine))
before = dict(vars(mine))
import ouro
ouro.install()
assert all(vars(mine)[name] is value for name, value in before.items())
""")


def test_not_while_a_loop_runs(check):
    check("""
import ouro
async def main(function):
    try:
        function()
    except RuntimeError as error:
        return str(error)
assert asyncio.run(main(ouro.install)) == (
    "ouro.install() cannot be called while an event loop is running")
assert not ouro.is_installed()
ouro.install()
assert asyncio.run(main(ouro.uninstall)) == (
    "ouro.uninstall() cannot be called while an event loop is running")
assert ouro.is_installed()
""")


def test_what_others_have_patched_stays(check):
    check("""
import ouro
patched = asyncio.tasks.gather = asyncio.gather = lambda: None
class Task(asyncio.Task): pass
asyncio.Task = Task
ouro.install()
assert asyncio.gather is asyncio.tasks.gather is patched
assert asyncio.Task is Task and asyncio.tasks.Task is ouro._ouro.Task
ouro.uninstall()
assert asyncio.gather is asyncio.tasks.gather is patched
assert asyncio.Task is Task
""")


def test_loops_of_the_policy(check):
    check("""
import warnings
warnings.simplefilter("ignore")
import ouro
ouro.install()
if hasattr(asyncio, "DefaultEventLoopPolicy"):
    policy = asyncio.DefaultEventLoopPolicy()
    assert policy._loop_factory is ouro.Loop
    loop = policy.new_event_loop()
    assert type(loop) is ouro.Loop
    loop.close()
for loop in (asyncio.new_event_loop(), asyncio.SelectorEventLoop(),
             asyncio.unix_events._UnixSelectorEventLoop()):
    assert type(loop) is ouro.Loop
    loop.close()
if sys.version_info >= (3, 13):
    assert asyncio.EventLoop is ouro.Loop
async def main():
    return type(asyncio.get_running_loop()) is ouro.Loop
assert asyncio.run(main())
with asyncio.Runner() as runner:
    assert runner.run(main())
""")


def test_policy_set_before(check):
    check("""
import warnings
warnings.simplefilter("ignore")
import asyncio.events
asyncio.set_event_loop(asyncio.new_event_loop())
asyncio.get_event_loop().close()
policy = asyncio.events._event_loop_policy
import ouro
ouro.install()
assert asyncio.events._event_loop_policy is policy
loop = asyncio.new_event_loop()
assert type(loop) is ouro.Loop
loop.close()
""")


def test_imported_anew(check):
    # As test runners and reloaders do.  (No more than 8 dicts or types can be
    # watched in a process: the last ones have to do without.)
    check("""
async def main():
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task(), *tasks}
    return type(asyncio.current_task())
stock = asyncio.Task
copies = set()
for _ in range(12):
    import ouro
    ouro.install()
    assert asyncio.run(main()) is ouro.Task is asyncio.Task
    copies.add(ouro.Task)
    ouro.uninstall()
    assert asyncio.run(main()) is stock
    assert ouro.run(main()) is ouro.Task
    for name in list(sys.modules):
        if name.partition(".")[0] == "ouro":
            del sys.modules[name]
    del ouro
    gc.collect()
assert len(copies) == 12
""")
