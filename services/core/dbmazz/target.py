"""How a source table looks in StarRocks: its name, its audit columns, the type and the codec of each column.

The loader makes DDL from this, the transformer makes JSON from it, and the comparison of source and target reads it; so
there is one table of types. Source of the StarRocks types: the Primary Key table and Stream Load pages; in short, key
columns may only be BOOLEAN, integers, VARCHAR, DATE or DATETIME, and VARBINARY takes raw bytes, not base64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from dbmazz.relation import Column, Relation, TypeFamily

OP_TYPE = "dbmazz_op_type"
IS_DELETED = "dbmazz_is_deleted"
SYNCED_AT = "dbmazz_synced_at"
CDC_VERSION = "dbmazz_cdc_version"

# Name and StarRocks type, in table order, behind the source's columns.
AUDIT_COLUMNS = (
    (OP_TYPE, "TINYINT"),
    (IS_DELETED, "BOOLEAN"),
    (SYNCED_AT, "DATETIME"),
    (CDC_VERSION, "BIGINT"),
)

MAX_VARCHAR = 1048576
STRING = 65533
_MAX_DECIMAL = 38


class Codec(Enum):
    """How PostgreSQL's text form becomes a JSON token."""

    # The text is a JSON number already: integers, numeric without NaN and infinities.
    NUMBER = "number"
    # As NUMBER, but NaN and infinities (numeric) have no place in the target: policy.
    DECIMAL = "decimal"
    # As DECIMAL, for float8.
    FLOAT = "float"
    # As FLOAT, for float4: its largest number in PostgreSQL's shortest text, 3.4028235e+38, read as a double is more
    # than a FLOAT holds, so it is written out.
    REAL = "real"
    # `t` and `f`.
    BOOL = "bool"
    # A JSON string of the text.
    TEXT = "text"
    # A JSON document, embedded as it is.
    JSON = "json"
    # `\x...` to base64 text, decoded by a `from_base64` mapping in the `columns` header.
    BYTEA = "bytea"
    # ISO date; BC, infinity and years beyond 9999: policy.
    DATE = "date"
    # ISO timestamp; the same policy.
    TIMESTAMP = "timestamp"
    # ISO timestamp in UTC (`+00` is cut off: StarRocks ignores zones silently); the same policy.
    TIMESTAMPTZ = "timestamptz"
    # An array literal to a JSON array, its elements by their own codec.
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class TargetType:
    """StarRocks type of a column, its codec, and for arrays the codec of the elements."""

    sql: str
    codec: Codec
    element: Codec | None = None


_SCALARS: dict[int, TargetType] = {
    16: TargetType("BOOLEAN", Codec.BOOL),
    17: TargetType("VARBINARY", Codec.BYTEA),
    19: TargetType("VARCHAR(256)", Codec.TEXT),  # name: 63 bytes, or 255 in a rebuilt server
    20: TargetType("BIGINT", Codec.NUMBER),
    21: TargetType("SMALLINT", Codec.NUMBER),
    23: TargetType("INT", Codec.NUMBER),
    25: TargetType(f"VARCHAR({MAX_VARCHAR})", Codec.TEXT),
    26: TargetType("BIGINT", Codec.NUMBER),  # oid, unsigned 32 bits
    28: TargetType("BIGINT", Codec.NUMBER),  # xid
    114: TargetType("JSON", Codec.JSON),
    142: TargetType(f"VARCHAR({MAX_VARCHAR})", Codec.TEXT),  # xml
    700: TargetType("FLOAT", Codec.REAL),
    701: TargetType("DOUBLE", Codec.FLOAT),
    1082: TargetType("DATE", Codec.DATE),
    1083: TargetType("VARCHAR(64)", Codec.TEXT),  # time: StarRocks cannot store TIME
    1114: TargetType("DATETIME", Codec.TIMESTAMP),
    1184: TargetType("DATETIME", Codec.TIMESTAMPTZ),
    1186: TargetType("VARCHAR(64)", Codec.TEXT),  # interval
    1266: TargetType("VARCHAR(64)", Codec.TEXT),  # timetz
    2950: TargetType("VARCHAR(36)", Codec.TEXT),
    3802: TargetType("JSON", Codec.JSON),
}
_NUMERIC, _BPCHAR, _VARCHAR = 1700, 1042, 1043
_TEXT = TargetType(f"VARCHAR({MAX_VARCHAR})", Codec.TEXT)
_KEYABLE = ("BOOLEAN", "SMALLINT", "INT", "BIGINT", "DATE", "DATETIME")
# Numbers inside a JSON column become doubles beyond 64-bit integers, so numeric elements travel as strings.
_ELEMENTS = {
    Codec.NUMBER: Codec.NUMBER,
    Codec.BOOL: Codec.BOOL,
    Codec.FLOAT: Codec.FLOAT,
    Codec.REAL: Codec.FLOAT,  # a double inside JSON, so no number is too large
    Codec.JSON: Codec.JSON,
}


