"""What was loaded into one table."""

from __future__ import annotations

from collections import Counter

from dbmazz.v1 import load_pb2, loader_pb2


class TableCounts:
    """Counters since the start, of one target table."""

    def __init__(self) -> None:
        self.verdicts: Counter[int] = Counter()
        self.attempts = 0
        # Of loads that ended as LOADED.
        self.rows = self.loaded_rows = self.body_bytes = self.partial_loads = self.partial_rows = 0

    def enter(self, record: loader_pb2.LoadRecord) -> None:
        """Takes note of a load that has ended."""
        self.verdicts[record.verdict] += 1
        self.attempts += record.attempt_count
        if record.verdict != load_pb2.VERDICT_LOADED:
            return
        self.rows += record.row_count
        self.loaded_rows += record.loaded_row_count
        self.body_bytes += record.body_bytes
        if record.partial_update:
            self.partial_loads += 1
            self.partial_rows += record.row_count
