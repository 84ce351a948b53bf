"""The page of log events, made from the code: `python docs/log_events.py > docs/logs.md`. A test compares."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVICES = Path(__file__).resolve().parent.parent / "services"
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}

HEAD = """# Logs

One event per line on stderr. `LOG_FORMAT=json` has an object per line, with `event`, `level`, `timestamp` (UTC) and the keys
of the event; `console` is the same for people. `LOG_LEVEL` says from which level on. Names do not change: alerts may be built
on them. Where … stands, there are keys that say which table, lane or load it is about. Neither row values nor secrets are in
any; a test runs a ring whose every value is marked, and looks for the marks.

On stdout, a service says one line of JSON when it has bound its port: `service`, `address`, `pid`.

This page is made by `python docs/log_events.py`.

| Event | Level | Service | Keys |
|---|---|---|---|
"""


@dataclass(frozen=True, order=True)
class Event:
    """An event as the code logs it. `core` as service: any of them."""

    name: str
    service: str
    level: str
    keys: tuple[str, ...]
    # Whether the caller may add further ones.
    open: bool


class NotFixed(Exception):
    """A place where an event has no fixed name."""


def events(services: Path = SERVICES) -> list[Event]:
    """All events of the services' code, sorted; NotFixed where a name is not written out."""
    found = {
        event
        for path in sorted(services.glob("*/dbmazz*/**/*.py"))
        if "v1" not in path.parts
        for event in _of_module(ast.parse(path.read_text()), path.relative_to(services))
    }
    return sorted(found)


def _of_module(module: ast.Module, path: Path) -> Iterator[Event]:
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method)) if method in LEVELS:
                keys = tuple(sorted(key.arg for key in node.keywords if key.arg))
                for name in _names(node.args[0] if node.args else None, f"{path}:{node.lineno}"):
                    yield Event(
                        name, path.parts[0], LEVELS[method], keys, any(key.arg is None for key in node.keywords)
                    )


def _names(node: ast.expr | None, where: str) -> list[str]:
    match node:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp():
            return [*_names(node.body, where), *_names(node.orelse, where)]
    raise NotFixed(f"{where} logs an event whose name is not written out")


def markdown() -> str:
    """The page."""
    rows: dict[str, list[Event]] = {}
    for event in events():
        rows.setdefault(event.name, []).append(event)
    lines = []
    for name, found in rows.items():
        levels, services = (
            ", ".join(dict.fromkeys(part)) for part in zip(*((e.level, e.service) for e in found), strict=True)
        )
        keys = [f"`{key}`" for key in sorted({key for event in found for key in event.keys})]
        if any(event.open for event in found):
            keys.append("…")
        lines.append(f"| `{name}` | {levels} | {services.replace('core', 'all')} | {', '.join(keys)} |\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
