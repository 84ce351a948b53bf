"""`dbmazz sandbox starrocks` alone: how many BEs, which release, and what is said when that makes no sense."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.fixtures.fix_ring import running_sandbox
from tests.unit.sandbox_starrocks.conftest import run_sql


def test_backends_and_version_from_the_environment(tmp_path: Path) -> None:
    variables = {"SANDBOX_STARROCKS_BACKENDS": "2", "SANDBOX_STARROCKS_VERSION": "4.0"}
    with running_sandbox(tmp_path, **variables) as sandbox:
        with urllib.request.urlopen(f"{sandbox.sink_url}/api/health") as answer:
            assert b'"online_backend_num":"2"' in answer.read()
        assert len(run_sql(sandbox.sink_port, ["SHOW BACKENDS"])) == 2
        assert run_sql(sandbox.sink_port, ["SELECT current_version()"])[0][0].startswith("4.0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--starrocks-version", "2.5"], "StarRocks version '2.5' is not emulated: use one of 3.3, 3.4, 4.0"),
        (["--backends", "0"], "0 is not in the range 1<=x<=32"),
        (["--backends", "many"], "'many' is not a valid integer"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "dbmazz_cli", "sandbox", "starrocks", "--ports", "auto", "--data", str(tmp_path)]
    answer = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"}
    )
    assert answer.returncode != 0 and words in answer.stderr and "Traceback" not in answer.stderr
