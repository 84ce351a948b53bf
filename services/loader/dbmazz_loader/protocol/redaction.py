"""Error texts of StarRocks without row values.

Its messages and error logs quote the offending value, in the middle of the text, unescaped; a value can contain quotes
or look like a message itself. So lines of the error log are matched against the texts that are known, as a whole, and
only their fixed words and the names of columns that the load really has come through.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_LONGEST = 300
_MOST_REASONS = 3
_UNTOLD = "a reason that may quote row values"

# Where a message of StarRocks goes over to data.
_DATA = re.compile(r"\brow\s*:|\bvalue\s*[=:]|\bjson\s*[=:]|\bdata\s*[=:]\s*[\[{'\"]|started with", re.IGNORECASE)
# From the first quote to the last, of whichever kind: a value may hold quotes of both.
_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)
_UNCLOSED = re.compile(r"['\"].*$")

_TYPE = (
    r"(?P<type>(?:BOOLEAN|TINYINT|SMALLINT|INT|BIGINT|LARGEINT|FLOAT|DOUBLE|DECIMAL\d*|DECIMALV2|DATE|DATETIME|CHAR"
    r"|VARCHAR|VARBINARY|JSON)(?:\(\d+(?:, ?\d+)?\))?)"
)
# Greedy up to the last occurrence of the fixed tail: whatever a value imitates lies before it.
_REASONS = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (rf"Value '.*' is out of range\. The type of '(?P<column>.*)' is {_TYPE}", "value is out of range for {type}"),
        (
            rf"Decimal '.*' is out of range\. The type of '(?P<column>.*)' is {_TYPE}",
            "value is out of range for {type}",
        ),
        (
            r"String '.*'\(length=\d+\) is too long\. The max length of '(?P<column>.*)' is (?P<type>\d+)",
            "text is longer than {type} bytes",
        ),
        (r"NULL value in non-nullable column '(?P<column>.*)'", "NULL in a column that is NOT NULL"),
        (
            r"Value length is beyond the capacity\. column=(?P<column>.*), capacity=(?P<type>\d+)",
            "text is longer than {type} bytes",
        ),
        (r"Value is overflow\. column=(?P<column>.*?), value=.*", "number is too large"),
        (r"Unsupported value type\. Numeric type is required\. column=(?P<column>.*?)(?:, .*)?", "not a number"),
        (rf"Unable to cast string value to {_TYPE}\. value=.*", "text cannot be cast to {type}"),
        (r"Failed to parse value as array, column=(?P<column>.*)", "not an array"),
        (r"Failed to convert simdjson value, json=.*", "a document that a JSON column cannot hold (docs/types.md)"),
        (r"Value count does not match column count\..*", "value count does not match column count"),
    )
)


def redact_message(text: str) -> str:
    """One line of at most 300 characters: quoted parts blanked out, cut where row data begins."""
    line = " ".join(text.split())
    line = _UNCLOSED.sub("…", _QUOTED.sub("…", line))
    if found := _DATA.search(line):
        line = line[: found.start()].rstrip() + " …"
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def plain_line(text: str) -> str:
    """One line of at most 300 characters, for texts that hold no row values: answers to DDL."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def reasons_of_log(log: str, columns: Iterable[str]) -> str:
    """The reasons in an error log (`Error: <reason>. Row: <row>` per line) with how often each occurs, most frequent
    first; column names only when they are among `columns`. Empty when the log has no such line."""
    known = frozenset(columns)
    counts = Counter(_reason(line, known) for line in log.splitlines() if line.startswith("Error:"))
    return "; ".join(f"{count} × {reason}" for reason, count in counts.most_common(_MOST_REASONS))


def _reason(line: str, known: frozenset[str]) -> str:
    text = line.removeprefix("Error:").strip().partition(". Row:")[0].rstrip(". ")
    for pattern, words in _REASONS:
        if match := pattern.fullmatch(text):
            found = match.groupdict()
            column = found.get("column")
            reason = words.format(type=found.get("type"))
            return f"column {column}: {reason}" if column in known else reason
    return _UNTOLD
