"""Incremental build of ouro._ouro for the running Python.

usage: dev_build.py TOP OUT MODE      MODE: plain | asan | tsan

Objects go to OUT/obj, the package to OUT/ouro (Python files are links, so
edits show at once).  An object is compiled again when its source, or a header
that it includes, is newer: the compiler writes down which those are.

A Python that loads what tsan has built needs libtsan.so in LD_PRELOAD, under
`setarch -R`, and must take it out of os.environ before it starts processes:
programs like /bin/sh crash with it.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import sysconfig

import flags

MODES = {"plain": [*flags.OPTIMIZE, "-g"], "asan": flags.SANITIZE,
         "tsan": flags.RACES}
COMMON = [*flags.STANDARD, "-fPIC", *flags.WARNINGS, "-MMD"]


def is_stale(obj):
    """Whether the object is missing or older than what it was made from."""
    rule = obj.with_suffix(".d")
    if not obj.exists() or not rule.exists():
        return True
    made = obj.stat().st_mtime
    sources = rule.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return any(not os.path.exists(name) or os.stat(name).st_mtime > made
               for name in sources)


def main():
    top, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    options = COMMON + MODES[sys.argv[3]]
    include = ["-I" + str(top / "src"),
               "-I" + sysconfig.get_paths()["include"]]
    objects, stale = [], []
    for source in sorted(top.glob("src/**/*.c")):
        obj = out / "obj" / source.relative_to(top / "src").with_suffix(".o")
        obj.parent.mkdir(parents=True, exist_ok=True)
        objects.append(obj)
        if is_stale(obj):
            stale.append((source, obj))

    def compile_one(pair):
        source, obj = pair
        command = ["gcc", *options, *include, "-c", str(source),
                   "-o", str(obj)]
        return subprocess.run(command).returncode

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        if any(list(pool.map(compile_one, stale))):
            sys.exit("dev-build: compilation failed")
    package = out / "ouro"
    package.mkdir(exist_ok=True)
    for file in (top / "ouro").iterdir():
        link = package / file.name
        if file.suffix in (".py", ".pyi", ".typed") and not link.exists():
            link.symlink_to(file)
    target = package / ("_ouro" + sysconfig.get_config_var("EXT_SUFFIX"))
    if stale or not target.exists():
        command = ["gcc", "-shared", "-pthread", *MODES[sys.argv[3]],
                   *map(str, objects), "-o", str(target)]
        if subprocess.run(command).returncode:
            sys.exit("dev-build: linking failed")
    print(f"built {target} ({len(stale)} compiled)")


if __name__ == "__main__":
    main()
