"""Builds the compiled kernels: for each service folder its `dbmazz_<service>/protocol/kernel.pyx`.

`setup.py` of a service takes `extensions` from here, so `pip install` builds them; `make setup` and `make sanitize` run this
file as a command:

    python services/kernel_build.py --check                     is there a C compiler, and Python's headers?
    python services/kernel_build.py services/transformer ...    builds beside the sources, where editable installs look
    python services/kernel_build.py --sanitize DIR services/... copies the packages to DIR and builds them there with
                                                                AddressSanitizer and UndefinedBehaviorSanitizer

`--check` needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

NO_COMPILER = (
    "dbmazz has compiled kernels and needs a C compiler and Python's headers: {what} "
    "(Debian, Ubuntu: apt-get install gcc libc6-dev python3-dev), or set CC"
)
_OPTIMIZED = ["-O3", "-fwrapv"]
# No -fwrapv here: signed overflow shall be found. What the first finding leaves behind means nothing, so it ends the run.
_SANITIZED = [
    *("-O1", "-g", "-fno-wrapv", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
]
_PROBE = "#include <Python.h>\nint main(void) { return sizeof(PyObject) == 0; }\n"


def kernels(folder: Path) -> list[Path]:
    """The Cython sources of a service, relative to its folder."""
    return sorted(path.relative_to(folder) for path in folder.glob("dbmazz_*/protocol/kernel.pyx"))


def missing() -> str:
    """What is missing for building, in one line; empty when nothing is."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        return NO_COMPILER.format(what=f"{compiler[0]} is not there")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text(_PROBE)
        includes = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
        command = [*compiler, *includes, "-c", str(source), "-o", str(source.with_suffix(".o"))]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return ""
    said = next((line for line in answer.stderr.splitlines() if "error" in line), f"exit code {answer.returncode}")
    return NO_COMPILER.format(what=f"{compiler[0]} says: {said.strip()}")


def extensions(*, sanitize: bool = False) -> list:
    """The extension modules of the service in the current directory, as C; `setup()` takes them as `ext_modules`."""
    if problem := missing():
        raise SystemExit(problem)
    from Cython.Build import cythonize
    from setuptools import Extension

    flags = _SANITIZED if sanitize else _OPTIMIZED
    modules = [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            extra_compile_args=[*flags, *shlex.split(os.environ.get("KERNEL_CFLAGS", ""))],
            extra_link_args=["-fsanitize=address,undefined"] if sanitize else [],
        )
        for path in kernels(Path())
    ]
    # The C goes to build/, which is not committed and not packed.
    return cythonize(modules, build_dir="build/cython", language_level=3, quiet=True, show_all_warnings=False)


def build(folder: Path, *, sanitize: bool = False) -> None:
    """Builds the kernels of one service folder in place. An up-to-date one takes no time."""
    from setuptools import Distribution

    with _inside(folder):
        command = Distribution({"ext_modules": extensions(sanitize=sanitize)}).get_command_obj("build_ext")
        command.inplace = True
        command.build_temp = "build/temp"
        command.build_lib = "build/lib"
        command.ensure_finalized()
        command.run()


def copy(folder: Path, to: Path) -> Path:
    """Copies the packages of a service, without what was built from them; the copy comes first on PYTHONPATH."""
    for package in sorted(folder.glob("dbmazz_*")):
        ignore = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(package, to / package.name, ignore=ignore, dirs_exist_ok=True)
    return to


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Builds the compiled kernels of the services.")
    parser.add_argument("--check", action="store_true", help="only say what is missing for building")
    parser.add_argument("--sanitize", type=Path, metavar="DIR", help="build copies in DIR, with sanitizers")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of services")
    options = parser.parse_args(arguments)
    if problem := missing():
        sys.stderr.write(f"{problem}\n")
        return 1
    if options.check:
        return 0
    if options.sanitize is None:
        for folder in options.folders:
            build(folder)
        return 0
    shutil.rmtree(options.sanitize, ignore_errors=True)
    options.sanitize.mkdir(parents=True)
    for folder in options.folders:
        copy(folder, options.sanitize)
    build(options.sanitize, sanitize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
