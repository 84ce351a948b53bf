"""A StarRocks SELECT as DuckDB SQL over the physical tables.

What is allowed is listed: kinds of syntax here, functions by StarRocks' names in `functions`. Everything else is refused
by name, so that nothing of DuckDB's own (its functions, its syntax, its files) can be reached.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel

from dbmazz_sandbox.starrocks.catalog import Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql import functions
from dbmazz_sandbox.starrocks.mysql.casts import cast
from dbmazz_sandbox.starrocks.mysql.functions import call
from dbmazz_sandbox.starrocks.mysql.grammar import check, function_name
from dbmazz_sandbox.starrocks.mysql.information import TABLES, relation
from dbmazz_sandbox.starrocks.mysql.nested import as_list
from dbmazz_sandbox.starrocks.mysql.variables import unknown_variable
from dbmazz_sandbox.starrocks.types import Kind

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.NullSafeEQ, exp.Like,
             exp.Ordered, exp.Group)  # fmt: skip


class Translator:
    """Rewrites one query in place; `tables` are the StarRocks tables it reads, `system` those of
    information_schema: `prepare` makes them for one cursor. `written` is the table that a DML statement changes: reading
    it needs no SELECT privilege."""

    def __init__(self, session: StarRocksSession, written: Table | None = None) -> None:
        self.session, self._written = session, written
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
        for part in node.walk():
            check(part)
        known = {cte.alias_or_name for cte in node.find_all(exp.CTE)}
        for table in list(node.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier):
                raise SqlError.not_emulated(f"table function {function_name(table.this)}")
            if table.db or table.name not in known:
                self._replace_table(table)
        for select in list(node.find_all(exp.Select)):
            self._check_aliases(select)
        self._check_rows(node)
        for column in node.find_all(exp.Column):
            column.set("db", None)
            column.set("catalog", None)
        return self._rewrite(node).sql("duckdb", unsupported_level=ErrorLevel.IGNORE)

    # -- names ----------------------------------------------------------------------------------------------------

    def _check_aliases(self, select: exp.Select) -> None:
        """StarRocks does not see the select list's names in WHERE; DuckDB would."""
        where, sources = select.args.get("where"), [select.args.get("from_") or select.args.get("from")]
        names = {item.alias.lower() for item in select.expressions if isinstance(item, exp.Alias)}
        columns = {c.name.lower() for table in self.tables for c in table.columns}
        if where is None or not names or self.system or any(s and s.find(exp.Subquery, exp.CTE) for s in sources):
            return
        for column in where.find_all(exp.Column):
            if not column.table and column.name.lower() in names - columns and not select.find(exp.With):
                raise SqlError.analysis(f"Column '{column.name}' cannot be resolved")

    def _check_rows(self, node: exp.Expression) -> None:
        """A table's name is no column: DuckDB would give the whole row."""
        sources = {alias.name.lower() for alias in node.find_all(exp.TableAlias) if alias.name}
        known = {c.name.lower() for table in self.tables for c in table.columns}
        known |= {a.alias.lower() for a in node.find_all(exp.Alias) if a.this.name.lower() != a.alias.lower()}
        for column in node.find_all(exp.Column):
            name = column.name.lower()
            if not column.table and name in sources and name not in known:
                raise SqlError.analysis(f"Column '{column.name}' cannot be resolved")

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
                name = item.sql("starrocks", normalize_functions="lower", unsupported_level=ErrorLevel.IGNORE)
            query.expressions[position] = exp.alias_(item.copy(), name, quoted=True)
        query.set("expressions", query.expressions)

    # -- tables ---------------------------------------------------------------------------------------------------

    def _replace_table(self, node: exp.Table) -> None:
        parts = [part.name for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part is not None]
        if len(parts) == 3 and parts[0] == "default_catalog":
            parts = parts[1:]
        if parts == ["dual"] and isinstance(node.parent, exp.From):
            node.parent.pop()
            return
        database, name = self.session.qualify(parts)
        alias = node.alias or name
        if database.lower() == "information_schema":
            if name.lower() not in TABLES:
                raise SqlError.unknown_table(f"{database}.{name}")
            self.system.add(name.lower())
            node.replace(self._aliased(exp.table_(f"information_{name.lower()}"), alias, node))
            return
        table = self.session.cluster.catalog.table(database, name)
        if table is not self._written:
            self.session.require("SELECT", database, name)
        self.tables.append(table)
        node.replace(self._aliased(exp.table_(table.physical, db="shown"), alias, node))

    def _aliased(self, seen: exp.Table, alias: str, node: exp.Table) -> exp.Table:
        columns = node.args["alias"].args.get("columns") if node.args.get("alias") else None
        if columns:
            raise SqlError.not_emulated("column names in a table's alias")
        seen.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        if node.args.get("joins"):
            seen.set("joins", node.args["joins"])
        return seen

    def _declared(self, node: exp.Expression) -> Kind | None:
        """The declared type of a stored column; None for anything computed."""
        if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
            return None
        for table in self.tables:
            if (column := table.find(node.name)) is not None:
                return column.type.kind
        return None

    # -- expressions ----------------------------------------------------------------------------------------------

    def _rewrite(self, node: exp.Expression) -> exp.Expression:
        """Children first."""
        for name, value in list(node.args.items()):
            if isinstance(value, exp.Expression):
                node.set(name, self._child(node, value))
            elif isinstance(value, list):
                items = [self._child(node, v) if isinstance(v, exp.Expression) else v for v in value]
                node.set(name, [item for item in items if item is not None])
        return self._one(node)

    def _child(self, parent: exp.Expression, child: exp.Expression) -> exp.Expression | None:
        if isinstance(child, exp.Hint):
            return None
        if isinstance(child, exp.Column):
            self._check_column(parent, child)
            if list_ := self._as_list(parent, child):
                return list_
        return self._rewrite(child)

    def _check_column(self, parent: exp.Expression, column: exp.Column) -> None:
        kind = self._declared(column)
        if kind is Kind.JSON and isinstance(parent, _COMPARED):
            raise SqlError.not_emulated("comparing, ordering or grouping by JSON")

    def _as_list(self, parent: exp.Expression, column: exp.Column) -> exp.Expression | None:
        """A stored ARRAY, which is a text below, as a list wherever it is more than put out as it is."""
        kind = self._declared(column)
        if kind is None or kind not in ("ARRAY", "MAP", "STRUCT"):
            return None
        if isinstance(parent, exp.Select | exp.Alias | exp.Is | exp.Paren):
            return None
        table = next(t for t in self.tables if t.find(column.name) is not None)
        found = table.find(column.name)
        assert found is not None
        return as_list(found.type, column)

    def _one(self, node: exp.Expression) -> exp.Expression:
        handler = _NODES.get(type(node))
        return handler(self, node) if handler is not None else node

    def _function(self, node: exp.Anonymous) -> exp.Expression:
        name, session = node.name.lower(), self.session
        if not node.expressions and (constant := self._constant(name)) is not None:
            return constant
        if name in ("now", "current_timestamp", "localtime", "localtimestamp", "utc_timestamp"):
            return self._now()
        if name in functions.UTC_ONLY:
            zone = str(session.variables.get_variable("time_zone")).upper()
            if zone not in ("UTC", "+00:00", "ETC/UTC", "SYSTEM"):
                raise SqlError.not_emulated(f"{name} in time zones other than UTC")
        if name == "unix_timestamp" and not node.expressions:
            return call("sr_unix_timestamp", self._now())
        if name in ("ndv", "approx_count_distinct"):
            return call("count", exp.Distinct(expressions=node.expressions))
        if name == "json_string":
            return self._text_of(node.expressions[0]) if len(node.expressions) == 1 else node
        return functions.translate(name, node.expressions)

    def _constant(self, name: str) -> exp.Expression | None:
        session = self.session
        if name in ("curdate", "current_date", "utc_date"):
            return self._today()
        if name == "connection_id":
            return exp.Literal.number(session.connection_id)
        texts = {
            "current_version": session.cluster.version.current, "version": session.cluster.version.mysql,
            "database": session.database, "schema": session.database, "catalog": "default_catalog",
            "user": f"'{session.username}'@'%'", "session_user": f"'{session.username}'@'%'",
            "system_user": f"'{session.username}'@'%'", "current_user": f"'{session.username}'@'%'",
            "current_role": ", ".join(sorted(session.roles)) or "NONE",
        }  # fmt: skip
        if name not in texts:
            return None
        value = texts[name]
        return exp.Literal.string(value) if value else exp.null()

    def _now(self) -> exp.Expression:
        return exp.cast(exp.Literal.string(f"{utc_now():%Y-%m-%d %H:%M:%S}"), exp.DType.TIMESTAMP)

    def _today(self) -> exp.Expression:
        return exp.cast(exp.Literal.string(f"{utc_now():%Y-%m-%d}"), exp.DType.DATE)

    def _variable(self, node: exp.Expression) -> exp.Expression:
        name = node.name or node.this.sql()
        name = re.sub(r"^@*(?:(?:session|global|local)\.)?", "", name, flags=re.IGNORECASE).lower()
        if name not in self.session.variables.schema:
            raise unknown_variable(name, self.session.variables.schema)
        return exp.convert(self.session.variables.get_variable(name))

    def _cast(self, node: exp.Cast) -> exp.Expression:
        if node.to.this is exp.DType.TEXT and not node.to.expressions:
            return self._text_of(node.this)
        return cast(node.this, node.to)

    def _text_of(self, node: exp.Expression) -> exp.Expression:
        """CAST AS STRING: a stored JSON column is printed already, a computed one is not."""
        plain = node.unnest() if isinstance(node, exp.Paren) else node
        if self._declared(plain) is Kind.JSON:
            quoted = call("json_type", node.copy())
            inner = call("json_extract_string", node.copy(), exp.Literal.string("$"))
            whole = call("sr_text", node)
            return exp.case().when(exp.EQ(this=quoted, expression=exp.Literal.string("VARCHAR")), inner).else_(whole)
        if isinstance(node, exp.Anonymous) and node.name.lower() in _MAKES_JSON:
            return call("sr_json_text", node)
        return call("sr_text", node)


