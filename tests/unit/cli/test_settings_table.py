"""The settings table says what is declared, and each service's list what its source reads."""

import ast
import dataclasses
from pathlib import Path

import dbmazz
import dbmazz_checkpoint
import dbmazz_loader
import dbmazz_monitor
import dbmazz_reader
import dbmazz_transformer
import pytest
from dbmazz.config import Settings
from dbmazz_cli import settings_table
from dbmazz_cli.__main__ import main
from dbmazz_cli.service_settings import READS

FIELDS = {field.name for field in dataclasses.fields(Settings)}
PACKAGES = {
    "reader": dbmazz_reader,
    "transformer": dbmazz_transformer,
    "loader": dbmazz_loader,
    "checkpoint": dbmazz_checkpoint,
    "monitor": dbmazz_monitor,
}


def test_every_setting_is_in_the_markdown_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text == settings_table.markdown()
    lines = text.splitlines()
    assert len(lines) == 2 + len(FIELDS)
    for line in lines:
        assert line.replace("\\|", "").count("|") == 5
    for field in dataclasses.fields(Settings):
        [line] = [line for line in lines if line.startswith(f"| `{field.name.upper()}` |")]
        assert field.metadata["why"] in line.replace("\\", "")


def test_sizes_are_written_as_people_write_them() -> None:
    defaults = {row.name: row.default for row in settings_table.rows()}
    assert defaults["FLUSH_BYTES"] == "32MB"
    assert defaults["FLUSH_SIZE"] == "10000"
    assert defaults["SOFT_DELETE"] == "true"
    assert defaults["SINK_PASSWORD"] == ""


def test_the_plain_table_has_help_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "SINK_PORT [9030]" in text
    assert "a whole number from 1 to 65535" in text


def settings_read_by(package: object) -> set[str]:
    """Fields taken from something that is called settings, in all modules of a package."""
    [root] = package.__path__  # type: ignore[attr-defined]
    found = set()
    for path in Path(root).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in FIELDS:
                owner = node.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if name in ("settings", "_settings"):
                    found.add(node.attr)
    return found


@pytest.mark.parametrize("service", PACKAGES)
def test_the_list_of_a_service_is_complete(service: str) -> None:
    missing = settings_read_by(PACKAGES[service]) - set(READS[service])
    assert not missing, f"the {service} reads {sorted(missing)}: add them to dbmazz_cli/service_settings.py"


def test_what_every_process_reads_is_in_every_list() -> None:
    common = settings_read_by(dbmazz)
    assert common
    for service, fields in READS.items():
        assert common <= set(fields), service
        assert set(fields) <= FIELDS
        assert len(fields) == len(set(fields))
