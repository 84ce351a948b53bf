"""TOAST signatures: which columns a row's image does not carry.

An absent bitmap is a Python int, bit c set when column c is absent, for any number of columns. On the wire it is
ceil(columns / 64) little-endian u64 words per row, which is the same bits: `int.from_bytes(words, "little")`.
"""

from __future__ import annotations

from collections.abc import Iterable


def word_count(column_count: int) -> int:
    """64-bit words per row; at least one, so that every row has a bitmap."""
    return max(1, (column_count + 63) // 64)


def has_toast(bitmap: int) -> bool:
    """True when any column is absent."""
    return bitmap != 0


def toast_count(bitmap: int) -> int:
    """Number of absent columns (a popcount)."""
    return bitmap.bit_count()


def is_toast_column(bitmap: int, column: int) -> bool:
    """True when this column is absent (a bit test)."""
    return bool(bitmap >> column & 1)


def toast_indices(bitmap: int) -> list[int]:
    """Indices of the absent columns, ascending (a count-trailing-zeros walk)."""
    indices = []
    while bitmap:
        lowest = bitmap & -bitmap
        indices.append(lowest.bit_length() - 1)
        bitmap ^= lowest
    return indices


def from_indices(columns: Iterable[int]) -> int:
    """The bitmap with exactly these columns absent."""
    bitmap = 0
    for column in columns:
        bitmap |= 1 << column
    return bitmap
