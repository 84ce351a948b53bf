"""Relations from what the stream says and what the catalogue knows.

The stream has names, type OIDs and modifiers as they were when a row was written; the catalogue has keys, families of
types and domains as they are now. pgoutput's key flags are not used: under REPLICA IDENTITY FULL they mark every column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dbmazz.errors import SourceError
from dbmazz.relation import Column, Relation, ReplicaIdentity, TypeFamily

from dbmazz_reader.protocol.pgoutput import RelationMessage


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A type below its domains. `modifier` is that of the domain, -1 when there is none."""

    oid: int
    name: str
    family: TypeFamily
    base_oid: int
    element_oid: int = 0
    modifier: int = -1


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A published column, in order of the tuple."""

    name: str
    type_oid: int
    type_modifier: int
    not_null: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A published table. Keys are column names in key order: of the primary key, and of the replica identity's index."""

    relation_id: int
    schema: str
    name: str
    replica_identity: ReplicaIdentity
    columns: tuple[TableColumn, ...]
    primary_key: tuple[str, ...]
    identity_key: tuple[str, ...]
    persistence: str = "p"
    row_estimate: int = 0

    @property
    def qualified_name(self) -> str:
        """schema.table, not quoted."""
        return f"{self.schema}.{self.name}"

    def key(self, identity: ReplicaIdentity) -> tuple[str, ...]:
        """The row's identity: the columns of the index under USING INDEX, else the primary key; () when there is none."""
        return self.identity_key if identity is ReplicaIdentity.INDEX else self.primary_key


def from_catalogue(table: Table, types: Mapping[int, TypeInfo], schema_version: int) -> Relation:
    """The relation as the catalogue has it now."""
    described = [(column.name, column.type_oid, column.type_modifier) for column in table.columns]
    return _relation(table, types, schema_version, table.schema, table.name, table.replica_identity, described)


def from_message(
    message: RelationMessage, table: Table, types: Mapping[int, TypeInfo], schema_version: int
) -> Relation:
    """The relation as the stream has it, completed from the catalogue."""
    identity = ReplicaIdentity.from_relreplident(message.replica_identity)
    described = [(column.name, column.type_oid, column.type_modifier) for column in message.columns]
    return _relation(table, types, schema_version, message.schema, message.name, identity, described)


def same_shape(one: Relation, other: Relation) -> bool:
    """True when rows of both are laid out, named and identified alike: versions do not count."""
    return replace(one, schema_version=other.schema_version) == other


def _relation(
    table: Table,
    types: Mapping[int, TypeInfo],
    schema_version: int,
    schema: str,
    name: str,
    identity: ReplicaIdentity,
    described: list[tuple[str, int, int]],
) -> Relation:
    positions = _key_positions(table, identity, described)
    known = {column.name: column for column in table.columns}
    columns = []
    for column_name, type_oid, modifier in described:
        info = types.get(type_oid) or TypeInfo(type_oid, "", TypeFamily.SCALAR, type_oid)
        columns.append(
            Column(
                name=column_name,
                type_oid=type_oid,
                # A column of a domain has no modifier of its own; that of numeric(10,2) below it is the one that counts.
                type_modifier=modifier if modifier != -1 else info.modifier,
                key_position=positions.get(column_name, 0),
                type_name=info.name,
                family=info.family,
                base_type_oid=info.base_oid,
                element_type_oid=info.element_oid,
                not_null=column_name in known and known[column_name].not_null,
            )
        )
    return Relation(table.relation_id, schema, name, identity, schema_version, tuple(columns))


def _key_positions(table: Table, identity: ReplicaIdentity, described: list[tuple[str, int, int]]) -> dict[str, int]:
    """Column name in the stream to position in the key, from 1."""
    key = table.key(identity)
    if not key:
        raise no_key(table)
    names = [name for name, _, _ in described]
    if not set(key) <= set(names):
        # A column was renamed after these rows were written: where the types still agree, the order tells which.
        if [oid for _, oid, _ in described] != [column.type_oid for column in table.columns]:
            raise SourceError(
                f"the key of {table.qualified_name} ({', '.join(key)}) is not among its published columns",
                "Publish the key columns too, or take the table out of the publication and TABLES",
            )
        renamed = {column.name: name for column, name in zip(table.columns, names, strict=True)}
        if not set(key) <= renamed.keys():
            raise no_key(table)
        key = tuple(renamed[name] for name in key)
    return {name: position for position, name in enumerate(key, 1)}


def no_key(table: Table) -> SourceError:
    """The error for a table whose rows cannot be told apart."""
    name = table.qualified_name
    return SourceError(
        f"table {name} has no primary key, so its updates and deletes cannot be replicated",
        f"Run ALTER TABLE {name} ADD PRIMARY KEY (...), or with a unique index on NOT NULL columns ALTER TABLE {name}"
        " REPLICA IDENTITY USING INDEX ..., or take the table out of the publication and TABLES",
    )


def key_not_carried(relation: Relation) -> SourceError:
    """The error for a change from which its row cannot be told."""
    name = relation.qualified_name
    return SourceError(
        f"a change of {name} does not carry the table's key",
        f"Was its key changed while the reader was behind? Run ALTER TABLE {name} REPLICA IDENTITY FULL, or take the"
        " table out of the publication and TABLES",
    )
