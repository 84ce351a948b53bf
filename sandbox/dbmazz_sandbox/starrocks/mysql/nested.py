"""Stored ARRAYs, which are kept as their printed text, as lists for array functions."""

from __future__ import annotations

from sqlglot import exp

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.functions import call
from dbmazz_sandbox.starrocks.types import Kind, Type

# Element types whose printed form is JSON's. Texts are printed without escapes, so their lists cannot be read back.
_READABLE = frozenset({Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.DOUBLE, Kind.FLOAT})


def as_list(kind: Type, column: exp.Expression) -> exp.Expression:
    """Raises SqlError for element types that cannot be read back."""
    if kind.item is None or kind.item.kind not in _READABLE:
        raise SqlError.not_emulated(f"operations on columns of type {kind.upper}")
    return call("from_json", exp.cast(column, exp.DType.JSON), exp.Literal.string(f'["{kind.item.physical}"]'))
