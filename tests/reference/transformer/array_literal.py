"""PostgreSQL array literals (`{1,NULL,{"a,b"}}`) taken apart for JSON.

The syntax is that of "Array Input and Output Syntax" in the PostgreSQL manual: elements in braces, nested for more
dimensions, quoted where needed, with explicit bounds in front (`[0:2]={...}`) when they do not start at 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOUNDS = re.compile(rb"(?:\[-?\d+:-?\d+\])+=")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_TOKENS = {
    delimiter: re.compile(
        rb'[{}%b]|"([^"\\]*(?:\\.[^"\\]*)*)"|([^{}"\\%b]+)' % (delimiter, delimiter),
        re.DOTALL,
    )
    for delimiter in (b",", b";")
}


class ArrayLiteral:
    """A literal as `pieces` of JSON text, with None where an element belongs, and the `elements`, unescaped."""

    __slots__ = ("elements", "pieces")

    def __init__(self, pieces: list[bytes | None], elements: list[bytes]) -> None:
        self.pieces = pieces
        self.elements = elements

    def to_json(self, supply: Iterator[bytes]) -> bytes:
        """The JSON array; takes as many tokens from `supply` as there are elements."""
        return b"".join([next(supply) if piece is None else piece for piece in self.pieces])


def parse_array(literal: bytes, delimiter: bytes = b",") -> ArrayLiteral | None:
    """Takes a literal apart; None when it is not one (an int2vector's `1 2`, say). `delimiter` is pg_type.typdelim."""
    start = bounds.end() if (bounds := _BOUNDS.match(literal)) else 0
    pieces: list[bytes | None] = []
    elements: list[bytes] = []
    depth, at = 0, start
    value_may_come = True  # after `{` or a delimiter
    for match in _TOKENS[delimiter].finditer(literal, start):
        if match.start() != at or (depth == 0 and at != start):
            return None
        at = match.end()
        token = match[0]
        if token == b"{":
            if not value_may_come:
                return None
            depth += 1
            pieces.append(b"[")
        elif token == b"}":
            # `{}` is the empty array; `{1,}` is nothing.
            if depth == 0 or (value_may_come and pieces[-1] != b"["):
                return None
            depth -= 1
            value_may_come = False
            pieces.append(b"]")
        elif token == delimiter:
            if depth == 0 or value_may_come:
                return None
            value_may_come = True
            pieces.append(b",")
        else:
            if depth == 0 or not value_may_come:
                return None
            value_may_come = False
            quoted = match[1]
            if quoted is None and token == b"NULL":
                pieces.append(b"null")
            else:
                pieces.append(None)
                elements.append(token if quoted is None else _unescape(quoted))
    return ArrayLiteral(pieces, elements) if pieces and depth == 0 and at == len(literal) else None


def _unescape(quoted: bytes) -> bytes:
    return _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted
