"""Date patterns and units of StarRocks' date functions, as DuckDB's."""

from __future__ import annotations

import re

from dbmazz_sandbox.starrocks.errors import SqlError

# MySQL's letters after `%` to strftime's; the rest (%U, %u, %V, %v, %w, %X, %x, %D) has no counterpart.
_LETTERS = {
    "Y": "%Y", "y": "%y", "m": "%m", "c": "%-m", "d": "%d", "e": "%-d", "H": "%H", "k": "%-H", "h": "%I", "I": "%I",
    "l": "%-I", "i": "%M", "s": "%S", "S": "%S", "f": "%f", "p": "%p", "T": "%H:%M:%S", "r": "%I:%M:%S %p", "M": "%B",
    "b": "%b", "W": "%A", "a": "%a", "j": "%j", "%": "%%",
}  # fmt: skip
_JAVA = {"yyyyMMdd": "%Y%m%d", "yyyy-MM-dd": "%Y-%m-%d", "yyyy-MM-dd HH:mm:ss": "%Y-%m-%d %H:%M:%S"}
_PARSED = frozenset("YmdHisSTef")  # what str_to_date may hold: fixed meaning, no names
UNITS = {"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
_ADDERS = {"SECOND": "to_seconds", "MINUTE": "to_minutes", "HOUR": "to_hours", "DAY": "to_days", "WEEK": "to_weeks",
           "MONTH": "to_months", "YEAR": "to_years", "QUARTER": "to_quarters"}  # fmt: skip


def strftime_pattern(pattern: str, *, parsing: bool = False) -> str:
    """A DATE_FORMAT pattern for strftime, or a STR_TO_DATE one for strptime."""
    if pattern in _JAVA:
        return _JAVA[pattern]

    def letter(match: re.Match[str]) -> str:
        if match[1] not in _LETTERS or (parsing and match[1] not in _PARSED):
            raise SqlError.not_emulated(f"date pattern %{match[1]}")
        return "%-d" if parsing and match[1] == "e" else _LETTERS[match[1]]

    if re.search(r"%\Z", re.sub("%%", "", pattern)):
        raise SqlError.not_emulated("a date pattern that ends with %")
    return re.sub(r"%(.)", letter, pattern, flags=re.DOTALL)


def unit_of(text: str) -> str:
    """A unit's name as DuckDB spells it, lower case."""
    unit = text.upper().removesuffix("S") if text.upper() not in UNITS else text.upper()
    if unit not in UNITS:
        raise SqlError.not_emulated(f"date unit {text}")
    return unit.lower()


def adder_of(unit: str) -> str:
    """DuckDB's function that makes an interval of a number of units."""
    if unit.upper() not in _ADDERS:
        raise SqlError.not_emulated(f"INTERVAL … {unit.upper()}")
    return _ADDERS[unit.upper()]
