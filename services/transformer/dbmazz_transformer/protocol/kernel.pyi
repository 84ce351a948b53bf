"""Signatures of the compiled kernel; the source is kernel.pyx."""

from collections.abc import Iterable, Sequence
from typing import Any

from dbmazz_transformer.protocol.layout import JsonColumn

class Rows:
    """The rows of one ChangeBatch, checked: nothing of it is believed that another field does not bear out.

    `byte_count`: bytes of the packed fields, what bounds on memory are counted in. `any_absent`: some image lacks a column.
    """

    row_count: int
    column_count: int
    byte_count: int
    any_absent: bool

    def __init__(self, batch: Any, column_count: int) -> None:
        """Takes the fields of a dbmazz.v1 ChangeBatch of kind ROWS; MalformedBatch names the first that does not fit."""

class Group:
    """Rows of a folded window that lack the same columns, each key once.

    `bitmap`: bit c is set when column c is absent. `removes`: real deletes, by key, in a load of their own. `rows`: their
    numbers through the batches of the window, ascending; `ops`: dbmazz_op_type of each (both for people and tests).
    """

    bitmap: int
    removes: bool
    row_count: int
    insert_count: int
    update_count: int
    delete_count: int
    rows: list[int]
    ops: bytes

    def commit_runs(self, limit: int) -> tuple[tuple[int, int], ...]:
        """(commit time in microseconds since 1970, rows of the group that were committed then), ascending.

        More than `limit` (2 at least) of them become one for each of as many equal spans of time, with the first time in it.
        """

class Folded:
    """A window after folding. `folded_count`: images that a later one of the same key has superseded."""

    folded_count: int
    groups: list[Group]

class Writer:
    """Writes rows of one layout as JSON."""

    def __init__(self, columns: Sequence[JsonColumn]) -> None:
        """`columns`: all of the relation, in the order of the packed rows."""

    def encode(self, group: Group, tails: tuple[bytes, bytes, bytes]) -> tuple[bytes, int]:
        """One JSON object and a newline per row, and how many values a declared policy has changed.

        `tails`: what follows a row's columns, by its dbmazz_op_type, beginning with a comma. Behind it comes the row's
        version as a number, but for a group that removes. EncodeError names the column of a value that is not of its type.
        """

def fold(batches: Iterable[Rows], key_indices: Iterable[int], *, non_key_bitmap: int, soft_delete: bool) -> Folded:
    """Folds the rows of a window per key, and groups them by the columns that they lack.

    The later image of a key wins column by column; a column that it lacks has the value of the last image in the window that
    has it. Keys are compared as PostgreSQL's text: that is what the target's key is made of. The groups come in a fixed order
    (by bitmap, real deletes last), so that a window that is sent again has the same parts. `non_key_bitmap` is the signature of
    rows that have nothing but their key. WireError for a row without key, or of an operation that nobody knows.
    """
