"""Rows as newline-delimited JSON, written column by column.

The tokens of each column are made in one go and woven into rows by zip and join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat

from dbmazz.rows import PackedRows
from dbmazz_transformer.protocol.layout import JsonColumn
from dbmazz_transformer.protocol.malformed import EncodeError

from tests.reference.transformer.cells import Picks, RowFinder, column_cells, pick
from tests.reference.transformer.codecs import Tokens, column_tokens

Patches = Mapping[int, Mapping[int, int]]

# A part of each row: the same bytes for all, or one token per row.
Part = bytes | Sequence[bytes]


def encode(
    batches: Sequence[PackedRows],
    rows: Sequence[int],
    columns: Sequence[JsonColumn],
    patches: Patches,
    tail: Sequence[Part],
) -> tuple[bytes, int]:
    """One JSON object and a newline per row, and how many values a policy has changed.

    `rows`: numbers of rows, ascending. `columns`: those that all of these rows carry. `patches`: row -> column -> the row
    that the value comes from instead. `tail`: what follows the columns in each object, e.g. `b',"x":'` and a list of
    tokens. Each value is copied twice at most: out of the batch, and into the body.
    """
    picks = pick(batches, rows)
    patched = _patched_cells(batches, rows, patches)
    parts: list[Part] = []
    constant, changed = b"{", 0
    for column in columns:
        tokens = _tokens(picks, column, patched.get(column.index, ()))
        changed += tokens.changed
        parts += (constant + column.key + (b'"' if tokens.quoted else b""), tokens.texts)
        constant = b'",' if tokens.quoted else b","
    # The comma behind the last column is the one in front of the tail.
    return _weave([*parts, constant.removesuffix(b","), *tail, b"}\n"]), changed


def _weave(parts: list[Part]) -> bytes:
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return b"".join(chain.from_iterable(zip(*[repeat(p) if isinstance(p, bytes) else p for p in merged], strict=False)))


def _tokens(picks: Picks, column: JsonColumn, patched: Sequence[tuple[int, bytes | None]]) -> Tokens:
    cells, any_null = column_cells(picks, column.index)
    for position, value in patched:
        cells[position] = value
        any_null |= value is None
    try:
        return column_tokens(cells, any_null, column.kind)
    except (ValueError, KeyError, IndexError):
        # Without `from`: the error behind it may hold the value.
        raise EncodeError(column.name, column.kind.codec.value) from None


def _patched_cells(
    batches: Sequence[PackedRows], rows: Sequence[int], patches: Patches
) -> dict[int, list[tuple[int, bytes | None]]]:
    """column -> (position in `rows`, value) for the cells that come from another row."""
    by_column: dict[int, list[tuple[int, bytes | None]]] = {}
    if patches:
        finder = RowFinder(batches)
        for position, row in enumerate(rows):
            for column, source in patches.get(row, {}).items():
                by_column.setdefault(column, []).append((position, finder.cell(source, column)))
    return by_column
