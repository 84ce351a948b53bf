"""Batches are kept until they are acknowledged, within a bound of bytes."""

from __future__ import annotations

from collections import deque
from itertools import chain

from dbmazz_reader.protocol.cuts import SealedBatch


class Retention:
    """Counts what all lanes keep together; at the bound the source is not read."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.batches = 0

    @property
    def full(self) -> bool:
        """True when nothing more may be taken in."""
        return self.bytes >= self.limit

    @property
    def empty(self) -> bool:
        """True when every batch is acknowledged."""
        return self.batches == 0


class LaneQueue:
    """Batches of one lane in order: `sent` under the present generation, then `pending`."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self.pending: deque[SealedBatch] = deque()
        self.sent: deque[SealedBatch] = deque()
        self.sent_bytes = 0
        self.bytes = 0
        self.last_sent_id = 0

    @property
    def batch_count(self) -> int:
        """Batches that are not acknowledged."""
        return len(self.sent) + len(self.pending)

    @property
    def first_open(self) -> int | None:
        """The first batch that is not acknowledged; None when all are."""
        return next((batch.batch_id for batch in chain(self.sent, self.pending)), None)

    @property
    def oldest_commit_time(self) -> int:
        """Of the rows that are not acknowledged, in microseconds since 1970; 0 when there are none."""
        return next(filter(None, (batch.first_commit_time for batch in chain(self.sent, self.pending))), 0)

    def append(self, batch: SealedBatch) -> None:
        """A new batch."""
        self.pending.append(batch)
        self.bytes += batch.size
        self._retention.bytes += batch.size
        self._retention.batches += 1

    def send(self) -> SealedBatch:
        """Takes the next pending batch as sent."""
        batch = self.pending.popleft()
        self.sent.append(batch)
        self.sent_bytes += batch.size
        self.last_sent_id = batch.batch_id
        return batch

    def acknowledge(self, batch_id: int) -> int:
        """Lets go of sent batches up to `batch_id`; returns their bytes."""
        freed = 0
        while self.sent and self.sent[0].batch_id <= batch_id:
            batch = self.sent.popleft()
            freed += batch.size
            self._retention.batches -= 1
        self.sent_bytes -= freed
        self.bytes -= freed
        self._retention.bytes -= freed
        return freed

    def take_back(self) -> int:
        """What was sent and not acknowledged is pending again, in order; returns its bytes."""
        self.pending.extendleft(reversed(self.sent))
        self.sent.clear()
        taken, self.sent_bytes = self.sent_bytes, 0
        return taken
