"""Names of databases, tables and columns in StarRocks, and how they are quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dbmazz.errors import TargetError
from dbmazz.relation import Relation
from dbmazz.target import AUDIT_COLUMNS, Codec, impossible, target_table_name, target_type

_LONGEST = 1024
# StarRocks' rule for columns; it has none for tables.
_NOT_IN_COLUMNS = re.compile(r"[=<>!*]")
_RESERVED = frozenset({"__op", "__row", "___count___"})
_AUDIT = frozenset(name for name, _ in AUDIT_COLUMNS)


class BadName(TargetError):
    """A name that the target cannot have; only a person can change that."""


def quoted(name: str) -> str:
    """A name in backticks. One that holds a backtick is refused: StarRocks drops it, doubled or not, so that another
    object would be meant."""
    if impossible(name):
        raise BadName(
            f"the name {name!r} holds a backtick or a control character, which StarRocks cannot have",
            "Rename it in the source, or leave the table out of TABLES",
        )
    if not 1 <= len(name) <= _LONGEST:
        raise BadName("a name is empty or longer than 1024 characters", "Rename it in the source")
    return f"`{name}`"


def quoted_list(names: Iterable[str]) -> str:
    """Names in backticks, separated by commas."""
    return ", ".join(quoted(name) for name in names)


def check_relation(relation: Relation) -> None:
    """BadName when the table cannot be had in StarRocks under the names of the source.

    Column names there are case-preserving but equal without regard to case, unlike PostgreSQL's.
    """
    table = relation.qualified_name
    quoted(target_table_name(relation.schema, relation.name))
    if not relation.key_indices:
        raise BadName(f"{table} has no primary key", "Add one; a StarRocks Primary Key table needs it")
    seen: dict[str, str] = {}
    for column in relation.columns:
        quoted(column.name)
        folded = column.name.casefold()
        if folded in _AUDIT or folded in _RESERVED:
            raise BadName(f"column {column.name} of {table} has a name that dbmazz or StarRocks reserves", _LEAVE_OUT)
        if _NOT_IN_COLUMNS.search(column.name):
            raise BadName(
                f"column {column.name} of {table} holds one of = < > ! *, which StarRocks refuses", _LEAVE_OUT
            )
        if folded in seen:
            raise BadName(
                f"columns {seen[folded]} and {column.name} of {table} differ only in case, which StarRocks ignores",
                _LEAVE_OUT,
            )
        seen[folded] = column.name
    for column in relation.columns:
        # The transformer sends bytea as text under this name, for `columns` to decode.
        if target_type(column).codec is Codec.BYTEA and f"{column.name}__b64".casefold() in seen:
            raise BadName(
                f"column {column.name}__b64 of {table} has the name that {column.name} travels under", _LEAVE_OUT
            )


_LEAVE_OUT = "Rename it in the source, or leave it out with a column list in the publication"
