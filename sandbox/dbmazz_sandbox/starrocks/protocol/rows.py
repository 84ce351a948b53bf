"""The rows of a load, read, converted and filtered, column by column: what the scanner, the casts and the sink do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dbmazz_sandbox.starrocks.catalog import Column
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, NeedsTokens, coerce_column, coerce_one, text_of
from dbmazz_sandbox.starrocks.protocol.documents import Documents, Row
from dbmazz_sandbox.starrocks.protocol.expression import Literal, evaluate
from dbmazz_sandbox.starrocks.protocol.fold import take
from dbmazz_sandbox.starrocks.protocol.plan import OP, Plan
from dbmazz_sandbox.starrocks.types import Kind, Type

ERROR_LOG_LINES = 50
ERROR_LOG_ROW = 4096  # characters of the row
_NESTED = {dict, list}


@dataclass(slots=True)
class LoadedRows:
    """`columns` hold stored values of the rows that passed; `deleted` is None when none of them deletes."""

    total: int = 0
    filtered: int = 0
    unselected: int = 0  # by the header `where`
    columns: dict[Column, Sequence[Any]] = field(default_factory=dict)
    deleted: Sequence[bool] | None = None
    error_log: list[str] = field(default_factory=list)

    @property
    def loaded(self) -> int:
        return self.total - self.filtered - self.unselected


def merged(parts: Sequence[LoadedRows]) -> LoadedRows:
    """The rows of several bodies of one load, in order."""
    if len(parts) == 1:
        return parts[0]
    out = LoadedRows()
    filled = [part for part in parts if part.loaded]
    for part in parts:
        out.total += part.total
        out.filtered += part.filtered
        out.unselected += part.unselected
        out.error_log += part.error_log
    del out.error_log[ERROR_LOG_LINES:]
    if filled:
        out.columns = {column: [v for part in filled for v in part.columns[column]] for column in filled[0].columns}
    if any(part.deleted is not None for part in filled):
        out.deleted = [d for part in filled for d in (part.deleted or [False] * part.loaded)]
    return out


def read_rows(
    plan: Plan, body: bytes, *, strip_outer_array: bool, strict: bool, prefix: str, now: dt.datetime, reject: int = 0
) -> LoadedRows:
    """Raises LoadError when the body is not what it should be. `reject` filters that many rows on purpose."""
    documents = Documents(body, strip_outer_array=strip_outer_array, prefix=prefix, keys=plan.json_keys)
    if not documents.rows:
        return LoadedRows()
    reader = _Reader(plan, documents, strict, now)
    try:
        reader.read()
    except NeedsTokens:
        documents.make_exact()
        reader = _Reader(plan, documents, strict, now)
        reader.read()
    for position in range(min(reject, len(documents.rows))):
        reader.bad.setdefault(position, "rejected by a fault of the sandbox")
    return reader.result()


class _Reader:
    def __init__(self, plan: Plan, documents: Documents, strict: bool, now: dt.datetime) -> None:
        self.plan, self.documents, self.strict, self.now = plan, documents, strict, now
        self.rows: list[Row] = documents.rows
        self.columns: dict[Column, Sequence[Any]] = {}
        self.bad: dict[int, str] = {}
        self.operations: Sequence[int] | None = None

    def read(self) -> None:
        for key, column in self.plan.direct:
            self._direct(key, column)
        sources = {key: self._source(key) for key in self.plan.sources}
        for column, expression in self.plan.computed:
            values = evaluate(expression, column.type, sources, len(self.rows), self.now)
            self.columns[column] = values
            self._check_length(column, values)
            self._check_nulls(column.name, column.nullable, values)
        self._operations()

    def _direct(self, key: str, column: Column) -> None:
        values = self._values(key, nested=column.type.kind in (Kind.JSON, Kind.ARRAY))
        stored, invalid = coerce_column(column.type, values, exact=self.documents.exact)
        if self.strict:
            for position, reason in invalid.items():
                self.bad.setdefault(position, reason.replace("{c}", column.name))
        self.columns[column] = stored
        self._check_nulls(column.name, column.nullable, stored)

    def _values(self, key: str, *, nested: bool) -> list[Any]:
        values = [row.get(key) for row in self.rows]
        if not nested and _NESTED & set(map(type, values)):
            for position, value in enumerate(values):
                if type(value) in _NESTED:
                    values[position] = self.documents.member_text(position, key)
        return values

    def _source(self, key: str) -> list[str | None]:
        return [None if value is None else text_of(value) for value in self._values(key, nested=False)]

    def _check_nulls(self, name: str, nullable: bool, values: Sequence[Any]) -> None:
        if nullable or None not in values:
            return
        for position, value in enumerate(values):
            if value is None:
                self.bad.setdefault(position, f"NULL value in non-nullable column '{name}'")

    def _check_length(self, column: Column, values: Sequence[Any]) -> None:
        if column.type.kind not in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY):
            return
        for position, value in enumerate(values):
            if value is None:
                continue
            raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
            if len(raw) > column.type.length:
                shown = raw[:100].decode("utf-8", "replace")
                self.bad.setdefault(
                    position,
                    f"String '{shown}'(length={len(raw)}) is too long. "
                    f"The max length of '{column.name}' is {column.type.length}",
                )

    def _operations(self) -> None:
        op = self.plan.op
        if op is None:
            return
        if isinstance(op, Literal):
            self.operations = [int(op.value or 0)] * len(self.rows)
            return
        values = [row.get(op, 0) for row in self.rows]
        if set(map(type, values)) == {int} and min(values) >= -128 and max(values) <= 127:
            self.operations = values
            return
        stored: list[int] = []
        for position, value in enumerate(values):
            try:
                stored.append(0 if value is None else coerce_one(Type(Kind.TINYINT), value))
            except Invalid:
                stored.append(0)
                value = None
            if value is None:
                self.bad.setdefault(position, f"NULL value in non-nullable column '{OP}'")
        self.operations = stored

    def result(self) -> LoadedRows:
        out = LoadedRows(len(self.rows), len(self.bad), columns=self.columns)
        operations = self.operations
        if self.bad:
            kept = [position for position in range(len(self.rows)) if position not in self.bad]
            out.columns = take(self.columns, kept)
            operations = None if operations is None else [operations[position] for position in kept]
            shown = sorted(self.bad)[:ERROR_LOG_LINES]
            out.error_log = [f"Error: {self.bad[p]}. Row: {self.documents.text(p)[:ERROR_LOG_ROW]}" for p in shown]
        # Without a single 1 everything is an upsert; with one, anything but 0 deletes (memtable.cpp).
        if operations is not None and 1 in operations:
            out.deleted = [operation != 0 for operation in operations]
        return out
