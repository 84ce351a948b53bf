"""The load of one table: its ranges of keys, how far each is, and what is done when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

Key = tuple[bytes, ...]


class LoadState(Enum):
    """How far a table's load is."""

    # It waits for its turn.
    PENDING = "pending"
    # Chunks are read and injected.
    CHUNKING = "chunking"
    # All rows are in the lane; what the target has beyond them is being removed.
    CLOSING = "closing"
    # Everything is durable.
    DONE = "done"
    # Something is in the way; it is tried again. `Load.message` says what.
    WAITING = "waiting"
    # The table is gone, or the load is not wanted any more.
    DROPPED = "dropped"


_NEXT = {
    LoadState.PENDING: {LoadState.CHUNKING, LoadState.WAITING, LoadState.DROPPED},
    LoadState.CHUNKING: {LoadState.CLOSING, LoadState.WAITING, LoadState.DROPPED},
    LoadState.CLOSING: {LoadState.DONE, LoadState.DROPPED},
    LoadState.WAITING: {LoadState.CHUNKING, LoadState.DROPPED},
    LoadState.DONE: set(),
    LoadState.DROPPED: set(),
}


@dataclass(slots=True)
class KeyRange:
    """Keys above `after` (None: from the first one on) up to and including `up_to` (None: to the last one).

    `stored` is the last key of which it is known that it, and all before it, is durable; `read` the last one that was
    injected. A range whose end was injected is `exhausted`, and `done` once that is durable.
    """

    after: Key | None = None
    up_to: Key | None = None
    stored: Key | None = None
    done: bool = False
    read: Key | None = None
    exhausted: bool = False
    # (last batch of a chunk, last key of it, True for the range's last chunk), in order.
    injected: list[tuple[int, Key | None, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.read = self.stored
        self.exhausted = self.done

    @property
    def cursor(self) -> Key | None:
        """The next chunk's keys are above it."""
        return self.read or self.after

    def inject(self, batch_id: int, last: Key | None, *, end: bool) -> None:
        """A chunk is in the lane, up to this batch (0: it brought none); `last` is None when it had no rows."""
        if last is not None:
            self.read = last
        self.exhausted = end
        self.injected.append((batch_id, self.read, end))

    def acknowledge(self, first_open: int | None) -> bool:
        """All batches of the lane before `first_open` (None: all) are durable; True when there is something to store."""
        moved = False
        while self.injected and (first_open is None or self.injected[0][0] < first_open):
            _, self.stored, self.done = self.injected.pop(0)
            moved = True
        return moved


@dataclass(slots=True, eq=False)
class Load:
    """One table. `start_lsn`: every row that the load puts into the target has this version or a higher one, and every row
    of the target that has a lower one when all are there, is gone in the source."""

    relation_id: int
    table: str
    key_columns: tuple[str, ...]
    start_lsn: int = 0
    end_lsn: int = 0
    on_demand: bool = False
    ranges: list[KeyRange] = field(default_factory=list)
    state: LoadState = LoadState.PENDING
    message: str = ""
    row_estimate: int = 0
    row_count: int = 0
    byte_count: int = 0
    begun_at: float = 0.0
    # Chunks of this process, and those of them that had to be taken again.
    chunk_count: int = 0
    retake_count: int = 0
    overtaken_count: int = 0
    closing_batch: int = 0
    # Of the time and the rows since this process works on it.
    resumed_at: float = 0.0
    resumed_rows: int = 0

    @property
    def active(self) -> bool:
        """True while it has something left to do."""
        return self.state not in (LoadState.DONE, LoadState.DROPPED)

    @property
    def exhausted(self) -> bool:
        """True when the end of every range is in the lane."""
        return bool(self.ranges) and all(part.exhausted for part in self.ranges)

    def advance(self, following: LoadState, message: str = "") -> None:
        """The next state; ValueError for a step that the table does not have."""
        if following is not self.state and following not in _NEXT[self.state]:
            raise ValueError(f"a load cannot go from {self.state.value} to {following.value}")
        self.state, self.message = following, message

    def fits(self, key_columns: Sequence[str]) -> bool:
        """True when the stored cursors mean something to the table as it is now."""
        return tuple(key_columns) == self.key_columns

    def split(self, boundaries: Iterable[Key]) -> None:
        """Ranges between these keys, which ascend in the order of the key."""
        edges: list[Key | None] = [None, *boundaries, None]
        self.ranges = [KeyRange(after, up_to) for after, up_to in pairwise(edges)]

    def acknowledge(self, first_open: int | None) -> bool:
        """All batches of the lane before `first_open` are durable; True when there is something to store."""
        moved = [part.acknowledge(first_open) for part in self.ranges]
        return any(moved)

    def closed(self, first_open: int | None) -> bool:
        """True when the load is CLOSING and its last batch is durable."""
        return self.state is LoadState.CLOSING and (first_open is None or self.closing_batch < first_open)

    def seconds_left(self, now: float) -> float | None:
        """By the rate so far; None when it cannot be told."""
        passed, rows = now - self.resumed_at, self.row_count - self.resumed_rows
        if not self.resumed_at or passed <= 0 or rows <= 0 or not self.active:
            return None
        return max(self.row_estimate - self.row_count, 0) * passed / rows
