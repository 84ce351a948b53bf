"""Which expressions StarRocks' grammar has (StarRocks.g4, `expression` and below): read, not built.

sqlglot reads more than StarRocks does; what a client may write is decided here, at the token StarRocks stops at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from dbmazz_sandbox.starrocks.protocol.syntax_cursor import NAME, Cursor
from dbmazz_sandbox.starrocks.protocol.tokens import Token

_CALLED = frozenset({
    "CHAR", "DATABASE", "DENSE_RANK", "FIRST_VALUE", "GROUPING", "GROUPING_ID", "IF", "LAG", "LAST_VALUE", "LEAD", "LEFT",
    "LIKE", "MOD", "NTILE", "REGEXP", "REPLACE", "RIGHT", "RLIKE", "ROW_NUMBER", "SCHEMA",
})  # fmt: skip
_BARE = frozenset({"CURRENT_DATE", "CURRENT_ROLE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER", "LOCALTIME",
                   "LOCALTIMESTAMP"})  # fmt: skip
_DISTINCT = frozenset({"AVG", "COUNT", "MAX", "MIN", "SUM", "ARRAY_AGG", "GROUP_CONCAT"})
_SORTED = frozenset({"ARRAY_AGG", "ARRAY_AGG_DISTINCT", "GROUP_CONCAT"})
UNITS = ("YEAR", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "QUARTER", "MILLISECOND", "MICROSECOND")
UNIT_NAMES = ", ".join(f"'{unit}'" for unit in UNITS[:5])
_COMPARISONS = ("=", "<>", "!=", "<=>", "<=", ">=", "<", ">")
_OPERATORS = ("^", "*", "/", "%", "DIV", "MOD", "+", "-", "&", "|", "BITSHIFTLEFT", "BITSHIFTRIGHT",
              "BITSHIFTRIGHTLOGICAL")  # fmt: skip


class Expressions(Cursor, ABC):
    """A cursor that walks over expressions; raises SqlError at the first token that cannot stand there.
    `words` are those with a grammar of their own (word_syntax)."""

    words: ClassVar[dict[str, Callable[[Any], None]]] = {}

    def listed(self) -> None:
        self.expression()
        while self.accept(","):
            self.expression()

    @abstractmethod
    def subquery(self) -> None:
        """Walks over a query in parentheses."""

    # -- booleans -----------------------------------------------------------------------------------------------------

    def expression(self) -> None:
        if self.literal():
            return
        while True:
            while self.accept("NOT"):
                pass
            if self.at("BINARY") and (self.is_name(self.peek(1)) or self.peek(1).kind in ("string", "number")):
                self.next()
            self._predicate()
            while True:
                if self.accept("IS"):
                    self.accept("NOT")
                    self.expect("NULL")
                elif self.any_of(*_COMPARISONS):
                    self._predicate()
                else:
                    break
            if not self.any_of("AND", "OR", "&&", "||"):
                return

    def _predicate(self) -> None:
        self.value()
        if self.at("NOT") and self.peek(1).text.upper() in ("IN", "BETWEEN", "LIKE", "RLIKE", "REGEXP"):
            self.next()
        if self.at("IN"):
            self.next()
            if self.at("(") and self.at_query():
                self.subquery()
            else:
                self._in_parentheses()
        elif self.accept("BETWEEN"):
            self.value()
            self.expect("AND")
            self._predicate()
        elif self.any_of("LIKE", "RLIKE", "REGEXP"):
            self.value()

    def _in_parentheses(self) -> None:
        self.expect("(")
        self.listed()
        self.expect(")")

    def value(self) -> None:
        self._primary()
        while self.any_of(*_OPERATORS):
            self._primary()

    # -- primaries ----------------------------------------------------------------------------------------------------

    def _primary(self) -> None:
        while self.any_of("-", "+", "~", "!"):
            pass
        token = self.peek()
        if token.kind in ("number", "string"):
            self.next()
        elif token.kind == "symbol":
            self._symbol()
        elif token.kind == "quoted":
            self._named()
        elif token.kind == "word":
            self._word(token.text.upper())
        else:
            raise self.unexpected(NAME)
        self._postfix()

    def _symbol(self) -> None:
        if self.accept("?"):
            return
        if self.at("("):
            self._parenthesis()
        elif self.accept("["):
            if not self.at("]"):
                self.listed()
            self.expect("]")
        elif self.accept("{"):
            self.expect("FN")
            self._named()
            self.expect("}")
        elif self.at("@") and self.peek(1).kind in ("string", "quoted"):
            self.next(), self.next()
        else:
            raise self.unexpected(NAME)

    def _parenthesis(self) -> None:
        if self.at_query():
            self.subquery()
            return
        self.next()
        if self.at(")") and self.peek(1).text == "->":
            self.next()
            return
        self.expression()
        comma = self._at
        while self.accept(","):
            self.expression()
        several = self._at != comma
        self.expect(")")
        tuple_ = self.at("IN", "(") or self.at("NOT", "IN", "(") or self.at("->")
        if several and not tuple_:
            self._at = comma
            raise self.unexpected("')'")

    def _word(self, word: str) -> None:
        after = self.peek(1)
        if word.startswith("@"):
            self.next()
            if self.accept("."):
                self.name()
        elif word in ("NULL", "TRUE", "FALSE"):
            self.next()
        elif word in _BARE:
            self.next()
            if self.accept("("):
                self.expect(")")
        elif after.kind == "string" and (word in ("DATE", "DATETIME") or self._binary(self.peek(), after)):
            self.next(), self.next()
        elif word in self.words and after.text not in (")", ","):
            self.words[word](self)
        elif word in _CALLED and after.text == "(":
            self.next()
            self._call(word)
        else:
            self._named()

    def _binary(self, token: Token, after: Token) -> bool:
        """X'…' and X"…"."""
        adjacent = after.kind == "string" and after.start == token.end
        return token.kind == "word" and token.text.upper() == "X" and adjacent

    def _named(self) -> None:
        """A column, possibly dotted, or a call of a function."""
        plain = self.peek().kind == "word"
        word = self.name().upper()
        while self.at(".") and self.peek(1).text != "*":
            self.next()
            if self.peek().kind not in ("word", "quoted"):
                raise self.unexpected(NAME)
            self.next()
        if self.at("("):
            self._call(word if plain else "")

    def _call(self, word: str) -> None:
        self.expect("(")
        if word == "COUNT" and self.accept("*"):
            self.expect(")")
        else:
            distinct = word in _DISTINCT and self.any_of("DISTINCT", "ALL")
            if distinct and self.accept("["):
                self.name()
                self.expect("]")
            if word in ("TIMESTAMPADD", "TIMESTAMPDIFF"):
                if not self.any_of(*UNITS):
                    raise self.unexpected(UNIT_NAMES)
                self.expect(",")
            if not self.at(")") or (distinct and word != "COUNT"):
                self._arguments(word)
            self.expect(")")
        self.accept("IGNORE", "NULLS")
        if self.accept("OVER"):
            self._over()

    def _arguments(self, word: str) -> None:
        self.listed()
        self.accept("IGNORE", "NULLS")
        if word in _SORTED and self.accept("ORDER", "BY"):
            self.sorts()
        if word == "GROUP_CONCAT" and self.accept("SEPARATOR"):
            self.expression()

    def sorts(self) -> None:
        while True:
            self.expression()
            self.any_of("ASC", "DESC")
            if self.accept("NULLS") and not self.any_of("FIRST", "LAST"):
                raise self.unexpected("'FIRST', 'LAST'")
            if not self.accept(","):
                return

    def _over(self) -> None:
        self.expect("(")
        if self.accept("PARTITION", "BY"):
            self.listed()
        if self.accept("ORDER", "BY"):
            self.sorts()
        if self.any_of("RANGE", "ROWS"):
            if self.accept("BETWEEN"):
                self._bound()
                self.expect("AND")
            self._bound()
        self.expect(")")

    def _bound(self) -> None:
        if self.accept("CURRENT", "ROW"):
            return
        if not self.accept("UNBOUNDED"):
            self.value()
        if not self.any_of("PRECEDING", "FOLLOWING"):
            raise self.unexpected("'PRECEDING', 'FOLLOWING'")

    def _postfix(self) -> None:
        while True:
            if self.accept("["):
                if not self.at(":"):
                    self.value()
                if self.accept(":") and not self.at("]"):
                    self.number()
                self.expect("]")
            elif self.accept("->"):
                if self.peek().kind == "string":
                    self.next()
                elif self.accept("(", ")"):
                    pass
                else:
                    self.expression()
            elif self.at(".") and self.peek(1).kind in ("word", "quoted"):
                self.next(), self.next()
            elif self.accept("COLLATE"):
                if self.peek().kind != "string":
                    self.name()
                else:
                    self.next()
            elif self.at("MATCH") and self.peek(1).kind in ("string", "quoted"):
                self.next()
                self._primary()
            else:
                return
