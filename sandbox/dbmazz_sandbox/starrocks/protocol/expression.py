"""Expressions of the `columns` and `where` headers: what they are, and how their text is read.

What is not emulated is refused by its name while it is read, before any row is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from dbmazz_sandbox.starrocks.errors import LoadError, not_emulated
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.types import DECIMAL128_DIGITS, MAX_VARCHAR, STRING_LENGTH, Kind, Type


@dataclass(frozen=True, slots=True)
class Reference:
    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """`value` is None for NULL, a Decimal for a number with a fraction."""

    value: str | int | bool | Decimal | None


@dataclass(frozen=True, slots=True)
class Call:
    """`function` is lower case, or the sign of an operator."""

    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    source: Expression
    target: Type


Expression = Reference | Literal | Call | Cast

# Function: fewest and most arguments.
FUNCTIONS: dict[str, tuple[int, int]] = {
    "from_base64": (1, 1), "base64_decode_binary": (1, 1), "base64_decode_string": (1, 1), "to_base64": (1, 1),
    "to_binary": (1, 2), "unhex": (1, 1), "hex": (1, 1), "parse_json": (1, 1), "if": (3, 3), "ifnull": (2, 2),
    "coalesce": (1, 99), "nullif": (2, 2), "concat": (1, 99), "upper": (1, 1), "lower": (1, 1), "trim": (1, 1),
    "ltrim": (1, 1), "rtrim": (1, 1), "substr": (2, 3), "substring": (2, 3), "length": (1, 1), "char_length": (1, 1),
    "replace": (3, 3), "abs": (1, 1), "str_to_date": (2, 2), "from_unixtime": (1, 2), "now": (0, 0),
    "current_timestamp": (0, 0), "utc_timestamp": (0, 0), "year": (1, 1), "month": (1, 1), "day": (1, 1),
    "hour": (1, 1), "minute": (1, 1), "second": (1, 1), "isnull": (1, 1), "isnotnull": (1, 1),
}  # fmt: skip
_CONDITIONS = frozenset({"=", "<=>", "!=", "<", "<=", ">", ">=", "and", "or", "not", "isnull", "isnotnull", "in", "like",
                         "between"})  # fmt: skip
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
                "<=>": "<=>"}  # fmt: skip
_BINARY_FORMATS = frozenset({"hex", "base64", "encode64", "utf8"})
_CAST_TYPES = {"STRING": Type(Kind.VARCHAR, STRING_LENGTH), "INTEGER": Type(Kind.INT), "VARBINARY":
               Type(Kind.VARBINARY, MAX_VARCHAR), "DECIMAL": Type(Kind.DECIMAL, precision=10)}  # fmt: skip
_DEPTH = 100  # of nested expressions


def is_condition(expression: Expression) -> bool:
    if isinstance(expression, Call):
        return expression.function in _CONDITIONS
    return isinstance(expression, Literal) and isinstance(expression.value, bool)


def references(expression: Expression) -> list[str]:
    return list(_references(expression))


def _references(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Reference):
        yield expression.name
    elif isinstance(expression, Cast):
        yield from _references(expression.source)
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _references(argument)


def sql(expression: Expression) -> str:
    """As the FE prints an expression in its messages (AstToSQLBuilder)."""
    if isinstance(expression, Reference):
        return f"`{expression.name}`"
    if isinstance(expression, Cast):
        return f"CAST({sql(expression.source)} AS {expression.target.debug})"
    if isinstance(expression, Literal):
        value = expression.value
        if isinstance(value, bool) or value is None:
            return {True: "TRUE", False: "FALSE", None: "NULL"}[value]
        return f"'{value}'" if isinstance(value, str) else str(value)
    parts = [sql(argument) for argument in expression.arguments]
    if expression.function in FUNCTIONS or len(parts) != 2:
        return f"{expression.function}({', '.join(parts)})"
    sign = expression.function.upper()
    return f"({parts[0]}) {sign} ({parts[1]})" if sign in ("AND", "OR") else f"{parts[0]} {sign} {parts[1]}"


class Parser:
    """One expression up to a comma, a closing parenthesis or the end; `header` is named by what is refused."""

    def __init__(self, tokens: Tokens, header: str) -> None:
        self._tokens, self._header, self._depth = tokens, header, 0

    def parse(self) -> Expression:
        self._depth += 1
        if self._depth > _DEPTH:
            raise not_emulated(f"more than {_DEPTH} nested expressions in the {self._header} header")
        left = self._conjunction()
        while self._tokens.accept("OR"):
            left = Call("or", (left, self._conjunction()))
        self._depth -= 1
        return left

    def _conjunction(self) -> Expression:
        left = self._negation()
        while self._tokens.accept("AND"):
            left = Call("and", (left, self._negation()))
        return left

    def _negation(self) -> Expression:
        if self._tokens.accept("NOT"):
            self._depth += 1
            if self._depth > _DEPTH:
                raise not_emulated(f"more than {_DEPTH} nested expressions in the {self._header} header")
            inner = Call("not", (self._negation(),))
            self._depth -= 1
            return inner
        return self._comparison()

    def _comparison(self) -> Expression:
        tokens, left = self._tokens, self._sum()
        if tokens.accept("IS", "NOT", "NULL"):
            return Call("isnotnull", (left,))
        if tokens.accept("IS", "NULL"):
            return Call("isnull", (left,))
        negated = tokens.accept("NOT")
        found: Expression | None = None
        if tokens.accept("IN"):
            found = Call("in", (left, *self._list()))
        elif tokens.accept("BETWEEN"):
            low = self._sum()
            tokens.expect("AND")
            found = Call("between", (left, low, self._sum()))
        elif tokens.accept("LIKE"):
            found = Call("like", (left, self._sum()))
        if found is not None:
            return Call("not", (found,)) if negated else found
        if negated:
            raise tokens.unexpected("IN, BETWEEN, LIKE")
        sign = tokens.peek()
        if sign.kind == "symbol" and sign.text in _COMPARISONS:
            tokens.next()
            if sign.text == "=":
                tokens.accept("=")
            return Call(_COMPARISONS[sign.text], (left, self._sum()))
        return left

    def _list(self) -> tuple[Expression, ...]:
        self._tokens.expect("(")
        out = [self.parse()]
        while self._tokens.accept(","):
            out.append(self.parse())
        self._tokens.expect(")")
        return tuple(out)

    def _sum(self) -> Expression:
        left = self._product()
        while (sign := self._sign("+", "-")) is not None:
            left = Call(sign, (left, self._product()))
        return left

    def _product(self) -> Expression:
        left = self._value()
        while (sign := self._sign("*", "/", "%")) is not None:
            left = Call(sign, (left, self._value()))
        return left

    def _sign(self, *signs: str) -> str | None:
        return next((sign for sign in signs if self._tokens.accept(sign)), None)

    def _value(self) -> Expression:
        tokens = self._tokens
        token = tokens.peek()
        if token.kind == "string":
            return Literal(tokens.string())
        if token.kind == "number":
            tokens.next()
            return Literal(int(token.text) if token.text.isdigit() else Decimal(token.text))
        if tokens.accept("-"):
            if tokens.at("-"):
                raise not_emulated(f"a double minus in the {self._header} header")
            inner = self._value()
            if isinstance(inner, Literal) and isinstance(inner.value, int | Decimal):
                return Literal(-inner.value)
            return Call("-", (Literal(0), inner))
        if tokens.accept("("):
            inner = self.parse()
            tokens.expect(")")
            return inner
        for word, value in (("NULL", None), ("TRUE", True), ("FALSE", False)):
            if tokens.accept(word):
                return Literal(value)
        quoted = token.kind == "quoted"
        name = tokens.name()
        if not quoted and name.upper() == "CASE":
            raise not_emulated(f"CASE in the {self._header} header")
        if not tokens.at("("):
            return Call("now", ()) if name.lower() == "current_timestamp" and not quoted else Reference(name)
        return self._call(name.lower())

    def _call(self, function: str) -> Expression:
        tokens = self._tokens
        tokens.expect("(")
        if function == "cast":
            source = self.parse()
            tokens.expect("AS")
            target = self._type()
            tokens.expect(")")
            return Cast(source, target)
        if function not in FUNCTIONS:
            raise not_emulated(f"function {function} in the {self._header} header")
        arguments: list[Expression] = []
        while not tokens.accept(")"):
            if arguments:
                tokens.expect(",")
            arguments.append(self.parse())
        fewest, most = FUNCTIONS[function]
        if not fewest <= len(arguments) <= most:
            raise LoadError(f"Getting analyzing error. Detail message: No matching function with signature: {function}"
                            f" with {len(arguments)} arguments.")  # fmt: skip
        self._check_options(function, arguments)
        return Call(function, tuple(arguments))

    def _check_options(self, function: str, arguments: list[Expression]) -> None:
        """What only works with a constant, and with which."""
        if function not in ("to_binary", "str_to_date", "from_unixtime") or len(arguments) < 2:
            return
        option = arguments[1]
        if not isinstance(option, Literal) or not isinstance(option.value, str):
            raise not_emulated(f"a second argument of {function} that is no constant in the {self._header} header")
        if function == "to_binary" and option.value.lower() not in _BINARY_FORMATS:
            raise LoadError(
                f"Getting analyzing error. Detail message: unsupported to_binary format '{option.value.lower()}'."
            )

    def _type(self) -> Type:
        word = self._tokens.name().upper()
        arguments: list[int] = []
        if self._tokens.accept("("):
            arguments = [self._tokens.number()]
            while self._tokens.accept(","):
                arguments.append(self._tokens.number())
            self._tokens.expect(")")
        if word == "DECIMAL" and arguments:
            precision, scale = (*arguments, 0)[:2]
            if not 1 <= precision <= DECIMAL128_DIGITS or scale > precision:
                raise LoadError(
                    "Getting analyzing error. Detail message: DECIMAL's precision should range from 1 to 38."
                )
            return Type(Kind.DECIMAL, precision=precision, scale=scale)
        if word in ("CHAR", "VARCHAR"):
            return Type(Kind.VARCHAR, arguments[0] if arguments else STRING_LENGTH)
        if word in _CAST_TYPES:
            return _CAST_TYPES[word]
        if word not in Kind.__members__ or word in ("ARRAY", "MAP", "STRUCT", "CHAR"):
            raise not_emulated(f"CAST to {word} in the {self._header} header")
        return Type(Kind(word))
