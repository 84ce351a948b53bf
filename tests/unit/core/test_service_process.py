"""What every service process does around its own `run`: settings, signals, one line, exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_SERVICE = """
import asyncio, sys
from dbmazz.errors import ConfigError, TargetError
from dbmazz.process import announce, run_service, stop_on_signals

async def serve(settings):
    stop = stop_on_signals()
    announce("loader", "127.0.0.1:1")
    await stop.wait()
    return 0

async def refuse(settings):
    raise TargetError("StarRocks refuses", "Grant the privilege")

async def refuse_in_tasks(settings):
    async def fail(error):
        raise error
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail(TargetError("StarRocks refuses")))
        tasks.create_task(fail(ConfigError("and the setting is wrong")))

async def defect(settings):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(refuse(settings))
        raise KeyError("a defect")

sys.exit(run_service("loader", globals()[sys.argv[1]]))
"""


def start(directory: Path, run: str, **variables: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", _SERVICE, run],
        cwd=directory,
        env={"PATH": os.environ["PATH"], **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(directory: Path, run: str, **variables: str) -> tuple[int, list[str]]:
    with start(directory, run, **variables) as process:
        _, errors = process.communicate(timeout=20)
    return process.returncode, errors.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_announces_itself_and_ends_at_a_signal(tmp_path: Path, number: signal.Signals):
    with start(tmp_path, "serve") as process:
        said = json.loads(process.stdout.readline())
        assert said == {"service": "loader", "address": "127.0.0.1:1", "pid": process.pid}
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_an_error_of_ours_is_one_line(tmp_path: Path):
    assert outcome(tmp_path, "refuse") == (1, ["dbmazz loader: StarRocks refuses. Grant the privilege"])


def test_errors_of_ours_out_of_tasks_are_one_line_each(tmp_path: Path):
    code, lines = outcome(tmp_path, "refuse_in_tasks")
    assert code == 2
    assert lines == ["dbmazz loader: StarRocks refuses", "dbmazz loader: and the setting is wrong"]


def test_a_bad_setting_is_one_line(tmp_path: Path):
    code, lines = outcome(tmp_path, "serve", FLUSH_SIZE="many")
    assert code == 2
    assert lines == [
        "dbmazz loader: FLUSH_SIZE=many in the environment is not valid. It takes a whole number from 1 to 1000000"
    ]


def test_all_bad_settings_are_told_at_once(tmp_path: Path):
    (tmp_path / ".env").write_text("FLUSH_SIZE=many\nSINK_PROT=9030\n")
    code, lines = outcome(tmp_path, "serve", LOG_LEVEL="loud")
    assert code == 2
    assert [line.partition(" in ")[0] for line in lines] == [
        "dbmazz loader: FLUSH_SIZE=many",
        "dbmazz loader: LOG_LEVEL=loud",
        "dbmazz loader: SINK_PROT",
    ]


def test_a_defect_keeps_its_traceback(tmp_path: Path):
    code, lines = outcome(tmp_path, "defect")
    assert code == 1
    assert any("KeyError" in line for line in lines) and any("Traceback" in line for line in lines)
