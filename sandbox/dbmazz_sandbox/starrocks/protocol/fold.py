"""Rows of one load, folded to one per key, and packed for DuckDB (starrocks.md 10.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from dbmazz_sandbox.starrocks.catalog import Column
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind

FRESH, GONE = "fresh_rows", "gone_keys"
KEY_LIMIT = 128  # primary_key_limit_size, bytes
_KEY_WIDTH = {Kind.BOOLEAN: 1, Kind.DATE: 4, Kind.DATETIME: 8} | {k: bits // 8 for k, bits in INTEGER_BITS.items()}


@dataclass(slots=True)
class Batch:
    """Columns of stored values. `upserts` are whole columns of the folded rows; `deletes` only the key columns."""

    upserts: dict[Column, Sequence[Any]]
    deletes: dict[Column, Sequence[Any]]
    nulls: set[Column] = field(default_factory=set)  # columns of `upserts` that hold a NULL

    @property
    def upsert_count(self) -> int:
        return len(next(iter(self.upserts.values()), ()))

    @property
    def delete_count(self) -> int:
        return len(next(iter(self.deletes.values()), ()))

    def relations(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Tables to register with DuckDB: numpy columns, NULLs filled, a mask column `<name>_null` beside those that
        have any."""
        for name, columns in ((FRESH, self.upserts), (GONE, self.deletes)):
            if not next(iter(columns.values()), ()):
                continue
            packed: dict[str, np.ndarray] = {}
            for column, values in columns.items():
                if None in values:
                    self.nulls.add(column)
                    packed[f"{column.physical}_null"] = np.fromiter((v is None for v in values), bool, len(values))
                    filler = _FILLERS.get(column.type.kind, "")
                    values = [filler if value is None else value for value in values]
                packed[column.physical] = _pack(column.type.kind, values)
            yield name, packed


_FILLERS: dict[Kind, Any] = {
    Kind.BOOLEAN: False, Kind.FLOAT: 0.0, Kind.DOUBLE: 0.0, Kind.VARBINARY: b"", Kind.LARGEINT: 0, Kind.DECIMAL: "0",
    Kind.DATE: "1970-01-01", Kind.DATETIME: "1970-01-01", Kind.JSON: "null",
    Kind.TINYINT: 0, Kind.SMALLINT: 0, Kind.INT: 0, Kind.BIGINT: 0,
}  # fmt: skip


def _pack(kind: Kind, values: Sequence[Any]) -> np.ndarray:
    if kind is Kind.BOOLEAN:
        return np.array(values, dtype=np.bool_)
    if kind is Kind.LARGEINT:
        values = [str(value) for value in values]
    elif kind in INTEGER_BITS:
        return np.array(values, dtype=np.int64)
    elif kind in (Kind.FLOAT, Kind.DOUBLE):
        packed = np.array(values, dtype=np.float64)
        if not np.isnan(packed).any():
            return packed
        values = ["nan" if math.isnan(value) else repr(float(value)) for value in values]  # DuckDB takes NaN for NULL
    elif kind in (Kind.DATE, Kind.DATETIME):
        return np.array(values, dtype="datetime64[us]")
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def _comparable(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    """Values that compare and hash as StarRocks compares: dates as microseconds, decimals as numbers."""
    if column.type.kind in (Kind.DATE, Kind.DATETIME):
        stamps = np.array([value or "1970-01-01" for value in values], dtype="datetime64[us]").astype(np.int64)
        return [None if value is None else stamp for value, stamp in zip(values, stamps.tolist(), strict=True)]
    if column.type.kind is Kind.DECIMAL:
        return [None if value is None else Decimal(value) for value in values]
    return values


def fold(
    columns: dict[Column, Sequence[Any]],
    keys: Sequence[Column],
    deleted: Sequence[bool] | None,
    condition: Column | None,
) -> Batch:
    """One row per key. Without a condition the last operation wins; with one the highest value (NULL is lowest), the
    later row among equals. `deleted` is None when every row is an upsert."""
    count = len(next(iter(columns.values())))
    kept: Sequence[int] | None = None
    if keys:
        parts = [_comparable(key, columns[key]) for key in keys]
        idents: Sequence[Any] = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
        winners = dict(zip(idents, range(count), strict=True))
        if len(winners) < count:
            if condition is not None and condition in columns:
                winners = _highest(idents, _comparable(condition, columns[condition]))
            kept = sorted(winners.values())
    if deleted is None:
        return Batch(columns if kept is None else _take(columns, kept), {})
    positions = range(count) if kept is None else kept
    live = [position for position in positions if not deleted[position]]
    gone = [position for position in positions if deleted[position]]
    return Batch(_take(columns, live), _take({key: columns[key] for key in keys}, gone))


def _highest(idents: Sequence[Any], values: Sequence[Any]) -> dict[Any, int]:
    winners: dict[Any, int] = {}
    for position, ident in enumerate(idents):
        best = winners.get(ident)
        if best is None or values[best] is None or (values[position] is not None and values[position] >= values[best]):
            winners[ident] = position
    return winners


def _take(columns: dict[Column, Sequence[Any]], positions: Sequence[int]) -> dict[Column, Sequence[Any]]:
    return {column: [values[position] for position in positions] for column, values in columns.items()}


take = _take


def key_too_long(keys: Sequence[Column], columns: dict[Column, Sequence[Any]]) -> bool:
    """Whether some encoded key is over the limit: fixed widths, text escaped and terminated unless it comes last."""
    fixed = sum(_KEY_WIDTH.get(key.type.kind, 0) for key in keys)
    texts = [(key is keys[-1], columns[key]) for key in keys if key.type.kind is Kind.VARCHAR]
    if not texts:
        return fixed > KEY_LIMIT
    if fixed + sum(max(map(len, values)) * 4 + 2 for _, values in texts) <= KEY_LIMIT:
        return False
    for row in zip(*(values for _, values in texts), strict=True):
        size = fixed
        for (last, _), text in zip(texts, row, strict=True):
            raw = text.encode()
            size += len(raw) if last else len(raw) + raw.count(0) + 2
        if size > KEY_LIMIT:
            return True
    return False
