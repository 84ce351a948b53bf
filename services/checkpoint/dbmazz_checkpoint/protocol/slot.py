"""One slot with its open epoch: the ledger, what was announced, and the counters."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbmazz.lsn import Lsn

from dbmazz_checkpoint.protocol.ledger import Ledger, Part


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stored position. `update_time_us` is in microseconds since 1970-01-01 UTC."""

    slot: str
    epoch: int
    confirmed_lsn: Lsn
    system_identifier: str
    timeline: int
    update_time_us: int


@dataclass(frozen=True, slots=True)
class TableLoad:
    """How far the load of a table is. `load` is the TableLoad of checkpoint.proto, in bytes: only the reader looks into it."""

    relation_id: int
    table: str
    done: bool
    load: bytes
    update_time_us: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """What watchers are told: always in the store before."""

    confirmed_lsn: Lsn
    confirmed_batch_id: int


class OpenEpoch:
    """The epoch of a slot that this process issued last."""

    def __init__(self, stored: Checkpoint) -> None:
        self.stored = stored
        self.ledger = Ledger(stored.confirmed_lsn)
        self.announced = Announcement(stored.confirmed_lsn, 0)
        self.closed = False
        self.loaded_row_count = 0

    def take(self, part: Part, loaded_row_count: int) -> bool:
        """Takes a report; True when there is something to store or to announce afterwards."""
        if self.ledger.take(part):
            self.loaded_row_count += loaded_row_count
        return self.due() != self.announced

    def due(self) -> Announcement:
        """What is to be announced as soon as it is stored."""
        return Announcement(self.ledger.confirmed_lsn, self.ledger.confirmed_batch_id)

    def advanced(self, due: Announcement, update_time_us: int) -> Checkpoint | None:
        """What has to be stored before `due` is announced; None when only the batch id moved."""
        if due.confirmed_lsn == self.stored.confirmed_lsn:
            return None
        return replace(self.stored, confirmed_lsn=due.confirmed_lsn, update_time_us=update_time_us)
