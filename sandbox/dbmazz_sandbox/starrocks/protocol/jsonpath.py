"""The paths of `jsonpaths` and `json_root`: a small dialect of StarRocks' own (JsonFunctions, starrocks.md 2.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbmazz_sandbox.starrocks.errors import LoadError

_STEP = re.compile(r'([^"\[\]]*)(?:\[([0-9]+|\*)\])?')
NO_INDEX, ANY_INDEX = -1, -2


class NotFound(Exception):
    """The path leads nowhere in this row: the value is NULL."""


class BadPath(Exception):
    """The path cannot be followed in this row: the row is filtered."""


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path and the array index behind it."""

    key: str
    index: int = NO_INDEX


Path = tuple[Step, ...]


def parse_paths(header: str, prefix: str) -> list[Path]:
    """`["$.k1", "$.a.b[0]"]`; raises LoadError as the scanner does when it opens. `prefix` starts the message."""
    try:
        paths = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{prefix}Invalid json path: {header}, error: {_REASON}") from error
    if not isinstance(paths, list):
        raise LoadError(f"{prefix}Invalid json path: {header}, error: {_WRONG_TYPE}")
    if not all(isinstance(path, str) for path in paths):
        raise LoadError(f"{prefix}Invalid json path: {header}")
    return [parse_path(path, prefix) for path in paths]


_REASON = "The JSON document has an improper structure: missing or superfluous commas, braces, missing keys, etc."
_WRONG_TYPE = "The JSON element does not have the requested type."


def parse_path(text: str, prefix: str) -> Path:
    steps: list[Step] = []
    for position, part in enumerate(_split(text)):
        if position == 0 and not part.startswith("$"):
            steps.append(Step(""))  # `a.b`: the first name only marks the root
            continue
        match = _STEP.fullmatch(part)
        if match is None:
            raise LoadError(f"{prefix}Invalid json path: {part}")
        index = NO_INDEX if match[2] is None else ANY_INDEX if match[2] == "*" else int(match[2])
        steps.append(Step(match[1], index))
    return tuple(steps)


def _split(text: str) -> list[str]:
    r"""At dots that no double quotes hold; a backslash keeps a dot, a quote or itself, and `\n`."""
    parts, now, quoted, at = [], "", False, 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
            now += "\n" if text[at : at + 1] == "n" else text[at : at + 1]
        elif char == '"':
            quoted = not quoted
        elif char == "." and not quoted:
            parts.append(now)
            now = ""
        else:
            now += char
        at += 1
    return [*parts, now]


def is_whole_row(path: Path) -> bool:
    return len(path) == 1 and path[0].key == "$"


def follow(row: dict[str, Any], path: Sequence[Step]) -> Any:
    """The value at the end of a path. Raises NotFound or BadPath."""
    if len(path) <= 1:
        raise BadPath("empty json path")
    value: Any = row
    for position, step in enumerate(path[1:], 1):
        if position == 1 and step.key == "*":
            raise BadPath(f"extracting * from root-object is not supported, the json path: {path_text(path)}")
        if not isinstance(value, dict) or (step.key != "*" and step.key not in value):
            raise NotFound
        if step.key == "*":
            value = next(iter(value.values()), value)  # `*` takes the first member there is
        else:
            value = value[step.key]
        if step.index != NO_INDEX:
            value = _element(value, step, path)
    if value is None:
        raise NotFound
    return value


def _element(value: Any, step: Step, path: Sequence[Step]) -> Any:
    if value is None:
        raise NotFound
    if not isinstance(value, list):
        raise BadPath(f"err: {_WRONG_TYPE}, msg: failed to access field as array, field: {step.key}, "
                      f"jsonpath: {path_text(path)}")  # fmt: skip
    if not 0 <= step.index < len(value):
        raise NotFound
    return value[step.index]


def path_text(path: Sequence[Step]) -> str:
    indexes = {NO_INDEX: "", ANY_INDEX: "[*]"}
    return "$" + "".join(f".{step.key}{indexes.get(step.index, f'[{step.index}]')}" for step in path[1:])
