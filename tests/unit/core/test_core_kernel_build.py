"""The kernels are built from their sources, and who has no C compiler is told so in a line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
BUILD = ROOT / "services" / "kernel_build.py"
KERNELS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts[2:])
    for path in ROOT.glob("services/*/dbmazz_*/protocol/kernel.pyx")
)


def check(**environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(BUILD), "--check"]
    # What `make sanitize` loads first would be looked for by the compiler, too.
    inherited = {name: value for name, value in os.environ.items() if name not in ("CC", "LD_PRELOAD", "CPATH")}
    return subprocess.run(
        command, env={**inherited, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


def test_there_are_kernels():
    assert "dbmazz_transformer.protocol.kernel" in KERNELS


@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_under_test_is_the_one_that_was_built_for_it(name):
    path = Path(importlib.import_module(name).__file__)
    wanted = os.environ.get("DBMAZZ_KERNELS") or str(ROOT / "services")
    assert path.suffix == ".so"
    assert path.is_relative_to(wanted)


@pytest.mark.parametrize("name", KERNELS)
def test_the_signatures_name_what_the_kernel_has(name):
    module = importlib.import_module(name)
    stub = ROOT.joinpath("services", name.split("_")[1].split(".")[0], *name.split(".")).with_suffix(".pyi")
    lines = stub.read_text().splitlines()
    public = {line.split("(")[0].split(":")[0].split()[1] for line in lines if line.startswith(("def ", "class "))}
    assert public
    assert public <= set(dir(module))


def test_a_compiler_is_found():
    answer = check()
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_no_compiler_is_one_line_with_the_way_out():
    answer = check(CC="no-such-compiler")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "C compiler" in line
    assert "no-such-compiler is not there" in line
    assert "apt-get install gcc" in line


def test_a_compiler_that_finds_no_headers_is_one_line(tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'x.c:1:10: fatal error: Python.h: No such file or directory' >&2\nexit 1\n")
    broken.chmod(0o755)
    answer = check(CC=f"{broken} -pthread")
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert "Python.h: No such file" in line
    assert "python3-dev" in line


def test_no_generated_code_is_committed():
    listed = subprocess.run(
        ["git", "ls-files", "services"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert [name for name in listed.stdout.splitlines() if name.endswith((".c", ".so", ".o"))] == []
