"""Numbers batches within an epoch and says up to where each makes the stream safe.

A cut seals all open lanes at once, so that one number per cut, the safe LSN on its last batch, is enough: every
transaction whose commit was decoded before the cut is wholly contained in the batches up to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dbmazz.relation import Relation
from dbmazz.v1 import change_pb2, reader_pb2

from dbmazz_reader.protocol.decoder import Decoder
from dbmazz_reader.protocol.kernel import Fields
from dbmazz_reader.protocol.lanes import LaneBuilder, pack

HEARTBEAT_LANE = 0
# What the field holds: seven weeks.
_AGE_MAX_MS = (1 << 32) - 1


@dataclass(slots=True, eq=False)
class SealedBatch:
    """A batch that waits for its acknowledgement. `relation` is the one its rows are laid out by, None for a heartbeat;
    `response` is the message that `batch` is part of."""

    batch_id: int
    lane: int
    relation: Relation | None
    batch: change_pb2.ChangeBatch
    size: int
    response: reader_pb2.StreamChangesResponse | None = None
    # Its rows are those of a load.
    loaded: bool = False

    @property
    def first_commit_time(self) -> int:
        """Of its rows, in microseconds since 1970; 0 for a batch without rows."""
        return int.from_bytes(self.batch.commit_times[:8], "little")


class Cutter:
    """Batch ids are dense from 1; the safe LSN never falls."""

    def __init__(self, epoch: int, safe_lsn: int) -> None:
        self.epoch = epoch
        self.safe_lsn = safe_lsn
        self.batch_count = 0

    def cut(self, decoder: Decoder, age_s: float = 0.0) -> list[SealedBatch]:
        """Seals every open lane; [] when no lane has rows. The last batch carries the new safe LSN.

        `age_s`: for how long the rows were collected.
        """
        age_ms = min(math.ceil(age_s * 1000), _AGE_MAX_MS)
        sealed = decoder.seal()
        batches = []
        for position, (lane, response) in enumerate(sealed, 1):
            if position == len(sealed):
                self.safe_lsn = max(self.safe_lsn, decoder.committed_lsn)
            response.batch.age_ms = age_ms
            batches.append(self._place(response, lane.relation))
        return batches

    def load(self, lane: LaneBuilder, fields: Fields) -> SealedBatch:
        """Rows of a load, between two transactions; everything before them must have been cut."""
        sealed = self._place(pack(lane, fields), lane.relation)
        sealed.loaded = True
        return sealed

    def truncate(self, lane: LaneBuilder, lsn: int) -> SealedBatch:
        """A barrier in one lane; everything before it must have been cut."""
        return self._barrier(change_pb2.BATCH_KIND_TRUNCATE, lane.lane, lane.relation, lsn)

    def schema(self, lane: int, relation: Relation) -> SealedBatch:
        """A barrier in one lane; everything before it must have been cut."""
        return self._barrier(change_pb2.BATCH_KIND_SCHEMA, lane, relation, 0)

    def heartbeat(self, lsn: int) -> SealedBatch:
        """Nothing but a new safe LSN; only when no transaction and no lane is open."""
        self.safe_lsn = max(self.safe_lsn, lsn)
        batch = change_pb2.ChangeBatch(lane=HEARTBEAT_LANE, kind=change_pb2.BATCH_KIND_HEARTBEAT)
        return self._place(reader_pb2.StreamChangesResponse(batch=batch), None)

    def _barrier(self, kind: int, lane: int, relation: Relation, lsn: int) -> SealedBatch:
        batch = change_pb2.ChangeBatch(lane=lane, kind=kind, relation_id=relation.relation_id, barrier_lsn=lsn)
        return self._place(reader_pb2.StreamChangesResponse(batch=batch), relation)

    def _place(self, response: reader_pb2.StreamChangesResponse, relation: Relation | None) -> SealedBatch:
        self.batch_count += 1
        batch = response.batch
        batch.epoch = self.epoch
        batch.batch_id = self.batch_count
        batch.safe_lsn = self.safe_lsn
        return SealedBatch(self.batch_count, batch.lane, relation, batch, batch.ByteSize(), response)
