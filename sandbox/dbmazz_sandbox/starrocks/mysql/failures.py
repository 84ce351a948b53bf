"""What the engine below refuses, in StarRocks' words and without the values it quotes."""

from __future__ import annotations

import re

import duckdb

from dbmazz_sandbox.starrocks.errors import SqlError

_COLUMN = re.compile(
    r'(?:Referenced|Table .* does not have a|Values list .* does not have a) ?column (?:named )?"([^"]+)"|[Cc]olumn "([^"]+)"'
)
_AMBIGUOUS = re.compile(r'Ambiguous reference to column name "([^"]+)"')
_FUNCTION = re.compile(r"(?:Function with name|function) \"?(\w+)|name '(\w+)\(")
_GROUP = re.compile(r'column "?([^" ]+)"? must appear in the GROUP BY')


def refusal(error: duckdb.Error) -> SqlError:
    """The error packet for a query the engine could not bind or run."""
    text = str(error)
    if isinstance(error, duckdb.BinderException):
        return _binder(text)
    if isinstance(error, duckdb.CatalogException):
        match = _FUNCTION.search(text)
        return SqlError.not_emulated(f"function {match[1] or match[2]}" if match else "what this query refers to")
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
        return SqlError.not_emulated("a value that does not fit the operation on it (StarRocks gives NULL or an error)")
    if isinstance(error, duckdb.OutOfMemoryException):
        return SqlError("Memory of query_pool exceed limit. You can change the limit by modifying session variable "
                        "[query_mem_limit]")  # fmt: skip
    if isinstance(error, duckdb.ConstraintException):
        return SqlError("Insert has filtered data", 5609)
    return SqlError.not_emulated("this query")


def _binder(text: str) -> SqlError:
    if match := _AMBIGUOUS.search(text):
        return SqlError.analysis(f"Column '{match[1]}' is ambiguous")
    if match := _GROUP.search(text):
        name = match[1].strip('"')
        return SqlError.analysis(f"'{name}' must be an aggregate expression or appear in GROUP BY clause")
    if "No function matches" in text and (match := _FUNCTION.search(text)):
        return SqlError.analysis(f"No matching function with signature: {match[1] or match[2]}")
    if "does not have a column" in text or "not found in FROM clause" in text or "Referenced column" in text:
        if match := re.search(r'column (?:named )?"([^"]+)"', text):
            return SqlError.analysis(f"Column '{match[1]}' cannot be resolved")
    return SqlError.not_emulated("this combination of types or clauses")
