"""SHOW and DESC of databases, tables, columns, variables and accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql import nodes
from dbmazz_sandbox.starrocks.mysql.grants import show_grants
from dbmazz_sandbox.starrocks.mysql.information import TABLES, default_text, properties, relation
from dbmazz_sandbox.starrocks.mysql.jobs import alter_jobs
from dbmazz_sandbox.starrocks.mysql.variables import like
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.users import BUILTIN_ROLES, identity

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]


# DESC and EXPLAIN are one word to StarRocks' grammar when a query follows
_EXPLAINED = (
    *((word,) for word in ("SELECT", "WITH", "(", "INSERT", "UPDATE", "DELETE")),
    *((level, word) for level in ("LOGICAL", "ANALYZE", "VERBOSE", "COSTS", "SCHEDULER")
      for word in ("SELECT", "WITH", "(", "INSERT", "UPDATE", "DELETE")),
)  # fmt: skip
_STATUS = {
    "Name": "TABLE_NAME", "Engine": "ENGINE", "Version": "VERSION", "Row_format": "ROW_FORMAT", "Rows": "TABLE_ROWS",
    "Avg_row_length": "AVG_ROW_LENGTH", "Data_length": "DATA_LENGTH", "Max_data_length": "MAX_DATA_LENGTH",
    "Index_length": "INDEX_LENGTH", "Data_free": "DATA_FREE", "Auto_increment": "AUTO_INCREMENT",
    "Create_time": "CREATE_TIME", "Update_time": "UPDATE_TIME", "Check_time": "CHECK_TIME", "Collation": "TABLE_COLLATION",
    "Checksum": "CHECKSUM", "Create_options": "CREATE_OPTIONS", "Comment": "TABLE_COMMENT",
}  # fmt: skip


async def run(session: StarRocksSession, tokens: Tokens) -> Rows:
    """One SHOW, DESC or ADMIN statement."""
    if tokens.accept("ADMIN"):
        return nodes.admin(session, tokens)
    if tokens.at("DESC") or tokens.at("DESCRIBE"):
        word = tokens.next().text.upper()
        if any(tokens.at(*words) for words in _EXPLAINED):
            raise SqlError.not_emulated(f"statement {word} of a query")
        table = session.table(tokens.qualified())
        tokens.end()
        return [_field(table, column) for column in table.columns], ["Field", "Type", "Null", "Key", "Default", "Extra"]
    tokens.expect("SHOW")
    full = tokens.accept("FULL")
    tokens.accept("GLOBAL") or tokens.accept("SESSION")
    if tokens.accept("TABLE", "STATUS"):
        return await _table_status(session, tokens)
    if tokens.at("TABLE"):
        tokens.next()
        raise SqlError.not_emulated(f"SHOW TABLE {tokens.peek().text.upper()}")
    word = tokens.next().text.upper()
    handler = _SHOWS.get(word)
    if handler is None:
        raise SqlError.not_emulated(f"SHOW {word}")
    return handler(session, tokens, full)


def _databases(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    if tokens.accept("FROM") and tokens.name() != "default_catalog":
        raise SqlError.not_emulated("other catalogs")
    wanted = like(tokens, "Database")
    names = [name for name in session.visible().names() if wanted(name) and name not in ("sys", "_statistics_")]
    hidden = ["_statistics_", "sys"] if session.username == session.cluster.users.administrator else []
    return [(name,) for name in sorted(names + [name for name in hidden if wanted(name)])], ["Database"]


def _tables(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    database = session.database
    if tokens.accept("FROM") or tokens.accept("IN"):
        database = tokens.qualified()[-1]
    if not database:
        raise SqlError.no_database()
    header = f"Tables_in_{database}"
    wanted = like(tokens, header)
    session.cluster.catalog.database(database)
    system = database == "information_schema"
    seen = TABLES if system else session.visible().databases.get(database, {})
    names = [name for name in sorted(seen) if wanted(name)]
    if full:
        return [(name, "SYSTEM VIEW" if system else "BASE TABLE") for name in names], [header, "Table_type"]
    return [(name,) for name in names], [header]


async def _table_status(session: StarRocksSession, tokens: Tokens) -> Rows:
    """SHOW TABLE STATUS: information_schema.tables of one database, under MySQL's names."""
    database = session.database
    if tokens.accept("FROM") or tokens.accept("IN"):
        database = tokens.qualified()[-1]
    if not database:
        raise SqlError.no_database()
    wanted = like(tokens, "Name")
    session.cluster.catalog.database(database)
    columns, select = relation("tables", session.information())
    items = ", ".join(f"CAST({column} AS VARCHAR)" for column in _STATUS.values())

    def read() -> list[tuple[Any, ...]]:
        with session.cluster.store.cursor() as cursor:
            cursor.register("tables_rows", columns)
            cursor.execute(f"SELECT {items} FROM ({select}) WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME", [database])
            return cursor.fetchall()

    return [row for row in await session.cluster.query(read) if wanted(row[0])], list(_STATUS)


def _of_table(session: StarRocksSession, tokens: Tokens) -> Table:
    if not tokens.accept("FROM"):
        tokens.expect("IN")
    parts = tokens.qualified()
    if tokens.accept("FROM") or tokens.accept("IN"):
        parts = [tokens.qualified()[-1], parts[-1]]
    return session.table(parts)


def _field(table: Table, column: Column) -> Sequence[Any]:
    key = "true" if table.is_key(column) else "false"
    return (
        column.name,
        str(column.type),
        "YES" if column.nullable else "NO",
        key,
        default_text(column),
        ("auto_increment" if column.auto_increment else ""),
    )


