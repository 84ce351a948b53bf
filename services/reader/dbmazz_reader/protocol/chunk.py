"""One chunk of a table's load, from the moment recording begins until its rows go into the lane.

The order of things is what makes it right: recording begins, then the chunk's snapshot is taken, then the rows are read, and
recording runs until they are injected. What a transaction has changed that the snapshot cannot see is newer than the chunk;
what it can see is in the chunk. That is told by transaction id, never by LSN: a commit record is written, and streamed,
before its transaction becomes visible.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from dbmazz.relation import Relation
from dbmazz.v1 import change_pb2

from dbmazz_reader.protocol import kernel
from dbmazz_reader.protocol.visibility import still_running

# A commit record has 34 bytes at least (its header alone 24), so a version that is this much below a position is above that
# of every transaction whose commit record ends at or before it; and between it and the next commit record there is room for
# the versions of changes that began before it (PackedLane.version_floor), and of truncates among them.
BELOW = 18

# Changed keys that are recorded before the chunk's own keys are known; beyond it the chunk is taken again, and smaller.
RECORDED_KEYS = 200_000
# From how many changed keys on only those of the chunk are kept.
RESTRICT_FROM = 1_000


class ChunkState(Enum):
    """How far a chunk is."""

    # Changes of the lane are kept; the snapshot is not known yet.
    RECORDING = "recording"
    # The snapshot is known, rows come in.
    READING = "reading"
    # All rows are there; recording goes on until they are injected.
    READ = "read"
    # Its rows are in the lane.
    INJECTED = "injected"
    # Not to be used: it is taken again.
    DROPPED = "dropped"


_NEXT = {
    ChunkState.RECORDING: {ChunkState.READING, ChunkState.DROPPED},
    ChunkState.READING: {ChunkState.READ, ChunkState.DROPPED},
    ChunkState.READ: {ChunkState.INJECTED, ChunkState.DROPPED},
    ChunkState.INJECTED: set(),
    ChunkState.DROPPED: set(),
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """pg_current_snapshot(): ids from `xmax` on and those in `running` are not visible. `lsn`: the WAL's insert position,
    asked for within the snapshot. `time`: when, in microseconds since 1970."""

    xmax: int
    running: frozenset[int]
    lsn: int
    time: int

    def sees(self, xid: int) -> bool:
        """True for the stream's 32-bit id of a transaction whose changes the snapshot has."""
        return not still_running(xid, self.xmax, self.running)


class StreamedTransactions:
    """Transactions of one lane that the stream has delivered and that may not be visible yet."""

    def __init__(self) -> None:
        self._xids: set[int] = set()

    def take(self, batch: change_pb2.ChangeBatch) -> None:
        """A sealed batch of the lane."""
        self._xids.update(_xids(batch))

    def add(self, xid: int) -> None:
        """A transaction that is known otherwise."""
        self._xids.add(xid)

    def __len__(self) -> int:
        return len(self._xids)

    def __contains__(self, xid: int) -> bool:
        return xid in self._xids

    def copy(self) -> set[int]:
        """Those of now."""
        return set(self._xids)

    def forget_visible(self, snapshot: Snapshot) -> None:
        """What one snapshot sees, every later one sees."""
        self._xids = {xid for xid in self._xids if not snapshot.sees(xid)}


@dataclass(slots=True)
class Merged:
    """What a chunk becomes: packed fields of its batches, and how its rows fared."""

    batches: list[kernel.Fields]
    version: int
    read: int
    completing: int
    overtaken: int


def load_version(lsn: int) -> int:
    """The version of rows that have everything that was committed before this position, and lack what comes after."""
    return max(lsn - BELOW, 0)


