"""The SQL that publishes a folded batch: delete, upsert, partial upsert, conditional upsert (starrocks.md 10.1)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.protocol.coerce import coerce_one
from dbmazz_sandbox.starrocks.protocol.fold import FRESH, GONE, Batch
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind, Type


@dataclass(frozen=True, slots=True)
class Write:
    """`fills`: columns that the load does not carry, with the SQL literal that new rows get. A full load writes them
    to existing rows as well, a partial one does not."""

    table: Table
    fills: tuple[tuple[Column, str], ...]
    partial: bool = False
    condition: Column | None = None


def literal(kind: Type, text: str) -> str:
    """A declared default as a DuckDB literal."""
    value = coerce_one(kind, text)
    if kind.kind is Kind.BOOLEAN:
        return "TRUE" if value else "FALSE"
    if kind.kind in INTEGER_BITS or kind.kind in (Kind.FLOAT, Kind.DOUBLE):
        return f"'{value}'::{kind.physical}"
    if isinstance(value, bytes):
        return f"from_hex('{value.hex()}')"
    return "'" + value.replace("'", "''") + f"'::{kind.physical}"


AUTO = "AUTO_INCREMENT"  # stands for the next number of the table, in `Write.fills`


def default_value(column: Column, now: dt.datetime) -> str:
    """SQL of what a column gets when a load leaves it out: its default, NULL, or the zero of its type; AUTO for a
    column that counts, whose numbers `statements` gives."""
    if column.auto_increment:
        return AUTO
    if column.default_now:
        return f"'{now:%Y-%m-%d %H:%M:%S}'::{column.type.physical}"
    if column.default is not None:
        return literal(column.type, column.default)
    return "NULL" if column.nullable else column.type.zero


def statements(write: Write, batch: Batch) -> Iterator[str]:
    table = write.table
    if batch.delete_count:
        same = " AND ".join(f"t.{k.physical} = g.{k.physical}" for k in table.key_columns)
        keys = ", ".join(f"{k.physical}::{k.type.physical} AS {k.physical}" for k in table.key_columns)
        yield f"DELETE FROM main.{table.physical} AS t USING (SELECT {keys} FROM {GONE}) AS g WHERE {same}"
    if batch.upsert_count:
        if any(value == AUTO for _, value in write.fills):
            yield f"CREATE SEQUENCE IF NOT EXISTS main.auto_{table.physical}"
        yield _upsert(write, list(batch.upserts), batch)


def _upsert(write: Write, written: Sequence[Column], batch: Batch) -> str:
    table = write.table
    names = [column.physical for column in written] + [column.physical for column, _ in write.fills]
    values = [_value(column, batch) for column in written]
    values += [_next_number(write) if value == AUTO else value for _, value in write.fills]
    insert = f"INSERT INTO main.{table.physical} ({', '.join(names)}) SELECT {', '.join(values)} FROM {FRESH}"
    if not table.primary:
        return insert
    changed = [*written] if write.partial else [*written, *(column for column, _ in write.fills)]
    sets = [f"{c.physical} = excluded.{c.physical}" for c in changed if not table.is_key(c)]
    keys = ", ".join(key.physical for key in table.key_columns)
    if not sets:
        return f"{insert} ON CONFLICT ({keys}) DO NOTHING"
    upsert = f"{insert} ON CONFLICT ({keys}) DO UPDATE SET {', '.join(sets)}"
    if write.condition is None:
        return upsert
    stored, new = f"{table.physical}.{write.condition.physical}", f"excluded.{write.condition.physical}"
    # NULL is lowest: it gives way to anything and beats nothing but NULL.
    return f"{upsert} WHERE {stored} IS NULL OR ({new} IS NOT NULL AND {new} >= {stored})"


def _next_number(write: Write) -> str:
    """A partial update numbers new keys only, so that the same load again leaves no gaps."""
    table = write.table
    number = f"nextval('main.auto_{table.physical}')"
    if not write.partial:
        return number
    same = " AND ".join(f"s.{k.physical} = {FRESH}.{k.physical}::{k.type.physical}" for k in table.key_columns)
    return f"CASE WHEN EXISTS (SELECT 1 FROM main.{table.physical} AS s WHERE {same}) THEN NULL ELSE {number} END"


def _value(column: Column, batch: Batch) -> str:
    cast = f"{column.physical}::{column.type.physical}"
    return f"CASE WHEN {column.physical}_null THEN NULL ELSE {cast} END" if column in batch.nulls else cast
