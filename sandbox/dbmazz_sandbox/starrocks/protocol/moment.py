"""StarRocks' reader of DATE and DATETIME text: lenient at the end, strict about ranges (starrocks.md 5)."""

from __future__ import annotations

import re

# Anything after a complete date or time is ignored: a time zone, "BC", digits beyond microseconds.
_SPLIT = re.compile(
    r"\s*(?P<year>\d{4}|\d{2})[^\w\s](?P<month>\d{1,2})[^\w\s](?P<day>\d{1,2})(?!\d)"
    r"(?:[ T]+(?P<hour>\d{1,2})(?:[^\w\s](?P<minute>\d{1,2})(?:[^\w\s](?P<second>\d{1,2})(?!\d)"
    r"(?:\.(?P<micro>\d{1,6}))?)?)?)?",
    re.ASCII,
)
_COMPACT = re.compile(
    r"\s*(?P<year>\d{4}|\d{2})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:T?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})(?:\.(?P<micro>\d{1,6}))?)?(?!\d)",
    re.ASCII,
)
_COMPACT_SHORT = re.compile(
    r"\s*(?P<year>\d{2})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})(?P<micro>))?(?!\d)",
    re.ASCII,
)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_moment(text: str) -> str | None:
    """`YYYY-MM-DD HH:MM:SS[.ffffff]`, or None when the text is no date StarRocks takes. The zone is not applied."""
    digits = len(re.match(r"\s*(\d*)", text, re.ASCII)[1])  # type: ignore[index]
    if digits >= 6:
        match = (_COMPACT_SHORT if digits in (6, 12) else _COMPACT).match(text)
    else:
        match = _SPLIT.match(text)
    if match is None:
        return None
    year, month, day = (int(match[name]) for name in ("year", "month", "day"))
    if len(match["year"]) == 2:
        year += 2000 if year < 70 else 1900
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1] + leap:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    micro = (match["micro"] or "").ljust(6, "0")
    fraction = f".{micro}" if int(micro) else ""
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}{fraction}"
