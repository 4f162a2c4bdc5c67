"""What a source distribution and a wheel take from the tree."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("setuptools", minversion="77")


@pytest.fixture(scope="module")
def made(top, tmp_path_factory):
    """A folder with the list of the sdist's files and the wheel's package.

    (All but the extension, whose compiling takes long.)"""
    folder = tmp_path_factory.mktemp("made")
    environment = {name: value for name, value in os.environ.items()
                   if name != "LD_PRELOAD"}      # (make asan sets it)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", folder,
         "build_py", "--build-lib", folder / "lib"],
        cwd=top, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_sdist_has_what_building_and_testing_need(top, made):
    listed = set((made / "ouro.egg-info/SOURCES.txt").read_text().split("\n"))
    needed = {"LICENSE", "MANIFEST.in", "Makefile", "README.md", "setup.py",
              "pyproject.toml", ".clang-format", "tools/flags.py",
              "tools/prepare", "tests/run.py", "docs/architecture.md"}
    for pattern in ("src/**/*.[ch]", "ouro/*.py", "ouro/*.pyi", "ouro/*.typed",
                    "tests/**/*.py", "tests/**/*.[ch]", "tests/**/*.toml",
                    "tests/**/*.pem", "examples/*.py", "bench/*.py"):
        found = {str(path.relative_to(top)) for path in top.glob(pattern)}
        assert found, pattern
        needed |= found
    assert not needed - listed


def test_sdist_has_nothing_that_was_made(made):
    listed = (made / "ouro.egg-info/SOURCES.txt").read_text().split()
    assert not [name for name in listed
                if name.endswith((".so", ".o", ".pyc")) or
                name.startswith(("build/", "dist/", ".venv", ".git/"))]


def test_wheel_has_the_package_alone(top, made):
    lib = made / "lib"
    made_files = {str(path.relative_to(lib)) for path in lib.rglob("*")
                  if path.is_file()}
    assert made_files == {
        str(path.relative_to(top)) for path in top.glob("ouro/*")
        if path.suffix in (".py", ".pyi", ".typed")}
    assert "ouro/py.typed" in made_files
