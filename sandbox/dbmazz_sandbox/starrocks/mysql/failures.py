"""What the engine below refuses, in StarRocks' words and without the values it quotes."""

from __future__ import annotations

import re

import duckdb

from dbmazz_sandbox.starrocks.errors import SqlError

_MARKED = re.compile(r"sr:([^\n\"]+)")  # what the macros refuse
_AMBIGUOUS = re.compile(r'Ambiguous reference to column name "([^"]+)"')
_GROUP = re.compile(r'column "?([^" ]+)"? must appear in the GROUP BY')


def refusal(error: duckdb.Error) -> SqlError:
    """The error packet for a query the engine could not bind or run."""
    text = str(error)
    if match := _MARKED.search(text):
        return SqlError.not_emulated(match[1])
    if isinstance(error, duckdb.BinderException):
        return _binder(text)
    if isinstance(error, duckdb.CatalogException):
        match = re.search(r"with name \"?(\w+)", text)
        return SqlError.not_emulated(f"function {match[1]}" if match else "what this query refers to")
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
    if "No function matches" in text:
        match = re.search(r"argument types '(\w+)\(", text)
        name = match[1].removeprefix("sr_") if match else "this function or operator"
        return SqlError.not_emulated(f"{name} with these types of arguments")
    if match := re.search(r'(?:Referenced column|a column named|Column) "([^"]+)"', text):
        return SqlError.analysis(f"Column '{match[1]}' cannot be resolved")
    if match := re.search(r'Referenced table "([^"]+)" not found', text):
        return SqlError.analysis(f"Unknown table '{match[1]}'")
    return SqlError.not_emulated("this combination of types or clauses")
