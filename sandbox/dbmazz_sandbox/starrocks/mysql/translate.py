"""A StarRocks SELECT as DuckDB SQL over the physical tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.information import TABLES, relation
from dbmazz_sandbox.starrocks.protocol.tokens import tokenize

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

# StarRocks functions that sqlglot does not know by type, and their DuckDB forms. Any other unknown name is refused:
# DuckDB has functions that StarRocks lacks.
_FUNCTIONS = {
    "get_json_string": "json_extract_string", "json_query": "json_extract", "json_length": "json_array_length",
    "json_string": "sr_text", "strleft": "left", "strright": "right",
}  # fmt: skip
_TEXT_TYPES = {exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.NVARCHAR}


def parse(sql: str) -> exp.Expression:
    """One statement. `current_version()` is renamed first: sqlglot takes it for `version()`."""
    for token in reversed(tokenize(sql)) if re.search("current_version", sql, re.IGNORECASE) else ():
        if token.kind == "word" and token.text.lower() == "current_version":
            sql = f"{sql[: token.start]}sr_current_version{sql[token.end :]}"
    try:
        found = [statement for statement in sqlglot.parse(sql, read="starrocks") if statement is not None]
    except SqlglotError as error:
        first = error.errors[0] if getattr(error, "errors", None) else {}
        detail = str(first.get("description") or "")
        detail = detail if detail and "<class" not in detail else "No viable statement"
        raise SqlError.syntax(int(first.get("col") or 0), detail) from error
    if len(found) != 1:
        raise SqlError.not_emulated("several statements in one query")
    return found[0]


def _function_name(node: exp.Expression) -> str:
    if isinstance(node, exp.UnixToTime | exp.UnixToStr):
        return "from_unixtime"
    named = isinstance(node, exp.Anonymous) or not isinstance(node, exp.Func)
    return node.name.lower() if named else node.sql_name().lower()


class Translator:
    """Rewrites one query in place; `tables` are the StarRocks tables it reads, `system` those of
    information_schema: `prepare` makes them for one cursor."""

    def __init__(self, session: StarRocksSession) -> None:
        self.session = session
        self.tables: list[Table] = []
        self.system: set[str] = set()

    def select(self, query: exp.Expression) -> str:
        """DuckDB SQL with the column names StarRocks gives."""
        self._name_columns(query)
        return self.expression(query)

    def prepare(self, cursor: duckdb.DuckDBPyConnection) -> None:
        for name in self.system:
            columns, select = relation(name, self.session.information())
            cursor.register(f"{name}_rows", columns)
            cursor.execute(f"CREATE OR REPLACE TEMP VIEW information_{name} AS {select}")

    def expression(self, node: exp.Expression) -> str:
        known = {cte.alias_or_name for cte in node.find_all(exp.CTE)}
        for table in list(node.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier):
                raise SqlError.not_emulated(f"table function {_function_name(table.this)}")
            if table.db or table.name not in known:
                table.replace(self._table(table))
        for column in node.find_all(exp.Column):
            column.set("db", None)
            column.set("catalog", None)
        return node.transform(self._rewrite).sql("duckdb")

    def _name_columns(self, query: exp.Expression) -> None:
        while isinstance(query, exp.SetOperation | exp.Subquery):
            query = query.this
        if not isinstance(query, exp.Select):
            return
        for position, item in enumerate(query.expressions):
            if isinstance(item, exp.Alias | exp.Star) or (
                isinstance(item, exp.Column) and isinstance(item.this, exp.Star)
            ):
                continue
            if isinstance(item, exp.Column):
                name = item.name
            else:
                name = item.sql("starrocks", normalize_functions="lower")
                name = name.replace("sr_current_version", "current_version").replace("schema()", "database()")
            query.expressions[position] = exp.alias_(item.copy(), name, quoted=True)
        query.set("expressions", query.expressions)

    def _table(self, node: exp.Table) -> exp.Expression:
        parts = [part.name for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part is not None]
        if len(parts) == 3 and parts[0] == "default_catalog":
            parts = parts[1:]
        database, name = self.session.qualify(parts)
        alias = node.alias or name
        if database.lower() == "information_schema":
            if name.lower() not in TABLES:
                raise SqlError.unknown_table(f"{database}.{name}")
            self.system.add(name.lower())
            return self._aliased(exp.table_(f"information_{name.lower()}"), alias, node)
        table = self.session.cluster.catalog.table(database, name)
        self.tables.append(table)
        return self._aliased(exp.table_(table.physical, db="shown"), alias, node)

    def _aliased(self, seen: exp.Table, alias: str, node: exp.Table) -> exp.Table:
        seen.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        for extra in ("joins", "laterals", "pivots"):
            if node.args.get(extra):
                seen.set(extra, node.args[extra])
        return seen

    def _rewrite(self, node: exp.Expression) -> exp.Expression:
        session = self.session
        if isinstance(node, exp.SessionParameter):
            return self._variable(node.name or node.this.sql())
        if isinstance(node, exp.Parameter | exp.Placeholder):
            raise SqlError.not_emulated("user variables and placeholders")
        if isinstance(node, exp.Anonymous):
            return self._function(node)
        if isinstance(node, exp.CurrentSchema):
            return exp.Literal.string(session.database) if session.database else exp.null()
        if isinstance(node, exp.CurrentVersion):
            return exp.Literal.string(session.cluster.version.mysql)
        if isinstance(node, exp.CurrentUser):
            return exp.Literal.string(f"'{session.username}'@'%'")
        if isinstance(node, exp.CurrentTimestamp | exp.UtcTimestamp):
            return self._now()
        if isinstance(node, exp.Length) and node.args.get("binary"):
            return exp.func("octet_length", exp.func("sr_bytes", node.this))
        if isinstance(node, exp.UnixToTime | exp.UnixToStr | exp.ReadCSV | exp.ReadParquet):
            raise SqlError.not_emulated(f"function {_function_name(node)}")
        if isinstance(node, exp.ToBase64 | exp.MD5):
            node.set("this", exp.func("sr_bytes", node.this))
            return node
        if isinstance(node, exp.Cast) and node.to.this in _TEXT_TYPES:
            return exp.func("sr_text", node.this)
        return node

    def _now(self) -> exp.Expression:
        return exp.cast(exp.Literal.string(f"{utc_now():%Y-%m-%d %H:%M:%S}"), exp.DType.TIMESTAMP)

    def _variable(self, name: str) -> exp.Expression:
        name = re.sub(r"^@*(?:(?:session|global|local)\.)?", "", name, flags=re.IGNORECASE).lower()
        if name not in self.session.variables.schema:
            raise SqlError(f"Unknown system variable '{name}'", 1193, "HY000")
        return exp.convert(self.session.variables.get_variable(name))

    def _function(self, node: exp.Anonymous) -> exp.Expression:
        name, session = node.name.lower(), self.session
        if name == "sr_current_version":
            return exp.Literal.string(session.cluster.version.current)
        if name in ("user", "session_user", "system_user"):
            return exp.Literal.string(f"'{session.username}'@'%'")
        if name == "connection_id":
            return exp.Literal.number(session.connection_id)
        if name in ("now", "localtime", "localtimestamp"):
            return self._now()
        if name in ("sr_text", "sr_bytes"):
            return node
        if name == "unix_timestamp":
            moment = node.expressions[0] if node.expressions else self._now()
            return exp.cast(exp.func("epoch", exp.cast(moment, exp.DType.TIMESTAMP)), exp.DType.BIGINT)
        if name in ("epoch", "octet_length"):
            return node
        if name == "parse_json":
            return exp.cast(node.expressions[0], exp.DType.JSON)
        if _FUNCTIONS.get(name):
            return exp.Anonymous(this=_FUNCTIONS[name], expressions=node.expressions)
        raise SqlError.not_emulated(f"function {name}")
