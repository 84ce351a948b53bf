"""Source text and target bytes of one column, brought to values that are equal exactly when replication was right.

The expected side applies the declared policies (NaN, infinities, BC dates and years beyond 9999 arrive as NULL), so a
value that a policy changed is no difference, and one that was changed without a policy is. Nothing here is shared with
the transformer's encoders: it is the second opinion.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from dbmazz.relation import Column
from dbmazz.target import Codec, target_type

from dbmazz_cli.array_literal import parse_array

_BOX = 603
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_PLAIN_DATE = re.compile(r"\d{4}-\d\d-\d\d(?!.* BC$)")
_BOOLEANS = {"t": True, "f": False, "1": True, "0": False, "true": True, "false": False}


class _Unreadable:
    """Stands for a target value that its type cannot be: differs from everything."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


UNREADABLE = _Unreadable()


@dataclass(frozen=True)
class Comparable:
    """How one column is compared. Both functions give the same kind of value; None is NULL."""

    name: str
    # From PostgreSQL's text.
    expected: Callable[[str], Any]
    # From the text that the MySQL port sends, decoded; VARBINARY and text columns get the bytes themselves.
    found: Callable[[bytes], Any]
    # True where equal bytes are equal values, so that large documents need not be parsed.
    same_text: bool

    def expect(self, text: str | None) -> Any:
        """The value that the target must hold."""
        return None if text is None else self.expected(text)

    def find(self, raw: bytes | None) -> Any:
        """The value that the target holds; UNREADABLE when its text does not fit the type."""
        if raw is None:
            return None
        try:
            return self.found(raw)
        except (ValueError, ArithmeticError):
            return UNREADABLE

    def equal(self, text: str | None, raw: bytes | None) -> bool:
        """True when the target's value is what the source's must become."""
        if self.same_text and text is not None and raw is not None and text.encode() == raw:
            return True
        return self.expect(text) == self.find(raw)


def comparable(column: Column) -> Comparable:
    """The comparison for a column, by its codec in the target."""
    kind = target_type(column)
    if kind.codec is Codec.ARRAY:
        element = _elements(kind.element or Codec.TEXT)
        delimiter = ";" if column.element_type_oid == _BOX else ","
        return Comparable(column.name, lambda text: _canonical(parse_array(text, element, delimiter)), _document, False)
    expected, found = _CODECS[kind.codec]
    return Comparable(column.name, expected, found, kind.codec is Codec.JSON)


def _decimal(raw: bytes | str) -> Decimal:
    try:
        return Decimal(raw.decode() if isinstance(raw, bytes) else raw)
    except InvalidOperation:
        raise ValueError("not a decimal") from None


def _expected_decimal(text: str) -> Decimal | None:
    return None if text in _NOT_FINITE else _decimal(text)


def _expected_float(text: str) -> float | None:
    """Both sides print the shortest text that reads back as the same double, so the doubles must be equal."""
    return None if text in _NOT_FINITE else float(text)


def _float4(raw: bytes | str) -> float:
    """The nearest single-precision number: the target may print one with the digits of a double."""
    return struct.unpack("f", struct.pack("f", float(raw)))[0]


def _expected_float4(text: str) -> float | None:
    return None if text in _NOT_FINITE else _float4(text)


def _expected_date(text: str) -> str | None:
    return text if _PLAIN_DATE.match(text) else None


def _expected_timestamp(text: str) -> str | None:
    return _moment(text) if _PLAIN_DATE.match(text) else None


def _expected_timestamptz(text: str) -> str | None:
    """The session is in UTC, so the offset is always +00."""
    return _expected_timestamp(text.removesuffix("+00")) if text.endswith("+00") else None


def _moment(text: str) -> str:
    """Without the fraction's trailing zeros, which PostgreSQL leaves out and the target may print."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _canonical(value: Any) -> str | None:
    """A JSON document as text that is equal for equal documents: sorted keys, one spelling per number.

    JSON null is NULL: StarRocks makes no difference at the top of a JSON column.
    """
    return None if value is None else json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**64:
        return int(value)
    return value


def _json_integer(text: str) -> int | float:
    """StarRocks keeps 64-bit integers exactly and makes doubles of larger ones."""
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(text)


def _document(text: bytes | str) -> str | None:
    return _canonical(json.loads(text, parse_int=_json_integer))


def _elements(codec: Codec) -> Callable[[str], Any]:
    return {
        Codec.NUMBER: _json_integer,
        Codec.FLOAT: _array_float,
        Codec.BOOL: _BOOLEANS.__getitem__,
        Codec.JSON: lambda text: json.loads(text, parse_int=_json_integer),
    }.get(codec, str)


def _array_float(text: str) -> float | None:
    """An element of a JSON array is a double, also where the source has float4."""
    number = float(text)
    return number if math.isfinite(number) else None


def _expected_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("\\x"))


def _boolean(raw: bytes | str) -> bool:
    word = raw.decode() if isinstance(raw, bytes) else raw
    if word not in _BOOLEANS:
        raise ValueError("not a boolean")
    return _BOOLEANS[word]


# Codec -> (expected, found).
_CODECS: dict[Codec, tuple[Callable[[str], Any], Callable[[bytes], Any]]] = {
    Codec.NUMBER: (int, int),
    Codec.DECIMAL: (_expected_decimal, _decimal),
    Codec.FLOAT: (_expected_float, float),
    Codec.REAL: (_expected_float4, _float4),
    Codec.BOOL: (_boolean, _boolean),
    Codec.TEXT: (str.encode, bytes),
    Codec.JSON: (_document, _document),
    Codec.BYTEA: (_expected_bytes, bytes),
    Codec.DATE: (_expected_date, bytes.decode),
    Codec.TIMESTAMP: (_expected_timestamp, lambda raw: _moment(raw.decode())),
    Codec.TIMESTAMPTZ: (_expected_timestamptz, lambda raw: _moment(raw.decode())),
}
