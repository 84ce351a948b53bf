"""Row images of pgoutput (TupleData): u16 columns, each 'n' NULL · 'u' unchanged TOAST · 't' u32 length, text.

An unchanged TOAST value is a large value that the UPDATE did not touch: it is not in the WAL, so it is *absent* from the
image, which is neither NULL nor empty.
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


def read_packed(body: bytes, at: int, columns: int) -> tuple[list[int], list[bytes], int, int]:
    """(lengths per cell, values of the cells that have one, absent bitmap, offset behind) of the image at `at`.

    This is the hot loop of an insert: no object per cell but the value itself.
    """
    lengths: list[int] = []
    values: list[bytes] = []
    absent = 0
    try:
        if _count(body, at)[0] != columns:
            raise _error(body, at, f"row of {_count(body, at)[0]} columns, expected {columns}")
        at += 2
        for column in range(columns):
            kind = body[at]
            if kind == _TEXT:
                length = _length(body, at + 1)[0]
                at += 5
                lengths.append(length)
                values.append(body[at : at + length])
                at += length
            elif kind == _NULL:
                lengths.append(NULL)
                at += 1
            elif kind == _UNCHANGED:
                lengths.append(ABSENT)
                absent |= 1 << column
                at += 1
            else:
                raise _error(body, at, "unknown kind of value")
    except (IndexError, struct.error):
        raise _truncated(body) from None
    # A value that ends beyond the message came out short above; only the offset shows it.
    if at > len(body):
        raise _truncated(body)
    return lengths, values, absent, at


def read_cells(body: bytes, at: int, columns: int) -> tuple[list[Cell], int]:
    """(cells, offset behind) of the image at `at`: for the images that are compared or completed."""
    lengths, values, _, at = read_packed(body, at, columns)
    present = iter(values)
    return [length if length < 0 else next(present) for length in lengths], at


def expect_end(body: bytes, at: int) -> None:
    """MalformedMessage when bytes follow the last image."""
    if at != len(body):
        raise _error(body, at, f"{len(body) - at} bytes follow the last field")


def _truncated(body: bytes) -> MalformedMessage:
    return _error(body, len(body), "message ends within a row")


def _error(body: bytes, at: int, problem: str) -> MalformedMessage:
    return MalformedMessage(chr(body[0]), at, problem)
