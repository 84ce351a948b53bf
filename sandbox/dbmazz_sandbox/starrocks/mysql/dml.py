"""INSERT, UPDATE and DELETE on Primary Key tables (and INSERT on Duplicate Key ones)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.failures import refusal
from dbmazz_sandbox.starrocks.mysql.select import execute
from dbmazz_sandbox.starrocks.mysql.translate import Translator, parse
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, coerce_one
from dbmazz_sandbox.starrocks.protocol.fold import Batch, fold, key_too_long
from dbmazz_sandbox.starrocks.protocol.numbers import double_text, year_zero
from dbmazz_sandbox.starrocks.protocol.upsert import Write, default_value
from dbmazz_sandbox.starrocks.types import Kind

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Work = Callable[[], tuple[Write, Batch, int] | None]
_TEXTUAL = (Kind.DATE, Kind.DATETIME, Kind.DECIMAL, Kind.LARGEINT, Kind.VARCHAR, Kind.CHAR)


async def run(session: StarRocksSession, sql: str, word: str) -> int:
    """The number of rows affected."""
    statement = parse(sql)
    if isinstance(statement, exp.Insert):
        table, work = _insert(session, statement)
    elif isinstance(statement, exp.Update):
        table, work = _update(session, statement)
    elif isinstance(statement, exp.Delete):
        table, work = _delete(session, statement)
    else:
        raise SqlError.not_emulated(f"this form of {word}")
    cluster = session.cluster
    async with cluster.lock(table):
        await cluster.publisher.settled(table)
        if cluster.catalog.get(table.database, table.name) is not table:
            raise SqlError.analysis(f"Table {table.name} changed while the statement was planned, please try again")

        def publish() -> int:
            found = work()
            if found is None:
                return 0
            write, batch, rows = found
            cluster.store.apply(write, batch, None, 0.0)
            return rows

        return await cluster.load(publish)


def _target(session: StarRocksSession, node: exp.Expression) -> Table:
    if not isinstance(node, exp.Table):
        raise SqlError.not_emulated("this target of a statement")
    return session.table([part.name for part in (node.args.get("catalog"), node.args.get("db"), node.this)
                          if part is not None and part.name != "default_catalog"])  # fmt: skip


def _fetch(translator: Translator, sql: str) -> list[Sequence[Any]]:
    with translator.session.cluster.store.cursor() as cursor:
        translator.prepare(cursor)
        execute(cursor, sql)
        try:
            return cursor.fetchall()
        except duckdb.Error as error:
            raise refusal(error) from error


def _stored(column: Column, values: Sequence[Any]) -> list[Any]:
    """Query results as the column stores them; SQL has no lenient mode: what does not fit fails the statement."""
    out = []
    for value in values:
        if value is None:
            if not column.nullable:
                raise SqlError(f"Insert has filtered data: NULL value in non-nullable column '{column.name}'", 5609)
            out.append(None)
            continue
        try:
            out.append(_fit(column, value))
        except Invalid as error:
            reason = str(error).replace("{c}", column.name).partition(" '")[0]
            raise SqlError(f"Insert has filtered data: {reason} (column '{column.name}')", 5609) from error
    return out


def _fit(column: Column, value: Any) -> Any:
    kind = column.type.kind
    if kind is Kind.VARBINARY and isinstance(value, bytes):
        if len(value) > column.type.length:
            raise Invalid("Value length is beyond the capacity")
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    elif isinstance(value, Decimal):
        value = format(value, "f")
    elif isinstance(value, dt.datetime | dt.date):
        value = value.isoformat(" ") if isinstance(value, dt.datetime) else value.isoformat()
    elif isinstance(value, float) and kind in _TEXTUAL:
        value = double_text(value)
    elif isinstance(value, float) and kind not in (Kind.FLOAT, Kind.DOUBLE, Kind.BOOLEAN):
        value = str(int(value)) if value == value and abs(value) < 1e38 else "overflow"
    elif isinstance(value, str):
        value = year_zero(value)
        if kind in (Kind.JSON, Kind.ARRAY):
            return _json_text(column, value)
    return coerce_one(column.type, value)


def _json_text(column: Column, text: str) -> str:
    try:
        return coerce_one(column.type, json.loads(text))
    except ValueError:
        if column.type.kind is Kind.ARRAY:
            raise Invalid("Failed to parse value as array") from None
        return coerce_one(column.type, text)


def _insert(session: StarRocksSession, node: exp.Insert) -> tuple[Table, Work]:
    target = node.this
    names = [part.name for part in target.expressions] if isinstance(target, exp.Schema) else []
    table = _target(session, target.this if isinstance(target, exp.Schema) else target)
    if node.args.get("overwrite"):
        raise SqlError.not_emulated("INSERT OVERWRITE")
    columns = [_resolve(table, name) for name in names] or list(table.columns)
    if len(set(columns)) < len(columns):
        raise SqlError.analysis("Duplicate column in the column list")
    missing = [column for column in table.columns if column not in columns]
    partial = bool(missing) and table.primary and bool(session.variables.get_variable("enable_insert_partial_update"))
    for column in missing:
        must = table.is_key(column) if partial else not column.nullable and not column.has_default
        if must:
            listed = "".join(f" {c.name} " for c in columns)
            raise SqlError.analysis(f"'{column.name}' must be explicitly mentioned in column permutation: {listed}")
    if partial and not {n.lower() for n in table.sort_key} <= {c.name.lower() for c in columns}:
        raise SqlError.analysis("partial update on table with sort key must provide all sort key columns")
    translator = Translator(session)
    sql = _source(translator, node.expression, len(columns))

    def work() -> tuple[Write, Batch, int] | None:
        rows = _fetch(translator, sql)
        if not rows:
            return None
        if len(rows[0]) != len(columns):
            raise SqlError.analysis("Column count doesn't match value count")
        values = {c: _stored(c, [row[i] for row in rows]) for i, c in enumerate(columns)}
        keys = table.key_columns if table.primary else ()
        if keys and key_too_long(keys, values):
            raise SqlError("primary key size exceed the limit.", 5609)
        fills = tuple((column, default_value(column, utc_now())) for column in missing)
        return Write(table, fills, partial), fold(values, keys, None, None), len(rows)

    return table, work


def _source(translator: Translator, node: exp.Expression, width: int) -> str:
    if isinstance(node, exp.Values):
        for row in node.expressions:
            if len(row.expressions) != width:
                raise SqlError.analysis("Column count doesn't match value count")
            if any(isinstance(item, exp.Column) for item in row.expressions):
                raise SqlError.analysis("Column cannot be resolved in VALUES")
        rows = (", ".join(translator.expression(item.copy()) for item in row.expressions) for row in node.expressions)
        return "SELECT * FROM (VALUES " + ", ".join(f"({row})" for row in rows) + ")"
    if not isinstance(node, exp.Query):
        raise SqlError.not_emulated("this source of INSERT")
    return translator.select(node)


def _resolve(table: Table, name: str) -> Column:
    column = table.find(name)
    if column is None:
        raise SqlError.analysis(f"Unknown column '{name}' in '{table.name}'")
    return column


def _primary(table: Table, verb: str) -> None:
    if not table.primary:
        raise SqlError.not_emulated(f"{verb} on a Duplicate Key table")


def _where(node: exp.Expression, verb: str) -> exp.Expression:
    where = node.args.get("where")
    if where is None:
        raise SqlError.analysis(f"must specify where clause to prevent full table {verb}")
    return where.this


def _rows_sql(
    translator: Translator, node: exp.Expression, table: Table, items: list[exp.Expression], verb: str
) -> str:
    keys = [exp.column(key.name, quoted=True) for key in table.key_columns]
    query = exp.select(*keys, *items).from_(node.this.copy()).where(_where(node, verb))
    return translator.expression(query)


def _update(session: StarRocksSession, node: exp.Update) -> tuple[Table, Work]:
    table = _target(session, node.this)
    _primary(table, "UPDATE")
    _where(node, "update")
    if node.args.get("from_") or node.args.get("joins"):
        raise SqlError.not_emulated("UPDATE … FROM")
    changes: dict[Column, exp.Expression] = {}
    for item in node.expressions:
        column = _resolve(table, item.this.name)
        if table.is_key(column):
            raise SqlError.analysis(f"primary key column cannot be updated: {column.name}")
        changes[column] = item.expression
    items = [exp.alias_(e.copy(), f"v{i}", quoted=True) for i, e in enumerate(changes.values())]
    translator = Translator(session, table)
    sql = _rows_sql(translator, node, table, items, "update")

    def work() -> tuple[Write, Batch, int] | None:
        rows = _fetch(translator, sql)
        if not rows:
            return None
        columns = [*table.key_columns, *changes]
        values = {c: _stored(c, [row[i] for row in rows]) for i, c in enumerate(columns)}
        fills = tuple((c, default_value(c, utc_now())) for c in table.columns if c not in columns)
        return Write(table, fills, partial=True), Batch(values, {}), len(rows)

    return table, work


def _delete(session: StarRocksSession, node: exp.Delete) -> tuple[Table, Work]:
    table = _target(session, node.this)
    _primary(table, "DELETE")
    translator = Translator(session, table)
    sql = _rows_sql(translator, node, table, [], "delete")

    def work() -> tuple[Write, Batch, int] | None:
        rows = _fetch(translator, sql)
        if not rows:
            return None
        keys = {c: _stored(c, [row[i] for row in rows]) for i, c in enumerate(table.key_columns)}
        return Write(table, ()), Batch({}, keys), len(rows)

    return table, work
