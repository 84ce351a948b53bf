"""The replicated tables of a session: which lane each has, how its rows are laid out, and what people should know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dbmazz.errors import SourceError
from dbmazz.relation import Relation, ReplicaIdentity
from dbmazz.target import target_table_name

from dbmazz_reader.postgres.names import matches
from dbmazz_reader.protocol.lanes import LaneBuilder
from dbmazz_reader.protocol.pgoutput import RelationMessage
from dbmazz_reader.protocol.relations import Table, TypeInfo, from_catalogue, from_message, no_key, same_shape


@dataclass(slots=True, eq=False)
class ReplicatedTable:
    """One table. `described` is true once the stream has described it in this session."""

    table: Table
    builder: LaneBuilder
    described: bool = False
    row_count: int = 0
    byte_count: int = 0
    preexisting_rows: int = 0
    # A load of it is under way.
    loading: bool = False

    @property
    def lane(self) -> int:
        """Its lane, from 1."""
        return self.builder.lane

    @property
    def relation(self) -> Relation:
        """The relation that its rows are laid out by now."""
        return self.builder.relation

    @property
    def warning(self) -> str:
        """What a person should know; "" when nothing."""
        if not self.preexisting_rows or self.loading:
            return ""
        name = self.relation.qualified_name
        return (
            f"table {name} held about {self.preexisting_rows} rows before replication began; they are not in the target"
            f" unless they change. Run dbmazz snapshot {name}, or set DO_SNAPSHOT=true"
        )

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Names of the columns of the identity, in its order."""
        return tuple(self.relation.columns[index].name for index in self.relation.key_indices)

    def loaded(self) -> None:
        """The target has all its rows: from now on it has every row that a partial image may belong to."""
        self.preexisting_rows, self.loading, self.builder.unread = 0, False, False


class Tables:
    """All tables by relation, in order of their names at first."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._by_relation: dict[int, ReplicatedTable] = {}
        self._by_lane: dict[int, ReplicatedTable] = {}
        self._types: dict[int, TypeInfo] = {}

    def __iter__(self):
        return iter(sorted(self._by_relation.values(), key=lambda table: table.relation.qualified_name))

    def get(self, relation_id: int) -> ReplicatedTable | None:
        """The table of a relation."""
        return self._by_relation.get(relation_id)

    def of_lane(self, lane: int) -> ReplicatedTable | None:
        """The table of a lane."""
        return self._by_lane.get(lane)

    def seed(
        self, tables: Iterable[Table], types: Mapping[int, TypeInfo], preexisting: Mapping[int, int]
    ) -> list[ReplicatedTable]:
        """The published tables at the start of an epoch, as the catalogue has them now."""
        self._types.update(types)
        for table in tables:
            builder = LaneBuilder(len(self._by_lane) + 1, from_catalogue(table, self._types, 1))
            entry = self._place(table, builder)
            entry.preexisting_rows = preexisting.get(table.relation_id, 0)
            builder.unread = bool(entry.preexisting_rows)
        return list(self._by_relation.values())

    def unchanged(self, message: RelationMessage) -> ReplicatedTable | None:
        """The table when the stream describes it for the first time and as it was seeded; None to ask the catalogue."""
        known = self._by_relation.get(message.relation_id)
        if known is None or known.described:
            return None
        if not same_shape(from_message(message, known.table, self._types, 1), known.relation):
            return None
        known.described = True
        return known

    def described(
        self, message: RelationMessage, table: Table | None, types: Mapping[int, TypeInfo]
    ) -> tuple[ReplicatedTable, bool]:
        """(table, True when its rows are laid out in a new way) from the stream's description and the catalogue's.

        `table` is None when the catalogue has it no longer: what was known last holds for the rows from before. SourceError
        for a table that cannot be replicated.
        """
        self._types.update(types)
        known = self._by_relation.get(message.relation_id)
        table = self._keyed(message, table, known)
        if known is None:
            # A table that was dropped and created again goes on in its former lane, so that its rows stay in order.
            known = self._named(f"{message.schema}.{message.name}")
        version = known.relation.schema_version + 1 if known else 1
        relation = from_message(message, table, self._types, version)
        if known is not None and same_shape(relation, known.relation):
            known.table, known.described = table, True
            return known, False
        if known is None:
            self._refuse_shared_target(relation)
        lane = known.lane if known else len(self._by_lane) + 1
        if known is not None:
            del self._by_relation[known.relation.relation_id]
        entry = self._place(table, LaneBuilder(lane, relation))
        entry.described = True
        if known is not None:
            entry.row_count, entry.preexisting_rows = known.row_count, known.preexisting_rows
            entry.loading = known.loading
            entry.builder.unread = known.builder.unread
            entry.builder.version_floor = known.builder.version_floor
            entry.byte_count = known.byte_count
            entry.builder.unchanged_toast_count = known.builder.unchanged_toast_count
        return entry, True

    def wanted(self, message: RelationMessage) -> bool:
        """True when TABLES means a table, by its name."""
        name = f"{message.schema}.{message.name}"
        return not self._words or any(matches(name, word) for word in self._words)

    def _place(self, table: Table, builder: LaneBuilder) -> ReplicatedTable:
        entry = ReplicatedTable(table, builder)
        self._by_relation[builder.relation.relation_id] = self._by_lane[builder.lane] = entry
        return entry

    def _named(self, name: str) -> ReplicatedTable | None:
        return next((t for t in self._by_relation.values() if t.relation.qualified_name == name), None)

    @staticmethod
    def _keyed(message: RelationMessage, table: Table | None, known: ReplicatedTable | None) -> Table:
        """The catalogue's table, or the last known one when it is gone or has lost its key."""
        identity = ReplicaIdentity.from_relreplident(message.replica_identity)
        if table is not None and (table.key(identity) or known is None):
            if not table.key(identity):
                raise no_key(table)
            return table
        if known is None:
            raise SourceError(
                f"table {message.schema}.{message.name} is in the stream, but no longer in the publication",
                "Its rows from before it was taken out are left out",
            )
        return known.table

    def _refuse_shared_target(self, relation: Relation) -> None:
        target = target_table_name(relation.schema, relation.name)
        for other in self._by_relation.values():
            if target_table_name(other.relation.schema, other.relation.name) == target:
                raise SourceError(
                    f"tables {other.relation.qualified_name} and {relation.qualified_name} would both become {target} in"
                    " the target",
                    "Rename one, or take one out of the publication and TABLES",
                )
