"""Identifiers in statements, and the patterns of TABLES."""

from __future__ import annotations

import fnmatch


def quote(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_table(schema: str, name: str) -> str:
    """A quoted schema.table."""
    return f"{quote(schema)}.{quote(name)}"


def qualify(pattern: str) -> str:
    """A word of TABLES with its schema: `orders` means public.orders."""
    return pattern if "." in pattern else f"public.{pattern}"


def is_pattern(word: str) -> bool:
    """True when it may match several tables."""
    return "*" in word


def matches(qualified_name: str, pattern: str) -> bool:
    """`*` stands for any characters within its part; nothing else is special, and case counts."""
    schema, _, table = qualify(pattern).partition(".")
    own_schema, _, own_table = qualified_name.partition(".")
    return _part_matches(own_schema, schema) and _part_matches(own_table, table)


def _part_matches(name: str, pattern: str) -> bool:
    # In fnmatch ? and [ are special too; a bracketed character stands for itself.
    literal = "".join(f"[{letter}]" if letter in "?[" else letter for letter in pattern)
    return fnmatch.fnmatchcase(name, literal)
