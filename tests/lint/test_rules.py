"""The rules of the house, which the compiler does not know."""

import pathlib
import re
import subprocess
import sys

import pytest

from ouro import _ouro

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SRC = TOP / "src"
FILES = sorted(SRC.glob("**/*.[ch]"))
IDS = [str(path.relative_to(SRC)) for path in FILES]

sys.path.insert(0, str(TOP / "tools"))
import flags  # noqa: E402

# Which rooms a room may know: itself and what it stands on.
MAY_INCLUDE = {"sys": {"sys"}}
for _room, _below in (("base", "sys"), ("task", "base"), ("loop", "task"),
                      ("sync", "loop"), ("net", "loop"), ("streams", "net")):
    MAY_INCLUDE[_room] = MAY_INCLUDE[_below] | {_room}

KERNEL_HEADERS = re.compile(
    r"#\s*include\s*<(sys/(epoll|eventfd|timerfd|signalfd|inotify|syscall|"
    r"socket|un|uio|ioctl|mman|wait|prctl|sendfile)|linux/.*|netinet/.*|"
    r"arpa/.*|netdb|poll|fcntl|pthread)\.h>")

# Types that lack a slot for the garbage collector, and why.
INHERITED = "its base has both"
BROKEN_ELSEWHERE = "in every cycle is something that clears: "
WITHOUT_TRAVERSE = {
    "context_slots": "has no state",
    "end_slots": "the base's are inherited; it is never tracked",
    "deadline_slots": "the engine shows what it holds (docs/lifetimes.md)",
    "loop_slots": INHERITED,
    "loop_runner_slots": INHERITED,
    "server_slots": INHERITED,
    "span_slots": "refers to no objects",
}
WITHOUT_CLEAR = {
    **WITHOUT_TRAVERSE,
    "call_slots": BROKEN_ELSEWHERE + "the loop that waits for it",
    "chain_slots": BROKEN_ELSEWHERE + "the two futures",
    "submit_slots": BROKEN_ELSEWHERE + "the loop that it is sent to",
    "release_slots": BROKEN_ELSEWHERE + "the future that calls it",
    "shield_slots": BROKEN_ELSEWHERE + "the two futures",
    "wrapper_slots": BROKEN_ELSEWHERE + "the coroutine",
}

LINES_MAX = 800


@pytest.fixture(scope="module")
def engine_objects(tmp_path_factory):
    """The engine compiled without Python's headers on the path."""
    folder = tmp_path_factory.mktemp("objects")
    objects = []
    for source in sorted(SRC.glob("sys/*.c")):
        target = folder / (source.stem + ".o")
        subprocess.run(["gcc", *flags.STANDARD, "-O0", f"-I{SRC}", "-c",
                        str(source), "-o", str(target)], check=True)
        objects.append(target)
    return objects


def symbols(file, *options):
    out = subprocess.run(["nm", *options, str(file)], check=True, text=True,
                         capture_output=True).stdout
    return [line.split()[-1] for line in out.splitlines() if line.strip()]


def test_the_engine_knows_nothing_of_python(engine_objects):
    assert engine_objects
    for path in engine_objects:
        bad = [name for name in symbols(path, "--undefined-only")
               if name.startswith(("Py", "_Py"))]
        assert not bad, path.name


def test_the_extension_exports_its_init_function_alone():
    exported = symbols(_ouro.__file__, "-D", "--defined-only")
    linker = {"_init", "_fini", "_edata", "_end", "__bss_start"}
    assert {name for name in exported if name not in linker
            and "asan" not in name} == {"PyInit__ouro"}


@pytest.mark.parametrize("path", FILES, ids=IDS)
class TestFile:
    def test_kernel_headers_under_sys_alone(self, path):
        if path.relative_to(SRC).parts[0] != "sys":
            assert not KERNEL_HEADERS.search(path.read_text())

    def test_includes_point_one_way(self, path):
        room = path.relative_to(SRC).parts[0]
        for other in re.findall(r'#include "(\w+)/', path.read_text()):
            assert other in MAY_INCLUDE[room]

    def test_version_of_python_in_compat_alone(self, path):
        if path.name != "compat.h":
            assert not re.search("PY_(VERSION_HEX|M[AI][A-Z]+_VERSION)",
                                 path.read_text())

    def test_length(self, path):
        assert len(path.read_text().splitlines()) <= LINES_MAX

    def test_starts_with_what_it_is(self, path):
        assert path.read_text().startswith(f"/* {path.name} - ")

    def test_types_take_part_in_garbage_collection(self, path):
        tables = re.findall(r"PyType_Slot (\w+)\[\] = \{(.*?)\n\};",
                            path.read_text(), re.DOTALL)
        for name, slots in tables:
            for slot, without in (("Py_tp_traverse", WITHOUT_TRAVERSE),
                                  ("Py_tp_clear", WITHOUT_CLEAR)):
                assert (slot in slots) != (name in without), (
                    f"{name}, {slot}: either it is there, or a reason")


def test_every_exception_is_still_needed():
    text = "".join(path.read_text() for path in FILES)
    for name in WITHOUT_CLEAR:
        assert f"PyType_Slot {name}[]" in text
