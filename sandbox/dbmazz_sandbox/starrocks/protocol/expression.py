"""Expressions of the `columns` header (`b=from_base64(tmp)`), evaluated a column at a time."""

from __future__ import annotations

import binascii
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbmazz_sandbox.starrocks.errors import LoadError, SqlError, not_emulated
from dbmazz_sandbox.starrocks.protocol.coerce import JSON_LIMIT, Invalid, coerce_one, decode_base64
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.types import Kind, Type


@dataclass(frozen=True, slots=True)
class Reference:
    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | None


@dataclass(frozen=True, slots=True)
class Call:
    """`function` is lower case; `source` its one column; `option` the literal second argument."""

    function: str
    source: Expression
    option: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    pass


@dataclass(frozen=True, slots=True)
class IfEqual:
    """`if(left = right, then, otherwise)`: the one form of a condition that is emulated."""

    left: Expression
    right: Expression
    then: Expression
    otherwise: Expression


Expression = Reference | Literal | Call | Now | IfEqual

_ONE_ARGUMENT = frozenset({"from_base64", "base64_decode_binary", "base64_decode_string", "parse_json", "to_binary"})
_BINARY_FORMATS = frozenset({"hex", "base64", "encode64", "utf8"})


def parse_expression(tokens: Tokens) -> Expression:
    """One expression up to a comma or the end; raises LoadError that names what is not emulated."""
    token = tokens.peek()
    if token.kind == "string":
        return Literal(tokens.string())
    if token.kind == "number" or tokens.at("-"):
        sign = "-" if tokens.accept("-") else ""
        text = sign + tokens.next().text
        return Literal(int(text) if text.lstrip("-").isdigit() else text)
    if tokens.at("NULL"):
        tokens.next()
        return Literal(None)
    name = tokens.name()
    if not tokens.at("("):
        return Now() if name.lower() == "current_timestamp" else Reference(name)
    return _call(tokens, name.lower())


def _call(tokens: Tokens, function: str) -> Expression:
    tokens.expect("(")
    if function in ("now", "current_timestamp"):
        tokens.expect(")")
        return Now()
    if function == "if":
        return _if_equal(tokens)
    if function not in _ONE_ARGUMENT:
        raise not_emulated(f"function {function} in the columns header")
    source = parse_expression(tokens)
    option = ""
    if tokens.accept(","):
        option = tokens.string().lower()
    tokens.expect(")")
    if function == "to_binary" and (option or "hex") not in _BINARY_FORMATS:
        raise LoadError(f"Getting analyzing error. Detail message: unsupported to_binary format '{option}'.")
    if option and function != "to_binary":
        raise not_emulated(f"a second argument of {function} in the columns header")
    return Call(function, source, option)


def _if_equal(tokens: Tokens) -> IfEqual:
    left = parse_expression(tokens)
    if not tokens.accept("="):
        raise not_emulated("a condition other than `=` in the columns header")
    right = parse_expression(tokens)
    tokens.expect(",")
    then = parse_expression(tokens)
    tokens.expect(",")
    otherwise = parse_expression(tokens)
    tokens.expect(")")
    return IfEqual(left, right, then, otherwise)


def references(expression: Expression) -> list[str]:
    if isinstance(expression, Reference):
        return [expression.name]
    if isinstance(expression, IfEqual):
        parts = (expression.left, expression.right, expression.then, expression.otherwise)
        return [name for part in parts for name in references(part)]
    return references(expression.source) if isinstance(expression, Call) else []


def evaluate(
    expression: Expression, target: Type, sources: Mapping[str, Sequence[str | None]], count: int, now: dt.datetime
) -> list[Any]:
    """`count` values as `target` stores them; `sources` are text columns. What cannot be computed or cast is NULL, as
    in SQL: strict mode only looks at columns that no expression touches."""
    values = _values(expression, sources, count, now)
    return [None if value is None else _cast(target, value) for value in values]


def _values(expression: Expression, sources: Mapping[str, Sequence[str | None]], count: int, now: dt.datetime) -> list:
    if isinstance(expression, Literal):
        return [expression.value] * count
    if isinstance(expression, Now):
        return [f"{now:%Y-%m-%d %H:%M:%S}"] * count
    if isinstance(expression, Reference):
        return list(sources[expression.name])
    if isinstance(expression, IfEqual):
        parts = (expression.left, expression.right, expression.then, expression.otherwise)
        columns = [_values(part, sources, count, now) for part in parts]
        # NULL = anything is NULL, which is not true.
        return [
            then if left is not None and left == right else otherwise
            for left, right, then, otherwise in zip(*columns, strict=True)
        ]
    inner = _values(expression.source, sources, count, now)
    return [None if value is None else _apply(expression, value) for value in inner]


def _apply(call: Call, value: Any) -> Any:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if call.function == "parse_json":
        return _parse_json(text)
    if not text and (call.function != "to_binary" or call.option in ("base64", "encode64")):
        return None  # EncryptionFunctions::from_base64 gives NULL for an empty text
    if call.function != "to_binary" or call.option in ("base64", "encode64"):
        return decode_base64(text)
    if call.option == "utf8":
        return text.encode()
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        return None


class _Json(str):
    """Text that is already canonical JSON."""

    __slots__ = ()


def _parse_json(text: str) -> _Json | None:
    if len(text.encode("utf-8", "surrogatepass")) > JSON_LIMIT:
        return None
    try:
        return _Json(coerce_one(Type(Kind.JSON), json.loads(text, parse_constant=_no_constant)))
    except (ValueError, RecursionError, Invalid):
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _cast(target: Type, value: Any) -> Any:
    if target.kind is Kind.JSON:
        return str(value) if isinstance(value, _Json) else _parse_json(str(value))
    if isinstance(value, bytes):
        if target.kind is Kind.VARBINARY:
            return value
        value = value.decode("utf-8", "surrogateescape")
    if target.kind is Kind.VARBINARY:
        return str(value).encode("utf-8", "surrogateescape")
    if target.kind in (Kind.VARCHAR, Kind.CHAR):
        return str(value)
    try:
        return coerce_one(target, value)
    except Invalid:
        return None


def parse_columns(header: str) -> tuple[list[str], list[tuple[str, Expression]]]:
    """The `columns` header: plain names in order, and `name=expression` items. Raises LoadError."""
    names: list[str] = []
    mappings: list[tuple[str, Expression]] = []
    if not header.strip():
        return names, mappings
    tokens = Tokens(header)
    try:
        while True:
            name = tokens.name()
            if tokens.accept("="):
                mappings.append((name, parse_expression(tokens)))
            else:
                names.append(name)
            if not tokens.accept(","):
                break
        if not tokens.done:
            raise not_emulated("this expression in the columns header: " + header[tokens.peek().start :])
    except SqlError as error:
        raise LoadError(f"parse columns header failed, expr={header}: {error.message}") from error
    return names, mappings
