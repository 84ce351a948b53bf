"""The rows of a load, read, converted and filtered, column by column: what the scanner, the casts and the sink do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dbmazz_sandbox.starrocks.catalog import Column
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, NeedsTokens, coerce_one
from dbmazz_sandbox.starrocks.protocol.compression import unpack
from dbmazz_sandbox.starrocks.protocol.delimited import Fields
from dbmazz_sandbox.starrocks.protocol.documents import Documents
from dbmazz_sandbox.starrocks.protocol.evaluate import cast, evaluate, typed, values_of
from dbmazz_sandbox.starrocks.protocol.expression import Literal, references
from dbmazz_sandbox.starrocks.protocol.fold import take
from dbmazz_sandbox.starrocks.protocol.functions import text, truth
from dbmazz_sandbox.starrocks.protocol.headers import LoadHeaders
from dbmazz_sandbox.starrocks.protocol.jsonpath import is_whole_row, parse_path, parse_paths
from dbmazz_sandbox.starrocks.protocol.plan import OP, Plan
from dbmazz_sandbox.starrocks.protocol.sources import CsvSource, JsonSource, PathSource, Source
from dbmazz_sandbox.starrocks.types import Kind, Type

ERROR_LOG_LINES = 50
ERROR_LOG_ROW = 4096  # characters of the row
_TEXTS = frozenset({Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY})


@dataclass(slots=True)
class LoadedRows:
    """`columns` hold stored values of the rows that passed; `deleted` is None when none of them deletes. `unselected`
    are those that the header `where` left out."""

    total: int = 0
    filtered: int = 0
    unselected: int = 0
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
    plan: Plan, headers: LoadHeaders, body: bytes, *, prefix: str, now: dt.datetime, reject: int = 0
) -> LoadedRows:
    """Raises LoadError when the body is not what it should be. `now` is UTC; `reject` filters that many rows on
    purpose; `prefix` starts the messages of the JSON scanner."""
    body = unpack(body, headers.compression)
    source = _csv(plan, headers, body) if headers.csv is not None else _json(plan, headers, body, prefix)
    if not source.count and not source.rejected:
        return LoadedRows()
    local = now.replace(tzinfo=dt.UTC).astimezone(headers.timezone)
    reader = _Reader(plan, source, headers.strict, local)
    try:
        reader.read()
    except NeedsTokens:
        assert isinstance(source, JsonSource)
        source.documents.make_exact()
        source.bad.clear()
        reader = _Reader(plan, source, headers.strict, local)
        reader.read()
    for position in range(min(reject, source.count)):
        reader.bad.setdefault(position, ("rejected by a fault of the sandbox", source.row(position)))
    return reader.result()


def _csv(plan: Plan, headers: LoadHeaders, body: bytes) -> CsvSource:
    assert headers.csv is not None
    return CsvSource(Fields(body, headers.csv, len(plan.names)), plan.names)


def _json(plan: Plan, headers: LoadHeaders, body: bytes, prefix: str) -> JsonSource:
    paths = parse_paths(headers.jsonpaths, prefix) if headers.jsonpaths.strip() else []
    root = parse_path(headers.json_root, prefix) if headers.json_root else ()
    documents = Documents(
        body, strip_outer_array=headers.strip_outer_array, prefix=prefix,
        keys=[step.key for path in paths for step in path[1:]] if paths else plan.json_keys,
        root=root, exact=bool(paths) and (any(map(is_whole_row, paths)) or b"." in body),
    )  # fmt: skip
    return PathSource(documents, plan.names, paths) if paths else JsonSource(documents)


class _Reader:
    """`bad`: by row, why it is filtered and how the error log shows it."""

    def __init__(self, plan: Plan, source: Source, strict: bool, now: dt.datetime) -> None:
        self.plan, self.source, self.strict, self.now = plan, source, strict, now
        self.columns: dict[Column, Sequence[Any]] = {}
        self.bad: dict[int, tuple[str, str]] = {}
        self.unselected: set[int] = set()
        self.operations: Sequence[int | None] | None = None

    def read(self) -> None:
        """The scanner and its casts, then the predicate, then the sink."""
        texts = {name: self.source.texts(name) for name in self.plan.texts}
        for name, column in self.plan.direct:
            self._direct(name, column, texts.get(name))
        for column, expression in self.plan.computed:
            self.columns[column] = evaluate(expression, column.type, texts, self.source.count, self.now)
        self._operations(texts)
        for position, reason in self.source.bad.items():
            self.bad[position] = (reason, self.source.row(position))
        self._select()
        self._sink()

    def _direct(self, name: str, column: Column, texts: Sequence[str | None] | None) -> None:
        if texts is None:
            stored, invalid = self.source.stored(name, column)
        else:
            # A column that an expression reads too is read as text and cast (Load.initColumns).
            stored = [None if value is None else cast(column.type, value) for value in texts]
            invalid = {
                position: f"Value '{given}' is out of range. The type of '{{c}}' is {column.type.debug}"
                for position, (value, given) in enumerate(zip(stored, texts, strict=True))
                if value is None and given is not None
            }
        self.columns[column] = stored
        if self.strict:
            for position, reason in invalid.items():
                self.bad.setdefault(position, (reason.replace("{c}", column.name), self.source.row(position)))

    def _operations(self, texts: dict[str, Sequence[str | None]]) -> None:
        op = self.plan.op
        if op is None:
            return
        if isinstance(op, Literal):
            assert isinstance(op.value, int)
            self.operations = [op.value] * self.source.count
            return
        if not isinstance(op, str):
            self.operations = evaluate(op, Type(Kind.TINYINT), texts, self.source.count, self.now)
            return
        values = self.source.values(op)
        if set(map(type, values)) == {int} and min(values) >= -128 and max(values) <= 127:
            self.operations = values
        else:
            self.operations = [None if value is None else _operation(value) for value in values]

    def _select(self) -> None:
        where = self.plan.where
        if where is None:
            return
        columns: dict[str, Sequence[Any]] = {}
        for name in references(where):
            column = self.plan.table.find(name)
            assert column is not None
            stored = self.columns.get(column)
            if stored is None:
                stored = [self._default(column)] * self.source.count
            columns[name] = [typed(column.type, value) for value in stored]
        chosen = values_of(where, columns, self.source.count, self.now)
        self.unselected = {p for p, value in enumerate(chosen) if not truth(value) and p not in self.bad}

    def _default(self, column: Column) -> Any:
        """What a column that the load leaves out will hold."""
        if column.default_now:
            return f"{self.now.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
        return None if column.default is None else cast(column.type, column.default)

    def _sink(self) -> None:
        for column, values in self.columns.items():
            if column.auto_increment and None in values:
                self._refuse_all(f"NULL value in auto increment column '{column.name}'")
            elif not column.nullable and None in values:
                self._refuse_nulls(column.name, values)
            if column.type.kind in _TEXTS:
                self._refuse_long(column, values)
        if self.operations is not None and None in self.operations:
            self._refuse_nulls(OP, self.operations)

    def _refuse_nulls(self, name: str, values: Sequence[Any]) -> None:
        for position, value in enumerate(values):
            if value is None:
                self._refuse(position, f"NULL value in non-nullable column '{name}'")

    def _refuse_all(self, reason: str) -> None:
        """The sink cannot tell which of the NULLs somebody meant."""
        for position in range(self.source.count):
            self._refuse(position, reason)

    def _refuse_long(self, column: Column, values: Sequence[Any]) -> None:
        limit = column.type.length
        present = values if None not in values else [value for value in values if value is not None]
        if max(map(len, present), default=0) * 4 <= limit:
            return
        for position, value in enumerate(values):
            if value is None or len(value) * 4 <= limit:
                continue
            raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
            if len(raw) > limit:
                self._refuse(position, f"String '{raw[:100].decode('utf-8', 'replace')}'(length={len(raw)}) is too long. "
                                       f"The max length of '{column.name}' is {limit}")  # fmt: skip

    def _refuse(self, position: int, reason: str) -> None:
        if position not in self.unselected and position not in self.bad:
            self.bad[position] = (reason, self._shown(position))

    def _shown(self, position: int) -> str:
        """A row at the sink, as Chunk::debug_row prints it."""
        values = [values[position] for _, values in self._in_table_order()]
        if self.operations is not None:
            values.append(self.operations[position])
        return "[" + ", ".join(map(_debug, values)) + "]"

    def _in_table_order(self) -> list[tuple[Column, Sequence[Any]]]:
        return [(column, self.columns[column]) for column in self.plan.table.columns if column in self.columns]

    def result(self) -> LoadedRows:
        rejected = self.source.rejected
        total, filtered = self.source.count + len(rejected), len(self.bad) + len(rejected)
        out = LoadedRows(total, filtered, len(self.unselected), self.columns)
        operations = self.operations
        if self.bad or self.unselected:
            kept = [p for p in range(self.source.count) if p not in self.bad and p not in self.unselected]
            out.columns = take(self.columns, kept)
            operations = None if operations is None else [operations[position] for position in kept]
        if filtered:
            lines = [*((reason, row) for row, reason in rejected), *(self.bad[p] for p in sorted(self.bad))]
            out.error_log = [
                f"Error: {reason}. Row: {row[:ERROR_LOG_ROW]}".encode("utf-8", "replace").decode()
                for reason, row in lines[:ERROR_LOG_LINES]
            ]
        # Without a single 1 everything is an upsert; with one, anything but 0 deletes (memtable.cpp).
        if operations is not None and 1 in operations:
            out.deleted = [operation != 0 for operation in operations]
        return out


def _operation(value: Any) -> int | None:
    try:
        return coerce_one(Type(Kind.TINYINT), value)
    except Invalid:
        return None


def _debug(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"'{text(value)}'" if isinstance(value, str | bytes) else text(value)
