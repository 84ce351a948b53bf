"""Rows whose absent columns are to be read from the source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readback:
    """A row that the target may not have, and the columns that its image lacks, to be read before the lane is sealed.

    `row` counts within the lane's open rows; `key` has the texts of the identity in key order; `columns` are the indices of
    the absent columns; `xid` is the transaction that must be visible by then.
    """

    row: int
    xid: int
    key: tuple[bytes, ...]
    columns: tuple[int, ...]
