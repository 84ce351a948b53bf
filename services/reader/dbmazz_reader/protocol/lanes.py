"""One lane's open rows, sealed into a ChangeBatch. kernel.pyx collects them."""

from __future__ import annotations

from dbmazz.v1 import change_pb2, reader_pb2

from dbmazz_reader.protocol.kernel import Fields, PackedLane

# In the order of kernel.Fields.
FIELDS = (
    *("row_count", "ops", "run_row_counts", "commit_lsns", "commit_times", "xids"),
    *("change_lsns", "absent_bitmaps", "lengths", "data"),
)


class LaneBuilder(PackedLane):
    """Open rows of one lane at one version of its relation."""

    def seal(self, open_run: int) -> reader_pb2.StreamChangesResponse:
        """The rows as a batch without its place in the epoch, within the message that it is sent in: so it is never copied
        whole. The builder is empty afterwards.

        Rows of `open_run` (RowDecoder.open_run), whose commit was not seen yet, carry the LSNs of their changes.
        """
        return pack(self, self.take(open_run))


def pack(lane: LaneBuilder, fields: Fields) -> reader_pb2.StreamChangesResponse:
    """Rows of a lane as a batch without its place in the epoch."""
    response = reader_pb2.StreamChangesResponse()
    batch = response.batch
    batch.lane = lane.lane
    batch.kind = change_pb2.BATCH_KIND_ROWS
    batch.relation_id = lane.relation.relation_id
    for field, value in zip(FIELDS, fields, strict=True):
        setattr(batch, field, value)
    return response
