"""One lane's open rows, sealed into a ChangeBatch. kernel.pyx collects them."""

from __future__ import annotations

from dbmazz.v1 import change_pb2

from dbmazz_reader.protocol.kernel import PackedLane


class LaneBuilder(PackedLane):
    """Open rows of one lane at one version of its relation."""

    def seal(self, open_run: int) -> change_pb2.ChangeBatch:
        """The rows as a batch without its place in the epoch; the builder is empty afterwards.

        Rows of `open_run` (RowDecoder.open_run), whose commit was not seen yet, carry the LSNs of their changes.
        """
        rows, ops, counts, commit_lsns, commit_times, xids, change_lsns, bitmaps, lengths, data = self.take(open_run)
        return change_pb2.ChangeBatch(
            lane=self.lane,
            kind=change_pb2.BATCH_KIND_ROWS,
            relation_id=self.relation.relation_id,
            row_count=rows,
            ops=ops,
            run_row_counts=counts,
            commit_lsns=commit_lsns,
            commit_times=commit_times,
            xids=xids,
            change_lsns=change_lsns,
            absent_bitmaps=bitmaps,
            lengths=lengths,
            data=data,
        )
