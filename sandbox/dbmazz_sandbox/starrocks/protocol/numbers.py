"""How StarRocks prints floating-point numbers, dates and decimals as text."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np


def double_text(value: float) -> str:
    """Shortest text that reads back as the same double; whole numbers without a fraction."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value)) if value or math.copysign(1, value) > 0 else "-0"
    return repr(value).replace("e+", "e")


def float_text(value: float) -> str:
    """Like `double_text`, for a value of single precision."""
    if math.isfinite(value) and (value != int(value) or abs(value) >= 1e7):
        return str(np.float32(value)).removesuffix(".0").replace("e+", "e")
    return double_text(value)


def decimal_text(value: Decimal) -> str:
    return format(value, "f")


def datetime_text(value: dt.datetime | str) -> str:
    """`YYYY-MM-DD HH:MM:SS`, with six fraction digits when there are any. DuckDB hands out years that Python lacks as
    text: year 0 is "0001-… (BC)" there."""
    if isinstance(value, str):
        value = year_zero(value)
        return value if "." not in value else f"{value:0<26}"
    text = f"{value.year:04d}-{value:%m-%d %H:%M:%S}"
    return text if not value.microsecond else f"{text}.{value.microsecond:06d}"


def date_text(value: dt.date | str) -> str:
    return year_zero(value) if isinstance(value, str) else value.isoformat()


def year_zero(text: str) -> str:
    if " (BC)" not in text:
        return text
    return f"{1 - int(text[:4]):04d}" + text[4:].replace(" (BC)", "")
