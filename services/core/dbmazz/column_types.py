"""StarRocks column types: read from DDL or information_schema, and compared.

Source: the type pages and ALTER TABLE page of StarRocks; information_schema shows BOOLEAN as `tinyint(1)`, LARGEINT as
`bigint(20) unsigned`, and decimals with their storage width (`decimal64(12, 2)`) in some versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"^([a-z_0-9]+)\s*(?:\(\s*([\d\s,]+)\))?\s*(unsigned)?$", re.IGNORECASE)
_INTEGERS = ("TINYINT", "SMALLINT", "INT", "BIGINT", "LARGEINT")
_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INT": 10, "BIGINT": 19, "LARGEINT": 38}
_ALIASES = {"INTEGER": "INT", "BOOL": "BOOLEAN", "BINARY": "VARBINARY", "NUMERIC": "DECIMAL"}
_STRING = 65533
_MAX_DECIMAL = 38
# Longest text, in bytes, that a value of these types is loaded as.
_AS_TEXT = {
    "TINYINT": 4,
    "SMALLINT": 6,
    "INT": 11,
    "BIGINT": 20,
    "LARGEINT": 40,
    "DECIMAL": 41,
    "FLOAT": 32,
    "DOUBLE": 32,
    "DATE": 10,
    "DATETIME": 26,
    "JSON": _STRING,
}


@dataclass(frozen=True, slots=True)
class SqlType:
    """A type without storage width: `base` in upper case, and length, or precision and scale."""

    base: str
    arguments: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.base}({','.join(map(str, self.arguments))})" if self.arguments else self.base


def parse_type(text: str) -> SqlType:
    """Reads `varchar(65533)`, `decimal64(12, 2)`, `tinyint(1)`, `bigint(20) unsigned`; what is nested stays as it is."""
    match = _TEXT.match(text.strip())
    if match is None:
        return SqlType(text.strip().upper())
    base, numbers, unsigned = match[1].upper(), match[2], match[3]
    arguments = tuple(int(number) for number in numbers.split(",")) if numbers else ()
    if base == "TINYINT" and arguments == (1,):
        return SqlType("BOOLEAN")
    if base == "BIGINT" and unsigned:
        return SqlType("LARGEINT")
    if re.fullmatch(r"DECIMAL(V2|V3|\d+)", base):
        base = "DECIMAL"
    elif base in ("STRING", "TEXT"):
        return SqlType("VARCHAR", (_STRING,))
    base = _ALIASES.get(base, base)
    if base == "DECIMAL":
        return SqlType(base, (*arguments, 0)[:2] if arguments else (10, 0))
    # Display widths of integers mean nothing, and every VARBINARY of dbmazz has the same, largest length.
    return SqlType(base, arguments if base in ("VARCHAR", "CHAR") else ())


def fits(wanted: SqlType, existing: SqlType) -> bool:
    """True when a column of the existing type holds every value of the wanted one, as Stream Load writes it."""
    if wanted == existing:
        return True
    match wanted.base, existing.base:
        case ("VARCHAR", "VARCHAR"):
            return existing.arguments >= wanted.arguments
        case ("DECIMAL", "DECIMAL"):
            return _merged(wanted, existing) == existing
        case ("FLOAT", "DOUBLE") | ("DATE", "DATETIME"):
            return True
        case ("DECIMAL", base) if base in _INTEGERS:
            return wanted.arguments[1] == 0 and wanted.arguments[0] < _DIGITS[base]
        case (base, "DECIMAL") if base in _INTEGERS:
            return existing.arguments[0] - existing.arguments[1] >= _DIGITS[base]
        case (base, "VARCHAR") if base in _AS_TEXT:
            return existing.arguments[0] >= _AS_TEXT[base]
        case (base, other) if base in _INTEGERS and other in _INTEGERS:
            return _INTEGERS.index(other) >= _INTEGERS.index(base)
    return False


def widened(wanted: SqlType, existing: SqlType) -> SqlType | None:
    """The type to which StarRocks can MODIFY the existing column so that it fits; None when there is none.

    Only changes that keep every stored value: smaller to larger integer, FLOAT to DOUBLE, longer VARCHAR, wider DECIMAL.
    """
    match wanted.base, existing.base:
        case ("VARCHAR", "VARCHAR" | "CHAR"):
            return SqlType("VARCHAR", max(wanted.arguments, existing.arguments))
        case ("DECIMAL", "DECIMAL"):
            merged = _merged(wanted, existing)
            return merged if merged.arguments[0] <= _MAX_DECIMAL else None
        case ("DOUBLE", "FLOAT"):
            return wanted
        case (base, other) if base in _INTEGERS and other in _INTEGERS:
            return wanted
    return None


def _merged(one: SqlType, other: SqlType) -> SqlType:
    """The narrowest decimal that holds both: digits before the point, and digits behind it."""
    scale = max(one.arguments[1], other.arguments[1])
    whole = max(one.arguments[0] - one.arguments[1], other.arguments[0] - other.arguments[1])
    return SqlType("DECIMAL", (whole + scale, scale))
