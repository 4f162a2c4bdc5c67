"""The launcher: what the python command does with a program, after install().

The program gets a __main__ of its own, with sys.argv and sys.path as python
sets them, and its errors are reported without the launcher's frames.  Flags
of the interpreter go before the -m (python -X dev -m ouro app.py) and apply
as ever, for this is the interpreter that they were given to.
"""

import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import sys
import types

from ._children import inherit
from ._install import install
from ._version import __version__

USAGE = """\
usage: python [python's options] -m ouro [-c cmd | -m mod | file | -] [arg] ...

Run a program as python does, with ouro in the place of asyncio.

-c cmd     program passed in as string
-m mod     run library module as a script
file       program read from a script file, a directory or a zip file
-          program read from stdin (default; interactive if a terminal)
--info     say which names of asyncio are native here, and exit
--version  print ouro's version and exit
--help     print this and exit

Processes that multiprocessing starts run on ouro, too; other child
processes run on what their own command line says.
"""

_launcher = sys.modules["__main__"]     # lives on: its frame is running


def main():
    """Do what the command line says."""
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help"):
        print(USAGE, end="")
    elif first in ("-V", "--version"):
        print("ouro", __version__)
    elif first == "--info":
        from ._info import report
        print(report(), end="")
    else:
        run = _choose(first, arguments)
        install()
        inherit()
        try:
            run()
        except BaseException as error:
            _report_as_python(error)
            raise


def _choose(first, arguments):
    """Set sys.argv and return the function that runs the program."""
    if first[:2] in ("-c", "-m"):
        option, program = first[:2], first[2:]
        rest = arguments[1:]
        if not program:
            if not rest:
                _fail(f"Argument expected for the {option} option")
            program, *rest = rest
        sys.argv = [option, *rest]
        run = _run_command if option == "-c" else _run_module
        return lambda: run(program)
    sys.argv = arguments or [""]
    if first in ("", "-"):
        return _run_stdin
    if first.startswith("-"):
        _fail(f"Unknown option: {first}")
    return lambda: _run_path(first)


def _fail(message):
    print(message, USAGE.partition("\n")[0],
          "Try `python -m ouro --help' for more information.", sep="\n",
          file=sys.stderr)
    sys.exit(2)


# The kinds of programs.

def _run_module(name):
    _new_main()
    runpy._run_module_as_main(name)


def _run_command(source):
    _set_path0("")
    scope = _new_main()
    if sys.version_info >= (3, 14):
        import textwrap
        source = textwrap.dedent(source)
    code = compile(source, "<string>", "exec", dont_inherit=True)
    if sys.version_info >= (3, 13):     # its tracebacks show the source
        import linecache
        by_code = (hasattr(linecache, "_code_key")
                   or hasattr(linecache, "_make_key"))
        linecache._register_code(code if by_code else "<string>", source,
                                 "<string>")
    exec(code, scope)


def _run_stdin():
    _set_path0("")
    scope = _new_main()
    if sys.stdin.isatty():
        _interact(scope)
    else:
        scope.update(_origin("<stdin>"))
        source = sys.stdin.buffer.read()
        exec(compile(source, "<stdin>", "exec", dont_inherit=True), scope)


def _interact(scope):
    import code
    hook = getattr(sys, "__interactivehook__", None)
    if hook is not None and not sys.flags.isolated:
        hook()
    code.interact(f"ouro {__version__}, Python {sys.version} on "
                  f"{sys.platform}", local=scope, exitmsg="")


def _run_path(path):
    """A script, or a directory or zip file with a __main__.py."""
    absolute = os.path.abspath(path)
    if pkgutil.get_importer(absolute) is not None:
        _set_path0(absolute, always=True)
        _new_main()
        runpy._run_module_as_main("__main__", False)
    else:
        _set_path0(os.path.dirname(os.path.realpath(absolute)))
        _run_file(absolute)


def _run_file(path):
    code, loader = _read_program(path)
    scope = _new_main()
    scope.update(_origin(path), __loader__=loader("__main__", path))
    if code is None:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
    try:
        exec(code, scope)
    finally:
        for name in _origin(path):
            scope.pop(name, None)


def _read_program(path):
    """(code, loader class); no code if the file has to be compiled."""
    try:
        with io.open_code(path) as file:
            code = pkgutil.read_code(file)
    except OSError as error:
        problem = f"[Errno {error.errno}] {error.strerror}"
    else:
        if code is None:
            return None, importlib.machinery.SourceFileLoader
        return code, importlib.machinery.SourcelessFileLoader
    print(f"{sys.executable}: can't open file {path!r}: {problem}",
          file=sys.stderr)
    sys.exit(2)


# What they have in common.

def _new_main():
    """Put a fresh __main__ in place of the launcher's; its namespace."""
    module = types.ModuleType("__main__")
    scope = vars(module)
    scope["__loader__"] = importlib.machinery.BuiltinImporter
    if sys.version_info < (3, 14):
        scope["__annotations__"] = {}
    scope["__builtins__"] = builtins
    sys.modules["__main__"] = module
    return scope


def _origin(path):
    """The names by which a main module tells where it is from."""
    if sys.version_info >= (3, 15):
        return {"__file__": path}
    return {"__file__": path, "__cached__": None}


def _set_path0(path, always=False):
    """Replace what python puts before sys.path for -m: the current folder."""
    if not sys.flags.safe_path:
        try:
            if sys.path[:1] == [os.getcwd()]:
                del sys.path[0]
        except OSError:     # there is no current folder any more
            pass
    if always or not sys.flags.safe_path:
        sys.path.insert(0, path)


def _report_as_python(error):
    """Have the interpreter print the error without the launcher's frames.

    The error itself goes on, so that exit codes, death by SIGINT and -i are
    the interpreter's own.
    """
    if isinstance(error, SystemExit) and not sys.flags.inspect:
        return
    hook = getattr(sys, "excepthook", _missing)
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals is globals():
        frames = frames.tb_next

    def excepthook(kind, value, traceback):
        if hook is _missing:
            del sys.excepthook
        else:
            sys.excepthook = hook
        if value is error:
            traceback = sys.last_traceback = frames
            value.__traceback__ = frames
        hook(kind, value, traceback)

    sys.excepthook = excepthook


def _missing(kind, value, traceback):
    """What the interpreter does without a sys.excepthook."""
    print("sys.excepthook is missing", file=sys.stderr)
    sys.__excepthook__(kind, value, traceback)
