"""What was received and is not durable yet, per lane and in all."""

from __future__ import annotations

from dataclasses import dataclass

from dbmazz_transformer.protocol.batch import Batch


@dataclass(frozen=True, slots=True)
class Covered:
    """What a step makes durable: the last batch (0: none), and how much waits for it."""

    last_batch_id: int = 0
    batch_count: int = 0
    row_count: int = 0
    byte_count: int = 0


@dataclass(slots=True)
class Backlog:
    """Counts that wait; what is added to a lane's is added to its `total`, too."""

    batch_count: int = 0
    row_count: int = 0
    byte_count: int = 0
    total: Backlog | None = None

    def add(self, batch: Batch) -> None:
        """A batch was received."""
        self._change(1, batch.row_count, batch.byte_count)

    def remove(self, covered: Covered) -> None:
        """Batches are durable."""
        self._change(-covered.batch_count, -covered.row_count, -covered.byte_count)

    def clear(self) -> None:
        """Nothing waits any more: the lane is gone."""
        self._change(-self.batch_count, -self.row_count, -self.byte_count)

    def _change(self, batches: int, rows: int, size: int) -> None:
        self.batch_count += batches
        self.row_count += rows
        self.byte_count += size
        if self.total is not None:
            self.total._change(batches, rows, size)
