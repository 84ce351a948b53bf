"""The documents say what is so: settings, test names, links, commands; and nothing of the machine they were written on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dbmazz_cli.settings_table import markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TABLE = re.compile(r"<!-- settings -->\n(.*?)<!-- /settings -->", re.DOTALL)


def test_the_readme_lists_every_setting_as_declared() -> None:
    found = TABLE.search((ROOT / "README.md").read_text())
    assert found, "README.md has no <!-- settings --> block"
    assert found[1].strip() == markdown().strip(), "run `dbmazz config --markdown` and put it into README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_test_that_the_guarantees_name_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) > 5
    for path, name in named:
        functions = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}
        assert name in functions, f"docs/guarantees.md names {path}::{name}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for name in re.findall(r"`make ([a-z]+)", page.read_text()):
            assert name in targets, f"{page.name} names `make {name}`"


def test_nothing_of_this_machine_is_committed() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout")
    # A home like / or /root, or a parent like /tmp, is too common a word to look for.
    places = [ROOT, *([Path.home()] if len(Path.home().parts) > 2 else [])]
    paths = "|".join(re.escape(f"{place}/") for place in places)
    private = re.compile(rf"{paths}|index-url|://[^/\s]+/simple\b")
    for name in files.stdout.split():
        path = ROOT / name
        if path == Path(__file__) or not path.is_file() or path.suffix == ".binpb":
            continue
        found = private.search(path.read_text(errors="replace"))
        assert not found, f"{name} holds {found[0]!r}"


def test_ruff_has_nothing_to_say() -> None:
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:]
