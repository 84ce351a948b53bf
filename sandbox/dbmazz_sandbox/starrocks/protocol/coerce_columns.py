"""Whole columns of JSON values: as they came where all look alike, else value by value."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dbmazz_sandbox.starrocks.protocol.coerce import FLOAT_MAX, Invalid, converter, text_of
from dbmazz_sandbox.starrocks.protocol.documents import Number
from dbmazz_sandbox.starrocks.types import INTEGER_BITS, Kind, Type

_DATE_COLUMN = re.compile(r"(?:\d{4}-\d\d-\d\d\n)*")
_DATETIME_COLUMN = re.compile(r"(?:\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?\n)*")


def coerce_column(kind: Type, values: Sequence[Any], *, exact: bool) -> tuple[Sequence[Any], dict[int, str]]:
    """All values of a column, None for NULL. Returns the stored values and, by row position, why a value does not
    fit (that value is None). Raises NeedsTokens."""
    types = set(map(type, values))
    types.discard(type(None))
    if not types:
        return values, {}
    if kind.kind is not Kind.JSON and (quick := _quick(kind, values, types)) is not None:
        return quick, {}
    one: Callable[[Type, Any], Any] = converter(kind, exact=exact)
    out: list[Any] = []
    bad: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            out.append(None if value is None else one(kind, value))
        except Invalid as error:
            out.append(None)
            bad[position] = str(error)
    return out, bad


def _quick(kind: Type, values: Sequence[Any], types: set[type]) -> Sequence[Any] | None:
    """The values themselves when every one is stored as it came; None when they need a look each."""
    if kind.kind is Kind.BOOLEAN:
        return values if types == {bool} else None
    present = values if None not in values else [value for value in values if value is not None]
    if kind.kind in INTEGER_BITS:
        if types != {int}:
            return None
        most = 1 << (INTEGER_BITS[kind.kind] - 1)
        return values if -most <= min(present) and max(present) < most else None
    if kind.kind in (Kind.FLOAT, Kind.DOUBLE):
        if types - {float, Number, int}:
            return None
        most_float = FLOAT_MAX if kind.kind is Kind.FLOAT else sys.float_info.max
        return values if -most_float <= min(present) and max(present) <= most_float else None
    if kind.kind is Kind.DECIMAL and types <= {str, int, Number}:
        if types == {str}:
            return values if _are_decimals(kind, present) else None
        texts = [value if value is None or type(value) is str else text_of(value) for value in values]
        return texts if _are_decimals(kind, [text for text in texts if text is not None]) else None
    if types != {str}:
        return None
    if kind.kind in (Kind.VARCHAR, Kind.CHAR):
        return values if _fit(present, kind.length) else None
    if kind.kind in (Kind.DATE, Kind.DATETIME):
        return values if _are_moments(kind, present) else None
    return None


def _fit(texts: Sequence[str], length: int) -> bool:
    longest = max(map(len, texts))
    if longest > length:
        return False
    joined = "".join(texts)
    if joined.isascii():
        return True
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return longest * 4 <= length


def _are_decimals(kind: Type, texts: Sequence[str]) -> bool:
    """Whether all are plain numbers of no more digits than the column has."""
    whole, scale = kind.precision - kind.scale, kind.scale
    fraction = rf"(?:\.\d{{1,{scale}}})?" if scale else ""
    pattern = rf"(?:-?\d{{1,{max(whole, 1)}}}{fraction}\n)*"
    return bool(whole) and re.fullmatch(pattern, "\n".join(texts) + "\n", re.ASCII) is not None


def _are_moments(kind: Type, texts: Sequence[str]) -> bool:
    """Whether all are dates or times in the usual form, and such days exist."""
    joined = "\n".join(texts) + "\n"
    pattern = _DATE_COLUMN if kind.kind is Kind.DATE else _DATETIME_COLUMN
    if not joined.isascii() or pattern.fullmatch(joined) is None:
        return False
    try:
        np.array(texts, dtype="datetime64[us]")
    except ValueError:
        return False  # the right shape but no such day: look at each
    return True
