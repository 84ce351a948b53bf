"""One lane's open rows as lists of Python objects, packed at the end: what kernel.pyx's PackedLane is held to."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dbmazz.relation import Relation
from dbmazz.rows import ABSENT, NULL, pack_bitmaps
from dbmazz_reader.protocol.readbacks import Readback

from tests.reference.reader.plain_tuples import Cell


@dataclass(frozen=True, eq=False)
class Transaction:
    """What every row of a transaction shares; compared by identity."""

    serial: int
    commit_lsn: int
    commit_time: int
    xid: int


@dataclass
class Row:
    op: int
    cells: list[Cell]
    lsn: int
    transaction: Transaction


class PlainLane:
    """Same attributes and methods as PackedLane."""

    def __init__(self, lane: int, relation: Relation) -> None:
        self.lane = lane
        self.relation = relation
        self.columns = len(relation.columns)
        self.key_indices = relation.key_indices
        self.unread = False
        self.unchanged_toast_count = 0
        self.rows: list[Row] = []
        self.readbacks: list[Readback] = []

    @property
    def row_count(self) -> int:
        return len(self.rows)

    def append(self, op: int, cells: list[Cell], lsn: int, transaction: Transaction, *, readback: bool = False) -> None:
        absent = tuple(index for index, cell in enumerate(cells) if cell == ABSENT)
        if readback and absent:
            key = tuple(cells[index] for index in self.key_indices)
            self.readbacks.append(Readback(len(self.rows), transaction.xid, key, absent))
        self.rows.append(Row(op, list(cells), lsn, transaction))

    def complete(self, completions: list[tuple[int, dict[int, bytes | None]]]) -> None:
        for row, values in completions:
            for column, value in values.items():
                if self.rows[row].cells[column] == ABSENT:
                    self.rows[row].cells[column] = NULL if value is None else value

    def take(self, open_run: int) -> tuple:
        rows, self.rows, self.readbacks = self.rows, [], []
        runs: list[list[Row]] = []
        for row in rows:
            if not runs or runs[-1][0].transaction is not row.transaction:
                runs.append([])
            runs[-1].append(row)
        last = runs[-1] if runs and runs[-1][0].transaction.serial == open_run else []
        cells = [cell for row in rows for cell in row.cells]
        bitmaps = [sum(1 << index for index, cell in enumerate(row.cells) if cell == ABSENT) for row in rows]
        return (
            len(rows),
            bytes(row.op for row in rows),
            struct.pack(f"<{len(runs)}I", *map(len, runs)),
            struct.pack(f"<{len(runs)}Q", *(run[0].transaction.commit_lsn for run in runs)),
            struct.pack(f"<{len(runs)}q", *(run[0].transaction.commit_time for run in runs)),
            struct.pack(f"<{len(runs)}I", *(run[0].transaction.xid for run in runs)),
            struct.pack(f"<{len(last)}Q", *(row.lsn for row in last)),
            pack_bitmaps(bitmaps, self.columns),
            struct.pack(f"<{len(cells)}i", *(len(cell) if isinstance(cell, bytes) else cell for cell in cells)),
            b"".join(cell for cell in cells if isinstance(cell, bytes)),
        )
