"""DuckDB results as MySQL columns and texts, the way StarRocks prints them."""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

import orjson
from mysql_mimic.charset import CharacterSet
from mysql_mimic.results import ResultColumn
from mysql_mimic.types import ColumnType, str_len

from dbmazz_sandbox.starrocks.protocol.numbers import (
    date_text,
    datetime_text,
    decimal_text,
    double_text,
    float_text,
)
from dbmazz_sandbox.starrocks.types import Kind


def _text(make: Callable[[Any], str]) -> Callable[[ResultColumn, Any], bytes]:
    return lambda column, value: make(value).encode()


def _binary_text(make: Callable[[Any], str]) -> Callable[[ResultColumn, Any], bytes]:
    return lambda column, value: str_len(make(value).encode())


_PLAIN = {
    "BOOLEAN": ColumnType.TINY, "TINYINT": ColumnType.TINY, "SMALLINT": ColumnType.SHORT,
    "INTEGER": ColumnType.LONG, "BIGINT": ColumnType.LONGLONG, "UBIGINT": ColumnType.LONGLONG,
    "UINTEGER": ColumnType.LONGLONG, "USMALLINT": ColumnType.LONG, "UTINYINT": ColumnType.SHORT,
    "VARCHAR": ColumnType.VAR_STRING, "JSON": ColumnType.STRING, "BLOB": ColumnType.BLOB,
}  # fmt: skip
_SHAPED: dict[str, tuple[ColumnType, Callable[[Any], str]]] = {
    "FLOAT": (ColumnType.FLOAT, float_text), "DOUBLE": (ColumnType.DOUBLE, double_text),
    "DATE": (ColumnType.DATE, date_text), "TIMESTAMP": (ColumnType.DATETIME, datetime_text),
}  # fmt: skip
# Column length and decimals as Type.getMysqlResultSetFieldLength and -Decimals give them.
_LENGTHS = {ColumnType.TINY: 4, ColumnType.SHORT: 6, ColumnType.LONG: 11, ColumnType.LONGLONG: 20, ColumnType.DATE: 10,
            ColumnType.DATETIME: 19, ColumnType.FLOAT: 12, ColumnType.DOUBLE: 22, ColumnType.NEWDECIMAL: 42,
            ColumnType.VAR_STRING: 192, ColumnType.STRING: 192, ColumnType.BLOB: 192}  # fmt: skip
_NESTED_LENGTH = 60


class _DecimalText:
    """Encodes decimals of one scale, for the text protocol or, with a length before it, the binary one."""

    def __init__(self, scale: int, *, sized: bool) -> None:
        self.scale, self._sized = scale, sized

    def __call__(self, column: ResultColumn, value: Any) -> bytes:
        text = (decimal_text(value) if isinstance(value, Decimal) else str(value)).encode()
        return str_len(text) if self._sized else text


def shape_of(column: ResultColumn) -> tuple[int, int, CharacterSet]:
    """Length, decimals and character set of a column definition packet: utf8 for texts, binary for the rest."""
    if column.type in (ColumnType.VAR_STRING, ColumnType.STRING):
        nested = column.character_set is CharacterSet.binary
        return (_NESTED_LENGTH, 0, CharacterSet.binary) if nested else (_LENGTHS[column.type], 0, CharacterSet.utf8)
    decimals = 31 if column.type in (ColumnType.FLOAT, ColumnType.DOUBLE) else 0
    return _LENGTHS.get(column.type, 192), getattr(column.text_encoder, "scale", decimals), CharacterSet.binary


def result_column(name: str, kind: str, declared: Kind | None = None) -> ResultColumn:
    """`kind` is DuckDB's type. `declared` is the StarRocks type where the output is a stored column as it is: a LARGEINT
    is sent as text (a sum, which DuckDB makes as wide, is a BIGINT), stored JSON is printed already (JSON that DuckDB
    made is not), stored ARRAYs are texts."""
    if kind == "JSON" and declared is not Kind.JSON:
        return ResultColumn(name, ColumnType.STRING, text_encoder=_text(_json), binary_encoder=_binary_text(_json))
    if kind in _SHAPED:
        column_type, make = _SHAPED[kind]
        return ResultColumn(name, column_type, text_encoder=_text(make))
    if kind.startswith("DECIMAL"):
        scale = int(kind.rstrip(")").rpartition(",")[2])
        text, binary = _DecimalText(scale, sized=False), _DecimalText(scale, sized=True)
        return ResultColumn(name, ColumnType.NEWDECIMAL, text_encoder=text, binary_encoder=binary)
    if kind in ("HUGEINT", "UHUGEINT"):
        return ResultColumn(name, ColumnType.STRING if declared is Kind.LARGEINT else ColumnType.LONGLONG)
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP")) or (kind == "VARCHAR" and declared in NESTED):
        # StarRocks sends an ARRAY, MAP or STRUCT as text with the binary character set.
        return ResultColumn(name, ColumnType.VAR_STRING, CharacterSet.binary, text_encoder=_text(nested_text),
                            binary_encoder=_binary_text(nested_text))  # fmt: skip
    if kind == "BLOB":
        return ResultColumn(name, ColumnType.BLOB, character_set=CharacterSet.binary)
    column_type = ColumnType.STRING if declared is Kind.CHAR else _PLAIN.get(kind, ColumnType.VAR_STRING)
    # mysql-mimic takes TINY for a boolean in the binary protocol.
    binary = (lambda column, value: struct.pack("<b", value)) if column_type is ColumnType.TINY else None
    return ResultColumn(name, column_type, binary_encoder=binary)


NESTED = frozenset({kind for kind in Kind if kind in ("ARRAY", "MAP", "STRUCT")})


def nested_text(value: Any) -> str:
    """An array or map as StarRocks prints it: `[1,"a",null]`; a stored one is text already."""
    if isinstance(value, str):
        return value
    return _nested(value)


def _nested(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(_nested(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_nested(key)}:{_nested(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, dt.datetime):
        return f'"{datetime_text(value)}"'
    return f'"{date_text(value)}"' if isinstance(value, dt.date) else str(value)


def _json(value: str) -> str:
    return json.dumps(orjson.loads(value), ensure_ascii=False, sort_keys=True)


class Chunks:
    """Rows of a long result, fetched while they are sent. `chunks` gives lists of rows; iterating gives rows."""

    def __init__(self, chunks: Callable[[], AsyncIterator[list[Sequence[Any]]]]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[Sequence[Any]]:
        async for chunk in self.chunks():
            for row in chunk:
                yield row


def size_of(rows: Sequence[Sequence[Any]]) -> int:
    """Bytes, roughly, of the texts in some rows."""
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for row in rows for value in row)
