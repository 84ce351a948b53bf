"""Expressions that begin with a word of their own: CASE, CAST, EXISTS, INTERVAL, EXTRACT, ARRAY and MAP."""

from __future__ import annotations

from dbmazz_sandbox.starrocks.protocol.expression_syntax import UNIT_NAMES, UNITS, Expressions
from dbmazz_sandbox.starrocks.protocol.syntax_cursor import NAME


class Words(Expressions):
    def _exists(self) -> None:
        self.expect("EXISTS")
        if not (self.at("(") and self.at_query()):
            self.expect("(")
            raise self.unexpected("'SELECT', 'WITH', '('")
        self.subquery()

    def _cast(self) -> None:
        if self.peek(1).text != "(":
            self._named()
            return
        with_as = self.next().text.upper() == "CAST"
        self.expect("(")
        self.expression()
        self.expect("AS" if with_as else ",")
        self._type()
        self.expect(")")

    def _type(self) -> None:
        if self.peek().kind != "word":
            raise self.unexpected("'BOOLEAN', 'TINYINT', 'INT', 'BIGINT', 'VARCHAR'")
        word = self.next().text.upper()
        if word in ("SIGNED", "UNSIGNED"):
            self.any_of("INT", "INTEGER")
        if word in ("ARRAY", "MAP", "STRUCT"):
            self.expect("<")
            while True:
                if word == "STRUCT":
                    self.name()
                self._type()
                if not self.accept(","):
                    break
            self.expect(">")
        elif self.accept("("):
            self.next() if self.at("*") else self.number()
            if self.accept(","):
                self.number()
            self.expect(")")

    def _case(self) -> None:
        self.expect("CASE")
        if not self.at("WHEN"):
            self.expression()
        self.expect("WHEN")
        while True:
            self.expression()
            self.expect("THEN")
            self.expression()
            if not self.accept("WHEN"):
                break
        if self.accept("ELSE"):
            self.expression()
        self.expect("END")

    def _interval(self) -> None:
        after = self.peek(1)
        sign = after.kind == "symbol" and after.text in ("(", "-") and self.peek(2).text != "'"
        if after.kind not in ("number", "string") and not sign and not self.is_name(after):
            self._named()
            return
        self.expect("INTERVAL")
        self.expression()
        if not self.any_of(*UNITS):
            raise self.unexpected(UNIT_NAMES)

    def _extract(self) -> None:
        if self.peek(1).text != "(":
            self._named()
            return
        self.next(), self.next()
        self.name()
        self.expect("FROM")
        self.value()
        self.expect(")")

    def _collection(self) -> None:
        word = self.peek().text.upper()
        if self.peek(1).text == "<":
            self._type()
        elif word == "MAP" and self.peek(1).text == "{":
            self.next()
        else:
            self._named()
            return
        closing = "]" if word == "ARRAY" else "}"
        self.expect("[" if word == "ARRAY" else "{")
        while not self.at(closing):
            self.expression()
            if word == "MAP":
                self.expect(":")
                self.expression()
            if not self.at(closing):
                self.expect(",")
                if self.at(closing):
                    raise self.unexpected(NAME)
        self.expect(closing)

    words = {  # noqa: RUF012 - read only
        "EXISTS": _exists, "CAST": _cast, "CONVERT": _cast, "CASE": _case, "INTERVAL": _interval, "EXTRACT": _extract,
        "ARRAY": _collection, "MAP": _collection,
    }  # fmt: skip