@dataclass(slots=True, eq=False)
class Chunk:
    """Begins in RECORDING. `streamed`: transactions of the lane that were delivered before."""

    relation: Relation
    streamed: Collection[int]
    state: ChunkState = ChunkState.RECORDING
    snapshot: Snapshot | None = None
    rows: kernel.CopiedRows = field(init=False)
    # True when a transaction that the snapshot cannot see has truncated the table.
    truncated: bool = False
    _changes: kernel.ChangedKeys = field(init=False)
    _early: list[change_pb2.ChangeBatch] = field(default_factory=list)
    _early_truncates: list[int] = field(default_factory=list)
    _restricted: bool = False

    def __post_init__(self) -> None:
        shape = len(self.relation.columns), self.relation.key_indices
        self.rows = kernel.CopiedRows(*shape)
        self._changes = kernel.ChangedKeys(*shape)

    @property
    def open(self) -> bool:
        """True while changes of the lane must be told."""
        return self.state not in (ChunkState.INJECTED, ChunkState.DROPPED)

    def record(self, relation: Relation, batch: change_pb2.ChangeBatch) -> None:
        """A sealed batch of the lane, laid out by `relation`."""
        if not self.open:
            return
        if relation is not self.relation:
            self._advance(ChunkState.DROPPED)  # other columns: the rows would not fit
        elif self.snapshot is None:
            self._early.append(batch)
        else:
            self._take(batch)

    def truncate(self, xid: int) -> None:
        """The lane's table was truncated by this transaction."""
        if not self.open:
            return
        if self.snapshot is None:
            self._early_truncates.append(xid)
        elif not self.snapshot.sees(xid):
            self.truncated = True

    def seen(self, snapshot: Snapshot) -> bool:
        """The snapshot that the rows are read in; False when the chunk must be taken again.

        That is so when a transaction was delivered before recording began, and is not visible to the snapshot: its commit
        record is written, and it waits for a standby, or has not been scheduled since.
        """
        if self.state is ChunkState.DROPPED:
            return False
        if any(not snapshot.sees(xid) for xid in self.streamed):
            self._advance(ChunkState.DROPPED)
            return False
        self.snapshot = snapshot
        self._advance(ChunkState.READING)
        early, self._early = self._early, []
        for batch in early:
            self._take(batch)
        self.truncated = any(not snapshot.sees(xid) for xid in self._early_truncates)
        return self.open

    def complete(self) -> None:
        """All rows are there."""
        if self.state is not ChunkState.DROPPED:
            self._advance(ChunkState.READ)

    def drop(self) -> None:
        """It is not wanted any more."""
        if self.open:
            self._advance(ChunkState.DROPPED)

    def merge(self, committed_lsn: int, row_limit: int, byte_limit: int) -> Merged | None:
        """What goes into the lane now, between two transactions; None when the chunk must be taken again.

        `committed_lsn`: everything that was committed before it has been delivered, and nothing that was committed after it.
        The version of the rows lies below it, so that every transaction that is still to be delivered wins; and below the
        position of the snapshot, so that a truncate after it does. See BELOW.
        """
        if self.state is not ChunkState.READ:
            return None
        self._advance(ChunkState.INJECTED)
        version = load_version(min(self.snapshot.lsn, committed_lsn))
        if self.truncated:
            return Merged([], version, 0, 0, self.rows.row_count)
        batches, *counts = kernel.merge(self.rows, self._changes, version, self.snapshot.time, row_limit, byte_limit)
        return Merged(batches, version, *counts)

    def _take(self, batch: change_pb2.ChangeBatch) -> None:
        visible: dict[int, bool] = {}
        for xid in _xids(batch):
            if xid not in visible:
                visible[xid] = self.snapshot.sees(xid)
        if all(visible.values()):
            return
        self._changes.take(batch, [not visible[xid] for xid in _xids(batch)])
        if len(self._changes) >= RESTRICT_FROM and not self._restricted:
            if self.state is ChunkState.READ:
                self._restricted = True
                self._changes.restrict(self.rows)
            elif len(self._changes) > RECORDED_KEYS:
                self._advance(ChunkState.DROPPED)

    def _advance(self, following: ChunkState) -> None:
        if following not in _NEXT[self.state]:
            raise ValueError(f"a chunk cannot go from {self.state.value} to {following.value}")
        self.state = following


def _xids(batch: change_pb2.ChangeBatch) -> array:
    """One id per run."""
    found = array("I")
    found.frombytes(batch.xids)
    return found
