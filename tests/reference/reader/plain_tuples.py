"""Row images of pgoutput, read in the obvious way: what kernel.pyx is held to.

TupleData is u16 columns, each 'n' NULL · 'u' unchanged TOAST · 't' u32 length, text.
"""

from __future__ import annotations

import struct

from dbmazz.rows import ABSENT, NULL
from dbmazz_reader.protocol.malformed import MalformedMessage

Cell = bytes | int
"""A value's text, or NULL or ABSENT of dbmazz.rows."""

_count = struct.Struct(">H").unpack_from
_length = struct.Struct(">I").unpack_from
_TEXT, _NULL, _UNCHANGED = b"tnu"


def read_cells(body: bytes, at: int, columns: int) -> tuple[list[Cell], int]:
    """(cells, offset behind) of the image at `at`."""
    cells: list[Cell] = []
    try:
        if _count(body, at)[0] != columns:
            raise _error(body, at, f"row of {_count(body, at)[0]} columns, expected {columns}")
        at += 2
        for _ in range(columns):
            kind = body[at]
            if kind == _TEXT:
                length = _length(body, at + 1)[0]
                at += 5
                cells.append(body[at : at + length])
                at += length
            elif kind == _NULL:
                cells.append(NULL)
                at += 1
            elif kind == _UNCHANGED:
                cells.append(ABSENT)
                at += 1
            else:
                raise _error(body, at, "unknown kind of value")
    except (IndexError, struct.error):
        raise _truncated(body) from None
    # A value that ends beyond the message came out short above; only the offset shows it.
    if at > len(body):
        raise _truncated(body)
    return cells, at


def expect_end(body: bytes, at: int) -> None:
    """MalformedMessage when bytes follow the last image."""
    if at != len(body):
        raise _error(body, at, f"{len(body) - at} bytes follow the last field")


def _truncated(body: bytes) -> MalformedMessage:
    return _error(body, len(body), "message ends within a row")


def _error(body: bytes, at: int, problem: str) -> MalformedMessage:
    return MalformedMessage(chr(body[0]), at, problem)
