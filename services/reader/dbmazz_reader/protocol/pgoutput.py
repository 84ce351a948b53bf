"""The messages of pgoutput, protocol version 1, that are rare; kernel.pyx reads Begin, Commit and rows.

Layouts: PostgreSQL documentation, "Logical Replication Message Formats". Every length is checked against the message,
and nothing may follow a message's last field.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dbmazz_reader.protocol.malformed import MalformedMessage

# u8 'O' · u64 commit LSN at the origin · name
_ORIGIN = struct.Struct(">BQ")
# u8 'R' · u32 relation · schema · name · u8 replica identity · u16 columns, each: u8 flags · name · u32 type · i32 typmod
_COLUMN_TYPE = struct.Struct(">Ii")
# u8 'T' · u32 relations · u8 options · u32 relation, so many times
_TRUNCATE = struct.Struct(">BIB")
# u8 'M' · u8 flags · u64 LSN · prefix · u32 length · content
_MESSAGE = struct.Struct(">BBQ")

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction came from another node."""

    commit_lsn: int
    name: str


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column as the stream describes it. `flags` bit 0 marks the replica identity: under FULL every column."""

    flags: int
    name: str
    type_oid: int
    type_modifier: int


@dataclass(frozen=True, slots=True)
class RelationMessage:
    """A table as it was when the following rows were written."""

    relation_id: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """Name of a type that is not built in."""

    type_oid: int
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables were truncated."""

    relation_ids: tuple[int, ...]
    cascade: bool
    restart_identity: bool


@dataclass(frozen=True, slots=True)
class Message:
    """pg_logical_emit_message(); its content is counted, not kept."""

    transactional: bool
    lsn: int
    prefix: str
    content_bytes: int


def origin(body: bytes) -> Origin:
    """Letter O."""
    cursor = _Cursor(body)
    _, lsn = cursor.read(_ORIGIN)
    return cursor.done(Origin(lsn, cursor.string()))


def relation(body: bytes) -> RelationMessage:
    """Letter R. An empty schema means pg_catalog."""
    cursor = _Cursor(body, 1)
    (relation_id,) = cursor.read(_U32)
    schema, name = cursor.string() or "pg_catalog", cursor.string()
    identity = chr(cursor.byte())
    if identity not in "dnfi":
        raise MalformedMessage("R", cursor.at - 1, "unknown replica identity")
    (count,) = cursor.read(_U16)
    columns = []
    for _ in range(count):
        flags, column = cursor.byte(), cursor.string()
        columns.append(RelationColumn(flags, column, *cursor.read(_COLUMN_TYPE)))
    return cursor.done(RelationMessage(relation_id, schema, name, identity, tuple(columns)))


def type_name(body: bytes) -> Type:
    """Letter Y."""
    cursor = _Cursor(body, 1)
    (oid,) = cursor.read(_U32)
    return cursor.done(Type(oid, cursor.string() or "pg_catalog", cursor.string()))


def truncate(body: bytes) -> Truncate:
    """Letter T."""
    cursor = _Cursor(body)
    _, count, options = cursor.read(_TRUNCATE)
    if len(body) - cursor.at != 4 * count:
        raise MalformedMessage("T", cursor.at, f"{count} relations announced, {len(body) - cursor.at} bytes left")
    return Truncate(struct.unpack_from(f">{count}I", body, cursor.at), bool(options & 1), bool(options & 2))


def message(body: bytes) -> Message:
    """Letter M."""
    cursor = _Cursor(body)
    _, flags, lsn = cursor.read(_MESSAGE)
    prefix = cursor.string()
    (size,) = cursor.read(_U32)
    cursor.skip(size)
    return cursor.done(Message(bool(flags & 1), lsn, prefix, size))


class _Cursor:
    """Reads fields one after another; MalformedMessage when one does not fit."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self.body = body
        self.at = at

    def read(self, layout: struct.Struct) -> tuple:
        start = self.skip(layout.size)
        return layout.unpack_from(self.body, start)

    def byte(self) -> int:
        return self.body[self.skip(1)]

    def string(self) -> str:
        end = self.body.find(b"\0", self.at)
        if end < 0:
            raise self._error("string without its terminator")
        start, self.at = self.at, end + 1
        try:
            return self.body[start:end].decode()
        except UnicodeDecodeError:
            raise MalformedMessage(chr(self.body[0]), start, "name is not UTF-8") from None

    def skip(self, count: int) -> int:
        start = self.at
        if start + count > len(self.body):
            raise self._error(f"field of {count} bytes ends beyond the message")
        self.at += count
        return start

    def done(self, value):
        if self.at != len(self.body):
            raise self._error(f"{len(self.body) - self.at} bytes follow the last field")
        return value

    def _error(self, problem: str) -> MalformedMessage:
        return MalformedMessage(chr(self.body[0]), self.at, problem)
