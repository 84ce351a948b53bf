"""Groups by TOAST signature: one load per set of absent columns, because StarRocks takes one set of columns per load.

Keys are unique in a folded window, so the groups are disjoint and may be loaded in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.reference.transformer.fold import DELETE, Folded


@dataclass(frozen=True)
class Group:
    """Rows that lack the same columns. `removes`: real deletes, by key, in a load of their own."""

    bitmap: int
    rows: Sequence[int]
    ops: Sequence[int]
    removes: bool = False


def group(folded: Folded, *, non_key_bitmap: int, soft_delete: bool) -> list[Group]:
    """The groups in a fixed order (by bitmap, real deletes last), so that a window sent again has the same parts."""
    if not folded.rows:
        return []
    removing = not soft_delete and DELETE in folded.ops
    if not removing and not any(folded.bitmaps):
        return [Group(0, folded.rows, folded.ops)]
    members: dict[tuple[bool, int], tuple[list[int], bytearray]] = {}
    for row, op, bitmap in zip(folded.rows, folded.ops, folded.bitmaps, strict=True):
        removes = removing and op == DELETE
        rows, ops = members.setdefault((removes, non_key_bitmap if removes else bitmap), ([], bytearray()))
        rows.append(row)
        ops.append(op)
    return [Group(bitmap, rows, ops, removes) for (removes, bitmap), (rows, ops) in sorted(members.items())]
