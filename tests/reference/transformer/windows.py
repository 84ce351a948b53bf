"""A window from ChangeBatches to bodies: once by the plain reference, once by the kernel, in the same shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from dbmazz.errors import WireError
from dbmazz.rows import ABSENT, NULL, PackedRows, unpack
from dbmazz_transformer.protocol import kernel
from dbmazz_transformer.protocol.layout import Layout

from tests.reference.transformer.encode import encode
from tests.reference.transformer.fold import DELETE, INSERT, UPDATE, fold
from tests.reference.transformer.grouping import group

Tails = tuple[bytes, bytes, bytes]


@dataclass(frozen=True)
class Part:
    """One load of a window. `ops` and `rows` run in parallel; `counts`: inserts, updates, deletes."""

    bitmap: int
    removes: bool
    rows: list[int]
    ops: list[int]
    counts: tuple[int, int, int]
    commit_runs: tuple[tuple[int, int], ...]
    body: bytes
    changed: int


def by_reference(
    batches: Sequence, layout: Layout, tails: Tails, *, soft_delete: bool = True
) -> tuple[int, list[Part]]:
    """How many rows were folded, and the parts; `batches` are dbmazz.v1 ChangeBatches."""
    packed = [unpack(batch, len(layout.relation.columns)) for batch in batches]
    for rows in packed:
        check_absent(rows)
    packed = [rows for rows in packed if rows.row_count]
    if not packed:
        return 0, []
    folded = fold(packed, layout.relation.key_indices)
    versions = list(chain.from_iterable(rows.versions() for rows in packed))
    runs = chain.from_iterable(zip(rows.commit_times, rows.run_row_counts, strict=True) for rows in packed)
    times = list(chain.from_iterable(repeat(time, count) for time, count in runs))
    parts = []
    for members in group(folded, non_key_bitmap=layout.non_key_bitmap, soft_delete=soft_delete):
        tail = [[tails[op] for op in members.ops]]
        if not members.removes:
            tail.append([b"%d" % versions[row] for row in members.rows])
        body, changed = encode(packed, members.rows, layout.present(members.bitmap), folded.patches, tail)
        ops = list(members.ops)
        parts.append(
            Part(
                members.bitmap,
                members.removes,
                list(members.rows),
                ops,
                (ops.count(INSERT), ops.count(UPDATE), ops.count(DELETE)),
                tuple(sorted(Counter(times[row] for row in members.rows).items())),
                body,
                changed,
            )
        )
    return folded.folded_count, parts


def by_kernel(batches: Sequence, layout: Layout, tails: Tails, *, soft_delete: bool = True) -> tuple[int, list[Part]]:
    """The same, compiled."""
    checked = [kernel.Rows(batch, len(layout.relation.columns)) for batch in batches]
    relation = layout.relation
    folded = kernel.fold(checked, relation.key_indices, non_key_bitmap=layout.non_key_bitmap, soft_delete=soft_delete)
    writer = kernel.Writer(layout.columns)
    return folded.folded_count, [
        Part(
            members.bitmap,
            members.removes,
            members.rows,
            list(members.ops),
            (members.insert_count, members.update_count, members.delete_count),
            members.commit_runs(1_000_000),
            *writer.encode(members, tails),
        )
        for members in folded.groups
    ]


def check_absent(rows: PackedRows) -> None:
    """WireError unless the absent bitmaps and the lengths tell the same."""
    columns = rows.column_count
    for row, bitmap in enumerate(rows.bitmaps):
        lengths = rows.lengths[row * columns : (row + 1) * columns]
        found = 0
        if min(lengths, default=NULL) == ABSENT:
            for column, length in enumerate(lengths):
                found |= (length == ABSENT) << column
        if found != bitmap:
            raise WireError(f"row {row} of a batch: its absent bitmap and its lengths do not tell the same columns")
