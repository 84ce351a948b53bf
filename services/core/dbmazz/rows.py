"""The packed layout of rows in a ChangeBatch: pack, check, and look at.

The layout is the one of protos/dbmazz/v1/change.proto. `PackedRows` is a view: it keeps the byte strings as they came
and slices cells out on demand.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass, field
from itertools import accumulate

from dbmazz.errors import WireError
from dbmazz.signature import word_count

NULL = -1
ABSENT = -2


def little_endian(kind: str, data: bytes) -> array:
    """An array of `kind` (I u32, Q u64, i i32, q i64) from little-endian bytes."""
    values = array(kind)
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def to_little_endian(values: array) -> bytes:
    """Little-endian bytes of an array."""
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def pack_bitmaps(bitmaps: list[int], column_count: int) -> bytes:
    """ceil(columns / 64) little-endian u64 words per row."""
    words = word_count(column_count)
    if words == 1:
        return struct.pack(f"<{len(bitmaps)}Q", *bitmaps)
    return b"".join(bitmap.to_bytes(8 * words, "little") for bitmap in bitmaps)


def unpack_bitmaps(data: bytes, column_count: int) -> list[int]:
    """The inverse of pack_bitmaps."""
    words = word_count(column_count)
    if words == 1:
        return little_endian("Q", data).tolist()
    size = 8 * words
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


@dataclass(frozen=True)
class PackedRows:
    """Rows of one batch. `lengths` has row_count * column_count entries, row by row; `offsets` one more.

    `versions` has one entry per row: the LSN that guards the row in the target. It is the commit LSN, or the change's
    own LSN while its transaction goes on in a later batch (see `change_lsns` in change.proto).
    """

    row_count: int
    column_count: int
    ops: bytes
    run_row_counts: array
    commit_lsns: array
    commit_times: array
    xids: array
    change_lsns: array
    bitmaps: list[int]
    lengths: array
    data: bytes
    offsets: list[int] = field(repr=False)

    def cell(self, row: int, column: int) -> bytes | int:
        """The value's bytes, or NULL or ABSENT."""
        at = row * self.column_count + column
        length = self.lengths[at]
        return length if length < 0 else self.data[self.offsets[at] : self.offsets[at] + length]

    def versions(self) -> list[int]:
        """The guarding LSN of each row."""
        versions: list[int] = []
        for lsn, rows in zip(self.commit_lsns, self.run_row_counts, strict=True):
            versions.extend([lsn] * rows)
        if self.change_lsns:
            versions[-len(self.change_lsns) :] = self.change_lsns.tolist()
        return versions


def unpack(batch, column_count: int) -> PackedRows:
    """Checks a ChangeBatch of kind ROWS against its own counts and gives a view of it.

    `batch` is a dbmazz.v1 ChangeBatch; WireError names the first field that does not fit.
    """
    rows = batch.row_count
    _expect("ops", len(batch.ops), rows)
    _expect("absent_bitmaps", len(batch.absent_bitmaps), rows * 8 * word_count(column_count))
    _expect("lengths", len(batch.lengths), rows * column_count * 4)
    runs, rest = divmod(len(batch.run_row_counts), 4)
    _expect("run_row_counts", rest, 0)
    _expect("commit_lsns", len(batch.commit_lsns), runs * 8)
    _expect("commit_times", len(batch.commit_times), runs * 8)
    _expect("xids", len(batch.xids), runs * 4)
    counts = little_endian("I", batch.run_row_counts)
    _expect("run_row_counts (sum)", sum(counts), rows)
    last = counts[-1] if counts else 0
    if batch.change_lsns:
        _expect("change_lsns", len(batch.change_lsns), last * 8)
    lengths = little_endian("i", batch.lengths)
    lowest = min(lengths, default=0)
    if lowest < ABSENT:
        raise WireError("lengths holds a number below -2; the peer speaks another protocol version")
    sizes = lengths if lowest >= 0 else [length if length > 0 else 0 for length in lengths]
    offsets = list(accumulate(sizes, initial=0))
    _expect("data", len(batch.data), offsets[-1])
    return PackedRows(
        row_count=rows,
        column_count=column_count,
        ops=batch.ops,
        run_row_counts=counts,
        commit_lsns=little_endian("Q", batch.commit_lsns),
        commit_times=little_endian("q", batch.commit_times),
        xids=little_endian("I", batch.xids),
        change_lsns=little_endian("Q", batch.change_lsns),
        bitmaps=unpack_bitmaps(batch.absent_bitmaps, column_count),
        lengths=lengths,
        data=batch.data,
        offsets=offsets,
    )


def _expect(name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise WireError(f"change batch: {name} is {found}, expected {wanted}")
