"""Column definitions of CREATE TABLE and ALTER TABLE."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.catalog import Column
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.coerce import Invalid, coerce_one
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.types import MAX_VARCHAR, STRING_LENGTH, Kind, Type

_ALIASES = {"INTEGER": Kind.INT, "BOOL": Kind.BOOLEAN, "JSONB": Kind.JSON, "DECIMALV3": Kind.DECIMAL,
            "DECIMAL32": Kind.DECIMAL, "DECIMAL64": Kind.DECIMAL, "DECIMAL128": Kind.DECIMAL,
            "NUMERIC": Kind.DECIMAL, "BINARY": Kind.VARBINARY}  # fmt: skip
_NOT_EMULATED = frozenset({"BITMAP", "HLL", "PERCENTILE", "TIME", "DECIMAL256", "VARIANT"})
_COLUMN_NAME = re.compile(r"[^\0=<>!*]{1,1024}")
_RESERVED = frozenset({"__op", "__row"})  # FeNameFormat.FORBIDDEN_COLUMN_NAMES


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A parsed definition. `nullable` is None when nothing was said (NULL for value columns, NOT NULL for keys)."""

    name: str
    type: Type
    nullable: bool | None
    default: str | None = None
    default_now: bool = False
    comment: str = ""
    key: bool = False
    auto_increment: bool = False


def check_name(name: str) -> str:
    if _COLUMN_NAME.fullmatch(name) is None or name.startswith("__starrocks_shadow_"):
        raise SqlError.analyzed(f"Incorrect column name '{name}'", 1166, "42000")
    if name.lower() in _RESERVED:
        raise SqlError.analysis(f"Column name [{name}] is a system reserved name. Please choose a different one.")
    return name


def make_column(spec: ColumnSpec, ident: int, primary_key: bool) -> Column:
    """The catalogue's column; those of a primary key are NOT NULL."""
    nullable = spec.nullable is not False and not primary_key and not spec.auto_increment
    return Column(ident, spec.name, spec.type, nullable, spec.default, spec.default_now, spec.comment,
                  auto_increment=spec.auto_increment)  # fmt: skip


def parse_type(tokens: Tokens) -> Type:
    """A column type; raises 1064 for what StarRocks refuses and 1235 for what is not emulated."""
    word = tokens.name().upper()
    if word in _NOT_EMULATED:
        raise SqlError.not_emulated(f"column type {word}")
    if word == "ARRAY":
        tokens.expect("<")
        item = parse_type(tokens)
        tokens.expect(">")
        return Type(Kind.ARRAY, item=item)
    if word == "MAP":
        tokens.expect("<")
        key = parse_type(tokens)
        tokens.expect(",")
        item = parse_type(tokens)
        tokens.expect(">")
        return Type(Kind.MAP, item=item, key=key)
    if word == "STRUCT":
        return Type(Kind.STRUCT, fields=_fields(tokens))
    if word in ("STRING", "TEXT"):
        return Type(Kind.VARCHAR, STRING_LENGTH)
    kind = _ALIASES.get(word) or (Kind(word) if word in Kind.__members__ else None)
    if kind is None:
        raise SqlError.syntax(tokens.peek(-1).start, f"Unexpected input '{word.lower()}', no such type", tokens.sql)
    arguments = _arguments(tokens)
    if kind is Kind.DECIMAL:
        return _decimal(arguments, 76 if tokens.wide_decimals else 38)
    if kind in (Kind.CHAR, Kind.VARCHAR, Kind.VARBINARY):
        return _text(kind, arguments)
    return Type(kind)  # a display width such as BIGINT(20) means nothing


def _fields(tokens: Tokens) -> tuple[tuple[str, Type], ...]:
    """`<name type, …>`; StarRocks also takes a colon between the two."""
    fields: dict[str, Type] = {}
    tokens.expect("<")
    while not fields or tokens.accept(","):
        name = tokens.name()
        tokens.accept(":")
        if name.lower() in (other.lower() for other in fields):
            raise SqlError.analysis(f"Duplicate field name in struct: {name}")
        fields[name] = parse_type(tokens)
    tokens.expect(">")
    return tuple(fields.items())


