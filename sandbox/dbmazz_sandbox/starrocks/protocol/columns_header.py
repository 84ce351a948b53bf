"""The `columns` and `where` headers of a load (starrocks.md 2.2)."""

from __future__ import annotations

from dbmazz_sandbox.starrocks.errors import LoadError, SqlError, not_emulated
from dbmazz_sandbox.starrocks.protocol.expression import Expression, Parser
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens


def parse_columns(header: str) -> tuple[list[str], list[tuple[str, Expression]]]:
    """Plain names in order, and `name=expression` items. Raises LoadError."""
    names: list[str] = []
    mappings: list[tuple[str, Expression]] = []
    if not header.strip():
        return names, mappings
    tokens = Tokens(header)
    try:
        while True:
            name = tokens.name()
            if tokens.accept("="):
                mappings.append((name, Parser(tokens, "columns").parse()))
            else:
                names.append(name)
            if not tokens.accept(","):
                break
        if not tokens.done:
            raise not_emulated("this expression in the columns header: " + header[tokens.peek().start :])
    except SqlError as error:
        raise LoadError(f"parse columns header failed, expr={header}: {error.message}") from error
    return names, mappings


def parse_where(header: str) -> Expression | None:
    """The predicate, or None for an empty header. Raises LoadError."""
    if not header.strip():
        return None
    tokens = Tokens(header)
    try:
        where = Parser(tokens, "where").parse()
        if not tokens.done:
            raise not_emulated("this expression in the where header: " + header[tokens.peek().start :])
    except SqlError as error:
        raise LoadError(error.message) from error
    return where
