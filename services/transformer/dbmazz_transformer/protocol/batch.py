"""What the reader sends in one lane, decoded in order: rows, heartbeats and barriers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dbmazz.errors import WireError
from dbmazz.relation import Relation
from dbmazz.wire import relation_from_proto

from dbmazz_transformer.protocol.kernel import Rows


class BatchKind(IntEnum):
    """What a batch carries. Numbers are those of the proto enum."""

    ROWS = 1
    HEARTBEAT = 2
    TRUNCATE = 3
    SCHEMA = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of a lane. `relation` is the one in force, None for a heartbeat; `rows` is None for all but ROWS."""

    batch_id: int
    kind: BatchKind
    safe_lsn: int
    relation: Relation | None = None
    rows: Rows | None = None
    barrier_lsn: int = 0
    byte_count: int = 0
    # For how long its rows were collected before it came, in seconds.
    age_s: float = 0.0

    @property
    def row_count(self) -> int:
        """Rows in the batch."""
        return self.rows.row_count if self.rows else 0

    @property
    def is_barrier(self) -> bool:
        """True when everything before it must be durable before it is applied, and it before everything behind it."""
        return self.kind in (BatchKind.TRUNCATE, BatchKind.SCHEMA)


class LaneDecoder:
    """Decodes the batches of one lane and generation, and holds the relation that is in force."""

    def __init__(self) -> None:
        self.relation: Relation | None = None
        self._last_batch_id = 0

    def decode(self, proto) -> Batch:
        """The value of a dbmazz.v1 ChangeBatch; WireError names what does not fit."""
        if proto.batch_id <= self._last_batch_id:
            raise WireError(f"batch {proto.batch_id} came after batch {self._last_batch_id} of the same lane")
        self._last_batch_id = proto.batch_id
        if proto.HasField("relation"):
            relation = relation_from_proto(proto.relation)
            # The first batch of each generation repeats the relation; the same value keeps its identity, so that
            # windows and the schema already applied go on.
            if relation != self.relation:
                self.relation = relation
        try:
            kind = BatchKind(proto.kind)
        except ValueError:
            raise WireError(f"batch {proto.batch_id} is of the unknown kind {proto.kind}") from None
        if kind is BatchKind.HEARTBEAT:
            return Batch(proto.batch_id, kind, proto.safe_lsn)
        if self.relation is None:
            raise WireError(f"batch {proto.batch_id} came before its lane's relation")
        rows, size = None, 0
        if kind is BatchKind.ROWS:
            rows = Rows(proto, len(self.relation.columns))
            size = rows.byte_count
        return Batch(
            proto.batch_id, kind, proto.safe_lsn, self.relation, rows, proto.barrier_lsn, size, proto.age_ms / 1000
        )