_MAKES_JSON = frozenset({"json_extract", "sr_j", "json_object", "json_array"})


def _json_extract(translator: Translator, node: exp.Expression) -> exp.Expression:
    path = node.expression
    text = path.sql("duckdb") if isinstance(path, exp.JSONPath) else path.sql()
    return call("json_extract", call("sr_j", node.this), functions.json_path(exp.Literal.string(text.strip("'"))))


def _arithmetic(translator: Translator, node: exp.Expression) -> exp.Expression:
    sign = -1 if isinstance(node, exp.Sub) else 1
    if isinstance(node.expression, exp.Interval):
        return functions.shifted(node.this, node.expression, "DAY", sign)
    if isinstance(node.this, exp.Interval) and sign > 0:
        return functions.shifted(node.expression, node.this, "DAY", sign)
    return node


def _group_concat(translator: Translator, node: exp.Expression) -> exp.Expression:
    value, order = node.this, None
    if isinstance(value, exp.Order):
        order, value = value, value.this
    distinct = isinstance(value, exp.Distinct)
    items = value.expressions if distinct else [value]
    joined = functions.translate("concat", items) if len(items) > 1 else functions.text(items[0])
    separator = node.args.get("separator") or exp.Literal.string(",")
    inner: exp.Expression = exp.Distinct(expressions=[joined]) if distinct else joined
    sql = f"string_agg({inner.sql('duckdb')}, {separator.sql('duckdb')}"
    if order is not None:
        sql += " ORDER BY " + ", ".join(item.sql("duckdb") for item in order.expressions)
    return sqlglot.parse_one(sql + ")", read="duckdb")


