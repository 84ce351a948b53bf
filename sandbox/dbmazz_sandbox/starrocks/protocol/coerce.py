"""JSON values into column values, one by one (starrocks.md 5).

A stored value is: bool, int, float, str (text; canonical text for DECIMAL, DATE, DATETIME, JSON and
nested values), bytes
(VARBINARY), None (NULL).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import orjson

from dbmazz_sandbox.starrocks.protocol.documents import Number
from dbmazz_sandbox.starrocks.protocol.moment import parse_moment
from dbmazz_sandbox.starrocks.protocol.numbers import double_text, float_text
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind, Type

JSON_LIMIT = 16 << 20  # kJSONLengthLimit: text cast to JSON; native JSON values are not measured
FLOAT_MAX = 3.4028234663852886e38
_json_text = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_NUMERIC = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_ROUNDING = Context(prec=200, rounding=ROUND_HALF_UP)


class Invalid(Exception):
    """A value that the column cannot take. `{c}` in the message stands for the column's name."""


class NeedsTokens(Exception):
    """The quick reader lost something this column needs: read the rows exactly and come again."""


def text_of(value: Any) -> str:
    """A JSON value as the text a VARCHAR column stores."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Number):
        return value.raw
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        raise NeedsTokens
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _boolean(kind: Type, value: Any) -> bool:
    if isinstance(value, (bool, int, float)):
        return value != 0
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in ("true", "false"):
            return lowered == "true"
        if _INTEGER.fullmatch(value) and -(1 << 31) <= int(value) < 1 << 31:
            return int(value) != 0
        raise Invalid(f"Failed to parse string value as boolean. column={{c}}, value={value}")
    raise Invalid(f"Unsupported value type to boolean. column={{c}}, type={_json_type(value)}")


def _integer(kind: Type, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Invalid("Unsupported value type. Numeric type is required. column={c}")
    most = 1 << (INTEGER_BITS[kind.kind] - 1)
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            number = int(value)
        elif _NUMERIC.fullmatch(value) and math.isfinite(float(value)):
            number = int(float(value))
        else:
            raise Invalid(f"Unable to cast string value to BIGINT. value={value}, column={{c}}")
    elif isinstance(value, float):
        if not isinstance(value, Number) and abs(value) >= 2.0**63:
            raise NeedsTokens  # an integer beyond the 64-bit range, or a number written with a fraction?
        number = int(value) if math.isfinite(value) else most
    else:
        number = value
    if not -most <= number < most:
        raise Invalid(f"Value is overflow. column={{c}}, value={value}")
    return number


def _largeint(kind: Type, value: Any) -> int:
    text = text_of(value)
    if not _INTEGER.fullmatch(text):
        raise Invalid(f"Value '{text}' is out of range. The type of '{{c}}' is LARGEINT")
    number = int(text)
    if not -(1 << 127) <= number < 1 << 127:
        raise Invalid(f"Value '{text}' is out of range. The type of '{{c}}' is LARGEINT")
    return number


def _floating(kind: Type, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Invalid("Unsupported value type. Numeric type is required. column={c}")
    if isinstance(value, str):
        lowered = value.strip().lower()
        for prefix, special in (("nan", math.nan), ("inf", math.inf), ("+inf", math.inf), ("-inf", -math.inf)):
            if lowered.startswith(prefix):
                return special
        if not _NUMERIC.fullmatch(value):
            raise Invalid(f"Unable to cast string value to BIGINT. value={value}, column={{c}}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number) or (kind.kind is Kind.FLOAT and abs(number) > FLOAT_MAX):
        raise Invalid(f"Value is overflow. column={{c}}, value={value}")
    return number


def _decimal(kind: Type, value: Any) -> str:
    text = text_of(value)
    if not _NUMERIC.fullmatch(text):
        raise Invalid(f"Value '{text}' is out of range. The type of '{{c}}' is {kind.debug}")
    exponent = Decimal(1).scaleb(-kind.scale)
    number = Decimal(text.strip())
    if number.adjusted() <= 80:
        number = number.quantize(exponent, context=_ROUNDING)
    if abs(number) >= Decimal(10) ** (kind.precision - kind.scale):
        raise Invalid(f"Decimal '{text}' is out of range. The type of '{{c}}' is {kind.debug}'")
    return format(number, "f")


def byte_length(text: str) -> int:
    try:
        return len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("Failed to parse value as string, column={c}: invalid surrogate") from None


def _text(kind: Type, value: Any) -> str:
    text = text_of(value)
    if byte_length(text) > kind.length:
        raise Invalid(f"Value length is beyond the capacity. column={{c}}, capacity={kind.length}")
    return text


def _binary(kind: Type, value: Any) -> bytes:
    raw = text_of(value).encode("utf-8", "surrogatepass")
    if len(raw) > kind.length:
        raise Invalid(f"Value length is beyond the capacity. column={{c}}, capacity={kind.length}")
    return raw


def _date(kind: Type, value: Any) -> str:
    moment = parse_moment(text_of(value))
    if moment is None:
        raise Invalid(f"Value '{text_of(value)}' is out of range. The type of '{{c}}' is {kind.kind}")
    return moment[:10] if kind.kind is Kind.DATE else moment


def _json(kind: Type, value: Any) -> str:
    """Canonical text, as SELECT prints it. Integers of 64 bits stay exact, all other numbers become doubles: what
    orjson reads, and what the exact reader's values become by going through it once more."""
    try:
        return _json_text(value)
    except UnicodeEncodeError as error:
        raise _no_json(value, error) from error


