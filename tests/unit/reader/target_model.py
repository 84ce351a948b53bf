"""A target with version guard, and what lies before it: windows of batches, folded per key, that may come late and twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from dbmazz.rows import ABSENT, NULL, unpack
from dbmazz.v1 import change_pb2
from dbmazz_reader.protocol.cuts import SealedBatch

COLUMNS = 3
DELETE = 3
MISSING = "missing"


@dataclass
class Row:
    values: list
    version: int
    deleted: bool


@dataclass
class Folded:
    values: dict[int, object]
    version: int = 0
    deleted: bool = False


@dataclass
class TargetModel:
    rows: dict[bytes, Row] = field(default_factory=dict)

    def load(self, window: list[SealedBatch]) -> None:
        """Batches of one kind: rows of some, or one barrier."""
        if window[0].batch.kind == change_pb2.BATCH_KIND_TRUNCATE:
            for row in self.rows.values():
                if row.version < window[0].batch.barrier_lsn and not row.deleted:
                    row.deleted, row.version = True, window[0].batch.barrier_lsn
            return
        for key, folded in fold(window).items():
            self._upsert(key, folded)

    def _upsert(self, key: bytes, folded: Folded) -> None:
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = Row([MISSING] * COLUMNS, -1, deleted=False)
        if folded.version >= row.version:
            for column, value in folded.values.items():
                row.values[column] = value
            row.version, row.deleted = folded.version, folded.deleted

    def live(self) -> dict[bytes, tuple]:
        return {key: tuple(row.values[1:]) for key, row in self.rows.items() if not row.deleted}


def fold(window: list[SealedBatch]) -> dict[bytes, Folded]:
    """Each key once: the later image wins column by column."""
    found: dict[bytes, Folded] = {}
    for sealed in window:
        if sealed.batch.kind != change_pb2.BATCH_KIND_ROWS:
            continue
        rows = unpack(sealed.batch, COLUMNS)
        for row, version in enumerate(rows.versions()):
            cells = [rows.cell(row, column) for column in range(COLUMNS)]
            folded = found.setdefault(cells[0], Folded({}))
            for column, cell in enumerate(cells):
                if cell != ABSENT:
                    folded.values[column] = None if cell == NULL else cell
            folded.version, folded.deleted = version, rows.ops[row] == DELETE
    return found
