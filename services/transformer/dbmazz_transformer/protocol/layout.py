"""How the rows of a relation look as JSON for one target table: names, keys of the objects, the `columns` header."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from dbmazz.errors import DbmazzError
from dbmazz.relation import Column, Relation
from dbmazz.signature import from_indices, is_toast_column, toast_indices
from dbmazz.target import AUDIT_COLUMNS, Codec, target_type

from dbmazz_transformer.protocol.kernel import Writer

# box is the one built-in type whose arrays are not separated by commas (pg_type.typdelim).
_BOX = 603


class LayoutError(DbmazzError):
    """The target table does not fit the relation."""

    reason = "TARGET"


@dataclass(frozen=True, slots=True)
class ValueType:
    """How a column's text is read: its codec, and for arrays that of the elements, and the delimiter."""

    codec: Codec
    element: Codec | None = None
    delimiter: bytes = b","


@dataclass(frozen=True, slots=True)
class Target:
    """The target table as the loader tells it: column names as declared, and whether loads may carry the guard."""

    table: str
    columns: tuple[str, ...]
    version_guard: bool = True


@dataclass(frozen=True, slots=True)
class JsonColumn:
    """One column: its number in the packed rows, its name in the source, the object's key (`"name":`, escaped).

    `items`: what it adds to the `columns` header.
    """

    index: int
    name: str
    key: bytes
    kind: ValueType
    items: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """All columns of a relation for its target table."""

    relation: Relation
    target: Target
    columns: tuple[JsonColumn, ...]

    @cached_property
    def non_key_bitmap(self) -> int:
        """The signature of a row that has nothing but its key."""
        return from_indices(column.index for column in self.columns) & ~from_indices(self.relation.key_indices)

    @cached_property
    def writer(self) -> Writer:
        """Writes rows with these columns."""
        return Writer(self.columns)

    def present(self, bitmap: int) -> list[JsonColumn]:
        """The columns that rows of this signature carry."""
        return [column for column in self.columns if not is_toast_column(bitmap, column.index)]

    def absent_names(self, bitmap: int) -> tuple[str, ...]:
        """The columns that rows of this signature lack, by their names in the source."""
        return tuple(self.columns[index].name for index in toast_indices(bitmap))


def make_layout(relation: Relation, target: Target) -> Layout:
    """LayoutError when the target lacks a column: StarRocks ignores JSON keys that it does not know, silently."""
    declared = {name: name for name in target.columns}
    by_lower = {name.lower(): name for name in target.columns}
    missing = [name for name, _ in AUDIT_COLUMNS if name not in declared]
    columns = []
    for index, column in enumerate(relation.columns):
        # StarRocks compares column names without case, but JSON keys to the letter.
        name = declared.get(column.name) or by_lower.get(column.name.lower())
        if name is None:
            missing.append(column.name)
        else:
            columns.append(_json_column(index, column, name, by_lower))
    if missing:
        names = ", ".join(sorted(missing))
        raise LayoutError(f"target table {target.table} lacks columns: {names}", "Add them, or drop the table")
    return Layout(relation, target, tuple(columns))


def quoted(name: str) -> str:
    """A name for the `columns` header."""
    return "`" + name.replace("`", "``") + "`"


def json_key(name: str) -> bytes:
    """`"name":` in UTF-8."""
    return json.dumps(name, ensure_ascii=False).encode() + b":"


def _json_column(index: int, column: Column, name: str, taken: dict[str, str]) -> JsonColumn:
    kind = target_type(column)
    delimiter = b";" if column.element_type_oid == _BOX else b","
    value_type = ValueType(kind.codec, kind.element, delimiter)
    if kind.codec is not Codec.BYTEA:
        return JsonColumn(index, column.name, json_key(name), value_type, (quoted(name),))
    # The JSON carries base64 under a name that is no column; StarRocks decodes it into the column.
    sent = f"{name}__b64"
    while sent.lower() in taken:
        sent += "_"
    # from_base64('') is NULL in StarRocks, and an empty value is not NULL.
    decoded = f"if({quoted(sent)} = '', '', from_base64({quoted(sent)}))"
    items = (quoted(sent), f"{quoted(name)} = {decoded}")
    return JsonColumn(index, column.name, json_key(sent), value_type, items)
