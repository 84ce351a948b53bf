"""Text from elsewhere, for terminals and messages."""

from __future__ import annotations


def printable(line: str) -> str:
    """One line that a terminal only shows: a table's name can hold what it would obey, which comes as escapes."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
