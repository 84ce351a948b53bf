"""What was received and is not durable yet, per lane and in all."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

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
    # Commit time of the newest rows that are durable, in microseconds since 1970; 0 before the first.
    loaded_commit_time: int = 0
    # First and last commit time of each batch that waits; zeros for one without rows.
    _commit_times: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def oldest_commit_time(self) -> int:
        """Of the rows that wait, in microseconds since 1970; 0 when none does."""
        return next((first for first, _ in self._commit_times if first), 0)

    def add(self, batch: Batch, commit_times: bytes = b"") -> None:
        """A batch was received; `commit_times` as in ChangeBatch."""
        self._commit_times.append((_time(commit_times[:8]), _time(commit_times[-8:])))
        self._change(1, batch.row_count, batch.byte_count)

    def remove(self, covered: Covered) -> None:
        """Batches are durable."""
        for _ in range(covered.batch_count):
            self.loaded_commit_time = self._commit_times.popleft()[1] or self.loaded_commit_time
        self._change(-covered.batch_count, -covered.row_count, -covered.byte_count)

    def clear(self) -> None:
        """Nothing waits any more: the lane is gone."""
        self._commit_times.clear()
        self._change(-self.batch_count, -self.row_count, -self.byte_count)

    def _change(self, batches: int, rows: int, size: int) -> None:
        self.batch_count += batches
        self.row_count += rows
        self.byte_count += size
        if self.total is not None:
            self.total._change(batches, rows, size)


def _time(packed: bytes) -> int:
    return int.from_bytes(packed, "little")
