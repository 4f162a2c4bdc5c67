"""Objects of ouro's that are collected together with their types.

The collector clears types before the objects of them that are garbage in the
same cycle, at the latest when the interpreter ends.  A second copy of the
extension, which nothing else holds, shows it without an end.
"""

import gc

import pytest

import ouro
from ouro import _ouro

PROGRAM = """
import asyncio, gc, importlib.machinery, importlib.util, os, sys, weakref

os.register_at_fork = lambda **hooks: None      # it would hold the copy
import _asyncio             # (from 3.14 on its set of tasks has no name)
sets = [value for value in [*vars(asyncio.tasks).values(),
                            *gc.get_referents(_asyncio)]
        if isinstance(value, weakref.WeakSet)]
name, file = "ouro._ouro", sys.argv[1]
spec = importlib.machinery.ModuleSpec(
    name, importlib.machinery.ExtensionFileLoader(name, file), origin=file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for tasks in sets:                   # ouro makes a subclass of its own of it
    tasks.__class__ = weakref.WeakSet
loop = asyncio.new_event_loop()

class Subclass(module.Future):
    pass

def objects():
    yield module.Future(loop=loop)
    yield Subclass(loop=loop)
    yield iter(module.Future(loop=loop))
    waiting = module.Queue().get()
    waiting.send(None)
    yield waiting
    closed = [module.sleep(0) for _ in range(3)]
    for coroutine in closed:
        coroutine.close()
    yield closed
    yield waiting.__await__()
    yield module.Queue().get
    yield module.Lock()
    yield module.Event()
    yield module.StreamReader(loop=loop)
    yield module.Handle(print, (), loop)
    yield module.Timeout(None)
    yield module.Loop()
    yield module.Task(module.Queue().get(), loop=loop)

asyncio._set_running_loop(loop)
cycle = [objects, module]
cycle.append(cycle)
cycle.extend(objects())
asyncio._set_running_loop(None)
reference = weakref.ref(module)
del module, objects, Subclass, cycle, spec, tasks
loop._ready.clear()
gc.collect()
asyncio.coroutines._iscoroutine_typecache.clear()
for _ in range(3):
    gc.collect()
print("collected" if reference() is None else gc.get_referrers(reference()))
"""


@pytest.mark.parametrize("options", [(), ("-X", "dev")], ids=repr)
def test_teardown(python, options):
    result = python(*options, "-c", PROGRAM, _ouro.__file__)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "collected\n"


def test_a_loop_holds_the_module():
    """Its type may be cleared first, and its state is the module's."""
    loop = ouro.new_event_loop()
    try:
        assert _ouro in gc.get_referents(loop)
    finally:
        loop.close()


@pytest.mark.parametrize("place", ["keep.it", "ouro._ouro.it", "sys.it"])
def test_end_of_the_interpreter(python, place):
    result = python("-c", f"""
import asyncio, sys, ouro, ouro._ouro
loop = asyncio.new_event_loop()
class keep: pass
class Subclass(ouro.Future): pass
it = [ouro.Future(loop=loop), Subclass(loop=loop), ouro.Queue().get(),
      ouro.sleep(0), ouro.Queue().put, ouro.Lock(), ouro.new_event_loop()]
it[2].close()
it[3].send(None)
it.append(it)
keep.it = keep
Subclass.it = it
{place} = it
""")
    assert result.returncode == 0, result.stderr
    assert "Fatal" not in result.stderr
