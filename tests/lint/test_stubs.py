"""The stubs name what asyncio makes public, as mypy sees it."""

import asyncio
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

import ouro

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SUBMODULES = [info.name for info in pkgutil.iter_modules(asyncio.__path__)
              if not info.name.startswith(("windows", "__"))]

# What mypy's stubtest may say of ours that it does not say of asyncio.
BECAUSE_IT_IS_C = [
    r".* is a disjoint base at runtime, .*",
    r"asyncio\.events\.TimerHandle\.__\w\w__ is inconsistent, "
    r"stub parameter \"other\" should be positional-only .*",
    # Attributes of the instance, and declared as methods.
    r"asyncio\.locks\.Condition\.(acquire|locked|release) is not .*",
    # Private steps, which are no methods of ours.
    r"asyncio\.taskgroups\.TaskGroup\._on_task_done is not present .*",
    r"asyncio\.sslproto\.SSLProtocol\._\w+ is .*",
    r".*\.__del__ is inconsistent, .* \"warnings\"",
]
STUBTEST = """\
import sys
import mypy.stubtest
import ouro
if sys.argv.pop(1) == "installed":
    ouro.install()
sys.exit(mypy.stubtest.main())
"""

USE = """\
import ouro
import ouro as asyncio
from ouro.subprocess import PIPE
async def main() -> tuple[int, str]:
    task: asyncio.Task[int] = asyncio.create_task(asyncio.sleep(0, 1))
    queue: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.TaskGroup() as group, asyncio.timeout(1):
        group.create_task(queue.put("x"))
    return await asyncio.gather(task, queue.get())
loop: ouro.Loop = ouro.new_event_loop()
result: tuple[int, str] = ouro.run(main(), loop_factory=ouro.Loop)
with ouro.Runner(loop_factory=ouro.new_event_loop) as runner:
    result = runner.run(main())
ouro.install()
pipe: int = PIPE
"""


def stubtest(python, world):
    """What mypy's stubtest has to say of asyncio in this Python."""
    done = python("-c", STUBTEST, world, "asyncio", "--concise", timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return set(done.stdout.splitlines())


def test_signatures_are_those_of_asyncio(python):
    pytest.importorskip("mypy")
    found = stubtest(python, "installed") - stubtest(python, "stock")
    unexpected = [line for line in sorted(found)
                  if not any(re.fullmatch(reason, line)
                             for reason in BECAUSE_IT_IS_C)]
    assert not unexpected, "\n".join(unexpected)


def public(names):
    return [name for name in names if not name.startswith("_")]


@pytest.fixture
def mypy(tmp_path, monkeypatch):
    """Checks a program; returns what mypy has to say against it."""
    pytest.importorskip("mypy")
    # The stubs of this tree, whichever ouro is tested.
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "ouro").symlink_to(TOP / "ouro")
    monkeypatch.setenv("MYPYPATH", str(tmp_path / "stubs"))

    def run(text):
        program = tmp_path / "program.py"
        program.write_text(text)
        # In a process of its own: it would leave a large heap behind.
        done = subprocess.run(
            [sys.executable, "-m", "mypy",
             "--strict", "--no-error-summary", "--hide-error-context",
             "--cache-dir", str(tmp_path / "cache"),
             "--python-version", "%d.%d" % sys.version_info[:2],
             str(program)], capture_output=True, text=True, cwd=tmp_path)
        return done.stdout + done.stderr

    return run


def test_every_public_name(mypy):
    lines = ["import ouro"]
    lines += [f"ouro.{name}" for name in public(ouro.__all__)]
    for name in SUBMODULES:
        module = importlib.import_module(f"asyncio.{name}")
        lines.append(f"import ouro.{name}")
        lines += [f"ouro.{name}.{each}"
                  for each in public(getattr(module, "__all__", ()))]
    assert mypy("\n".join(lines) + "\n") == ""


def test_a_program(mypy):
    assert mypy(USE) == ""
