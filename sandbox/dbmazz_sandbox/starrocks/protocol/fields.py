r"""CSV fields into column values: the converters of a BE (formats/csv) where they differ from JSON strings.

`\N` is NULL; a field that does not fit is NULL, and in strict mode filters its row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, coerce_one, element_text
from dbmazz_sandbox.starrocks.protocol.coerce_columns import coerce_column
from dbmazz_sandbox.starrocks.protocol.delimited import NULL
from dbmazz_sandbox.starrocks.protocol.evaluate import parse_json
from dbmazz_sandbox.starrocks.protocol.functions import decode_base64, number
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind, Type

_SMALL = frozenset({Kind.TINYINT, Kind.SMALLINT, Kind.INT})


def check_column(kind: Type) -> None:
    """Raises LoadError for a type that no CSV field can become."""
    if kind.kind is Kind.STRUCT:
        raise LoadError(f"Unsupported CSV type {kind.debug}")
    if kind.kind is Kind.MAP:
        raise not_emulated("a MAP column in CSV")
    if kind.kind is Kind.ARRAY and kind.item is not None and kind.item.kind not in _ELEMENTS:
        raise not_emulated(f"an ARRAY of {kind.item.kind} in CSV")


def convert(kind: Type, fields: Sequence[str], position: int) -> tuple[Sequence[Any], dict[int, str]]:
    """All fields of a column: stored values, and by row why a field does not fit. `position` is the column's place."""
    values: Sequence[str | None] = [None if field == NULL else field for field in fields] if NULL in fields else fields
    if kind.kind in INTEGER_BITS and (quick := _integers(kind, values)) is not None:
        return quick, {}
    one = _ONE.get(kind.kind)
    if one is None:
        stored, bad = coerce_column(kind, values, exact=True)
    else:
        stored, bad = [], {}
        for row, value in enumerate(values):
            try:
                stored.append(None if value is None else one(kind, value))
            except Invalid:
                stored.append(None)
                bad[row] = ""
    return stored, {row: _reason(kind, fields[row], position) for row in bad}


def _reason(kind: Type, field: str, position: int) -> str:
    return (f"The field (name = {{c}}, pos = {position}) is out of range. Type: {kind.debug}, "
            f"Value length: {len(field.encode('utf-8', 'surrogateescape'))}, Value: {field}")  # fmt: skip


def _integers(kind: Type, values: Sequence[str | None]) -> Sequence[int | None] | None:
    """The whole column at once when every field is a plain number."""
    try:
        if None in values:
            return None
        numbers = [int(value) for value in values if value is not None]
    except ValueError:
        return None
    joined = "".join(values).replace("-", "")
    if not (joined.isascii() and joined.isdigit()):  # type: ignore[arg-type]
        return None  # int() also takes underscores and other digits than these
    most = 1 << (INTEGER_BITS[kind.kind] - 1)
    return numbers if not numbers or (min(numbers) >= -most and max(numbers) < most) else None


def _boolean(kind: Type, field: str) -> bool:
    lowered = field.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if (parsed := number(field)) is None:
        raise Invalid(field)
    return parsed != 0


def _integer(kind: Type, field: str) -> int:
    most = 1 << (INTEGER_BITS[kind.kind] - 1)
    if re.fullmatch(r"\s*[+-]?\d+\s*", field, re.ASCII):
        value = int(field)
    elif (parsed := number(field)) is None:
        raise Invalid(field)
    else:
        # Small integers go by way of a double, wide ones by way of a decimal.
        value = math.trunc(parsed if kind.kind in _SMALL else Decimal(field.strip()))  # type: ignore[arg-type]
    if not -most <= value < most:
        raise Invalid(field)
    return value


def _json(kind: Type, field: str) -> str:
    found = parse_json(field)
    if found is None:
        raise Invalid(field)
    return str(found)


def _binary(kind: Type, field: str) -> bytes:
    """Base64 when it is that, else the bytes as they came."""
    if not field.strip():
        return b""
    raw = decode_base64(field.lstrip())
    raw = field.encode("utf-8", "surrogateescape") if raw is None else raw
    if len(raw) > kind.length:
        raise Invalid(field)
    return raw


def _text(kind: Type, field: str) -> str:
    return field  # its length is the sink's business


_ONE: dict[Kind, Callable[[Type, str], Any]] = {
    Kind.BOOLEAN: _boolean, Kind.JSON: _json, Kind.VARBINARY: _binary, Kind.CHAR: _text, Kind.VARCHAR: _text,
    **dict.fromkeys(INTEGER_BITS, _integer),
}  # fmt: skip
_ELEMENTS = frozenset(INTEGER_BITS) | {Kind.BOOLEAN, Kind.FLOAT, Kind.DOUBLE, Kind.DECIMAL, Kind.DATE, Kind.DATETIME,
                                       Kind.CHAR, Kind.VARCHAR, Kind.ARRAY}  # fmt: skip
_QUOTED = frozenset({Kind.DATE, Kind.DATETIME, Kind.CHAR, Kind.VARCHAR})


def _array(kind: Type, field: str) -> str:
    """`[1,2,null]`, texts and dates in double quotes with `""` for one. One bad element makes the whole array bad."""
    if len(field) < 2 or field[0] != "[" or field[-1] != "]":
        raise Invalid(field)
    assert kind.item is not None
    return "[" + ",".join(_element(kind.item, part) for part in _parts(field[1:-1])) + "]"


def _parts(inside: str) -> list[str]:
    if not inside:
        return []
    parts, depth, quoted, start = [], 0, False, 0
    for at, char in enumerate(inside):
        if char == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif char in "[]":
            depth += 1 if char == "[" else -1
        elif char == "," and depth == 0:
            parts.append(inside[start:at])
            start = at + 1
    if quoted or depth:
        raise Invalid(inside)
    return [*parts, inside[start:]]


def _element(kind: Type, part: str) -> str:
    if part == "null":
        return "null"
    if kind.kind is Kind.ARRAY:
        return _array(kind, part)
    if kind.kind in _QUOTED:
        if len(part) < 2 or part[0] != '"' or part[-1] != '"':
            raise Invalid(part)
        part = part[1:-1].replace('""', '"')
        if kind.kind in (Kind.CHAR, Kind.VARCHAR) and len(part.encode("utf-8", "surrogateescape")) > kind.length:
            raise Invalid(part)
    stored = _ONE[kind.kind](kind, part) if kind.kind in _ONE else coerce_one(kind, part)
    return element_text(kind, stored)


_ONE[Kind.ARRAY] = _array
