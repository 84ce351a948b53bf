"""DuckDB results as MySQL columns and texts, the way StarRocks prints them."""

from __future__ import annotations

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


def _text(make: Callable[[Any], str]) -> Callable[[ResultColumn, Any], bytes]:
    return lambda column, value: make(value).encode()


def _binary_text(make: Callable[[Any], str]) -> Callable[[ResultColumn, Any], bytes]:
    return lambda column, value: str_len(make(value).encode())


_PLAIN = {
    "BOOLEAN": ColumnType.TINY, "TINYINT": ColumnType.TINY, "SMALLINT": ColumnType.SHORT,
    "INTEGER": ColumnType.LONG, "BIGINT": ColumnType.LONGLONG, "UBIGINT": ColumnType.LONGLONG,
    "UINTEGER": ColumnType.LONGLONG, "USMALLINT": ColumnType.LONG, "UTINYINT": ColumnType.SHORT,
    "VARCHAR": ColumnType.VAR_STRING, "JSON": ColumnType.JSON, "BLOB": ColumnType.BLOB,
}  # fmt: skip
_SHAPED: dict[str, tuple[ColumnType, Callable[[Any], str]]] = {
    "FLOAT": (ColumnType.FLOAT, float_text), "DOUBLE": (ColumnType.DOUBLE, double_text),
    "DATE": (ColumnType.DATE, date_text), "TIMESTAMP": (ColumnType.DATETIME, datetime_text),
}  # fmt: skip


def result_column(name: str, kind: str, *, largeint: bool, stored: bool) -> ResultColumn:
    """`kind` is DuckDB's type; `largeint` tells a LARGEINT column, which StarRocks sends as text, from a sum, which
    DuckDB makes as wide and StarRocks calls BIGINT; `stored` tells a JSON column, whose text is already the one to
    send, from JSON that DuckDB made."""
    if kind == "JSON" and not stored:
        return ResultColumn(name, ColumnType.JSON, text_encoder=_text(_json), binary_encoder=_binary_text(_json))
    if kind in _SHAPED:
        column_type, make = _SHAPED[kind]
        return ResultColumn(name, column_type, text_encoder=_text(make))
    if kind.startswith("DECIMAL"):
        return ResultColumn(
            name, ColumnType.NEWDECIMAL, text_encoder=_text(_decimal), binary_encoder=_binary_text(_decimal)
        )
    if kind in ("HUGEINT", "UHUGEINT"):
        return ResultColumn(name, ColumnType.VAR_STRING if largeint else ColumnType.LONGLONG)
    if kind == "BLOB":
        return ResultColumn(name, ColumnType.BLOB, character_set=CharacterSet.binary)
    column_type = _PLAIN.get(kind, ColumnType.VAR_STRING)
    # mysql-mimic takes TINY for a boolean in the binary protocol.
    binary = (lambda column, value: struct.pack("<b", value)) if column_type is ColumnType.TINY else None
    return ResultColumn(name, column_type, binary_encoder=binary)


def _decimal(value: Decimal | Any) -> str:
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


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
