"""The grammar of statements that sqlglot reads: what may stand in a query, and nothing else.

Kinds of syntax are listed here, functions in `functions`; whatever is on neither list is refused by name.
"""

from __future__ import annotations

import re

import sqlglot
from sqlglot import exp
from sqlglot.dialects.starrocks import StarRocks
from sqlglot.errors import SqlglotError

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.protocol.query_syntax import Statement

_SPECIAL = ("CAST", "CONVERT", "EXTRACT", "GROUP_CONCAT", "TRIM", "SUBSTRING", "POSITION")


class Names(StarRocks):
    """StarRocks' grammar without sqlglot's own reading of functions: they stay names with arguments."""

    class Parser(StarRocks.Parser):
        FUNCTIONS = {}  # noqa: RUF012 - sqlglot's own shape
        FUNCTION_PARSERS = {name: StarRocks.Parser.FUNCTION_PARSERS[name] for name in _SPECIAL}  # noqa: RUF012


# The syntax that means the same in both, or that the translator rewrites.
_ALLOWED = (
    exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset,
    exp.Subquery, exp.CTE, exp.With, exp.Union, exp.Intersect, exp.Except, exp.Distinct, exp.Star, exp.Column,
    exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Alias, exp.TableAlias, exp.Table, exp.Window,
    exp.WindowSpec, exp.Tuple, exp.In, exp.Between, exp.Is, exp.Not, exp.And, exp.Or, exp.Xor, exp.EQ, exp.NEQ, exp.GT,
    exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Case, exp.If, exp.Cast, exp.Interval, exp.Var, exp.DataType,
    exp.DataTypeParam, exp.Exists, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.BitwiseAnd,
    exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.Like, exp.Escape, exp.RegexpLike, exp.Anonymous, exp.GroupConcat,
    exp.Extract, exp.Trim, exp.Substring, exp.StrPosition, exp.JSONExtract, exp.JSONPath, exp.JSONPathRoot,
    exp.JSONPathKey, exp.JSONPathSubscript, exp.Array, exp.Bracket, exp.HexString, exp.SessionParameter, exp.CurrentDate,
    exp.CurrentTimestamp, exp.CurrentUser, exp.Localtime, exp.Localtimestamp, exp.Hint, exp.Values, exp.Qualify,
    exp.Concat, exp.CurrentRole, exp.Rollup,
)  # fmt: skip


def parse(sql: str) -> exp.Expression:
    """One statement. Raises SqlError."""
    sql = Statement(sql).check()
    try:
        found = [statement for statement in sqlglot.parse(sql, read=Names) if statement is not None]
    except (SqlglotError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        # StarRocks has it, the reader does not: its words are no client's business
        raise SqlError.not_emulated("this syntax") from error
    if len(found) != 1:
        raise SqlError.not_emulated("several statements in one query")
    return found[0]


def function_name(node: exp.Expression) -> str:
    named = isinstance(node, exp.Anonymous) or not isinstance(node, exp.Func)
    return node.name.lower() if named else node.sql_name().lower()


def check(node: exp.Expression) -> None:
    """Raises SqlError for what a query may not hold."""
    if isinstance(node, exp.Parameter | exp.Placeholder):
        raise SqlError.not_emulated("user variables and placeholders")
    if type(node) not in _ALLOWED:
        raise SqlError.not_emulated(_named(node))
    if isinstance(node, exp.Select):
        for extra in ("into", "locks", "laterals", "pivots", "kind", "sample", "operation_modifiers", "windows"):
            if node.args.get(extra):
                raise SqlError.not_emulated(f"SELECT … {extra}")
    if isinstance(node, exp.Star) and any(node.args.values()):
        raise SqlError.not_emulated("SELECT * EXCEPT or REPLACE")
    if isinstance(node, exp.Table):
        for extra in ("pivots", "sample", "partition", "version", "when", "ordinality", "only", "changes"):
            if node.args.get(extra):
                raise SqlError.not_emulated(f"FROM … {extra.upper()}")
    if isinstance(node, exp.Join) and (node.method or node.args.get("match_condition")):
        raise SqlError.not_emulated(f"{node.method} JOIN")
    if isinstance(node, exp.Anonymous) and not isinstance(node.this, str):
        raise SqlError.not_emulated("functions of databases")


def _named(node: exp.Expression) -> str:
    name = node.sql_name().lower() if isinstance(node, exp.Func) else ""
    return f"function {name}" if name else f"{re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', type(node).__name__).upper()}"