def _extract(translator: Translator, node: exp.Expression) -> exp.Expression:
    return functions.translate(node.name.lower(), [node.expression])


def _trim(translator: Translator, node: exp.Expression) -> exp.Expression:
    side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim")
    items = [node.this, node.expression] if node.args.get("expression") else [node.this]
    return functions.translate(side, items)


def _substring(translator: Translator, node: exp.Expression) -> exp.Expression:
    items = [node.this, node.args.get("start"), node.args.get("length")]
    return functions.translate("substr", [item for item in items if item is not None])


def _like(translator: Translator, node: exp.Expression) -> exp.Expression:
    return exp.Paren(this=call("sr_like", functions.text(node.this), functions.text(node.expression)))


def _json_array_index(translator: Translator, node: exp.Expression) -> exp.Expression:
    index = node.expressions[0]
    if len(node.expressions) != 1 or not index.is_int:
        raise SqlError.not_emulated("array elements and slices by expressions")
    return call("sr_element", node.this, exp.Literal.number(int(index.name) + 1))


def _with(name: str):  # type: ignore[no-untyped-def]
    return lambda translator, node: call(name, node.this, node.expression)


_NODES = {
    exp.Anonymous: Translator._function, exp.SessionParameter: Translator._variable, exp.Cast: Translator._cast,
    exp.CurrentTimestamp: lambda t, n: t._now(), exp.Localtime: lambda t, n: t._now(),
    exp.Localtimestamp: lambda t, n: t._now(), exp.CurrentDate: lambda t, n: t._today(),
    exp.CurrentUser: lambda t, n: t._constant("current_user"), exp.CurrentRole: lambda t, n: t._constant("current_role"),
    exp.JSONExtract: _json_extract, exp.Add: _arithmetic, exp.Sub: _arithmetic, exp.Div: _with("sr_div"),
    exp.IntDiv: _with("sr_intdiv"), exp.Mod: _with("sr_mod"), exp.GroupConcat: _group_concat, exp.Extract: _extract,
    exp.Trim: _trim, exp.Substring: _substring, exp.Like: _like, exp.Bracket: _json_array_index,
    exp.StrPosition: lambda t, n: functions.translate("locate", [n.args["substr"], n.this]),
    exp.RegexpLike: lambda t, n: call("regexp_matches", functions.text(n.this), functions.text(n.expression)),
    exp.BitwiseXor: _with("xor"), exp.Concat: lambda t, n: functions.translate("concat", n.expressions),
}  # fmt: skip
