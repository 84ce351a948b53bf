"""The ledger of one epoch: reported parts -> complete windows -> complete batches -> the prefix -> the confirmed LSN.

A window is what a transformer loaded together; it is complete when all its parts were reported. When a lane moves to
another transformer the same batches come again under the next generation, cut into other windows. A batch is complete
as soon as any window that holds it is, because the target then has its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from dbmazz.errors import WireError
from dbmazz.lsn import Lsn

from dbmazz_checkpoint.protocol.runs import CompletedRuns

# Windows of a lane that may wait for parts. A lane has one window under way per generation, so 64 means 64 transformers
# that went away in the middle of one; the newest generation, whose transformer lives, is always kept.
WINDOWS_PER_LANE = 64


class LedgerError(WireError):
    """A report that contradicts itself or an earlier one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One durable part of a window, as LoadProgress names it: batch ids ascending, `safe_lsns` beside them."""

    lane: int
    generation: int
    batch_ids: tuple[int, ...]
    safe_lsns: tuple[int, ...]
    part: int = 0
    part_count: int = 1

    def check(self) -> None:
        """LedgerError when the numbers cannot be those of a window."""
        if not self.batch_ids:
            raise LedgerError(f"{self} names no batch")
        if len(self.batch_ids) != len(self.safe_lsns):
            raise LedgerError(f"{self} has {len(self.safe_lsns)} safe LSNs for {len(self.batch_ids)} batches")
        if self.batch_ids[0] < 1 or not _ascends(self.batch_ids, strictly=True):
            raise LedgerError(f"{self}: batch ids must ascend from 1")
        if not _ascends(self.safe_lsns, strictly=False):
            raise LedgerError(f"{self}: safe LSNs must not fall")
        if self.lane < 0 or self.generation < 0:
            raise LedgerError(f"{self}: lane and generation must not be negative")
        if not 0 <= self.part < self.part_count:
            raise LedgerError(f"{self} is part {self.part} of {self.part_count}")

    def __str__(self) -> str:
        span = f"{self.batch_ids[0]}-{self.batch_ids[-1]}" if self.batch_ids else "none"
        return f"report of lane {self.lane} generation {self.generation} batches {span}"


@dataclass(slots=True)
class _Window:
    """A window that waits for parts."""

    safe_lsns: tuple[int, ...]
    part_count: int
    seen: set[int] = field(default_factory=set)


class Ledger:
    """Takes reports in any order, any number of times. Its confirmed LSN never falls."""

    def __init__(self, confirmed_lsn: int) -> None:
        """`confirmed_lsn` is where the epoch begins: it holds until the prefix has a later one."""
        # Highest batch id that any report named; 0 before the first.
        self.reported_batch_id = 0
        # Parts taken, repetitions not counted.
        self.part_count = 0
        self._start_lsn = confirmed_lsn
        self._completed = CompletedRuns()
        self._lanes: dict[int, dict[tuple[int, tuple[int, ...]], _Window]] = {}

    @property
    def confirmed_lsn(self) -> Lsn:
        """What is durable without a gap, and so may be confirmed once it is stored."""
        return Lsn(max(self._start_lsn, self._completed.prefix_lsn))

    @property
    def confirmed_batch_id(self) -> int:
        """Last batch of the contiguous prefix; 0 when there is none."""
        return self._completed.prefix_batch_id

    @property
    def waiting_batch_count(self) -> int:
        """Batches completed beyond the prefix."""
        return self._completed.waiting_count

    @property
    def open_window_count(self) -> int:
        """Windows of which some parts are missing."""
        return sum(map(len, self._lanes.values()))

    def take(self, part: Part) -> bool:
        """Takes a report; False when it tells nothing new.

        LedgerError when it contradicts itself or an earlier report of the same window. Reports about batches that are
        complete already are late repetitions; they are forgotten unread, since the ledger keeps nothing about those.
        """
        part.check()
        if all(batch_id in self._completed for batch_id in part.batch_ids):
            return False
        window = self._window(part)
        if part.part in window.seen:
            return False
        window.seen.add(part.part)
        self.part_count += 1
        self.reported_batch_id = max(self.reported_batch_id, part.batch_ids[-1])
        if len(window.seen) == window.part_count:
            self._complete(part)
        return True

    def _window(self, part: Part) -> _Window:
        windows = self._lanes.setdefault(part.lane, {})
        key = (part.generation, part.batch_ids)
        window = windows.get(key)
        if window is None:
            window = windows[key] = _Window(part.safe_lsns, part.part_count)
            if len(windows) > WINDOWS_PER_LANE:
                del windows[min(windows, key=lambda key: key[0])]
        if window.part_count != part.part_count:
            raise LedgerError(f"{part} has {part.part_count} parts, an earlier report said {window.part_count}")
        if window.safe_lsns != part.safe_lsns:
            raise LedgerError(f"{part} has other safe LSNs than an earlier report")
        return window

    def _complete(self, part: Part) -> None:
        """Completes the batches of a window and forgets every window of the lane that has none left to complete."""
        for batch_id, safe_lsn in zip(part.batch_ids, part.safe_lsns, strict=True):
            self._completed.add(batch_id, safe_lsn)
        windows = self._lanes.pop(part.lane)
        left = {
            key: window
            for key, window in windows.items()
            if any(batch_id not in self._completed for batch_id in key[1])
        }
        if left:
            self._lanes[part.lane] = left


def _ascends(numbers: tuple[int, ...], *, strictly: bool) -> bool:
    return all(one < two if strictly else one <= two for one, two in pairwise(numbers))
