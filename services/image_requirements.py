"""The part of requirements.lock that an image needs: `python services/image_requirements.py services/reader`.

Takes folders of this repository's distributions, and names of other projects. Prints, with versions and hashes, what they
and the distributions of this repository that they need want from a package index, with all that it needs in turn, which the
lock tells in its `# via` lines. pip takes it with --require-hashes, and refuses it should anything be missing.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_VIA = re.compile(r"^    #(?: via|  ) +([A-Za-z0-9._-]+)$", re.MULTILINE)


def normal(requirement: str) -> str:
    """The project's name as PEP 503 writes it, without extras and version."""
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def workspace(root: Path = ROOT) -> dict[str, tuple[str, list[str]]]:
    """The distributions of this repository: name -> (folder, requirements)."""
    folders = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["dbmazz"]["distributions"]
    projects = {folder: tomllib.loads((root / folder / "pyproject.toml").read_text())["project"] for folder in folders}
    return {normal(project["name"]): (folder, project["dependencies"]) for folder, project in projects.items()}


def direct(wanted: Iterable[str], root: Path = ROOT) -> set[str]:
    """What the named ones need from an index, by themselves and through other distributions of this repository."""
    known = workspace(root)
    by_folder = {folder: name for name, (folder, _) in known.items()}
    left, seen, found = [by_folder.get(word.rstrip("/"), normal(word)) for word in wanted], set(), set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in known:
            left += [normal(requirement) for requirement in known[name][1]]
        else:
            found.add(name)
    return found


def subset(lock: str, names: Iterable[str]) -> list[str]:
    """The entries of a lock for these projects and all that they need; ValueError for a project that is not in it."""
    entries: dict[str, list[str]] = defaultdict(list)
    needs: dict[str, set[str]] = defaultdict(set)
    for entry in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if name := normal(entry):
            # A project can occur several times, each with a marker of its own.
            entries[name].append(entry)
            for parent in _VIA.findall(entry):
                needs[normal(parent)].add(name)
    left, chosen = list(names), set()
    while left:
        name = left.pop()
        if name not in entries:
            raise ValueError(f"{name} is not in requirements.lock: run `make lock`")
        if name not in chosen:
            chosen.add(name)
            left += needs[name]
    return [entry for name in sorted(chosen) for entry in entries[name]]


def main() -> int:
    try:
        found = subset((ROOT / "requirements.lock").read_text(), direct(sys.argv[1:]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
