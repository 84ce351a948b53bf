"""Full comparison of source and target: every row, every value, in bounded memory.

Both sides come ordered by key, one row at a time, and are merged. It is exact only while nothing is written to the
source and everything has arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbmazz.errors import DbmazzError
from dbmazz.relation import Relation
from dbmazz.target import ordered_columns, target_table_name

from dbmazz_cli import source_rows, target_rows
from dbmazz_cli.comparable import UNREADABLE, Comparable, comparable
from dbmazz_cli.target_rows import Target, TargetTableMissing

__all__ = ["TableDifference", "Target", "compare"]

Key = tuple[Any, ...]


@dataclass
class TableDifference:
    """What the comparison of one table found."""

    name: str
    source_rows: int = 0
    # Live ones: not soft-deleted.
    target_rows: int = 0
    # Keys that one side lacks, and rows of which any value differs.
    different_rows: int = 0
    # The first few of them: key, and what is wrong. Never values other than keys.
    examples_of_keys: list[str] = field(default_factory=list)
    # What kept the table from being compared; empty when nothing did.
    problem: str = ""

    @property
    def equal(self) -> bool:
        """True when source and target hold the same rows with the same values."""
        return not self.different_rows and not self.problem


def compare(source_url: str, target: Target, tables: Sequence[str], *, examples: int = 5) -> list[TableDifference]:
    """Compares each schema.table with its target table. Blocks; from a coroutine use asyncio.to_thread.

    SourceError and TargetError when a side cannot be read; a table that is missing in the target is a difference.
    """
    with source_rows.open_source(source_url) as source:
        return [_compare_table(source, target, name, examples) for name in tables]


def _compare_table(source, target: Target, name: str, examples: int) -> TableDifference:
    relation = source_rows.read_relation(source, name)
    difference = TableDifference(name)
    # A session per table: the rest of a result that was abandoned must not reach the next one.
    with target_rows.open_target(target) as connection:
        names = [column.name for column in ordered_columns(relation)]
        found = target_rows.read_rows(
            connection,
            target.database,
            target_table_name(relation.schema, relation.name),
            names,
            names[: len(relation.key_indices)],
        )
        try:
            first = next(found, None)
        except TargetTableMissing as error:
            first, difference.problem = None, str(error)
        rest = iter(()) if first is None else _chained(first, found)
        _merge(relation, source_rows.read_rows(source, relation), rest, difference, examples)
    return difference


def _chained(first: tuple, rest: Iterator[tuple]) -> Iterator[tuple]:
    yield first
    yield from rest


def _merge(relation: Relation, expected: Iterator, found: Iterator, difference: TableDifference, examples: int) -> None:
    columns = [comparable(column) for column in ordered_columns(relation)]
    keys = columns[: len(relation.key_indices)]
    left = _keyed(expected, [column.expect for column in keys], f"{difference.name} in the source")
    right = _keyed(found, [column.find for column in keys], f"{difference.name} in the target")
    for key, ours, theirs in _paired(left, right):
        difference.source_rows += ours is not None
        difference.target_rows += theirs is not None
        verdict = _verdict(columns, ours, theirs)
        if verdict:
            difference.different_rows += 1
            if len(difference.examples_of_keys) < examples:
                difference.examples_of_keys.append(f"{_shown(keys, key)}: {verdict}")


def _paired(left: Iterator, right: Iterator) -> Iterator[tuple[Key, tuple | None, tuple | None]]:
    """Key, source row, target row; one of the rows is None when that side lacks the key."""
    ours, theirs = next(left, None), next(right, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and ours[0] < theirs[0]):
            yield *ours, None
            ours = next(left, None)
        elif ours is None or theirs[0] < ours[0]:
            yield theirs[0], None, theirs[1]
            theirs = next(right, None)
        else:
            yield *ours, theirs[1]
            ours, theirs = next(left, None), next(right, None)


def _keyed(rows: Iterator, parts: Sequence[Callable[[Any], Any]], where: str) -> Iterator[tuple[Key, tuple]]:
    """Each row with its key, in strictly ascending order: the merge relies on it, so it is checked."""
    before: Key | None = None
    for row in rows:
        key = tuple(part(value) for part, value in zip(parts, row, strict=False))
        if any(value is None or value is UNREADABLE for value in key):
            raise DbmazzError(f"{where} has a key that is NULL or does not fit its type")
        if before is not None and not before < key:
            raise DbmazzError(f"{where} is not read in key order", "Does that server sort by another collation?")
        before = key
        yield key, row


def _verdict(columns: Sequence[Comparable], ours: tuple | None, theirs: tuple | None) -> str:
    """What is wrong with one key; empty when nothing is."""
    if theirs is None:
        return "missing in the target"
    if ours is None:
        return "not in the source"
    return _differing(columns, ours, theirs)


def _differing(columns: Sequence[Comparable], expected: tuple, found: tuple) -> str:
    """The names of the columns that differ; empty when none does."""
    names = [
        column.name for column, text, raw in zip(columns, expected, found, strict=True) if not column.equal(text, raw)
    ]
    return f"{', '.join(names)} differ" if names else ""


def _shown(keys: Sequence[Comparable], key: Key) -> str:
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in key]
    return ", ".join(f"{column.name}={value}" for column, value in zip(keys, values, strict=True))
