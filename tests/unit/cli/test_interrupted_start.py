"""Ctrl-C before anything has begun: the process ends with 130 and says nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dbmazz_cli.starting import Importing

INTERRUPT = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"


# A test run in a shell's background has SIGINT ignored, and children inherit that.
LAUNCHER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "dbmazz_cli", "status"])
"""


@pytest.mark.parametrize("module", ["click", "structlog", "grpc"])
def test_an_interrupt_while_modules_are_imported_is_quiet(tmp_path: Path, module: str) -> None:
    """The module that is being imported when Ctrl-C comes is one of ours, in the place of the real one."""
    (tmp_path / f"{module}.py").write_text(INTERRUPT)
    answer = subprocess.run(
        [sys.executable, "-c", LAUNCHER],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, b"", b"")


def test_afterwards_the_handler_is_the_one_from_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Importing():
        inside = signal.getsignal(signal.SIGINT)
        with Importing():
            assert signal.getsignal(signal.SIGINT) is inside
        assert signal.getsignal(signal.SIGINT) is inside
    assert signal.getsignal(signal.SIGINT) is before


def test_who_has_it_ignored_keeps_it_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Importing():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
