"""python -m ouro does with a program what python does with it."""

import re
import subprocess
import sys
import zipfile

import pytest

LOOK = """\
import sys
main = sys.modules["__main__"]
assert vars(main) is globals()
for name in sorted(vars(main)):
    if name not in ("main", "name", "sys"):
        value = vars(main)[name]
        print(name, type(value) if name == "__builtins__" else value)
print(sys.argv, sys.path[:2], sys.flags, sys._xoptions, sys.warnoptions)
print(sys._getframe().f_code.co_filename)
"""

PICKLE = """\
import pickle
class Thing:
    pass
if __name__ == "__main__":
    thing = pickle.loads(pickle.dumps(Thing()))
    print(type(thing) is Thing, Thing.__module__)
"""

CHAIN = """\
class Broken(Exception):
    pass
def fail():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise Broken("x") from error
fail()
"""

HOOK = """\
import sys, traceback
def hook(kind, value, tb):
    print(kind, len(traceback.extract_tb(tb)), value.__traceback__ is tb)
    print(sys.excepthook is hook, sys.last_traceback is tb)
sys.excepthook = hook
1 / 0
"""

CHILDREN = """\
import asyncio, multiprocessing, sys
class Box:
    def __init__(self, value):
        self.value = value
def work(box):
    return Box(f"{box.value} {asyncio.Future.__module__}")
if __name__ == "__main__":
    for method in "fork", "spawn", "forkserver":
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            boxes = pool.map(work, [Box(method)])
            print(type(boxes[0]) is Box, boxes[0].value)
"""


@pytest.fixture
def same(python, tmp_path):
    """Runs a command line with and without ouro, and compares all of it."""

    def run(*arguments, options=(), **more):
        stock = python(*options, *arguments, **more)
        ours = python(*options, "-m", "ouro", *arguments, **more)
        assert _plain(ours.stdout) == _plain(stock.stdout)
        assert _plain(ours.stderr) == _plain(stock.stderr)
        assert ours.returncode == stock.returncode
        return ours

    def _plain(text):
        return re.sub(r"0x[0-9a-f]+", "0x", text)

    return run


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path
    return write


@pytest.fixture
def package(write):
    write("package/__init__.py", "")
    write("package/__main__.py", LOOK)
    write("package/module.py", LOOK)


def test_script(same, write):
    write("look.py", LOOK)
    same("look.py", "a", "-b", "--", "-c")


def test_script_elsewhere_and_through_a_link(same, write, tmp_path):
    write("folder/look.py", LOOK)
    (tmp_path / "link.py").symlink_to("folder/look.py")
    same("folder/look.py")
    same("link.py")


def test_module(same, package):
    same("-m", "package", "x")
    same("-m", "package.module", "-m", "x")
    same("-mpackage")


def test_command(same):
    same("-c", LOOK, "-c", "x")
    same("-c" + LOOK)


def test_stdin(same):
    same("-", "a", input=LOOK)
    same(input=LOOK)


def test_folder_and_zip_file(same, write, tmp_path):
    write("folder/__main__.py", LOOK)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", LOOK)
    same("folder", "x")
    same("app.zip", "x")
    write("empty/nothing.py", "")
    assert same("empty").returncode == 1


def test_compiled_file(same, write, python, tmp_path):
    write("look.py", LOOK)
    python("-c", "import py_compile; py_compile.compile('look.py', 'l.pyc')")
    same("l.pyc")


@pytest.mark.parametrize("options", [
    ["-O"], ["-P"], ["-X", "dev"], ["-X", "utf8", "-W", "error"], ["-u"],
    ["-s", "-B"],
])
def test_options_of_python(same, write, options):
    write("look.py", LOOK)
    same("look.py", options=options)
    same("-c", LOOK, options=options)


def test_environment_of_python(same, write):
    write("look.py", LOOK)
    same("look.py", env={"PYTHONDEVMODE": "1", "PYTHONSAFEPATH": "1",
                         "PYTHONOPTIMIZE": "2"})


