"""The command as people and programs meet it: help, bad usage, exit codes, and what it does not import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dbmazz.printable import printable
from dbmazz_cli.__main__ import main
from dbmazz_cli.command import dbmazz

SERVICES = ["reader", "transformer", "loader", "checkpoint", "monitor"]
COMMANDS = [
    "demo",
    "run",
    "status",
    "pause",
    "resume",
    "drain",
    "snapshot",
    "reload",
    "config",
    "sandbox",
    "traffic",
    *SERVICES,
]
# What a service process has no use for, and what would cost each container start time and memory. grpc comes with the
# core's errors; rich comes with structlog wherever it is installed, which is not so in the images of the services.
HEAVY = ["rich", "psutil", "duckdb", "pymysql", "psycopg", "sqlglot", "aiohttp", "numpy", "dbmazz_sandbox"]
USED = {"reader": {"psycopg"}, "loader": {"aiohttp", "pymysql"}}


def clean_environment(**variables: str) -> dict[str, str]:
    """Without settings that the developer's shell may hold."""
    prefixes = ("SOURCE_", "SINK_", "FLUSH_", "READER_", "TRANSFORMER_", "LOADER_", "CHECKPOINT_", "TABLES", "LISTEN")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | variables


def command(*arguments: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dbmazz_cli", *arguments],
        cwd=directory,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: dbmazz {name}" in text
    assert len(text) > 300


def test_help_shows_every_command_and_the_way_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f"\n  {name} " in text
    assert "dbmazz demo --duration 60" in text
    assert "SOURCE_URL" in text
    assert list(dbmazz.list_commands(None)) == COMMANDS  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_lists_the_variables_it_reads(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dbmazz_cli.service_settings import READS

    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for field in READS[name]:
        assert f"\n  {field.upper()}" in text
    assert ("CHECKPOINT_URL" in text) == (name == "checkpoint")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["demmo"], "dbmazz: No such command 'demmo'. `dbmazz --help` shows what it takes"),
        (["reader", "--fast"], "dbmazz reader: No such option '--fast'. `dbmazz reader --help` shows what it takes"),
        (["demo", "--duration", "soon"], "dbmazz demo: Invalid value for '--duration'"),
        (["demo", "--duration", "-1"], "dbmazz demo: Invalid value for '--duration'"),
        (["demo", "--postgres", "9"], "dbmazz demo: Invalid value for '--postgres'"),
        (["sandbox", "mysql"], "dbmazz sandbox: Invalid value for"),
        (["run", "--ports", "80"], "dbmazz run: Invalid value for '--ports'"),
        (["run", "--loaders", "0"], "dbmazz run: Invalid value for '--loaders'"),
    ],
)
def test_bad_usage_is_one_line_and_2(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1


def test_run_says_what_is_not_set(tmp_path: Path) -> None:
    answer = command("run", directory=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("dbmazz: SOURCE_URL is not set. ")
    answer = command("run", directory=tmp_path, SOURCE_URL="postgresql://u:hunter2@127.0.0.1:1/d")
    assert answer.stderr.startswith("dbmazz: SINK_URL is not set. ")
    assert answer.stderr.count("\n") == 1
    assert "hunter2" not in answer.stderr


def test_a_slip_in_a_variable_is_named(tmp_path: Path) -> None:
    answer = command("status", directory=tmp_path, FLUSH_SIZ="5")
    assert answer.returncode == 2
    assert (
        answer.stderr == "dbmazz: FLUSH_SIZ in the environment is not a setting of dbmazz. Did you mean FLUSH_SIZE?\n"
    )


def test_status_of_nothing_says_what_is_down(tmp_path: Path) -> None:
    nowhere = {f"{name}_ADDRESS": "127.0.0.1:1" for name in ("READER", "TRANSFORMER", "LOADER", "CHECKPOINT")}
    answer = command("status", directory=tmp_path, **nowhere)
    assert answer.returncode == 1
    for name in SERVICES[:4]:
        assert f"the {name} at 127.0.0.1:1 is down" in answer.stdout
    answer = command("status", "--json", directory=tmp_path, **nowhere)
    assert answer.returncode == 1
    document = json.loads(answer.stdout)
    assert document["healthy"] is False
    assert [service["state"] for service in document["services"]] == ["DOWN"] * 4


def test_sandbox_data_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = command("sandbox", "postgres", "--data", str(tmp_path / "file" / "below"), directory=tmp_path)
    assert answer.returncode == 2
    assert "below" in answer.stderr
    assert answer.stderr.count("\n") == 1


def imported_by(script: str, directory: Path) -> set[str]:
    """Top-level modules that are loaded after the script."""
    report = f"{script}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    answer = subprocess.run(
        [sys.executable, "-c", report],
        cwd=directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(answer.stdout.splitlines()[-1].split())


def heavy_in(loaded: set[str], directory: Path) -> set[str]:
    """The heavy ones among `loaded`, without what structlog brings by itself."""
    return (set(HEAVY) & loaded) - imported_by("import structlog", directory)


def test_the_command_itself_imports_little(tmp_path: Path) -> None:
    loaded = imported_by("from dbmazz_cli.__main__ import main; main(['config'])", tmp_path)
    assert "dbmazz_cli" in loaded
    assert heavy_in(loaded, tmp_path) == set()


@pytest.mark.parametrize("name", SERVICES[:4])
def test_a_service_command_imports_only_its_service(name: str, tmp_path: Path) -> None:
    """Everything that `dbmazz NAME` loads before it serves: the run itself is replaced by nothing."""
    script = (
        f"import dbmazz_{name}.app as app; app.main = lambda: 0\n"
        f"from dbmazz_cli.__main__ import main; assert main(['{name}']) == 0"
    )
    loaded = imported_by(script, tmp_path)
    assert f"dbmazz_{name}" in loaded
    assert loaded.isdisjoint({f"dbmazz_{other}" for other in SERVICES if other != name})
    assert heavy_in(loaded, tmp_path) <= USED.get(name, set())


def test_a_timeout_that_is_no_number(tmp_path: Path) -> None:
    answer = command("drain", "--timeout", "nan", directory=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "nan is no number of seconds" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("new\nline\x1b[31mred \u202egnp.exe 📦") == "new\\nline\\x1b[31mred \\u202egnp.exe 📦"
