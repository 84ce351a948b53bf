"""Completed batches, kept as runs of consecutive ids."""

from __future__ import annotations

from bisect import bisect_right


class CompletedRuns:
    """Which batches are complete, and up to where they are without a gap from batch 1.

    Only the last batch of a run matters for what may be confirmed, so a run keeps one `safe_lsn`. Memory therefore grows
    with the number of gaps, not of batches: one parked table may hold back its first batch for a week while the other
    tables complete hundreds of millions behind it.
    """

    def __init__(self) -> None:
        # The prefix: batches 1..prefix_batch_id are complete, and prefix_lsn is the last one's safe_lsn.
        self.prefix_batch_id = 0
        self.prefix_lsn = 0
        # Batches completed behind a gap.
        self.waiting_count = 0
        # Runs behind the prefix, ascending and never adjacent, as parallel lists so that bisect works on numbers.
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._lsns: list[int] = []

    def __contains__(self, batch_id: int) -> bool:
        if batch_id <= self.prefix_batch_id:
            return True
        at = bisect_right(self._firsts, batch_id) - 1
        return at >= 0 and batch_id <= self._lasts[at]

    @property
    def gap_count(self) -> int:
        """Runs that wait behind a gap: what memory grows with."""
        return len(self._firsts)

    def add(self, batch_id: int, safe_lsn: int) -> None:
        """Marks a batch complete; a repetition changes nothing."""
        if batch_id in self:
            return
        self.waiting_count += 1
        at = bisect_right(self._firsts, batch_id)
        follows = at > 0 and self._lasts[at - 1] == batch_id - 1
        precedes = at < len(self._firsts) and self._firsts[at] == batch_id + 1
        if follows and precedes:
            self._firsts.pop(at)
            self._lasts.pop(at - 1)
            self._lsns.pop(at - 1)
        elif follows:
            self._lasts[at - 1] = batch_id
            self._lsns[at - 1] = safe_lsn
        elif precedes:
            self._firsts[at] = batch_id
        else:
            self._firsts.insert(at, batch_id)
            self._lasts.insert(at, batch_id)
            self._lsns.insert(at, safe_lsn)
        self._extend_prefix()

    def _extend_prefix(self) -> None:
        """Runs are never adjacent, so at most the first one joins the prefix."""
        if self._firsts and self._firsts[0] == self.prefix_batch_id + 1:
            self.waiting_count -= self._lasts[0] - self._firsts[0] + 1
            self.prefix_batch_id = self._lasts.pop(0)
            self.prefix_lsn = self._lsns.pop(0)
            self._firsts.pop(0)
