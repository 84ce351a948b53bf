"""Packets of the MySQL protocol that clients send, parsed with bounds: bytes in, values out.

A packet that is cut short or lies about its lengths raises Malformed; nothing here waits or loops on bad input.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mysql_mimic.types import Capabilities, ColumnType

PLUGIN = "mysql_native_password"


class Malformed(Exception):
    """A packet that cannot be read."""


class Reader:
    """A cursor over one packet. Texts are UTF-8 whatever the client's character set says, as in StarRocks."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def rest(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.rest:
            raise Malformed("a packet ends early")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def length(self) -> int:
        first = self.number(1)
        sizes = {0xFC: 2, 0xFD: 3, 0xFE: 8}
        if first in (0xFB, 0xFF):
            raise Malformed("a length that is none")
        return self.number(sizes[first]) if first in sizes else first

    def sized(self) -> bytes:
        return self.take(self.length())

    def terminated(self) -> bytes:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Malformed("a text without its end")
        out = self._data[self._at : end]
        self._at = end + 1
        return out

    def name(self) -> str:
        return _text(self.terminated())

    def remaining(self) -> bytes:
        return self.take(self.rest)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Login:
    """A handshake response or COM_CHANGE_USER. `plugin` is None for clients that name none."""

    user: str
    response: bytes
    database: str
    plugin: str | None
    capabilities: int = 0


def parse_login(data: bytes, server: Capabilities) -> Login | None:
    """The client's answer to the handshake; None is a request for TLS."""
    reader = Reader(data)
    flags = Capabilities(reader.number(4)) & server
    if Capabilities.CLIENT_PROTOCOL_41 not in flags:
        raise Malformed("a client older than MySQL 4.1")
    reader.take(4 + 1 + 23)  # its packet size, its collation, filler
    if not reader.rest:
        return None
    user = reader.name()
    lengthy = Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA in flags
    response = reader.sized() if lengthy else reader.take(reader.number(1))
    database = reader.name() if Capabilities.CLIENT_CONNECT_WITH_DB in flags and reader.rest else ""
    plugin = reader.name() if Capabilities.CLIENT_PLUGIN_AUTH in flags and reader.rest else None
    return Login(user, response.rstrip(b"\0") if not lengthy else response, database, plugin, flags)


def parse_change_user(data: bytes) -> Login:
    reader = Reader(data)
    user = reader.name()
    response = reader.take(reader.number(1))
    database = reader.name() if reader.rest else ""
    if reader.rest >= 2:
        reader.take(2)
    plugin = reader.name() if reader.rest else None
    return Login(user, response, database, plugin)


@dataclass(slots=True)
class Prepared:
    """A prepared statement. `places` are the offsets of its `?`; `types` are bound by the first execution."""

    ident: int
    sql: str
    places: Sequence[int]
    types: list[tuple[int, bool]] | None = None

    def bound(self, values: Sequence[str]) -> str:
        """The statement with SQL literals in place of its parameters."""
        parts, at = [], 0
        for place, value in zip(self.places, values, strict=True):
            parts += [self.sql[at:place], value]
            at = place + 1
        return "".join(parts) + self.sql[at:]


def parse_execute(reader: Reader, statement: Prepared) -> list[str]:
    """The parameters of COM_STMT_EXECUTE as SQL literals, after the statement's number was read."""
    if reader.number(1) != 0:
        raise Malformed("cursors")
    reader.take(4)
    count = len(statement.places)
    if not count:
        return []
    nulls = reader.take((count + 7) // 8)
    if reader.number(1):
        statement.types = [(reader.number(1), bool(reader.number(1) & 0x80)) for _ in range(count)]
    if statement.types is None:
        raise Malformed("parameters without types")
    out = []
    for position, (kind, unsigned) in enumerate(statement.types):
        is_null = nulls[position // 8] >> (position % 8) & 1 or kind == ColumnType.NULL
        out.append("NULL" if is_null else _literal(_parameter(reader, kind, unsigned)))
    return out


_INTEGERS = {ColumnType.TINY: 1, ColumnType.SHORT: 2, ColumnType.YEAR: 2, ColumnType.LONG: 4, ColumnType.INT24: 4,
             ColumnType.LONGLONG: 8}  # fmt: skip
_TEXTS = frozenset({
    ColumnType.VARCHAR, ColumnType.VAR_STRING, ColumnType.STRING, ColumnType.DECIMAL, ColumnType.NEWDECIMAL,
    ColumnType.BLOB, ColumnType.TINY_BLOB, ColumnType.MEDIUM_BLOB, ColumnType.LONG_BLOB, ColumnType.JSON,
})  # fmt: skip
_MOMENTS = frozenset({ColumnType.DATE, ColumnType.DATETIME, ColumnType.TIMESTAMP})


def _parameter(reader: Reader, kind: int, unsigned: bool) -> Any:
    if kind in _INTEGERS:
        return reader.number(_INTEGERS[ColumnType(kind)], signed=not unsigned)
    if kind == ColumnType.FLOAT:
        return struct.unpack("<f", reader.take(4))[0]
    if kind == ColumnType.DOUBLE:
        return struct.unpack("<d", reader.take(8))[0]
    if kind in _MOMENTS:
        return _moment(Reader(reader.sized()), date=kind == ColumnType.DATE)
    if kind in _TEXTS:
        return _text(reader.sized())
    raise Malformed(f"parameters of type {kind}")


def _moment(reader: Reader, *, date: bool) -> str:
    if not reader.rest:
        return "0000-00-00"
    try:
        day = dt.date(reader.number(2), reader.number(1), reader.number(1))
        if date:
            return day.isoformat()
        clock = dt.time(*(reader.number(1) for _ in range(3))) if reader.rest else dt.time()
        moment = dt.datetime.combine(day, clock)
        return moment.replace(microsecond=reader.number(4) if reader.rest else 0).isoformat(" ")
    except ValueError as error:
        raise Malformed("a date that is none") from error


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return quoted_text(value)
    return repr(value) if isinstance(value, float) else str(value)


_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\0": "\\0"})


def quoted_text(text: str) -> str:
    """A text as a SQL string literal."""
    return f"'{text.translate(_ESCAPES)}'"
