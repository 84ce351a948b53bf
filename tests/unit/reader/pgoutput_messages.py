"""Writes pgoutput messages, byte by byte as PostgreSQL's documentation has them: the reference that decoding is held to."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from dbmazz.relation import Column, Relation, ReplicaIdentity

EPOCH_US = 946_684_800_000_000
UNCHANGED = object()
Value = bytes | None | object


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def xlog_data(lsn: int, body: bytes) -> bytes:
    """The CopyData frame of a message that starts at `lsn`."""
    return b"w" + struct.pack(">QQq", lsn, lsn, 0) + body


def begin(commit_lsn: int, time_us: int = EPOCH_US, xid: int = 1) -> bytes:
    return b"B" + struct.pack(">QqI", commit_lsn, time_us - EPOCH_US, xid)


def commit(commit_lsn: int, end_lsn: int, time_us: int = EPOCH_US) -> bytes:
    return b"C" + struct.pack(">BQQq", 0, commit_lsn, end_lsn, time_us - EPOCH_US)


def origin(name: str) -> bytes:
    return b"O" + struct.pack(">Q", 5) + _string(name)


def relation(oid: int, schema: str, name: str, identity: str, columns: Sequence[tuple[int, str, int, int]]) -> bytes:
    body = b"R" + struct.pack(">I", oid) + _string(schema) + _string(name) + identity.encode()
    body += struct.pack(">H", len(columns))
    for flags, column, type_oid, modifier in columns:
        body += struct.pack(">B", flags) + _string(column) + struct.pack(">Ii", type_oid, modifier)
    return body


def type_name(oid: int, schema: str, name: str) -> bytes:
    return b"Y" + struct.pack(">I", oid) + _string(schema) + _string(name)


def row(values: Sequence[Value]) -> bytes:
    body = struct.pack(">H", len(values))
    for value in values:
        if value is None:
            body += b"n"
        elif value is UNCHANGED:
            body += b"u"
        else:
            body += b"t" + struct.pack(">I", len(value)) + value
    return body


def insert(oid: int, new: Sequence[Value]) -> bytes:
    return b"I" + struct.pack(">I", oid) + b"N" + row(new)


def update(oid: int, new: Sequence[Value], *, key: Sequence[Value] = (), old: Sequence[Value] = ()) -> bytes:
    before = b"K" + row(key) if key else b"O" + row(old) if old else b""
    return b"U" + struct.pack(">I", oid) + before + b"N" + row(new)


def delete(oid: int, *, key: Sequence[Value] = (), old: Sequence[Value] = ()) -> bytes:
    return b"D" + struct.pack(">I", oid) + (b"K" + row(key) if key else b"O" + row(old))


def truncate(oids: Sequence[int], options: int = 0) -> bytes:
    return b"T" + struct.pack(">IB", len(oids), options) + b"".join(struct.pack(">I", oid) for oid in oids)


def message(prefix: str, content: bytes, flags: int = 1) -> bytes:
    return b"M" + struct.pack(">BQ", flags, 7) + _string(prefix) + struct.pack(">I", len(content)) + content


def table(columns: int, keys: Sequence[int], oid: int = 100) -> Relation:
    """A relation of text columns whose identity is the columns `keys`, in that order."""
    positions = {index: position for position, index in enumerate(keys, 1)}
    described = tuple(Column(f"c{index}", 25, key_position=positions.get(index, 0)) for index in range(columns))
    return Relation(oid, "public", f"t{oid}", ReplicaIdentity.DEFAULT, 1, described)
