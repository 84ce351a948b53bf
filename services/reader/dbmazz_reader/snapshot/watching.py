"""What a load has to know of its table's lane while the stream goes on."""

from __future__ import annotations

from dbmazz.v1 import change_pb2

from dbmazz_reader.protocol.chunk import Chunk, StreamedTransactions
from dbmazz_reader.protocol.cuts import SealedBatch


class LaneWatch:
    """Told of everything that goes into the lane, from the moment the load begins in this session."""

    def __init__(self) -> None:
        self.streamed = StreamedTransactions()
        self._chunks: list[Chunk] = []

    def open(self, chunk: Chunk) -> None:
        """From now on the chunk is told, too."""
        self._chunks = [known for known in self._chunks if known.open]
        self._chunks.append(chunk)

    def take(self, sealed: SealedBatch) -> None:
        """A batch of the lane; the load's own rows are no changes."""
        if sealed.batch.kind != change_pb2.BATCH_KIND_ROWS or sealed.loaded:
            return
        self.streamed.take(sealed.batch)
        for chunk in self._chunks:
            chunk.record(sealed.relation, sealed.batch)

    def truncate(self, xid: int) -> None:
        """The table was truncated."""
        self.streamed.add(xid)
        for chunk in self._chunks:
            chunk.truncate(xid)