_IMPOSSIBLE = re.compile(r"[`\x00-\x1f\x7f]")


def impossible(name: str) -> bool:
    """True for a name that StarRocks cannot have: it drops backticks, doubled or not, so that another object would be
    meant, and a control character ends a header."""
    return _IMPOSSIBLE.search(name) is not None


def target_table_name(schema: str, table: str) -> str:
    """`orders` for public.orders, `sales__orders` for sales.orders: two schemas never share a target table by rule.

    A table public.sales__orders beside sales.orders would; the reader refuses that pair at start.
    """
    return table if schema == "public" else f"{schema}__{table}"


def target_type(column: Column) -> TargetType:
    """The StarRocks type and codec of a column. Unknown types arrive as text, never as an error."""
    natural = _natural_type(column)
    if not column.key_position or natural.sql.startswith(("VARCHAR", *_KEYABLE)):
        return natural
    # numeric, float, bytea, json and array keys: StarRocks allows none of them in a primary key; their text is unique.
    return TargetType(f"VARCHAR({STRING})", Codec.TEXT)


def _natural_type(column: Column) -> TargetType:
    if column.family is TypeFamily.ARRAY:
        element = target_type(Column("", column.element_type_oid)).codec
        return TargetType("JSON", Codec.ARRAY, _ELEMENTS.get(element, Codec.TEXT))
    if column.family is TypeFamily.ENUM:
        return TargetType("VARCHAR(256)", Codec.TEXT)  # labels have at most 63 bytes, 255 in a rebuilt server
    if column.family is not TypeFamily.SCALAR:
        return _TEXT
    if column.oid == _NUMERIC:
        return _numeric(column.type_modifier)
    if column.oid in (_BPCHAR, _VARCHAR):
        return _character(column.type_modifier)
    return _SCALARS.get(column.oid, _TEXT)


def _numeric(modifier: int) -> TargetType:
    """numeric(p, s): atttypmod is ((p << 16) | (s as 11 bits, two's complement)) + 4."""
    if modifier >= 4:
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, ((modifier - 4) & 0x7FF ^ 0x400) - 0x400
        precision = max(precision - min(scale, 0), scale)  # negative scales and s > p need more digits
        if precision <= _MAX_DECIMAL:
            return TargetType(f"DECIMAL({precision},{max(scale, 0)})", Codec.DECIMAL)
    # Unbounded, or more than 38 digits: text keeps every digit, and NaN.
    return TargetType(f"VARCHAR({STRING})", Codec.TEXT)


def _character(modifier: int) -> TargetType:
    """char(n), varchar(n): atttypmod is n + 4, in characters; StarRocks counts bytes, up to four per character."""
    if modifier < 4:
        return _TEXT
    return TargetType(f"VARCHAR({min(4 * (modifier - 4), MAX_VARCHAR)})", Codec.TEXT)


def ordered_columns(relation: Relation) -> list[Column]:
    """Columns in the order of the target table: StarRocks wants the key first, in key order."""
    keys = [relation.columns[index] for index in relation.key_indices]
    return keys + [column for column in relation.columns if not column.key_position]
