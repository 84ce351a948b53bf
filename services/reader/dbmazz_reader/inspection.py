"""TailChanges: sealed batches as readable rows, for people. Costs nothing while nobody listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from dbmazz.lsn import Lsn
from dbmazz.readable import CHARACTERS, shortened
from dbmazz.relation import Relation
from dbmazz.rows import ABSENT, NULL, PackedRows, unpack
from dbmazz.v1 import change_pb2, reader_pb2
from google.protobuf import struct_pb2

from dbmazz_reader.protocol.cuts import SealedBatch

# What a caller may leave waiting.
QUEUE_ROWS = 1_000
QUEUE_BYTES = 32 << 20


@dataclass(frozen=True)
class Wish:
    """What a caller wants to see: these tables (schema.table) and operations, all when empty; values up to so many
    characters, or whole and in the order of their columns."""

    tables: frozenset[str] = frozenset()
    operations: frozenset[int] = frozenset()
    value_limit: int = CHARACTERS
    with_cells: bool = False


@dataclass(eq=False)
class Listener:
    """One caller: its wish, and rows that it has not taken yet."""

    wish: Wish
    queue: asyncio.Queue[reader_pb2.TailChangesResponse] = field(default_factory=lambda: asyncio.Queue(QUEUE_ROWS))
    dropped: int = 0
    waiting_bytes: int = 0

    @property
    def full(self) -> bool:
        """True when the next row is to be dropped."""
        return self.queue.full() or self.waiting_bytes >= QUEUE_BYTES

    async def next(self) -> reader_pb2.TailChangesResponse:
        """The next row."""
        row = await self.queue.get()
        self.waiting_bytes -= row.ByteSize()
        return row

    def wants(self, relation: Relation) -> bool:
        """True when rows of this table may interest the caller."""
        return not self.wish.tables or relation.qualified_name in self.wish.tables


class Inspection:
    """All callers."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @property
    def watched(self) -> bool:
        """True while somebody listens."""
        return bool(self._listeners)

    def offer(self, sealed: SealedBatch) -> None:
        """A batch on its way. Never waits: rows that a caller has no room for are counted and dropped."""
        if not self._listeners or sealed.batch.kind != change_pb2.BATCH_KIND_ROWS:
            return
        listeners = [listener for listener in self._listeners if listener.wants(sealed.relation)]
        if listeners:
            rows = unpack(sealed.batch, len(sealed.relation.columns))
            for listener in listeners:
                _fill(listener, sealed.relation, rows)

    @contextlib.contextmanager
    def listening(self, wish: Wish) -> Iterator[Listener]:
        """Rows go to the listener's queue from now until it leaves."""
        listener = Listener(wish)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


def _fill(listener: Listener, relation: Relation, rows: PackedRows) -> None:
    run_ends: Iterator[tuple[int, int]] = _runs(rows)
    run, end = next(run_ends)
    for row in range(rows.row_count):
        if row == end:
            run, end = next(run_ends)
        if listener.wish.operations and rows.ops[row] not in listener.wish.operations:
            continue
        if listener.full:
            listener.dropped += 1
            continue
        response = _readable(relation, rows, row, run, listener.wish)
        response.dropped_count, listener.dropped = listener.dropped, 0
        listener.waiting_bytes += response.ByteSize()
        listener.queue.put_nowait(response)


def _runs(rows: PackedRows) -> Iterator[tuple[int, int]]:
    end = 0
    for run, count in enumerate(rows.run_row_counts):
        end += count
        yield run, end


def _readable(relation: Relation, rows: PackedRows, row: int, run: int, wish: Wish) -> reader_pb2.TailChangesResponse:
    response = reader_pb2.TailChangesResponse(
        table=relation.qualified_name,
        operation=rows.ops[row],
        commit_lsn=str(Lsn(rows.commit_lsns[run])),
        xid=rows.xids[run],
    )
    response.commit_time.FromMicroseconds(rows.commit_times[run])
    for index, column in enumerate(relation.columns):
        cell = rows.cell(row, index)
        # The source's encoding was converted to UTF-8 by the server; a SQL_ASCII database converts nothing.
        value = cell.decode(errors="replace") if isinstance(cell, bytes) else cell
        if wish.with_cells:
            _add_cell(response.cells.add(column=column.name), value)
        elif value == ABSENT:
            response.absent_columns.append(column.name)
        elif value == NULL:
            response.row.fields[column.name].null_value = struct_pb2.NULL_VALUE
        else:
            response.row.fields[column.name].string_value = shortened(value, wish.value_limit)
    return response


def _add_cell(cell: reader_pb2.Cell, value: str | int) -> None:
    if isinstance(value, str):
        cell.text = value
    elif value == NULL:
        cell.null = True
    elif value == ABSENT:
        cell.absent = True
