"""SELECT: translated, run on a thread with a cursor of its own, rendered as StarRocks prints it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
from mysql_mimic.results import ResultSet
from sqlglot import exp

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.render import Chunks, result_column, size_of
from dbmazz_sandbox.starrocks.mysql.translate import Translator, parse
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
    wide = _plain_columns(original, translator.tables, Kind.LARGEINT)
    documents = _plain_columns(original, translator.tables, Kind.JSON)
    columns = [
        result_column(name, str(kind), largeint=name.lower() in wide, stored=name.lower() in documents)
        for name, kind, *_ in cursor.description or ()
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


def _plain_columns(query: exp.Expression, tables: list[Table], kind: Kind) -> set[str]:
    """Output names that are columns of that kind as they are stored, rather than computed."""
    columns = {c.name.lower() for table in tables for c in table.columns if c.type.kind is kind}
    if not columns or not isinstance(query, exp.Select):
        return columns
    out: set[str] = set()
    for item in query.expressions:
        if item.is_star:
            return columns
        if isinstance(item.unalias(), exp.Column) and item.unalias().name.lower() in columns:
            out.add(item.alias_or_name.lower())
    return out


def execute(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run DuckDB SQL; its errors become what StarRocks says, without the values in them."""
    try:
        cursor.execute(sql)
    except duckdb.BinderException as error:
        if match := re.search(r'[Cc]olumn "([^"]+)"', str(error)):
            raise SqlError.analysis(f"Column '{match[1]}' cannot be resolved") from error
        raise SqlError.analysis(brief(error)) from error
    except duckdb.CatalogException as error:
        match = re.search(r"Function with name \"?(\w+)", str(error))
        if match:
            raise SqlError.analysis(f"No matching function with signature: {match[1]}") from error
        raise SqlError.analysis(brief(error)) from error
    except duckdb.Error as error:
        raise SqlError(brief(error)) from error


def fetch(cursor: duckdb.DuckDBPyConnection, count: int) -> list[Sequence[Any]]:
    """The next rows; DuckDB computes them only now, so a bad value may show up here."""
    try:
        return cursor.fetchmany(count)
    except duckdb.Error as error:
        raise SqlError(brief(error)) from error


def brief(error: duckdb.Error) -> str:
    # DuckDB quotes the values it stumbles over.
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "…", str(error).partition("\n")[0].partition(": ")[2])
    return text.rstrip(".") or "the query failed"
