"""SELECT: translated, run on a thread with a cursor of its own, rendered as StarRocks prints it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
from mysql_mimic.results import ResultSet
from sqlglot import exp

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.failures import refusal
from dbmazz_sandbox.starrocks.mysql.grammar import parse
from dbmazz_sandbox.starrocks.mysql.render import Chunks, result_column, size_of
from dbmazz_sandbox.starrocks.mysql.translate import Translator
from dbmazz_sandbox.starrocks.types import Kind

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

FIRST_ROWS, MOST_ROWS, CHUNK_BYTES = 64, 4096, 4 << 20


async def run(session: StarRocksSession, sql: str) -> ResultSet:
    """Raises SqlError."""
    query = parse(sql)
    if not isinstance(query, exp.Query):
        raise SqlError.not_emulated(f"statement {query.key.upper()}")
    original = query.copy()
    translator = Translator(session)
    translated = translator.select(query)
    cursor = session.cluster.store.open_cursor()

    def start() -> list[Sequence[Any]]:
        translator.prepare(cursor)
        execute(cursor, translated)
        return fetch(cursor, FIRST_ROWS)

    try:
        first = await session.cluster.query(start)
    except BaseException:
        cursor.close()
        raise
    declared = _declared(original, translator.tables)
    columns = [
        result_column(name, str(kind), declared.get(name.lower())) for name, kind, *_ in cursor.description or ()
    ]
    if len(first) < FIRST_ROWS:
        cursor.close()
        return ResultSet(rows=first, columns=columns)
    return ResultSet(rows=Chunks(lambda: _rest(session, cursor, first)), columns=columns)  # type: ignore[arg-type]


async def _rest(
    session: StarRocksSession, cursor: duckdb.DuckDBPyConnection, rows: list[Sequence[Any]]
) -> AsyncIterator[list[Sequence[Any]]]:
    try:
        while rows:
            yield rows
            count = max(1, min(MOST_ROWS, CHUNK_BYTES * len(rows) // max(size_of(rows), 1)))
            rows = await session.cluster.query(lambda count=count: fetch(cursor, count))
    finally:
        cursor.close()


_AS_DECLARED = frozenset(kind for kind in Kind if kind in ("LARGEINT", "JSON", "ARRAY", "MAP", "STRUCT", "CHAR"))


def _declared(query: exp.Expression, tables: list[Table]) -> dict[str, Kind]:
    """StarRocks types of the outputs that are stored columns as they are, rather than computed, where DuckDB's type
    does not tell."""
    columns = {c.name.lower(): c.type.kind for t in tables for c in t.columns if c.type.kind in _AS_DECLARED}
    if not columns or not isinstance(query, exp.Select):
        return columns
    out: dict[str, Kind] = {}
    for item in query.expressions:
        if item.is_star:
            return columns
        plain = item.unalias()
        if isinstance(plain, exp.Column) and plain.name.lower() in columns:
            out[item.alias_or_name.lower()] = columns[plain.name.lower()]
    return out


def execute(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run DuckDB SQL; its errors become what StarRocks says, without the values in them."""
    try:
        cursor.execute(sql)
    except duckdb.Error as error:
        raise refusal(error) from error


def fetch(cursor: duckdb.DuckDBPyConnection, count: int) -> list[Sequence[Any]]:
    """The next rows; DuckDB computes them only now, so a bad value may show up here."""
    try:
        return cursor.fetchmany(count)
    except duckdb.Error as error:
        raise refusal(error) from error