def _exact_json(kind: Type, value: Any) -> str:
    try:
        return _json_text(orjson.loads(json.dumps(value)))
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise _no_json(value, error) from error


def _no_json(value: Any, error: Exception) -> Invalid:
    """The raw text is cut at 1 KB, as a BE does it."""
    return Invalid(f"Failed to convert simdjson value, json={json.dumps(value)[:1024]}, error={error}")


def _array(kind: Type, value: Any) -> str:
    if not isinstance(value, list):
        raise Invalid("Failed to parse value as array, column={c}")
    assert kind.item is not None
    return "[" + ",".join(_element(kind.item, item) for item in value) + "]"


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"Expected value type [object], got [{_json_type(value)}]")
    return value


def _map(kind: Type, value: Any) -> str:
    assert kind.key is not None and kind.item is not None
    pairs = ((_element(kind.key, key), _element(kind.item, item)) for key, item in _object(value).items())
    return "{" + ",".join(f"{key}:{item}" for key, item in dict(pairs).items()) + "}"


def _struct(kind: Type, value: Any) -> str:
    """By field name; keys that are no field are dropped, fields that are no key are NULL."""
    given = _object(value)
    fields = (f"{json.dumps(name)}:{_element(field, given.get(name))}" for name, field in kind.fields)
    return "{" + ",".join(fields) + "}"


def _json_type(value: Any) -> str:
    kinds = {str: "string", bool: "boolean", list: "array", dict: "object", type(None): "null"}
    return kinds.get(type(value), "number")


def _element(kind: Type, value: Any) -> str:
    """An element of a nested value as printed; one that does not fit becomes null, in strict mode too."""
    if value is None:
        return "null"
    try:
        stored = coerce_one(kind, value)
    except Invalid:
        return "null"
    return element_text(kind, stored)


def element_text(kind: Type, stored: Any) -> str:
    """A stored value as it is printed inside a nested one."""
    if kind.kind is Kind.BOOLEAN:
        return "1" if stored else "0"
    if kind.kind in (Kind.FLOAT, Kind.DOUBLE):
        return double_text(stored) if kind.kind is Kind.DOUBLE else float_text(stored)
    if kind.kind in (Kind.VARCHAR, Kind.CHAR, Kind.DATE, Kind.DATETIME):
        return json.dumps(stored, ensure_ascii=False)
    if kind.kind is Kind.VARBINARY:
        return json.dumps(stored.decode("utf-8", "replace"), ensure_ascii=False)
    return str(stored)


_ONE: dict[Kind, Callable[[Type, Any], Any]] = {
    Kind.BOOLEAN: _boolean, Kind.LARGEINT: _largeint, Kind.FLOAT: _floating, Kind.DOUBLE: _floating,
    Kind.DECIMAL: _decimal, Kind.CHAR: _text, Kind.VARCHAR: _text, Kind.VARBINARY: _binary, Kind.DATE: _date,
    Kind.DATETIME: _date, Kind.JSON: _exact_json, Kind.ARRAY: _array, Kind.MAP: _map, Kind.STRUCT: _struct,
}  # fmt: skip


def coerce_one(kind: Type, value: Any) -> Any:
    """One JSON value (not None) as the column stores it; raises Invalid, or NeedsTokens for a plain float."""
    return _ONE.get(kind.kind, _integer)(kind, value)


def converter(kind: Type, *, exact: bool) -> Callable[[Type, Any], Any]:
    """What converts one value of this type; `exact` tells that every number with a fraction is a Number."""
    if kind.kind is Kind.JSON and not exact:
        return _json
    return _ONE.get(kind.kind, _integer)
