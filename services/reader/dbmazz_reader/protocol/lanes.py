"""Collects the rows of one lane in the packed layout of ChangeBatch, row by row, until they are sealed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from dbmazz.relation import Relation
from dbmazz.rows import ABSENT, NULL, pack_bitmaps, to_little_endian
from dbmazz.v1 import change_pb2

from dbmazz_reader.protocol.tuples import Cell


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """What every row of a transaction shares; compared by identity. `commit_time` in microseconds since 1970."""

    commit_lsn: int
    commit_time: int
    xid: int


@dataclass(slots=True)
class Readback:
    """A row under a new key whose absent columns are to be read from the source before the lane is sealed.

    `key` has the texts of the identity in key order; `places` maps an absent column to its slot among the values; `xid` is
    the transaction that must be visible by then.
    """

    row: int
    xid: int
    key: tuple[bytes, ...]
    places: dict[int, int]


class LaneBuilder:
    """Open rows of one lane at one version of its relation."""

    def __init__(self, lane: int, relation: Relation) -> None:
        self.lane = lane
        self.relation = relation
        self.columns = len(relation.columns)
        self.key_indices = relation.key_indices
        self.key_mask = sum(1 << index for index in self.key_indices)
        # The table holds rows that nobody has read: the target may lack the row that a partial image belongs to.
        self.unread = False
        self.not_key_mask = (1 << self.columns) - 1 & ~self.key_mask
        # Unchanged TOAST columns of all rows so far, sealed or not.
        self.unchanged_toast_count = 0
        self.reset()

    def reset(self) -> None:
        """Empties the builder."""
        self.ops = bytearray()
        self.bitmaps: list[int] = []
        self.lengths: list[int] = []
        self.values: list[bytes] = []
        self.change_lsns: list[int] = []
        self.run_starts: list[int] = []
        self.runs: list[Transaction] = []
        self.run: Transaction | None = None
        self.readbacks: list[Readback] = []

    def add(
        self, op: int, lengths: list[int], values: list[bytes], absent: int, lsn: int, transaction: Transaction
    ) -> None:
        """Appends one row; `lsn` is that of the change itself."""
        if transaction is not self.run:
            self.run = transaction
            self.runs.append(transaction)
            self.run_starts.append(len(self.ops))
            self.change_lsns.clear()  # only the last run may have to go out with them
        self.ops.append(op)
        self.bitmaps.append(absent)
        self.lengths += lengths
        self.values += values
        self.change_lsns.append(lsn)

    def add_cells(
        self, op: int, cells: list[Cell], lsn: int, transaction: Transaction, *, readback: bool = False
    ) -> None:
        """Appends one row given cell by cell; `readback` asks for its absent columns."""
        lengths: list[int] = []
        values: list[bytes] = []
        places: dict[int, int] = {}
        absent = 0
        for column, cell in enumerate(cells):
            if isinstance(cell, bytes):
                lengths.append(len(cell))
                values.append(cell)
                continue
            lengths.append(cell)
            if cell == ABSENT:
                absent |= 1 << column
                if readback:
                    places[column] = len(self.values) + len(values)
                    values.append(b"")
        if places:
            key = tuple(cells[index] for index in self.key_indices)
            self.readbacks.append(Readback(len(self.ops), transaction.xid, key, places))
        self.add(op, lengths, values, absent, lsn, transaction)

    def complete(self, readback: Readback, cells: dict[int, bytes | None]) -> None:
        """Puts values that were read from the source in the place of absent ones; None is NULL."""
        for column, cell in cells.items():
            at = readback.row * self.columns + column
            if cell is None:
                self.lengths[at] = NULL
            else:
                self.lengths[at] = len(cell)
                self.values[readback.places[column]] = cell
            self.bitmaps[readback.row] &= ~(1 << column)

    def seal(self, open_transaction: Transaction | None) -> change_pb2.ChangeBatch:
        """The rows as a batch without its place in the epoch; the builder is empty afterwards.

        Rows of `open_transaction`, whose commit was not seen yet, carry the LSNs of their changes.
        """
        rows = len(self.ops)
        ends = [*self.run_starts[1:], rows]
        counts = [end - start for start, end in zip(self.run_starts, ends, strict=True)]
        batch = change_pb2.ChangeBatch(
            lane=self.lane,
            kind=change_pb2.BATCH_KIND_ROWS,
            relation_id=self.relation.relation_id,
            row_count=rows,
            ops=bytes(self.ops),
            run_row_counts=to_little_endian(array("I", counts)),
            commit_lsns=to_little_endian(array("Q", [run.commit_lsn for run in self.runs])),
            commit_times=to_little_endian(array("q", [run.commit_time for run in self.runs])),
            xids=to_little_endian(array("I", [run.xid for run in self.runs])),
            absent_bitmaps=pack_bitmaps(self.bitmaps, self.columns),
            lengths=to_little_endian(array("i", self.lengths)),
            data=b"".join(self.values),
        )
        if open_transaction is not None and self.run is open_transaction:
            batch.change_lsns = to_little_endian(array("Q", self.change_lsns))
        self.reset()
        return batch