def _columns(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    table = _of_table(session, tokens)
    wanted = like(tokens, "Field")
    columns = [column for column in table.columns if wanted(column.name)]
    if not full:
        return [_field(table, c) for c in columns], ["Field", "Type", "Null", "Key", "Default", "Extra"]
    rows = []
    for column in columns:
        name, kind, null, _, default, extra = _field(table, column)
        key = "PRI" if table.is_key(column) and table.primary else ""
        rows.append((name, kind, "", null, key, default, extra, "", column.comment))
    return rows, ["Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment"]


def _column_sql(c: Column) -> str:
    default = ""
    if c.default_now:
        default = " DEFAULT CURRENT_TIMESTAMP"
    elif c.default is not None:
        default = f' DEFAULT "{_escaped(c.default)}"'
    counted = " AUTO_INCREMENT" if c.auto_increment else ""
    null = "NULL" if c.nullable else "NOT NULL"
    return f'  `{_ticked(c.name)}` {c.type} {null}{counted}{default} COMMENT "{_escaped(c.comment)}"'


def _ticked(name: str) -> str:
    return name.replace("`", "``")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def create_table_sql(table: Table) -> str:
    """The statement SHOW CREATE TABLE prints."""

    def names(columns: Iterable[str]) -> str:
        return ", ".join(f"`{_ticked(name)}`" for name in columns)

    lines = [_column_sql(c) for c in table.columns]
    out = f"CREATE TABLE `{_ticked(table.name)}` (\n" + ",\n".join(lines) + "\n) ENGINE=OLAP \n"
    out += f"{'PRIMARY' if table.primary else 'DUPLICATE'} KEY({names(table.keys)})\n"
    if table.comment:
        out += f'COMMENT "{_escaped(table.comment)}"\n'
    if table.partition:
        out += f"PARTITION BY {table.partition}\n"
    buckets = f" BUCKETS {table.buckets} " if table.buckets else " "
    out += (
        f"DISTRIBUTED BY HASH({names(table.distribution)}){buckets}\n"
        if table.distribution
        else "DISTRIBUTED BY RANDOM\n"
    )
    if table.sort_key:
        out += f"ORDER BY({names(table.sort_key)})\n"
    return out + "PROPERTIES (\n" + ",\n".join(f'"{k}" = "{v}"' for k, v in properties(table).items()) + "\n);"


def _create(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    if tokens.accept("DATABASE"):
        name = tokens.qualified()[-1]
        session.cluster.catalog.database(name)
        return [(name, f"CREATE DATABASE `{name}`")], ["Database", "Create Database"]
    tokens.expect("TABLE")
    table = session.table(tokens.qualified())
    tokens.end()
    return [(table.name, create_table_sql(table))], ["Table", "Create Table"]


def _variables(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    wanted = like(tokens, "Variable_name")
    values = [
        (name, "" if value is None else value) for name, value in session.variables.list() if name != "external_user"
    ]
    return [(name, str(value)) for name, value in values if wanted(name)], ["Variable_name", "Value"]


def _empty(*names: str) -> Callable[[StarRocksSession, Tokens, bool], Rows]:
    return lambda session, tokens, full: ([], list(names))


def _engines(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    row = ("OLAP", "YES", "Default storage engine of StarRocks", "NO", "NO", "NO")
    return [row], ["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"]


def _charsets(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    row = ("utf8", "UTF-8 Unicode", "utf8_general_ci", "3")
    return [row], ["Charset", "Description", "Default collation", "Maxlen"]


def _collations(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    row = ("utf8_general_ci", "utf8", "33", "Yes", "Yes", "1")
    return [row], ["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen"]


def _grants(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    return show_grants(session, tokens)


def _users(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    session.require("GRANT")
    return [(identity(name),) for name in sorted(session.cluster.users.users)], ["User"]


def _roles(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    session.require("GRANT")
    builtin = [(name, "true", "") for name in BUILTIN_ROLES]
    return builtin + [(name, "false", "") for name in sorted(session.cluster.users.roles)], [
        "Name",
        "Builtin",
        "Comment",
    ]


def _catalogs(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    row = ("default_catalog", "Internal", "An internal catalog contains this cluster's self-managed tables.")
    return [row], ["Catalog", "Type", "Comment"]


_INDEX = ["Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name", "Collation", "Cardinality", "Sub_part",
          "Packed", "Null", "Index_type", "Comment", "Properties"]  # fmt: skip


def _indexes(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    _of_table(session, tokens)
    return [], _INDEX


_SHOWS: dict[str, Callable[[Any, Tokens, bool], Rows]] = {
    "DATABASES": _databases, "SCHEMAS": _databases, "TABLES": _tables, "COLUMNS": _columns, "FIELDS": _columns,
    "CREATE": _create, "VARIABLES": _variables, "ALTER": alter_jobs, "BACKENDS": nodes.backends, "FRONTENDS": nodes.frontends,
    "PROC": nodes.proc, "WARNINGS": _empty("Level", "Code", "Message"), "ERRORS": _empty("Level", "Code", "Message"),
    "STATUS": _empty("Variable_name", "Value"), "ENGINES": _engines, "CHARSET": _charsets,
    "COLLATION": _collations, "GRANTS": _grants, "USERS": _users, "ROLES": _roles, "CATALOGS": _catalogs,
    "PROCESSLIST": nodes.processes, "INDEX": _indexes, "INDEXES": _indexes, "KEYS": _indexes,
}  # fmt: skip
