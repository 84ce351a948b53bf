"""Fold: each key occurs once per window, with the latest value of every column that any image in the window carried.

Rows are referred to, not copied; only where an image lacks a column that an earlier one of the window has, is it noted
where the value comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from dbmazz.errors import WireError
from dbmazz.rows import PackedRows
from dbmazz.signature import from_indices, toast_indices

from tests.reference.transformer.cells import Picks, column_cells

# Values of dbmazz_op_type.
INSERT, UPDATE, DELETE = 0, 1, 2

# From the numbers of the proto's Operation (insert, update, delete, read) to dbmazz_op_type.
_KNOWN_OPS = {1, 2, 3, 4}
_TO_TARGET = bytes([255, INSERT, UPDATE, DELETE, INSERT]) + bytes([255]) * 251


@dataclass(frozen=True)
class Folded:
    """The rows of a window after folding; the lists run in parallel, rows ascending.

    `rows`: number of the last image of each key. `ops`: dbmazz_op_type of each. `bitmaps`: columns that no image of the
    key in this window carries. `patches`: row number -> column -> number of the row that the column's value comes from.
    """

    rows: Sequence[int]
    ops: Sequence[int]
    bitmaps: Sequence[int]
    patches: dict[int, dict[int, int]] = field(default_factory=dict)
    folded_count: int = 0


def fold(batches: Sequence[PackedRows], key_indices: Sequence[int]) -> Folded:
    """Folds the rows of a window per key; `key_indices` are the columns of the row's identity.

    Keys are compared as PostgreSQL's text: that is what the target's key is made of. WireError when a row has no key.
    """
    wire_ops = b"".join([batch.ops for batch in batches])
    if not set(wire_ops) <= _KNOWN_OPS:
        raise WireError("a batch holds an unknown operation; the reader is newer than this transformer")
    ops = wire_ops.translate(_TO_TARGET)
    bitmaps = batches[0].bitmaps if len(batches) == 1 else list(chain.from_iterable(b.bitmaps for b in batches))
    keys = _keys(batches, key_indices, bitmaps)
    last = dict(zip(keys, range(len(keys)), strict=True))
    if len(last) == len(keys):
        return Folded(range(len(keys)), ops, bitmaps)
    return _fold_images(keys, ops, list(bitmaps), sorted(last.values()))


def _keys(batches: Sequence[PackedRows], key_indices: Sequence[int], bitmaps: Sequence[int]) -> list:
    """The key of each row: bytes, or a tuple of bytes for a composite key."""
    if not key_indices:
        raise WireError("the relation has no key columns")
    mask = from_indices(key_indices)
    if any(bitmaps) and any(bitmap & mask for bitmap in bitmaps):
        raise WireError("a row does not carry its key")
    picks: Picks = [(batch, None) for batch in batches]
    columns = []
    for index in key_indices:
        values, any_null = column_cells(picks, index)
        if any_null and None in values:
            raise WireError("a row's key is NULL")
        columns.append(values)
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _fold_images(keys: list, ops: bytes, bitmaps: list[int], rows: list[int]) -> Folded:
    """The general case: some key occurs more than once. `rows` are the last images, ascending."""
    latest: dict = {}
    patches: dict[int, dict[int, int]] = {}
    inserted: dict[int, bool] = {}  # row number -> its key came into being in this window; only for folded rows
    for row, key in enumerate(keys):
        before = latest.setdefault(key, row)
        if before == row:
            continue
        latest[key] = row
        born = inserted.pop(before, ops[before] == INSERT)
        inserted[row] = born or (ops[row] == INSERT and ops[before] == DELETE)
        earlier = patches.pop(before, None)
        if bitmaps[row]:
            patch = _carry(bitmaps[row] & ~bitmaps[before], before, earlier or {})
            if patch:
                patches[row] = patch
            bitmaps[row] &= bitmaps[before]
    final_ops = bytearray(ops[row] for row in rows)
    for position, row in enumerate(rows):
        if row in inserted and final_ops[position] != DELETE:
            final_ops[position] = INSERT if inserted[row] else UPDATE
    return Folded(rows, final_ops, [bitmaps[row] for row in rows], patches, len(keys) - len(rows))


def _carry(lacking: int, before: int, earlier: dict[int, int]) -> dict[int, int]:
    """Where the columns that this image lacks and the earlier one had come from."""
    return {column: earlier.get(column, before) for column in toast_indices(lacking)}
