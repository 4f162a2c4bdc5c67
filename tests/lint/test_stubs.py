"""The stubs name what asyncio makes public, as mypy sees it."""

import asyncio
import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import ouro

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SUBMODULES = [info.name for info in pkgutil.iter_modules(asyncio.__path__)
              if not info.name.startswith(("windows", "__"))]

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
