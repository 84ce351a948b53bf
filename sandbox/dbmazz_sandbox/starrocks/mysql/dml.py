"""INSERT, UPDATE and DELETE on Primary Key tables (and INSERT on Duplicate Key ones)."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.ddl import parse_properties
from dbmazz_sandbox.starrocks.mysql.failures import refusal
from dbmazz_sandbox.starrocks.mysql.grammar import parse
from dbmazz_sandbox.starrocks.mysql.select import execute
from dbmazz_sandbox.starrocks.mysql.translate import Translator
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, coerce_one
from dbmazz_sandbox.starrocks.protocol.fold import Batch, fold, key_too_long
from dbmazz_sandbox.starrocks.protocol.numbers import double_text, year_zero
from dbmazz_sandbox.starrocks.protocol.plan import condition_column
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens, tokenize
from dbmazz_sandbox.starrocks.protocol.upsert import Write, default_value
from dbmazz_sandbox.starrocks.types import Kind

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

# The parts of a statement that are looked at; others (RETURNING, ON CONFLICT, BY NAME, ORDER BY, …) are refused by name.
_PARTS = frozenset({"this", "expression", "expressions", "where", "overwrite", "from_", "joins"})
Work = Callable[[], tuple[Write, Batch, int] | None]
_TEXTUAL = (Kind.DATE, Kind.DATETIME, Kind.DECIMAL, Kind.LARGEINT, Kind.VARCHAR, Kind.CHAR)


async def run(session: StarRocksSession, sql: str, word: str) -> int:
    """The number of rows affected."""
    properties: dict[str, str] = {}
    if word == "INSERT":
        sql, properties = insert_properties(sql)
    statement = parse(sql)
    for part in set(statement.args) - _PARTS:
        if statement.args[part]:
            raise SqlError.not_emulated(f"{word} … {part.strip('_').replace('_', ' ').upper()}")
    if isinstance(statement, exp.Insert):
        table, work = _insert(session, statement, properties)
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
    parts = [part.name for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part is not None]
    database, name = session.qualify(parts[1:] if len(parts) == 3 and parts[0] == "default_catalog" else parts)
    return session.cluster.catalog.table(database, name)


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


def _insert(session: StarRocksSession, node: exp.Insert, properties: dict[str, str]) -> tuple[Table, Work]:
    target = node.this
    names = [part.name for part in target.expressions] if isinstance(target, exp.Schema) else []
    table = _target(session, target.this if isinstance(target, exp.Schema) else target)
    if node.args.get("overwrite"):
        raise SqlError.not_emulated("INSERT OVERWRITE")
    session.require("INSERT", table.database, table.name)
    columns = _columns(table, names)
    missing = [column for column in table.columns if column not in columns]
    partial = bool(missing) and table.primary and bool(session.variables.get_variable("enable_insert_partial_update"))
    _check_missing(table, columns, missing, partial=partial)
    mentioned = {column.name for column in columns}
    condition = condition_column(table, _merge_condition(properties), mentioned, partial=partial)
    translator = Translator(session)
    sql = _source(translator, node.expression, columns)

    def work() -> tuple[Write, Batch, int] | None:
        rows = _fetch(translator, sql)
        if not rows:
            return None
        if len(rows[0]) != len(columns):
            raise _mismatch(len(columns), len(rows[0]))
        values = {c: _stored(c, [row[i] for row in rows]) for i, c in enumerate(columns)}
        keys = table.key_columns if table.primary else ()
        if keys and key_too_long(keys, values):
            raise SqlError("primary key size exceed the limit.", 5609)
        fills = tuple((column, default_value(column, utc_now())) for column in missing)
        return Write(table, fills, partial, condition), fold(values, keys, None, condition), len(rows)

    return table, work


_PROPERTIES = frozenset({"merge_condition", "strict_mode", "max_filter_ratio", "timeout"})


def insert_properties(sql: str) -> tuple[str, dict[str, str]]:
    """An INSERT without its PROPERTIES(…), which stand before VALUES or SELECT, and these properties."""
    tokens = tokenize(sql)
    for position, token in enumerate(tokens):
        word = token.text.upper() if token.kind == "word" else ""
        if word in ("VALUES", "SELECT"):
            break
        if word == "LABEL" and position and tokens[position - 1].text.upper() == "WITH":
            raise SqlError.not_emulated("INSERT … WITH LABEL")
        if word == "PROPERTIES":
            end = next((t.end for t in tokens[position:] if t.text == ")" and t.kind == "symbol"), len(sql))
            cursor = Tokens(sql[token.end : end])
            properties = parse_properties(cursor)
            if unknown := sorted(set(properties) - _PROPERTIES):
                raise SqlError.not_emulated(f"INSERT property {unknown[0]}")
            blank = re.sub(r"[^\n]", " ", sql[token.start : end])  # positions in errors stay the client's
            return sql[: token.start] + blank + sql[end:], properties
    return sql, {}


def _merge_condition(properties: dict[str, str]) -> str:
    return properties.get("merge_condition", "")


def _mismatch(columns: int, values: int) -> SqlError:
    return SqlError.analyzed(
        f"Inserted target column count: {columns} doesn't match select/value column count: {values}", 5604, "22000"
    )


def _columns(table: Table, names: Sequence[str]) -> list[Column]:
    """The columns an INSERT names, or all."""
    columns: list[Column] = []
    for name in names:
        column = _resolve(table, name)
        if column in columns:
            raise SqlError.analysis(f"Column '{name}' specified twice")
        columns.append(column)
    return columns or list(table.columns)


def _check_missing(table: Table, columns: list[Column], missing: list[Column], *, partial: bool) -> None:
    """InsertAnalyzer: keys of a Primary Key table, then what has no default, then the sort key of a partial update."""
    if table.primary:
        keys = [c.name.lower() for c in missing if table.is_key(c) and not c.has_default and not c.auto_increment]
        if keys:
            raise SqlError.analyzed(f"missing key columns:{','.join(keys)} for primary key table", 6014, "42000")
    for column in () if partial else missing:
        if not column.nullable and not column.has_default and not column.auto_increment:
            listed = "".join(f" {name} " for name in sorted((c.name for c in columns), key=str.lower))
            raise SqlError.analysis(f"'{column.name}' must be explicitly mentioned in column permutation: {listed}")
    if partial and not {n.lower() for n in table.sort_key} <= {c.name.lower() for c in columns}:
        raise SqlError.analysis("partial update on table with sort key must provide all sort key columns")


_BYTES_OF = {"from_base64": "encode64", "unhex": "hex"}


def _as_stored(column: Column, item: exp.Expression) -> exp.Expression:
    """Texts of StarRocks may hold any bytes, those of the engine below may not: for a VARBINARY they are made as bytes."""
    name = (item.name if isinstance(item, exp.Anonymous) else item.key).lower().replace("frombase64", "from_base64")
    if column.type.kind is not Kind.VARBINARY or name not in _BYTES_OF:
        return item.copy()
    argument = item.expressions[0] if isinstance(item, exp.Anonymous) else item.this
    return exp.Anonymous(this="to_binary", expressions=[argument.copy(), exp.Literal.string(_BYTES_OF[name])])


def _source(translator: Translator, node: exp.Expression, columns: Sequence[Column]) -> str:
    width = len(columns)
    if isinstance(node, exp.Values):
        for row in node.expressions:
            if len(row.expressions) != width:
                raise _mismatch(width, len(row.expressions))
            if any(isinstance(item, exp.Column) for item in row.expressions):
                raise SqlError.analysis("Column cannot be resolved in VALUES")
        rows = (
            ", ".join(translator.expression(_as_stored(*pair)) for pair in zip(columns, row.expressions, strict=True))
            for row in node.expressions
        )
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
        if verb == "UPDATE":
            raise SqlError.ddl(f"table {table.name} does not support update")
        raise SqlError.not_emulated(f"{verb} on a Duplicate Key table")


def _where(node: exp.Expression, verb: str) -> exp.Expression:
    where = node.args.get("where")
    if where is None:
        who = "Delete must" if verb == "delete" else "must"
        raise SqlError.analysis(f"{who} specify where clause to prevent full table {verb}")
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
    session.require("UPDATE", table.database, table.name)
    _where(node, "update")
    if node.args.get("from_") or node.args.get("joins"):
        raise SqlError.not_emulated("UPDATE … FROM")
    changes: dict[Column, exp.Expression] = {}
    for item in node.expressions:
        column = table.find(item.this.name)
        if column is None:
            raise SqlError.analysis(f"table '{table.name}' do not existing column '{item.this.name}'")
        if table.is_key(column):
            raise SqlError.analysis(f"primary key column cannot be updated: {column.name}")
        changes[column] = item.expression
    by_column = session.variables.get_variable("partial_update_mode") == "column"
    if by_column and {c.name.lower() for c in changes} & {name.lower() for name in table.sort_key}:
        host = session.addresses()[0]
        raise SqlError(f"{host}: column mode partial update on table with sort key cannot update sort key column", 5609)
    items = [exp.alias_(_as_stored(*pair), f"v{i}", quoted=True) for i, pair in enumerate(changes.items())]
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
    session.require("DELETE", table.database, table.name)
    translator = Translator(session, table)
    sql = _rows_sql(translator, node, table, [], "delete")

    def work() -> tuple[Write, Batch, int] | None:
        rows = _fetch(translator, sql)
        if not rows:
            return None
        keys = {c: _stored(c, [row[i] for row in rows]) for i, c in enumerate(table.key_columns)}
        return Write(table, ()), Batch({}, keys), len(rows)

    return table, work
