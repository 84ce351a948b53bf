"""Cells out of packed batches, a column at a time, for rows that are named by their number in the window.

Row numbers count through the batches of a window in order: row 0 is the first row of the first batch.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from dbmazz.rows import NULL, PackedRows

# One pick per batch: the batch, and where its rows start in `lengths` and `offsets`; None means all its rows.
Picks = list[tuple[PackedRows, list[int] | None]]

_NULL_BYTES = array("i", [NULL]).tobytes()


def pick(batches: Sequence[PackedRows], rows: Sequence[int]) -> Picks:
    """The rows (ascending) by batch."""
    picks: Picks = []
    base = at = 0
    for batch in batches:
        end = bisect_left(rows, base + batch.row_count, at)
        if end - at == batch.row_count:
            picks.append((batch, None))
        elif end > at:
            columns = batch.column_count
            picks.append((batch, [(row - base) * columns for row in rows[at:end]]))
        base, at = base + batch.row_count, end
    return picks


def column_cells(picks: Picks, column: int) -> tuple[list[bytes | None], bool]:
    """The values of one column, None for NULL, and whether any is NULL. Absent cells come as b""."""
    values: list[bytes | None] = []
    any_null = False
    for batch, starts in picks:
        data, offsets, width = batch.data, batch.offsets, batch.column_count
        lengths = batch.lengths[column::width]
        # The search can hit across two lengths, then the branch costs a little more; it cannot miss.
        if _NULL_BYTES in lengths.tobytes():
            any_null = True
            ats = range(column, len(batch.lengths), width) if starts is None else [start + column for start in starts]
            length_of = batch.lengths
            values += [None if length_of[at] == NULL else data[offsets[at] : offsets[at + 1]] for at in ats]
        elif starts is None:
            ends = offsets[column + 1 :: width]
            values += [data[start:end] for start, end in zip(offsets[column::width], ends, strict=False)]
        else:
            following = column + 1
            values += [data[offsets[start + column] : offsets[start + following]] for start in starts]
    return values, any_null


class RowFinder:
    """Single cells by row number, for the few rows that are composed of several images."""

    def __init__(self, batches: Sequence[PackedRows]) -> None:
        self._batches = batches
        self._ends = list(accumulate(batch.row_count for batch in batches))

    def cell(self, row: int, column: int) -> bytes | None:
        """The value, or None for NULL. The cell must not be absent."""
        index = bisect_left(self._ends, row + 1)
        batch = self._batches[index]
        value = batch.cell(row - self._ends[index] + batch.row_count, column)
        return None if isinstance(value, int) else value
