"""CAST as StarRocks does it: what cannot be converted is NULL, fractions are cut off (BE cast_expr, string_parser)."""

from __future__ import annotations

from sqlglot import exp

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.functions import call

_INTEGERS = {exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.INT128}
_TEXTS = {exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.NVARCHAR}
_MOMENTS = {exp.DType.DATETIME, exp.DType.TIMESTAMP}


def cast(value: exp.Expression, to: exp.DataType) -> exp.Expression:
    """Raises SqlError for a type that is not emulated."""
    kind = to.this
    if kind in _TEXTS:
        if not to.expressions:
            return call("sr_text", value)
        return call("sr_bounded", value, to.expressions[0].this)
    if kind in _INTEGERS:
        return exp.TryCast(this=call("sr_whole", value), to=to)
    if kind is exp.DType.BOOLEAN:
        return call("sr_bool", value)
    if kind in (exp.DType.DOUBLE, exp.DType.FLOAT):
        return exp.TryCast(this=call("sr_double", value), to=exp.DataType(this=kind))
    if kind is exp.DType.DECIMAL:
        return exp.TryCast(this=value, to=_decimal(to))
    if kind is exp.DType.DATE:
        return call("sr_date", value)
    if kind in _MOMENTS:
        return call("sr_ts", value)
    if kind is exp.DType.JSON:
        return _json(value)
    if kind in (exp.DType.VARBINARY, exp.DType.BINARY):
        return call("sr_bytes", value)
    if kind is exp.DType.ARRAY:
        return exp.TryCast(this=value, to=to)
    raise SqlError.not_emulated(f"CAST AS {to.sql('starrocks')}")


def _decimal(to: exp.DataType) -> exp.DataType:
    numbers = [int(parameter.name) for parameter in to.expressions] or [9, 0]
    precision, scale = (*numbers, 0)[:2]
    if not 1 <= precision <= 38 or scale > precision:
        raise SqlError.not_emulated(f"CAST AS DECIMAL({precision}, {scale})")
    return exp.DataType.build(f"DECIMAL({precision}, {scale})", dialect="duckdb")


def _json(value: exp.Expression) -> exp.Expression:
    """CAST(text AS JSON) parses a text, as parse_json does."""
    return call("sr_j", call("sr_text", value)) if isinstance(value, exp.Literal) else call("sr_j", value)
