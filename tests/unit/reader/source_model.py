"""A small PostgreSQL: rows with versions, transactions that hold locks, commit records that are written before they become
visible, snapshots, and what pgoutput would send. One table: key, a small value, and a large one that updates may leave out."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.unit.reader import pgoutput_messages as write
from tests.unit.reader.pgoutput_messages import UNCHANGED, xlog_data

OID = 100
Image = tuple[bytes, bytes | None]


@dataclass
class Event:
    """A change in the WAL. `new` is None for a delete; `unchanged`: the large value is not in the WAL."""

    lsn: int
    kind: str
    key: bytes = b""
    new: Image | None = None
    unchanged: bool = False
    old_key: bytes | None = None


@dataclass
class Transaction:
    xid: int
    rows: dict[bytes, Image | None] = field(default_factory=dict)
    truncated: bool = False
    events: list[Event] = field(default_factory=list)
    commit_lsn: int = 0
    end_lsn: int = 0


class SourceModel:
    """`lsn` is the insert position."""

    def __init__(self, rng: random.Random, keys: int) -> None:
        self.rng = rng
        self.lsn = 1000
        self.next_xid = 700
        self.keys = [b"k%02d" % number for number in range(keys)]
        self.rows: dict[bytes, Image] = {}
        self.running: list[Transaction] = []
        self.committing: list[Transaction] = []
        self.wal: list[Transaction] = []
        self.serial = 0
        # How soon a commit becomes visible, and how often tables are truncated.
        self.eagerness = rng.choice((1.0, 0.2, 0.05))
        self.truncating_often = rng.choice((0.02, 0.2))

    def value(self) -> bytes:
        self.serial += 1
        return b"v%d" % self.serial

    def _advance(self, least: int = 34) -> int:
        lsn = self.lsn
        self.lsn += least + self.rng.randrange(40)
        return lsn

    # Transactions

    def begin(self) -> Transaction:
        transaction = Transaction(self.next_xid)
        self.next_xid += 1
        self.running.append(transaction)
        return transaction

    def _locked(self, mine: Transaction) -> set[bytes]:
        others = [t for t in (*self.running, *self.committing) if t is not mine]
        if any(t.truncated for t in others):
            return set(self.keys)
        return {key for t in others for key in t.rows}

    def _now(self, transaction: Transaction, key: bytes) -> Image | None:
        if key in transaction.rows:
            return transaction.rows[key]
        return None if transaction.truncated else self.rows.get(key)

    def change(self, transaction: Transaction) -> None:
        """One random statement; nothing when its row is locked."""
        rng, locked = self.rng, self._locked(transaction)
        free = [key for key in self.keys if key not in locked]
        if not free:
            return
        key = rng.choice(free)
        row = self._now(transaction, key)
        if row is None:
            image = (self.value(), self.value() if rng.random() < 0.8 else None)
            transaction.rows[key] = image
            transaction.events.append(Event(self._advance(), "I", key, image))
        elif rng.random() < 0.25:
            transaction.rows[key] = None
            transaction.events.append(Event(self._advance(), "D", key))
        elif rng.random() < 0.2 and (empty := [k for k in free if self._now(transaction, k) is None]):
            moved, image = rng.choice(empty), (self.value(), self.value())
            transaction.rows[key], transaction.rows[moved] = None, image
            transaction.events.append(Event(self._advance(), "U", moved, image, old_key=key))
        elif rng.random() < 0.6:
            image = (self.value(), row[1])
            transaction.rows[key] = image
            transaction.events.append(Event(self._advance(), "U", key, image, unchanged=row[1] is not None))
        else:
            image = (row[0], self.value() if rng.random() < 0.8 else None)
            transaction.rows[key] = image
            transaction.events.append(Event(self._advance(), "U", key, image))

    def truncate(self, transaction: Transaction) -> None:
        """Needs the table for itself."""
        if any(t.rows or t.truncated for t in (*self.running, *self.committing) if t is not transaction):
            return
        transaction.rows.clear()
        transaction.truncated = True
        transaction.events.append(Event(self._advance(), "T"))

    def write_commit(self, transaction: Transaction) -> None:
        """The record is in the WAL; queries do not see it yet."""
        self.running.remove(transaction)
        transaction.commit_lsn = self._advance()
        transaction.end_lsn = self.lsn
        self.committing.append(transaction)
        self.wal.append(transaction)

    def show(self, transaction: Transaction) -> None:
        """From now on queries see it, and its locks are gone."""
        self.committing.remove(transaction)
        if transaction.truncated:
            self.rows.clear()
        for key, image in transaction.rows.items():
            if image is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = image

    def abort(self, transaction: Transaction) -> None:
        self.running.remove(transaction)

    @property
    def truncating(self) -> bool:
        """True while a transaction has the table for itself."""
        return any(t.truncated for t in (*self.running, *self.committing))

    def snapshot(self) -> tuple[int, frozenset[int], int]:
        """xmax, running, insert position."""
        return self.next_xid, frozenset(t.xid for t in (*self.running, *self.committing)), self.lsn

    def step(self, rng: random.Random, *, truncates: bool) -> None:
        """Something happens."""
        dice = rng.random()
        if dice < 0.12 and len(self.running) < 4:
            self.begin()
        elif dice < 0.6 and self.running:
            self.change(rng.choice(self.running))
        elif dice < 0.6 + self.truncating_often and truncates and self.running:
            self.truncate(rng.choice(self.running))
        elif dice < 0.78 and self.running:
            transaction = rng.choice(self.running)
            if transaction.events:
                self.write_commit(transaction)
        elif dice < 0.81 and self.running:
            self.abort(rng.choice(self.running))
        elif self.committing and rng.random() < self.eagerness:
            self.show(rng.choice(self.committing))

    def settle(self) -> None:
        """Everything ends."""
        for transaction in list(self.running):
            if transaction.events:
                self.write_commit(transaction)
            else:
                self.abort(transaction)
        for transaction in list(self.committing):
            self.show(transaction)

    # The stream

    def frames(self, transaction: Transaction) -> list[bytes]:
        """All messages of a transaction."""
        frames = [xlog_data(0, write.begin(transaction.commit_lsn, xid=transaction.xid))]
        for event in transaction.events:
            frames.append(xlog_data(event.lsn, _message(event)))
        frames.append(xlog_data(transaction.commit_lsn, write.commit(transaction.commit_lsn, transaction.end_lsn)))
        return frames


def _message(event: Event) -> bytes:
    if event.kind == "T":
        return write.truncate([OID])
    if event.kind == "D":
        return write.delete(OID, key=(event.key, None, None))
    large = UNCHANGED if event.unchanged else event.new[1]
    cells = (event.key, event.new[0], large)
    if event.kind == "I":
        return write.insert(OID, cells)
    return write.update(OID, cells, key=(event.old_key, None, None) if event.old_key else ())


def copy_text(key: bytes, image: Image) -> bytes:
    """A row as COPY writes it; the values of the model need no escapes."""
    return b"\t".join((key, image[0], b"\\N" if image[1] is None else image[1])) + b"\n"
