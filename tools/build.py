#!/usr/bin/env python3
"""Builds the extension in place, as `pip install` would, for this Python.

usage: build.py [--debug]

Nothing is done while no source is newer than what is there.
"""

import os
import pathlib
import subprocess
import sys
import sysconfig

TOP = pathlib.Path(__file__).resolve().parent.parent
TARGET = TOP / "ouro" / ("_ouro" + sysconfig.get_config_var("EXT_SUFFIX"))
MARK = TOP / "build" / ("mode-" + sysconfig.get_config_var("SOABI"))


def is_fresh(mode):
    if not TARGET.exists() or not MARK.exists() or MARK.read_text() != mode:
        return False
    sources = [*TOP.glob("src/**/*.[ch]"), TOP / "setup.py",
               TOP / "tools" / "flags.py"]
    return TARGET.stat().st_mtime > max(s.stat().st_mtime for s in sources)


def main():
    mode = "debug" if "--debug" in sys.argv else "optimized"
    if is_fresh(mode):
        return
    print(f"building {TARGET.relative_to(TOP)} ({mode})", flush=True)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace",
               "--force"]
    environment = {**os.environ, "OURO_DEBUG": "1" * (mode == "debug")}
    if subprocess.run(command, cwd=TOP, env=environment).returncode:
        sys.exit("the build has failed")
    MARK.parent.mkdir(exist_ok=True)
    MARK.write_text(mode)


if __name__ == "__main__":
    main()
