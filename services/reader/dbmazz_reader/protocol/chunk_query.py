"""The statements of a chunk. Names are quoted, and keys are literals of their column's type: COPY takes no parameters.

Comparison and order are those of the column, with its collation, so they agree with each other, and with the index of the key
where that has no other one. Rows are in order of the key, so a chunk that ends early is a smaller chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbmazz.relation import Relation

from dbmazz_reader.protocol.load import Key, KeyRange


@dataclass(frozen=True, slots=True)
class Source:
    """What to read a table from: its quoted name, with ONLY where children are tables of their own; the quoted types of its
    key columns; the publication's row filter, "" when there is none; and about how many rows it has."""

    table: str
    only: bool
    key_types: tuple[str, ...]
    row_filter: str = ""
    row_estimate: int = 0

    @property
    def item(self) -> str:
        """For FROM."""
        return f"ONLY {self.table}" if self.only else self.table


def quote_name(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: bytes, type_name: str) -> bytes:
    """A literal of a type, with standard_conforming_strings on."""
    return b"'" + text.replace(b"'", b"''") + b"'::" + type_name.encode()


def columns_of(relation: Relation) -> str:
    """All published columns, in order of the tuple."""
    return ", ".join(quote_name(column.name) for column in relation.columns)


def key_of(relation: Relation) -> str:
    """The key columns in key order."""
    return ", ".join(quote_name(relation.columns[index].name) for index in relation.key_indices)


def chunk_statement(relation: Relation, source: Source, part: KeyRange, limit: int) -> bytes:
    """COPY of the range's next rows in order of the key, at most `limit`."""
    key = key_of(relation)
    conditions = [f"({source.row_filter})".encode()] if source.row_filter else []
    if part.cursor is not None:
        conditions.append(_compared(key, b">", part.cursor, source))
    if part.up_to is not None:
        conditions.append(_compared(key, b"<=", part.up_to, source))
    where = b" WHERE " + b" AND ".join(conditions) if conditions else b""
    return (
        f"COPY (SELECT {columns_of(relation)} FROM {source.item}".encode()
        + where
        + f" ORDER BY {key} LIMIT {limit}) TO STDOUT".encode()
    )


def shape_statement(relation: Relation, source: Source) -> str:
    """No rows, but the columns as they are now."""
    return f"SELECT {columns_of(relation)} FROM {source.item} LIMIT 0"


def boundary_statement(relation: Relation, source: Source, percent: float, count: int) -> str:
    """Keys that cut the table into at most `count` ranges alike in size, from a sample of its pages."""
    key = key_of(relation)
    where = f" WHERE ({source.row_filter})" if source.row_filter else ""
    sample = f"{source.item} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (1){where}"
    return (
        f'SELECT {key} FROM (SELECT {key}, row_number() OVER (ORDER BY {key}) AS "dbmazz n", count(*) OVER () AS "dbmazz all"'
        f' FROM {sample}) AS s WHERE "dbmazz n" % greatest(("dbmazz all" + {count - 1}) / {count}, 1) = 0'
        f' AND "dbmazz n" < "dbmazz all" ORDER BY {key} LIMIT {count - 1}'
    )


def _compared(key: str, operator: bytes, than: Sequence[bytes] | Key, source: Source) -> bytes:
    values = b", ".join(literal(text, name) for text, name in zip(than, source.key_types, strict=True))
    return b"(" + key.encode() + b") " + operator + b" (" + values + b")"
