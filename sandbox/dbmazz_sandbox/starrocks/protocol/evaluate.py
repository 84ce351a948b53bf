"""Expressions of a load evaluated, a column at a time. NULL is None; what cannot be computed is NULL, as in SQL."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from dbmazz_sandbox.starrocks.protocol.coerce import JSON_LIMIT, Invalid, coerce_one
from dbmazz_sandbox.starrocks.protocol.expression import Call, Cast, Expression, Literal, Reference
from dbmazz_sandbox.starrocks.protocol.functions import FUNCTIONS, Json, Moment, compare, number, text, truth
from dbmazz_sandbox.starrocks.types import Kind, Type

Columns = Mapping[str, Sequence[Any]]


def evaluate(expression: Expression, target: Type, columns: Columns, count: int, now: dt.datetime) -> list[Any]:
    """`count` values as `target` stores them. `now` has the time zone of the load. Strict mode only looks at columns
    that no expression touches: a value that does not fit becomes NULL."""
    return [None if value is None else cast(target, value) for value in values_of(expression, columns, count, now)]


def values_of(expression: Expression, columns: Columns, count: int, now: dt.datetime) -> Sequence[Any]:
    if isinstance(expression, Literal):
        return [expression.value] * count
    if isinstance(expression, Reference):
        return columns[expression.name]
    if isinstance(expression, Cast):
        source = values_of(expression.source, columns, count, now)
        return [None if value is None else typed(expression.target, cast(expression.target, value)) for value in source]
    if expression.function in ("now", "current_timestamp"):
        return [Moment(f"{now:%Y-%m-%d %H:%M:%S}")] * count
    if expression.function == "utc_timestamp":
        return [Moment(f"{now.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}")] * count
    arguments = [values_of(argument, columns, count, now) for argument in expression.arguments]
    if expression.function == "from_unixtime":
        arguments.append([now.tzinfo] * count)
    return _call(expression, arguments)


def _call(call: Call, arguments: Sequence[Sequence[Any]]) -> list[Any]:
    if (special := _NULL_AWARE.get(call.function)) is not None:
        return [special(*row) for row in zip(*arguments, strict=True)]
    function = FUNCTIONS[call.function]
    if len(arguments) == 1:
        return [None if value is None else function(value) for value in arguments[0]]
    return [None if None in row else function(*row) for row in zip(*arguments, strict=True)]


def _and(left: Any, right: Any) -> bool | None:
    parts = (truth(left), truth(right))
    return False if False in parts else None if None in parts else True


def _or(left: Any, right: Any) -> bool | None:
    parts = (truth(left), truth(right))
    return True if True in parts else None if None in parts else False


def _between(value: Any, low: Any, high: Any) -> bool | None:
    """value >= low AND value <= high."""
    if value is None:
        return None
    over = None if low is None else compare(value, low)
    under = None if high is None else compare(value, high)
    return False if over == -1 or under == 1 else None if None in (over, under) else True


def _in(value: Any, *items: Any) -> bool | None:
    if value is None:
        return None
    found = [None if item is None else compare(value, item) for item in items]
    return True if 0 in found else None if None in found else False


def _same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is None and right is None
    return compare(left, right) == 0


def _null_if(left: Any, right: Any) -> Any:
    return None if left is not None and right is not None and compare(left, right) == 0 else left


_NULL_AWARE: dict[str, Callable[..., Any]] = {
    "and": _and, "or": _or, "in": _in, "between": _between, "<=>": _same, "nullif": _null_if,
    "isnull": lambda value: value is None, "isnotnull": lambda value: value is not None,
    "if": lambda condition, then, otherwise: then if truth(condition) else otherwise,
    "ifnull": lambda value, otherwise: otherwise if value is None else value,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
}  # fmt: skip


def typed(kind: Type, stored: Any) -> Any:
    """A stored value as expressions see it: text says what it is text of."""
    if stored is None:
        return None
    if kind.kind in (Kind.DATE, Kind.DATETIME):
        return Moment(stored)
    if kind.kind is Kind.DECIMAL:
        return Decimal(stored)
    return Json(stored) if kind.kind is Kind.JSON else stored


def cast(target: Type, value: Any) -> Any:
    """A value as `target` stores it, None when it does not fit."""
    kind = target.kind
    if kind is Kind.JSON:
        return str(value) if isinstance(value, Json) else _as_json(value)
    if isinstance(value, bytes):
        if kind is Kind.VARBINARY:
            return value
        value = value.decode("utf-8", "surrogateescape")
    if kind is Kind.VARBINARY:
        return text(value).encode("utf-8", "surrogateescape")
    if kind in (Kind.VARCHAR, Kind.CHAR):
        return text(value)
    if isinstance(value, Decimal):
        value = format(value, "f")
    if kind is Kind.BOOLEAN and isinstance(value, str) and (parsed := number(value)) is not None:
        return parsed != 0
    if isinstance(value, bool | float) and kind in _NUMBERS:
        value = int(value) if isinstance(value, bool) else value
    if isinstance(value, float) and kind is not Kind.DOUBLE and kind is not Kind.FLOAT:
        value = text(value) if kind is not Kind.BOOLEAN else value
    try:
        return coerce_one(target, value)
    except Invalid:
        return None


_NUMBERS = frozenset({Kind.TINYINT, Kind.SMALLINT, Kind.INT, Kind.BIGINT, Kind.LARGEINT, Kind.FLOAT, Kind.DOUBLE})


def _as_json(value: Any) -> str | None:
    """CAST(… AS JSON) and a text that lands in a JSON column."""
    return parse_json(value) if isinstance(value, str) else json.dumps(value if not isinstance(value, Decimal)
                                                                       else float(value))  # fmt: skip


_JSON_START = re.compile(r'\s*[{\["]')


def parse_json(given: str) -> Json | None:
    """Objects, arrays and quoted strings are parsed; any other text is a JSON string of its own (JsonValue::parse)."""
    if len(given.encode("utf-8", "surrogatepass")) > JSON_LIMIT:
        return None
    try:
        parsed = json.loads(given, parse_constant=_no_constant) if _JSON_START.match(given) else given
        return Json(coerce_one(Type(Kind.JSON), parsed))
    except (ValueError, RecursionError, Invalid):
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


FUNCTIONS["parse_json"] = lambda value: value if isinstance(value, Json) else parse_json(text(value))