@pytest.mark.parametrize("code", [
    "import sys; sys.exit()", "import sys; sys.exit(3)",
    "import sys; sys.exit('goodbye')", "raise SystemExit(None)",
    "raise KeyboardInterrupt", "1 / 0", "x = = 1", "  x = 1\ny",
    "raise ExceptionGroup('x', [ValueError(1)])",
    "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "import os; os._exit(7)",
    "import atexit; atexit.register(print, 'end'); 1 / 0",
    "import threading; threading.Thread(target=lambda: 1 / 0).start()",
    "import sys; del sys.excepthook; 1 / 0",
])
def test_how_it_ends(same, write, code):
    same("-c", code)
    same("-", input=code)
    write("program.py", code)
    same("program.py")
    same("-m", "program")


def test_killed_by_sigint(python):
    # As python does, so that a shell stops its loop.
    command = "raise KeyboardInterrupt"
    assert python("-m", "ouro", "-c", command).returncode == -2


def test_errors_show_no_frame_of_ours(same, write):
    write("chain.py", CHAIN)
    assert "ouro" not in same("chain.py").stderr
    assert "ouro" not in same("-m", "chain").stderr


def test_excepthook_of_the_program(same):
    same("-c", HOOK)


def test_inspect(python):
    done = python("-i", "-m", "ouro", "-c", "x = 6; 1 / 0", input="x * 7\n")
    assert "42" in done.stdout
    assert "ZeroDivisionError" in done.stderr
    assert "_launch" not in done.stderr


def test_missing_programs(same):
    assert same("nothing.py").returncode == 2
    assert same("-m", "nothing").returncode == 1


def test_bad_command_lines(python):
    for arguments in ["-c"], ["-m"], ["-x"], ["--nonsense"]:
        done = python("-m", "ouro", *arguments)
        assert done.returncode == 2
        assert "usage: " in done.stderr


def test_main_module_is_the_programs(same, write):
    write("program.py", PICKLE)
    same("program.py")
    same("-m", "program")


def test_children_of_multiprocessing(write, python):
    write("program.py", CHILDREN)
    for arguments in ["program.py"], ["-m", "program"]:
        done = python("-m", "ouro", *arguments)
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["True", "fork"], ["True", "spawn"], ["True", "forkserver"]]
        assert len({line.split()[2] for line in lines}) == 1


def test_children_install_before_the_main_module(write, python):
    write("program.py", """\
import multiprocessing
from asyncio import Future
import ouro
def work(_):
    return Future is ouro.Future and ouro.is_installed()
if __name__ == "__main__":
    for method in "spawn", "forkserver":
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.map(work, [0]))
""")
    done = python("-m", "ouro", "program.py")
    assert (done.stdout, done.stderr) == ("[True]\n" * 2, "")


def test_runs_on_ouro(python):
    done = python("-m", "ouro", "-c", "import asyncio, ouro\n"
                  "print(ouro.is_installed(), asyncio.Future is ouro.Future,"
                  " type(asyncio.new_event_loop()) is ouro.Loop)")
    assert done.stdout == "True True True\n"


def test_help_version_info(python):
    assert python("-m", "ouro", "--help").stdout.startswith("usage: ")
    assert python("-m", "ouro", "--version").stdout.startswith("ouro ")
    info = python("-m", "ouro", "--info")
    assert info.stderr == ""
    for text in "poller", "asyncio.queues", "+Future":
        assert text in info.stdout


def test_repl_of_asyncio(python):
    done = python("-m", "ouro", "-m", "asyncio",
                  input="import ouro\nawait asyncio.sleep(0, 'slept')\n"
                        "type(asyncio.get_running_loop()) is ouro.Loop\n"
                        "exit()\n")
    assert "'slept'" in done.stdout
    assert "True" in done.stdout


def test_terminal(tmp_path):
    pty = pytest.importorskip("pty")
    import os

    import ouro
    folder = os.path.dirname(os.path.dirname(os.path.abspath(ouro.__file__)))
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ouro"], stdin=terminal, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": folder, "TERM": "dumb"})
    os.close(terminal)
    os.write(main, b"import ouro; print(ouro.is_installed(), __name__)\n\x04")
    out, _ = process.communicate(timeout=200)
    os.close(main)
    assert b"True __main__" in out
