"""Builds the extension module ouro._ouro; all else is in pyproject.toml."""

import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
from concurrent import futures

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

TOP = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TOP / "tools"))
import flags  # noqa: E402  (a file of this tree)

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("ouro does not support free-threaded builds of Python yet: "
             "use one with the GIL")
if sys.platform != "linux":
    sys.exit("ouro needs Linux")

DEBUG = bool(os.environ.get("OURO_DEBUG"))


def find(pattern):
    return sorted(str(path.relative_to(TOP)) for path in TOP.glob(pattern))


class BuildExt(build_ext):
    """build_ext that compiles several files at once, and optimizes across
    files where the compiler can."""

    def build_extensions(self):
        if not DEBUG and self.compiler_takes("-flto=auto"):
            for extension in self.extensions:
                extension.extra_compile_args.append("-flto")
                extension.extra_link_args += ["-flto=auto", *flags.OPTIMIZE]
        compile_in_order = self.compiler.compile

        def compile_at_once(sources, **options):
            with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(
                    lambda source: compile_in_order([source], **options),
                    sources)
                return [name for names in objects for name in names]

        self.compiler.compile = compile_at_once
        super().build_extensions()

    def compiler_takes(self, option):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "probe.c")
            source.write_text("int main(void) { return 0; }\n")
            command = [*self.compiler.compiler_so[:1], option, str(source),
                       "-o", str(source.with_suffix(""))]
            return subprocess.run(command, capture_output=True).returncode == 0


setup(
    ext_modules=[
        Extension(
            "ouro._ouro",
            sources=find("src/**/*.c"),
            depends=find("src/**/*.h"),
            include_dirs=["src"],
            extra_compile_args=[
                *flags.STANDARD,
                *(flags.DEBUG if DEBUG else flags.OPTIMIZE),
            ],
            undef_macros=["NDEBUG"] if DEBUG else [],
            extra_link_args=["-pthread"],
        ),
    ],
    cmdclass={"build_ext": BuildExt},
)
