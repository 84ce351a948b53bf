"""pgoutput messages to packed lanes, many messages per call.

`Decoder.decode` is the hot loop; it knows no I/O and stops where something outside must be asked or done: a relation is
looked up in the catalogue, a barrier is cut, the open batches are full. Whoever calls does that and calls again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dbmazz.errors import SourceError
from dbmazz.rows import ABSENT, NULL
from dbmazz.v1 import change_pb2, types_pb2

from dbmazz_reader.protocol import pgoutput
from dbmazz_reader.protocol.lanes import LaneBuilder, Transaction
from dbmazz_reader.protocol.malformed import MalformedMessage
from dbmazz_reader.protocol.tuples import Cell, expect_end, read_cells, read_packed

INSERT = types_pb2.OPERATION_INSERT
UPDATE = types_pb2.OPERATION_UPDATE
DELETE = types_pb2.OPERATION_DELETE

_relation_id = struct.Struct(">I").unpack_from
_NEW, _KEY, _OLD = b"NKO"


@dataclass(frozen=True, slots=True)
class RelationSeen:
    """Rows of this relation follow: `bind` it before decoding goes on."""

    message: pgoutput.RelationMessage


@dataclass(frozen=True, slots=True)
class TruncateSeen:
    """These lanes were truncated at `lsn`: seal everything, then place barriers."""

    lanes: tuple[LaneBuilder, ...]
    lsn: int


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The open batches have as many rows or bytes as they may."""


Event = RelationSeen | TruncateSeen | LimitReached


