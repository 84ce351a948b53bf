"""StarRocks column types: how they are declared, printed, stored and measured."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    BOOLEAN = "BOOLEAN"
    TINYINT = "TINYINT"
    SMALLINT = "SMALLINT"
    INT = "INT"
    BIGINT = "BIGINT"
    LARGEINT = "LARGEINT"
    FLOAT = "FLOAT"
    DOUBLE = "DOUBLE"
    DECIMAL = "DECIMAL"
    CHAR = "CHAR"
    VARCHAR = "VARCHAR"
    DATE = "DATE"
    DATETIME = "DATETIME"
    JSON = "JSON"
    VARBINARY = "VARBINARY"
    ARRAY = "ARRAY"
    MAP = "MAP"
    STRUCT = "STRUCT"


STRING_LENGTH = 65533  # STRING is an alias of VARCHAR(65533)
MAX_VARCHAR = 1048576  # FE max_varchar_length
INTEGER_BITS = {Kind.TINYINT: 8, Kind.SMALLINT: 16, Kind.INT: 32, Kind.BIGINT: 64, Kind.LARGEINT: 128}
# MERGE_TYPES: what merge_condition may name (starrocks.md 2.4); KEY_TYPES: what a primary key may hold (6).
MERGE_TYPES = frozenset(INTEGER_BITS) | {
    Kind.DECIMAL, Kind.FLOAT, Kind.DOUBLE, Kind.DATE, Kind.DATETIME, Kind.BOOLEAN,
}  # fmt: skip
NESTED = frozenset({Kind.ARRAY, Kind.MAP, Kind.STRUCT})
DECIMAL128_DIGITS = 38  # more are a DECIMAL256, from 4.0 on
KEY_TYPES = frozenset(INTEGER_BITS) | {Kind.BOOLEAN, Kind.VARCHAR, Kind.DATE, Kind.DATETIME}

_DISPLAY = {Kind.TINYINT: "tinyint(4)", Kind.SMALLINT: "smallint(6)", Kind.INT: "int(11)",
            Kind.BIGINT: "bigint(20)", Kind.LARGEINT: "largeint(40)"}  # fmt: skip
_PHYSICAL = {Kind.INT: "INTEGER", Kind.LARGEINT: "HUGEINT", Kind.CHAR: "VARCHAR", Kind.DATETIME: "TIMESTAMP",
             Kind.VARBINARY: "BLOB", Kind.ARRAY: "VARCHAR", Kind.MAP: "VARCHAR", Kind.STRUCT: "VARCHAR"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Type:
    """A declared type. `length` is in bytes (CHAR, VARCHAR, VARBINARY), `item` is the element of an ARRAY or the value
    of a MAP, `key` the key of a MAP, `fields` the names and types of a STRUCT."""

    kind: Kind
    length: int = 0
    precision: int = 0
    scale: int = 0
    item: Type | None = None
    key: Type | None = None
    fields: tuple[tuple[str, Type], ...] = ()

    def __str__(self) -> str:
        """As `SHOW CREATE TABLE` prints it, lower case."""
        if self.kind in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY):
            plain_binary = self.kind is Kind.VARBINARY and self.length == MAX_VARCHAR
            return "varbinary" if plain_binary else f"{self.kind.lower()}({self.length})"
        if self.kind is Kind.DECIMAL:
            return f"decimal({self.precision}, {self.scale})"
        if self.kind is Kind.ARRAY:
            return f"array<{self.item}>"
        if self.kind is Kind.MAP:
            return f"map<{self.key},{self.item}>"
        if self.kind is Kind.STRUCT:
            return f"struct<{', '.join(f'{name} {kind}' for name, kind in self.fields)}>"
        return _DISPLAY.get(self.kind, self.kind.lower())

    @property
    def upper(self) -> str:
        """As error messages of ALTER TABLE print it: `VARCHAR(10)`, `INT`, `DECIMAL64(10,2)`."""
        if self.kind is Kind.DECIMAL:
            width = 32 if self.precision <= 9 else 64 if self.precision <= 18 else 128 if self.precision <= 38 else 256
            return f"DECIMAL{width}({self.precision},{self.scale})"
        if self.kind in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY):
            return f"{self.kind.value}({self.length})"
        return f"ARRAY<{self.item.upper}>" if self.item is not None else self.kind.value

    @property
    def column_type(self) -> str:
        """information_schema.columns.COLUMN_TYPE: MySQL's spelling for what MySQL has no name for."""
        special = {Kind.BOOLEAN: "tinyint(1)", Kind.LARGEINT: "bigint(20) unsigned"}
        return special.get(self.kind, str(self))

    @property
    def data_type(self) -> str:
        """information_schema.columns.DATA_TYPE."""
        special = {Kind.BOOLEAN: "tinyint", Kind.LARGEINT: "bigint unsigned"}
        return special.get(self.kind, self.kind.lower())

    @property
    def debug(self) -> str:
        """As a BE names the type in its messages."""
        if self.kind is Kind.DECIMAL:
            widths = ((9, 32), (18, 64), (DECIMAL128_DIGITS, 128), (76, 256))
            width = next(bits for digits, bits in widths if self.precision <= digits)
            return f"DECIMAL{width}({self.precision},{self.scale})"
        if self.kind in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY):
            return f"{self.kind}({self.length})"
        if self.kind is Kind.ARRAY and self.item is not None:
            return f"ARRAY<{self.item.debug}>"
        if self.kind is Kind.MAP and self.item is not None and self.key is not None:
            return f"MAP<{self.key.debug}, {self.item.debug}>"
        if self.kind is Kind.STRUCT:
            return "STRUCT{" + ", ".join(f"{name} {kind.debug}" for name, kind in self.fields) + "}"
        return self.kind.value

    @property
    def physical(self) -> str:
        """The DuckDB type. Nested types are kept as their printed text: DuckDB turns the update of a LIST column into
        a delete and an insert, which its primary key index then refuses inside one transaction. So are decimals that
        are too wide for DuckDB."""
        if self.kind is Kind.DECIMAL and self.precision > DECIMAL128_DIGITS:
            return "VARCHAR"
        if self.kind is Kind.DECIMAL:
            return f"DECIMAL({self.precision},{self.scale})"
        return _PHYSICAL.get(self.kind, self.kind.value)

    @property
    def zero(self) -> str:
        """SQL literal that a partial update stores in a NOT NULL column without default (starrocks.md 2.3)."""
        if self.kind in (Kind.CHAR, Kind.VARCHAR):
            return "''"
        if self.kind is Kind.VARBINARY:
            return "''::BLOB"
        if self.kind is Kind.DATE:
            return "DATE '1970-01-01'"
        if self.kind is Kind.DATETIME:
            return "TIMESTAMP '1970-01-01 00:00:00'"
        if self.kind is Kind.JSON:
            return "'null'::JSON"
        if self.kind in NESTED:
            return "'[]'" if self.kind is Kind.ARRAY else "'{}'"
        return f"0::{self.physical}"

    def to_dict(self) -> dict[str, object]:
        out: dict[str, object] = {"kind": self.kind.value}
        for name in ("length", "precision", "scale"):
            if getattr(self, name):
                out[name] = getattr(self, name)
        if self.item is not None:
            out["item"] = self.item.to_dict()
        if self.key is not None:
            out["key"] = self.key.to_dict()
        if self.fields:
            out["fields"] = [[name, kind.to_dict()] for name, kind in self.fields]
        return out

    @classmethod
    def from_dict(cls, data: dict) -> Type:
        item, key = (cls.from_dict(data[name]) if name in data else None for name in ("item", "key"))
        fields = tuple((name, cls.from_dict(kind)) for name, kind in data.get("fields", ()))
        return cls(Kind(data["kind"]), data.get("length", 0), data.get("precision", 0), data.get("scale", 0),
                   item, key, fields)  # fmt: skip
