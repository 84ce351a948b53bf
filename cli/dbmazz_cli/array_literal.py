"""PostgreSQL's text form of arrays. Source: "Array Input and Output Syntax" in its manual."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_BOUNDS = re.compile(r"(?:\[-?\d+:-?\d+\])+=")
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_array(text: str, element: Callable[[str], Any], delimiter: str = ",") -> list:
    """Nested lists of what `element` makes of each element's text; NULL is None. ValueError for anything else.

    Lower bounds other than 1 (`[0:1]={...}`) are dropped: JSON has no place for them.
    """
    position = match.end() if (match := _BOUNDS.match(text)) else 0
    token = re.compile(rf"([{{}}{delimiter}])|{_QUOTED}|([^{{}}\"\\{delimiter}]+)", re.DOTALL)
    root: list = []
    stack = [root]
    while position < len(text):
        match = token.match(text, position)
        if match is None or (position > 0 and len(stack) == 1 and root):
            raise ValueError("not an array literal")
        position = match.end()
        mark, quoted, bare = match.groups()
        if mark == "{":
            stack[-1].append([])
            stack.append(stack[-1][-1])
        elif mark == "}":
            stack.pop()
        elif quoted is not None:
            stack[-1].append(element(_ESCAPE.sub(r"\1", quoted)))
        elif bare is not None:
            stack[-1].append(None if bare == "NULL" else element(bare))
    if len(stack) != 1 or len(root) != 1 or not isinstance(root[0], list):
        raise ValueError("not an array literal")
    return root[0]
