"""CopyData frames to rows per lane in plain Python, one obvious rule after another: what kernel.pyx is held to."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from dbmazz.rows import ABSENT, NULL
from dbmazz.v1 import types_pb2
from dbmazz_reader.protocol.frames import POSTGRES_EPOCH_US, unknown_frame
from dbmazz_reader.protocol.kernel import END, KEEPALIVE, LIMIT, RARE
from dbmazz_reader.protocol.malformed import MalformedMessage
from dbmazz_reader.protocol.relations import key_not_carried

from tests.reference.reader.plain_lane import PlainLane, Transaction
from tests.reference.reader.plain_tuples import Cell, expect_end, read_cells

INSERT = types_pb2.OPERATION_INSERT
UPDATE = types_pb2.OPERATION_UPDATE
DELETE = types_pb2.OPERATION_DELETE

# u8 'B' · u64 LSN of the commit record · i64 commit time · u32 xid
_BEGIN = struct.Struct(">BQqI")
# u8 'C' · u8 flags · u64 LSN of the commit record · u64 end LSN of the transaction · i64 commit time
_COMMIT = struct.Struct(">BBQQq")
_NEW, _KEY, _OLD = b"NKO"


class PlainDecoder:
    """Same attributes and methods as RowDecoder."""

    def __init__(self, row_limit: int, byte_limit: int, *, readback: bool) -> None:
        self.row_limit = row_limit
        self.byte_limit = byte_limit
        self.readback = readback
        self.lanes: dict[int, PlainLane | None] = {}
        self.open: list[PlainLane] = []
        self.open_rows = self.open_bytes = 0
        self.transaction: Transaction | None = None
        self.begun = 0
        self.committed_lsn = self.last_lsn = self.server_lsn = 0
        self.row_count = self.transaction_count = self.unchanged_toast_count = self.ignored_row_count = 0
        self._handlers = {
            ord("B"): self._begin,
            ord("C"): self._commit,
            ord("I"): self._insert,
            ord("U"): self._update,
            ord("D"): self._delete,
        }

    @property
    def xid(self) -> int | None:
        return self.transaction.xid if self.transaction else None

    @property
    def open_run(self) -> int:
        return self.transaction.serial if self.transaction else 0

    def bind(self, relation_id: int, lane: PlainLane | None) -> None:
        self.lanes[relation_id] = lane

    def is_bound(self, relation_id: int) -> bool:
        return relation_id in self.lanes

    def lane_of(self, relation_id: int) -> PlainLane | None:
        return self.lanes[relation_id]

    def take_open(self) -> list[PlainLane]:
        taken, self.open = self.open, []
        self.open_rows = self.open_bytes = 0
        return taken

    def decode_rows(self, frames: Sequence[bytes | memoryview], start: int = 0) -> tuple[int, int]:
        for index in range(start, len(frames)):
            frame = bytes(frames[index])
            if frame[:1] == b"k":
                if self._keepalive(frame):
                    return index, KEEPALIVE
                if self.open_rows >= self.row_limit or self.open_bytes >= self.byte_limit:
                    return index + 1, LIMIT
                continue
            if frame[:1] != b"w":
                raise unknown_frame(frame[:1])
            if len(frame) < 25:
                raise MalformedMessage("w", len(frame), "XLogData frame is shorter than its header")
            lsn, body = int.from_bytes(frame[1:9], "big"), frame[25:]
            if not body:
                raise MalformedMessage("", 0, "unknown kind of message in protocol 1")
            handler = self._handlers.get(body[0])
            if handler is not None:
                handler(lsn, body)
            self.last_lsn = lsn
            if handler is None:
                return index, RARE
            if self.open_rows >= self.row_limit or self.open_bytes >= self.byte_limit:
                return index + 1, LIMIT
        return max(start, len(frames)), END

    def _keepalive(self, frame: bytes) -> bool:
        """True when it wants an answer."""
        if len(frame) != 18:
            raise MalformedMessage("k", len(frame), f"keepalive has {len(frame)} bytes, expected 18")
        _, wal_end, _, reply = struct.unpack(">BQqB", frame)
        self.server_lsn = max(self.server_lsn, wal_end)
        if self.transaction is None:
            self.committed_lsn = max(self.committed_lsn, wal_end)
        return bool(reply)

    def _begin(self, lsn: int, body: bytes) -> None:
        _, commit_lsn, time, xid = _exact(_BEGIN, body)
        if time + POSTGRES_EPOCH_US >= 1 << 63:
            raise MalformedMessage("B", 9, "commit time out of range")
        if self.transaction is not None:
            raise MalformedMessage("B", 0, "a transaction begins within another")
        self.begun += 1
        self.transaction = Transaction(self.begun, commit_lsn, time + POSTGRES_EPOCH_US, xid)

    def _commit(self, lsn: int, body: bytes) -> None:
        _, _, commit_lsn, end_lsn, _ = _exact(_COMMIT, body)
        if self.transaction is None or commit_lsn != self.transaction.commit_lsn:
            raise MalformedMessage("C", 0, "commit of a transaction that has not begun")
        self.transaction = None
        self.transaction_count += 1
        self.committed_lsn = max(self.committed_lsn, end_lsn)

    def _insert(self, lsn: int, body: bytes) -> None:
        lane = self._lane(body)
        if lane is None:
            return
        _expect_new(body, 5)
        new, at = read_cells(body, 6, lane.columns)
        expect_end(body, at)
        if ABSENT in new:
            raise MalformedMessage("I", 5, "inserted row with an unchanged value")
        self._opened(lane, len(body))
        lane.append(INSERT, new, lsn, self.transaction)

    def _update(self, lsn: int, body: bytes) -> None:
        lane = self._lane(body)
        if lane is None:
            return
        if len(body) >= 6 and body[5] in (_KEY, _OLD):
            self._update_with_old(lane, body, lsn)
            return
        _expect_new(body, 5)
        new, at = read_cells(body, 6, lane.columns)
        expect_end(body, at)
        if ABSENT in new and any(isinstance(new[index], int) for index in lane.key_indices):
            raise key_not_carried(lane.relation)
        self._count(lane, new)
        self._opened(lane, len(body))
        lane.append(UPDATE, new, lsn, self.transaction, readback=lane.unread and self.readback)

    def _update_with_old(self, lane: PlainLane, body: bytes, lsn: int) -> None:
        """The key may have changed."""
        old, at = read_cells(body, 6, lane.columns)
        _expect_new(body, at)
        new, at = read_cells(body, at + 1, lane.columns)
        expect_end(body, at)
        self._count(lane, new)
        if body[5] == _OLD:
            # The old image under FULL has its TOAST values inline, so nothing needs to stay absent.
            new = [was if cell == ABSENT else cell for cell, was in zip(new, old, strict=True)]
        else:
            _keep_key_only(lane, old)
            for index in lane.key_indices:
                if new[index] == ABSENT:
                    new[index] = old[index]
        if any(isinstance(new[index], int) or isinstance(old[index], int) for index in lane.key_indices):
            raise key_not_carried(lane.relation)
        moved = any(old[index] != new[index] for index in lane.key_indices)
        self._opened(lane, len(body))
        if moved:
            lane.append(DELETE, old, lsn, self.transaction)
            self.row_count += 1
            self.open_rows += 1
        lane.append(UPDATE, new, lsn, self.transaction, readback=(moved or lane.unread) and self.readback)

    def _delete(self, lsn: int, body: bytes) -> None:
        lane = self._lane(body)
        if lane is None:
            return
        if len(body) < 6 or body[5] not in (_KEY, _OLD):
            raise MalformedMessage("D", min(5, len(body)), "no old image")
        old, at = read_cells(body, 6, lane.columns)
        expect_end(body, at)
        if body[5] == _KEY:
            _keep_key_only(lane, old)
        if any(isinstance(old[index], int) for index in lane.key_indices):
            raise key_not_carried(lane.relation)
        self._opened(lane, len(body))
        lane.append(DELETE, old, lsn, self.transaction)

    def _lane(self, body: bytes) -> PlainLane | None:
        """The lane of a row message; None when its relation is left out."""
        if len(body) < 5:
            raise MalformedMessage(chr(body[0]), len(body), "message ends within the relation")
        relation_id = int.from_bytes(body[1:5], "big")
        if relation_id not in self.lanes:
            raise MalformedMessage(chr(body[0]), 1, "row of a relation that was not described before")
        if self.transaction is None:
            raise MalformedMessage(chr(body[0]), 0, "row outside of a transaction")
        if self.lanes[relation_id] is None:
            self.ignored_row_count += 1
        return self.lanes[relation_id]

    def _opened(self, lane: PlainLane, size: int) -> None:
        if not lane.rows:
            self.open.append(lane)
        self.open_rows += 1
        self.open_bytes += size
        self.row_count += 1

    def _count(self, lane: PlainLane, new: list[Cell]) -> None:
        self.unchanged_toast_count += new.count(ABSENT)
        lane.unchanged_toast_count += new.count(ABSENT)


def _exact(layout: struct.Struct, body: bytes) -> tuple:
    if len(body) != layout.size:
        raise MalformedMessage(chr(body[0]), len(body), f"message has {len(body)} bytes, expected {layout.size}")
    return layout.unpack(body)


def _expect_new(body: bytes, at: int) -> None:
    if at >= len(body) or body[at] != _NEW:
        raise MalformedMessage(chr(body[0]), min(at, len(body)), "no new image")


def _keep_key_only(lane: PlainLane, cells: list[Cell]) -> None:
    """pgoutput writes NULL for what a key image does not carry; that is absence, not NULL."""
    for index, cell in enumerate(cells):
        if cell == NULL and index not in lane.key_indices:
            cells[index] = ABSENT
