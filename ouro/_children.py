"""Under `python -m ouro`, what multiprocessing starts runs on ouro, too.

Forked children have it anyway.  Those of the spawn and forkserver methods
are new interpreters whose command line is made here: `-c "from
multiprocessing.spawn import ..."` (some versions import sys first); it gets
the install in front, before the program's main module is imported again.
"""

import os
import re
import sys

from . import _imports

_is_program = re.compile(
    r"(import sys; )?from multiprocessing\.(spawn|forkserver) import ").match

# The folder that ouro was imported from goes to the end of the child's path;
# multiprocessing itself hands on the parent's sys.path a little later.
_PREFIX = ("import sys; sys.path.append({folder!r}); "
           "import ouro; ouro.install(); sys.path.pop(); ")


def inherit():
    """From now on children of multiprocessing install ouro, too."""
    loaded = sys.modules.get("multiprocessing.util")
    if loaded is not None:
        _prepare(loaded)
    else:
        _imports.watch("multiprocessing.util".__eq__, _prepare)


def _prepare(util):
    spawn = util.spawnv_passfds
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    prefix = _PREFIX.format(folder=folder)

    def spawnv_passfds(path, args, passfds):
        args = [_with_prefix(each, prefix) for each in args]
        return spawn(path, args, passfds)

    util.spawnv_passfds = spawnv_passfds


def _with_prefix(argument, prefix):
    if isinstance(argument, str) and _is_program(argument):
        return prefix + argument
    return argument