def _arguments(tokens: Tokens) -> list[int]:
    out: list[int] = []
    if tokens.accept("("):
        out.append(MAX_VARCHAR if tokens.accept("*") else tokens.number())
        while tokens.accept(","):
            out.append(tokens.number())
        tokens.expect(")")
    return out


def _decimal(arguments: list[int], most: int) -> Type:
    precision, scale = (arguments + [10, 0][len(arguments) :])[:2]
    if not 1 <= precision <= most:
        raise SqlError.analysis(f"DECIMAL's precision should range from 1 to {most}")
    if scale > precision:
        raise SqlError.analysis("DECIMAL's scale should be less than or equal to its precision")
    return Type(Kind.DECIMAL, precision=precision, scale=scale)


def _text(kind: Kind, arguments: list[int]) -> Type:
    if kind is Kind.CHAR:
        length, most = (arguments or [1])[0], 255
        problem = f"Char size must be <= 255: {length}"
    else:
        length, most = (arguments or [MAX_VARCHAR if kind is Kind.VARBINARY else 1])[0], MAX_VARCHAR
        problem = f"Varchar size must be <= {MAX_VARCHAR}: {length}"
    if length > most:
        raise SqlError.analysis(problem)
    if length < 1:
        raise SqlError.analysis(f"{kind.capitalize()} size must be > 0: {length}")
    return Type(kind, length)


def parse_column(tokens: Tokens) -> ColumnSpec:
    """`name type [KEY] [NULL|NOT NULL] [DEFAULT ...] [COMMENT '...']`."""
    name = check_name(tokens.name())
    kind = parse_type(tokens)
    nullable, default, now, comment, key, counted, null_default = None, None, False, "", False, False, False
    while not tokens.done and not (tokens.at(",") or tokens.at(")")):
        if tokens.accept("NOT", "NULL"):
            nullable = False
        elif tokens.accept("NULL"):
            nullable = True
        elif tokens.at("DEFAULT"):
            tokens.next()
            null_default = tokens.at("NULL")
            default, now = _default(tokens)
        elif tokens.accept("COMMENT"):
            comment = tokens.string()
        elif tokens.accept("KEY"):
            key = True
        elif tokens.accept("AUTO_INCREMENT"):
            counted = True
        elif tokens.at("AS") or tokens.at("GENERATED"):
            raise SqlError.not_emulated(f"{tokens.peek().text.upper()} columns")
        elif tokens.peek().text.upper() in ("SUM", "MIN", "MAX", "REPLACE", "REPLACE_IF_NOT_NULL"):
            raise SqlError.not_emulated("aggregate columns")
        else:
            break
    if nullable is False and null_default:
        raise SqlError.analysis(f"Invalid default value for '{name}'")
    if default is not None:
        _check_default(name, kind, default)
    if now and kind.kind is not Kind.DATETIME:
        raise SqlError.analysis(f"Invalid default value for '{name}': Default function CURRENT_TIMESTAMP() for type "
                                f"{kind.upper} is not supported")  # fmt: skip
    if counted and nullable is True:
        raise SqlError.analysis(f"Can't set NULL for AUTO_INCREMENT column {name}")
    return ColumnSpec(name, kind, nullable, default, now, comment, key, counted)


def _default(tokens: Tokens) -> tuple[str | None, bool]:
    # The grammar of 3.x and 4.0 knows strings, NULL, CURRENT_TIMESTAMP and (function()): a bare number is an error.
    if tokens.accept("NULL"):
        return None, False
    if tokens.accept("CURRENT_TIMESTAMP"):
        if tokens.accept("("):
            if not tokens.at(")"):
                tokens.number()
            tokens.expect(")")
        return None, True
    if tokens.at("("):
        raise SqlError.not_emulated("DEFAULT (function())")
    return tokens.string(), False


def _check_default(name: str, kind: Type, text: str) -> None:
    if kind.kind in (Kind.JSON, Kind.ARRAY, Kind.VARBINARY) and text != "":
        raise SqlError.analysis(f"Type '{kind.kind.lower()}' does not support default value, column '{name}'")
    try:
        coerce_one(kind, text)
    except Invalid:
        raise SqlError.analysis(f"Invalid default value for '{name}'") from None