class Decoder:
    """State between messages: the transaction, the relations, the lanes with open rows."""

    def __init__(self, row_limit: int, byte_limit: int, *, readback: bool) -> None:
        self.row_limit = row_limit
        self.byte_limit = byte_limit
        self.readback = readback
        # The lane of each relation that the stream has described; None for one that is not replicated.
        self.lanes: dict[int, LaneBuilder | None] = {}
        # Lanes with rows, in order of their first row, and what they hold together.
        self.open: list[LaneBuilder] = []
        self.open_rows = 0
        self.open_bytes = 0
        self.transaction: Transaction | None = None
        # End of the last transaction whose commit was seen: all its rows are in builders or batches.
        self.committed_lsn = 0
        self.row_count = 0
        self.transaction_count = 0
        self.unchanged_toast_count = 0
        self.ignored_row_count = 0
        self._handlers = {
            ord("B"): self._begin,
            ord("C"): self._commit,
            ord("I"): self._insert,
            ord("U"): self._update,
            ord("D"): self._delete,
            ord("R"): self._relation,
            ord("T"): self._truncate,
            ord("O"): self._origin,
            ord("Y"): self._type,
            ord("M"): self._message,
        }

    def bind(self, relation_id: int, lane: LaneBuilder | None) -> None:
        """Tells where rows of a relation go; None to leave them out."""
        self.lanes[relation_id] = lane

    def decode(self, messages: Sequence[tuple[int, bytes]], start: int = 0) -> tuple[int, Event | None]:
        """Decodes (start LSN, message) pairs from index `start` on.

        Gives the index to go on with, and why decoding stopped there; None at the end of the messages. MalformedMessage
        leaves no half row behind.
        """
        handlers = self._handlers
        for index in range(start, len(messages)):
            lsn, body = messages[index]
            handler = handlers.get(body[0]) if body else None
            if handler is None:
                raise MalformedMessage(chr(body[0]) if body else "", 0, "unknown kind of message in protocol 1")
            event = handler(lsn, body)
            if event is not None:
                return index + 1, event
            if self.open_rows >= self.row_limit or self.open_bytes >= self.byte_limit:
                return index + 1, LimitReached()
        return len(messages), None

    def seal(self) -> list[tuple[LaneBuilder, change_pb2.ChangeBatch]]:
        """(lane, batch without its place in the epoch) of all lanes with rows, in order of their first row."""
        sealed = [(lane, lane.seal(self.transaction)) for lane in self.open]
        self.open, self.open_rows, self.open_bytes = [], 0, 0
        return sealed

    def _begin(self, lsn: int, body: bytes) -> None:
        begin = pgoutput.begin(body)
        if self.transaction is not None:
            raise MalformedMessage("B", 0, "a transaction begins within another")
        self.transaction = Transaction(begin.commit_lsn, begin.commit_time, begin.xid)

    def _commit(self, lsn: int, body: bytes) -> None:
        commit = pgoutput.commit(body)
        if self.transaction is None or commit.commit_lsn != self.transaction.commit_lsn:
            raise MalformedMessage("C", 0, "commit of a transaction that has not begun")
        self.transaction = None
        self.transaction_count += 1
        self.committed_lsn = max(self.committed_lsn, commit.end_lsn)

    def _insert(self, lsn: int, body: bytes) -> None:
        lane = self._lane(body)
        if lane is None:
            return
        self._expect_new(body, 5)
        lengths, values, absent, at = read_packed(body, 6, lane.columns)
        if at != len(body) or absent:
            expect_end(body, at)
            raise MalformedMessage("I", 5, "inserted row with an unchanged value")
        self._opened(lane, len(body))
        lane.add(INSERT, lengths, values, 0, lsn, self.transaction)

    def _update(self, lsn: int, body: bytes) -> None:
        lane = self._lane(body)
        if lane is None:
            return
        if len(body) < 6 or body[5] not in (_KEY, _OLD):
            self._expect_new(body, 5)
            lengths, values, absent, at = read_packed(body, 6, lane.columns)
            expect_end(body, at)
            if absent:
                if absent & lane.key_mask:
                    raise self._no_key(lane)
                self.unchanged_toast_count += absent.bit_count()
                lane.unchanged_toast_count += absent.bit_count()
                if lane.unread and self.readback:
                    cells, _ = read_cells(body, 6, lane.columns)
                    self._opened(lane, len(body))
                    lane.add_cells(UPDATE, cells, lsn, self.transaction, readback=True)
                    return
            self._opened(lane, len(body))
            lane.add(UPDATE, lengths, values, absent, lsn, self.transaction)
            return
        old, at = read_cells(body, 6, lane.columns)
        self._expect_new(body, at)
        new, at = read_cells(body, at + 1, lane.columns)
        expect_end(body, at)
        self._update_with_old(lane, body, old, new, lsn)

    def _update_with_old(self, lane: LaneBuilder, body: bytes, old: list[Cell], new: list[Cell], lsn: int) -> None:
        """An update whose message has the old key or the whole old row: the key may have changed."""
        self.unchanged_toast_count += new.count(ABSENT)
        lane.unchanged_toast_count += new.count(ABSENT)
        if body[5] == _OLD:
            # The old image under FULL has its TOAST values inline, so nothing needs to stay absent.
            new = [was if cell == ABSENT else cell for cell, was in zip(new, old, strict=True)]
        else:
            self._keep_key_only(lane, old)
            for index in lane.key_indices:
                if new[index] == ABSENT:
                    new[index] = old[index]
        moved = any(old[index] != new[index] for index in lane.key_indices)
        if any(isinstance(new[index], int) or isinstance(old[index], int) for index in lane.key_indices):
            raise self._no_key(lane)
        self._opened(lane, len(body))
        if moved:
            lane.add_cells(DELETE, old, lsn, self.transaction)
            self.row_count += 1
            self.open_rows += 1
        lane.add_cells(UPDATE, new, lsn, self.transaction, readback=(moved or lane.unread) and self.readback)

    def _delete(self, lsn: int, body: bytes) -> None:
        lane = self._lane(body)
        if lane is None:
            return
        if len(body) < 6 or body[5] not in (_KEY, _OLD):
            raise MalformedMessage("D", min(5, len(body)), "no old image")
        old, at = read_cells(body, 6, lane.columns)
        expect_end(body, at)
        if body[5] == _KEY:
            self._keep_key_only(lane, old)
        if any(isinstance(old[index], int) for index in lane.key_indices):
            raise self._no_key(lane)
        self._opened(lane, len(body))
        lane.add_cells(DELETE, old, lsn, self.transaction)

    def _relation(self, lsn: int, body: bytes) -> Event:
        return RelationSeen(pgoutput.relation(body))

    def _truncate(self, lsn: int, body: bytes) -> Event | None:
        truncate = pgoutput.truncate(body)
        if self.transaction is None:
            raise MalformedMessage("T", 0, "truncate outside of a transaction")
        unknown = [relation for relation in truncate.relation_ids if relation not in self.lanes]
        if unknown:
            raise MalformedMessage("T", 6, f"relation {unknown[0]} was not described before")
        lanes = tuple(lane for relation in truncate.relation_ids if (lane := self.lanes[relation]) is not None)
        return TruncateSeen(lanes, lsn) if lanes else None

    def _origin(self, lsn: int, body: bytes) -> None:
        pgoutput.origin(body)

    def _type(self, lsn: int, body: bytes) -> None:
        pgoutput.type_name(body)

    def _message(self, lsn: int, body: bytes) -> None:
        pgoutput.message(body)

    def _lane(self, body: bytes) -> LaneBuilder | None:
        """The lane of a row message; None when its relation is left out."""
        try:
            lane = self.lanes[_relation_id(body, 1)[0]]
        except struct.error:
            raise MalformedMessage(chr(body[0]), len(body), "message ends within the relation") from None
        except KeyError:
            raise MalformedMessage(chr(body[0]), 1, "row of a relation that was not described before") from None
        if self.transaction is None:
            raise MalformedMessage(chr(body[0]), 0, "row outside of a transaction")
        if lane is None:
            self.ignored_row_count += 1
        return lane

    def _opened(self, lane: LaneBuilder, size: int) -> None:
        if not lane.ops:
            self.open.append(lane)
        self.open_rows += 1
        self.open_bytes += size
        self.row_count += 1

    @staticmethod
    def _expect_new(body: bytes, at: int) -> None:
        if at >= len(body) or body[at] != _NEW:
            raise MalformedMessage(chr(body[0]), min(at, len(body)), "no new image")

    @staticmethod
    def _keep_key_only(lane: LaneBuilder, cells: list[Cell]) -> None:
        """pgoutput writes NULL for what a key image does not carry; that is absence, not NULL."""
        for index, cell in enumerate(cells):
            if cell == NULL and not lane.key_mask >> index & 1:
                cells[index] = ABSENT

    @staticmethod
    def _no_key(lane: LaneBuilder) -> SourceError:
        name = lane.relation.qualified_name
        return SourceError(
            f"a change of {name} does not carry the table's key",
            f"Was its key changed while the reader was behind? Run ALTER TABLE {name} REPLICA IDENTITY FULL, or take the"
            " table out of the publication and TABLES",
        )
