"""The three frames of PostgreSQL's streaming replication protocol that travel as CopyData.

Layouts: PostgreSQL documentation, "Streaming Replication Protocol". All integers are big-endian; times are microseconds
since 2000-01-01 00:00 UTC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dbmazz_reader.protocol.malformed import MalformedMessage

# Microseconds between 1970-01-01 (Unix) and 2000-01-01 (PostgreSQL).
POSTGRES_EPOCH_US = 946_684_800_000_000

XLOG_DATA = 0x77  # 'w'
KEEPALIVE = 0x6B  # 'k'

# u8 'w' · u64 start LSN of the data · u64 end LSN of the server's WAL · i64 send time
# The walsender of a logical slot writes the same LSN twice: the second is no news of the server's end.
_XLOG_DATA_HEADER = struct.Struct(">BQQq")
XLOG_DATA_HEADER_BYTES = _XLOG_DATA_HEADER.size
# u8 'k' · u64 end LSN of what was sent · i64 send time · u8 reply requested
_KEEPALIVE = struct.Struct(">BQqB")
# u8 'r' · u64 written · u64 flushed · u64 applied, each the position behind the last byte · i64 time · u8 reply requested
_STATUS = struct.Struct(">BQQQqB")


@dataclass(frozen=True, slots=True)
class Keepalive:
    """The server has sent everything up to `wal_end`; it wants an answer at once when `reply_requested`."""

    wal_end: int
    reply_requested: bool


def xlog_data(frame: bytes | memoryview) -> tuple[int, bytes]:
    """(start LSN, message) of an XLogData frame."""
    if len(frame) < XLOG_DATA_HEADER_BYTES:
        raise MalformedMessage("w", len(frame), "XLogData frame is shorter than its header")
    return int.from_bytes(frame[1:9], "big"), bytes(frame[XLOG_DATA_HEADER_BYTES:])


def keepalive(frame: bytes | memoryview) -> Keepalive:
    """A primary keepalive message."""
    if len(frame) != _KEEPALIVE.size:
        raise MalformedMessage("k", len(frame), f"keepalive has {len(frame)} bytes, expected {_KEEPALIVE.size}")
    _, wal_end, _, reply = _KEEPALIVE.unpack(frame)
    return Keepalive(wal_end, reply != 0)


def standby_status(confirmed_lsn: int, unix_time_us: int, *, reply_requested: bool = False) -> bytes:
    """A standby status update: written, flushed and applied are all what the checkpoint has stored, nothing else."""
    return _STATUS.pack(
        0x72, confirmed_lsn, confirmed_lsn, confirmed_lsn, unix_time_us - POSTGRES_EPOCH_US, int(reply_requested)
    )


def unknown_frame(frame: bytes | memoryview) -> MalformedMessage:
    """The error for a frame that is neither."""
    return MalformedMessage(chr(frame[0]) if len(frame) else "", 0, "unknown CopyData frame")
