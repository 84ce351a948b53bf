"""Windows: consecutive batches of a lane that are folded and loaded together."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from dbmazz.relation import Relation

from dbmazz_transformer.protocol.batch import Batch

# A window may be closed before its age when nothing more seems to come. So that there are no more loads than without,
# that goes for windows that are large (this part of their rows), and for the first after a rest of the whole age.
LARGE = 1 / 8
# A burst is over when its next batch is late by so many times the mean time between batches, and by no less than
# this part of the age; the first window after a rest waits for this part, too.
LATE_GAPS = 4.0
SETTLED = 1 / 10
# How much a new gap counts in the mean.
GAP_WEIGHT = 1 / 4


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """When a window is closed at the latest: rows, packed bytes, and seconds since its first batch.

    A batch is never split, so one that is larger than a limit is a window of its own.
    """

    rows: int
    bytes: int
    age_s: float


@dataclass(slots=True)
class Window:
    """Batches of one relation. `first_time` and `last_time` are when the first and the last came, in the caller's clock."""

    relation: Relation | None
    first_time: float
    last_time: float = 0.0
    batches: list[Batch] = field(default_factory=list)
    row_count: int = 0
    byte_count: int = 0
    # True when nothing more is to be added: the limits have changed since its beginning.
    closed: bool = False

    def add(self, batch: Batch, now: float) -> None:
        """Takes one more batch."""
        self.last_time = now
        self.batches.append(batch)
        self.row_count += batch.row_count
        self.byte_count += batch.byte_count


class Collector:
    """Collects a lane's batches into windows; the caller passes the time in (seconds, any monotonic clock).

    While a load is under way (`idle` False) an old window stays open and grows up to its limits: few large loads are
    what StarRocks wants, and it could not be sent anyway.
    """

    def __init__(self, limits: WindowLimits) -> None:
        self._limits = limits
        self._segments: deque[Window | Batch] = deque()
        self._added_time = self._taken_time = -math.inf
        self._gap = limits.age_s

    def add(self, batch: Batch, now: float) -> None:
        """Takes a batch. A barrier, another relation, or a limit closes the window before it."""
        self._gap += (min(now - self._added_time, self._limits.age_s) - self._gap) * GAP_WEIGHT
        self._added_time = now
        if batch.is_barrier:
            self._segments.append(batch)
            return
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, Window) or last.relation is not batch.relation or not self._fits(last, batch):
            last = Window(batch.relation, now)
            self._segments.append(last)
        last.add(batch, now)

    def change(self, limits: WindowLimits) -> None:
        """Limits for every window from the next one on; the one that is being collected is closed as it is."""
        self._limits = limits
        if self._segments and isinstance(last := self._segments[-1], Window):
            last.closed = True

    def take(self, now: float, *, idle: bool, flush: bool = False) -> Window | Batch | None:
        """The next window or barrier that is due, or None. `flush`: whatever there is, is due."""
        if not self._segments:
            return None
        head = self._segments[0]
        closed = not isinstance(head, Window) or len(self._segments) > 1 or head.closed or self._full(head)
        if closed or (idle and (flush or now >= self._due_time(head))):
            self._taken_time = now
            return self._segments.popleft()
        return None

    def due_time(self) -> float | None:
        """When the head is due while the lane is idle; None when there is nothing."""
        if not self._segments:
            return None
        head = self._segments[0]
        return self._due_time(head) if isinstance(head, Window) else 0.0

    def clear(self) -> None:
        """Forgets everything."""
        self._segments.clear()

    def _due_time(self, window: Window) -> float:
        if not window.row_count:
            # Nothing to load, only progress to report: waiting would win nothing.
            return window.first_time
        age, wait = self._limits.age_s, math.inf
        if window.first_time - self._taken_time >= age:
            wait = age * SETTLED
        elif window.row_count >= self._limits.rows * LARGE:
            wait = max(age * SETTLED, self._gap * LATE_GAPS)
        return min(window.first_time + age, window.last_time + wait)

    def _fits(self, window: Window, batch: Batch) -> bool:
        rows, size = window.row_count + batch.row_count, window.byte_count + batch.byte_count
        fits = not window.closed and rows <= self._limits.rows and size <= self._limits.bytes
        return not window.batches or fits

    def _full(self, window: Window) -> bool:
        return window.row_count >= self._limits.rows or window.byte_count >= self._limits.bytes
