"""Values as people read them: long ones cut, numbers never rounded."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from google.protobuf.struct_pb2 import Struct

# Of a value that is shown, unless more is asked for.
CHARACTERS = 200
# Integers beyond are not exact as a double, which is what numbers in a Struct are.
_EXACT = 1 << 53
# Deeper documents are shown as text: some clients refuse to read deep messages.
_DEPTH = 20


def shortened(text: str, limit: int) -> str:
    """The text, or its first `limit` characters and how many there are."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def json_row(line: bytes, limit: int) -> Struct:
    """A JSON object with its strings and documents cut to `limit` characters.

    A number that a double cannot hold is shown as a string with all its digits.
    """
    row = Struct()
    try:
        values = json.loads(line, parse_int=_integer, parse_float=_fraction)
        row.update({name: _shown(value, limit) for name, value in values.items()})
    except (RecursionError, UnicodeError):
        # Nested too deeply to be walked, or an escaped half of a character: shown as it is.
        row.Clear()
        row.update({"json": shortened(line.decode(errors="replace"), limit)})
    return row


def _shown(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return shortened(value, limit)
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
        return shortened(text, limit) if len(text) > limit or _depth(value) > _DEPTH else value
    return value


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, children), default=0)


def _integer(text: str) -> int | str:
    number = int(text) if len(text) < 20 else _EXACT + 1
    return number if abs(number) <= _EXACT else text


def _fraction(text: str) -> float | str:
    number = float(text)
    return number if Decimal(text) == Decimal(repr(number)) else text
