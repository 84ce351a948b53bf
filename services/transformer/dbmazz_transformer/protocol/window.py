"""Windows: consecutive batches of a lane that are folded and loaded together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from dbmazz.relation import Relation

from dbmazz_transformer.protocol.batch import Batch


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """When a window is closed: rows, packed bytes, and seconds since the first row of its first batch was read.

    A batch is never split, so one that is larger than a limit is a window of its own.
    """

    rows: int
    bytes: int
    age_s: float


@dataclass(slots=True)
class Window:
    """Batches of one relation. `first_time` is when the first row of the first one was read, in the caller's clock."""

    relation: Relation | None
    first_time: float
    batches: list[Batch] = field(default_factory=list)
    row_count: int = 0
    byte_count: int = 0
    # True when nothing more is to be added: the limits have changed since its beginning.
    closed: bool = False

    def add(self, batch: Batch) -> None:
        """Takes one more batch."""
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

    def add(self, batch: Batch, now: float) -> None:
        """Takes a batch. A barrier, another relation, or a limit closes the window before it."""
        if batch.is_barrier:
            self._segments.append(batch)
            return
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, Window) or last.relation is not batch.relation or not self._fits(last, batch):
            last = Window(batch.relation, now - batch.age_s)
            self._segments.append(last)
        last.add(batch)

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
        # Nothing to load, only progress to report: waiting would win nothing.
        return window.first_time + (self._limits.age_s if window.row_count else 0.0)

    def _fits(self, window: Window, batch: Batch) -> bool:
        rows, size = window.row_count + batch.row_count, window.byte_count + batch.byte_count
        fits = not window.closed and rows <= self._limits.rows and size <= self._limits.bytes
        return not window.batches or fits

    def _full(self, window: Window) -> bool:
        return window.row_count >= self._limits.rows or window.byte_count >= self._limits.bytes
