"""Tables and columns as PostgreSQL describes them, as frozen values; `wire.py` maps them to protos."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property


class ReplicaIdentity(IntEnum):
    """What an UPDATE or DELETE carries of the old row. Numbers are those of the proto enum."""

    DEFAULT = 1
    NOTHING = 2
    FULL = 3
    INDEX = 4

    @classmethod
    def from_relreplident(cls, letter: str) -> ReplicaIdentity:
        """From pg_class.relreplident, the same letter that pgoutput's Relation message carries."""
        return {"d": cls.DEFAULT, "n": cls.NOTHING, "f": cls.FULL, "i": cls.INDEX}[letter]


class TypeFamily(IntEnum):
    """How a column's text is to be read, below all domains. Numbers are those of the proto enum."""

    SCALAR = 1
    ENUM = 2
    ARRAY = 3
    COMPOSITE = 4
    RANGE = 5


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `key_position` counts from 1 within the row's identity, 0 outside of it."""

    name: str
    type_oid: int
    type_modifier: int = -1
    key_position: int = 0
    type_name: str = ""
    family: TypeFamily = TypeFamily.SCALAR
    base_type_oid: int = 0
    element_type_oid: int = 0
    not_null: bool = False
    # pg_attribute.attnum; 0 when it is not known.
    attribute_number: int = 0

    @property
    def oid(self) -> int:
        """OID of the type below all domains."""
        return self.base_type_oid or self.type_oid


@dataclass(frozen=True)
class Relation:
    """A table at one version of its schema; `columns` are in tuple order."""

    relation_id: int
    schema: str
    name: str
    replica_identity: ReplicaIdentity
    schema_version: int
    columns: tuple[Column, ...]

    @property
    def qualified_name(self) -> str:
        """schema.table, for people and for matching TABLES; not quoted."""
        return f"{self.schema}.{self.name}"

    @cached_property
    def key_indices(self) -> tuple[int, ...]:
        """Column indices of the row's identity, in key order (which may differ from column order)."""
        keyed = [(column.key_position, index) for index, column in enumerate(self.columns) if column.key_position]
        return tuple(index for _, index in sorted(keyed))
