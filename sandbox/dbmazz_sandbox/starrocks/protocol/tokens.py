"""Tokens of a StarRocks statement, and a cursor over them for the hand-written DDL and SHOW grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbmazz_sandbox.starrocks.errors import SqlError

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      |(?P<quoted>`(?:[^`]|``)*`)
      |(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
      |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w$]))
      |(?P<word>@{0,2}(?:[^\W\d]|\$)[\w$]*|\d+(?:[^\W\d]|\$)[\w$]*)
      |(?P<symbol><=>|<=|>=|!=|<>|->|&&|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is quoted, string, number, word or symbol; `text` is unquoted; `start` and `end` are offsets."""

    kind: str
    text: str
    start: int
    end: int


def _unquote(text: str) -> str:
    quote, body = text[0], text[1:-1].replace(text[0] * 2, text[0])
    if quote == "`":
        return body
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), body, flags=re.DOTALL)


def first_word(sql: str) -> str:
    """The first word of a statement, upper case, or its first symbol; "" for an empty one."""
    for match in _TOKEN.finditer(sql):
        if match.lastgroup != "space":
            return match[0].upper()
    return ""


def tokenize(sql: str) -> list[Token]:
    out = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or ""
        if kind == "space":
            continue
        text = _unquote(match[0]) if kind in ("quoted", "string") else match[0]
        out.append(Token(kind, text, match.start(), match.end()))
    return out


class Tokens:
    """A cursor; `accept` consumes words when they are next, `expect` insists. Words match in any case.

    `wide_decimals` tells the release knows DECIMAL256 (from 4.0 on)."""

    def __init__(self, sql: str, *, wide_decimals: bool = False) -> None:
        self.sql, self.wide_decimals = sql, wide_decimals
        self._tokens = tokenize(sql)
        while self._tokens and self._tokens[-1].text == ";" and self._tokens[-1].kind == "symbol":
            self._tokens.pop()
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._tokens)

    def peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else Token("end", "<EOF>", len(self.sql), len(self.sql))

    def next(self) -> Token:
        token = self.peek()
        self._at += 1
        return token

    def at(self, *words: str) -> bool:
        return all(
            self.peek(i).kind in ("word", "symbol") and self.peek(i).text.upper() == word
            for i, word in enumerate(words)
        )

    def accept(self, *words: str) -> bool:
        if not self.at(*words):
            return False
        self._at += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.unexpected(" ".join(words))

    def unexpected(self, wanted: str) -> SqlError:
        token = self.peek()
        # strings may be secrets
        found = token.text if token.kind in ("word", "symbol", "end", "number") else token.kind
        detail = f"Unexpected input '{found}', the most similar input is {{{wanted}}}"
        return SqlError.syntax(token.start, detail, self.sql)

    def name(self) -> str:
        """An identifier, bare or in backticks."""
        if self.peek().kind not in ("word", "quoted"):
            raise self.unexpected("a legal identifier")
        return self.next().text

    def string(self) -> str:
        if self.peek().kind != "string":
            raise self.unexpected("a string")
        return self.next().text

    def number(self) -> int:
        if self.peek().kind != "number" or not self.peek().text.isdigit():
            raise self.unexpected("INTEGER_VALUE")
        return int(self.next().text)

    def qualified(self) -> list[str]:
        """`[catalog.][db.]name` as a list without `default_catalog`."""
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.name())
        return parts[1:] if len(parts) > 1 and parts[0] == "default_catalog" else parts

    def names(self) -> tuple[str, ...]:
        """A parenthesised list of identifiers."""
        self.expect("(")
        out = [self.name()]
        while self.accept(","):
            out.append(self.name())
        self.expect(")")
        return tuple(out)

    def end(self) -> None:
        if not self.done:
            raise self.unexpected("<EOF>")
