"""SHOW, DESC and ADMIN SHOW / SET FRONTEND CONFIG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.information import default_text, properties
from dbmazz_sandbox.starrocks.mysql.variables import like_pattern
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]
ALTER_COLUMNS = ["JobId", "TableName", "CreateTime", "FinishTime", "IndexName", "IndexId", "OriginIndexId",
                 "SchemaVersion", "TransactionId", "State", "Msg", "Progress", "Timeout"]  # fmt: skip
_BACKENDS = ["BackendId", "IP", "HeartbeatPort", "BePort", "HttpPort", "BrpcPort", "LastStartTime", "LastHeartbeat",
             "Alive", "SystemDecommissioned", "ClusterDecommissioned", "TabletNum", "DataUsedCapacity",
             "AvailCapacity", "TotalCapacity", "UsedPct", "MaxDiskUsedPct", "ErrMsg", "Version", "Status",
             "DataTotalCapacity", "DataUsedPct", "CpuCores", "NumRunningQueries", "MemUsedPct", "CpuUsedPct"]  # fmt: skip
_FRONTENDS = ["Name", "IP", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "ClusterId", "Join", "Alive",
              "ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "StartTime", "Version"]  # fmt: skip


def run(session: StarRocksSession, tokens: Tokens) -> Rows:
    """One SHOW, DESC or ADMIN statement."""
    if tokens.accept("ADMIN"):
        return _admin(session, tokens)
    if tokens.accept("DESC") or tokens.accept("DESCRIBE"):
        table = session.table(tokens.qualified())
        tokens.end()
        return [_field(table, column) for column in table.columns], ["Field", "Type", "Null", "Key", "Default", "Extra"]
    tokens.expect("SHOW")
    full = tokens.accept("FULL")
    tokens.accept("GLOBAL") or tokens.accept("SESSION")
    word = tokens.next().text.upper()
    handler = _SHOWS.get(word)
    if handler is None:
        raise SqlError.not_emulated(f"SHOW {word}")
    return handler(session, tokens, full)


def _like(tokens: Tokens, *columns: str) -> Callable[[str], bool]:
    """The LIKE or WHERE at the end of a SHOW, as a test of the first column."""
    if tokens.done:
        return lambda name: True
    if tokens.accept("WHERE"):
        column = tokens.name()
        if column.lower() not in [name.lower() for name in columns]:
            raise SqlError.not_emulated(f"SHOW … WHERE {column}")
        if tokens.accept("="):
            wanted = tokens.string()
            tokens.end()
            return lambda name: name.lower() == wanted.lower()
    tokens.expect("LIKE")
    pattern = like_pattern(tokens.string())
    tokens.end()
    return lambda name: pattern.fullmatch(name) is not None


def _databases(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    wanted = _like(tokens, "Database")
    return [(name,) for name in session.cluster.catalog.names() if wanted(name)], ["Database"]


def _tables(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    database = session.database
    if tokens.accept("FROM") or tokens.accept("IN"):
        database = tokens.qualified()[-1]
    if not database:
        raise SqlError.no_database()
    header = f"Tables_in_{database}"
    wanted = _like(tokens, header)
    names = [name for name in sorted(session.cluster.catalog.database(database)) if wanted(name)]
    if full:
        return [(name, "BASE TABLE") for name in names], [header, "Table_type"]
    return [(name,) for name in names], [header]


def _of_table(session: StarRocksSession, tokens: Tokens) -> Table:
    if not tokens.accept("FROM"):
        tokens.expect("IN")
    parts = tokens.qualified()
    if tokens.accept("FROM") or tokens.accept("IN"):
        parts = [tokens.qualified()[-1], parts[-1]]
    return session.table(parts)


def _field(table: Table, column: Column) -> Sequence[Any]:
    key = "true" if table.is_key(column) else "false"
    return column.name, str(column.type), "YES" if column.nullable else "NO", key, default_text(column), ""


def _columns(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    table = _of_table(session, tokens)
    wanted = _like(tokens, "Field")
    columns = [column for column in table.columns if wanted(column.name)]
    if not full:
        return [_field(table, c) for c in columns], ["Field", "Type", "Null", "Key", "Default", "Extra"]
    rows = []
    for column in columns:
        name, kind, null, _, default, extra = _field(table, column)
        key = "PRI" if table.is_key(column) and table.primary else ""
        rows.append((name, kind, "", null, key, default, extra, "", column.comment))
    return rows, ["Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges", "Comment"]


def create_table_sql(table: Table) -> str:
    """The statement SHOW CREATE TABLE prints."""

    def names(columns: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in columns)

    lines = []
    for c in table.columns:
        default = (
            " DEFAULT CURRENT_TIMESTAMP"
            if c.default_now
            else f' DEFAULT "{c.default}"'
            if c.default is not None
            else ""
        )
        lines.append(f'  `{c.name}` {c.type} {"NULL" if c.nullable else "NOT NULL"}{default} COMMENT "{c.comment}"')
    out = f"CREATE TABLE `{table.name}` (\n" + ",\n".join(lines) + "\n) ENGINE=OLAP \n"
    out += f"{'PRIMARY' if table.primary else 'DUPLICATE'} KEY({names(table.keys)})\n"
    if table.comment:
        out += f'COMMENT "{table.comment}"\n'
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
    wanted = _like(tokens, "Variable_name")
    values = [
        (name, "" if value is None else value) for name, value in session.variables.list() if name != "external_user"
    ]
    return [(name, str(value)) for name, value in values if wanted(name)], ["Variable_name", "Value"]


_ALTER = re.compile(
    r"""\A(?:FROM\s+(?P<db>`[^`]+`|[\w.]+)\s*)?(?:WHERE\s+TableName\s*=\s*(?P<q>['"])(?P<table>.*?)(?P=q)
    (?:\s+AND\s+State\s*=\s*(?P<s>['"])(?P<state>\w+)(?P=s))?\s*)?
    (?:ORDER\s+BY\s+CreateTime(?:\s+(?P<order>ASC|DESC))?\s*)?(?:LIMIT\s+(?P<limit>\d+))?\s*;?\s*\Z""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def _alter(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    tokens.expect("TABLE")
    if tokens.accept("OPTIMIZE") or tokens.accept("ROLLUP"):
        return [], ALTER_COLUMNS
    tokens.expect("COLUMN")
    match = _ALTER.match(tokens.sql[tokens.peek().start :])
    if match is None:
        raise SqlError.not_emulated("this form of SHOW ALTER TABLE COLUMN")
    database = (match["db"] or session.database or "").strip("`").removeprefix("default_catalog.")
    if not database:
        raise SqlError.no_database()
    rows = []
    for table in session.cluster.catalog.database(database).values():
        if match["table"] in (None, table.name) and (match["state"] or "FINISHED").upper() == "FINISHED":
            rows += [_job(table, position) for position in range(len(table.jobs))]
    rows.sort(key=lambda row: (row[2], row[0]), reverse=(match["order"] or "").upper() == "DESC")
    return rows[: int(match["limit"])] if match["limit"] else rows, ALTER_COLUMNS


def _job(table: Table, position: int) -> Sequence[Any]:
    job = table.jobs[position]
    return (job.ident, table.name, job.created, job.finished, table.name, job.ident, table.ident,
            f"{job.version}:0", job.ident, "FINISHED", "", None, 86400)  # fmt: skip


def _backends(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    now, version = f"{utc_now():%Y-%m-%d %H:%M:%S}", session.cluster.version.number
    tablets = sum(len(tables) for tables in session.cluster.catalog.databases.values())
    rows = [
        (node.ident, node.host, 0, 0, node.port, 0, now, now, str(node.alive).lower(), "false", "false", tablets,
         "0.000 ", "1.000 TB", "1.000 TB", "0.00 %", "0.00 %", "" if node.alive else "connection refused", version, "{}",
         "1.000 TB", "0.00 %", 2, 0, "0.00 %", "0.0 %")
        for node in session.cluster.backends
    ]  # fmt: skip
    return rows, _BACKENDS


def _frontends(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    host, http, _ = session.addresses()
    now, version = f"{utc_now():%Y-%m-%d %H:%M:%S}", session.cluster.version.number
    row = ("sandbox", host, 0, http, 0, 0, "LEADER", 1, "true", "true", 1, now, "true", "", now, version)
    return [row], _FRONTENDS


def _proc(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    path = tokens.string().rstrip("/")
    if path == "/backends":
        return _backends(session, tokens, full)
    if path == "/frontends":
        return _frontends(session, tokens, full)
    raise SqlError.not_emulated(f"SHOW PROC '{path}'")


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


def _admin(session: StarRocksSession, tokens: Tokens) -> Rows:
    settings = session.cluster.settings
    names = ["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"]
    if tokens.accept("SHOW", "FRONTEND", "CONFIG"):
        wanted = _like(tokens, "Key")
        return [(k, "[]", v, "String", "true", "") for k, v in settings.items() if wanted(k)], names
    if tokens.accept("SET", "FRONTEND", "CONFIG"):
        tokens.expect("(")
        key = tokens.string()
        tokens.expect("=")
        value = tokens.string()
        tokens.expect(")")
        if key != "empty_load_as_error":
            raise SqlError.not_emulated(f"ADMIN SET FRONTEND CONFIG {key}")
        settings[key] = value.lower()
        return [], []
    raise SqlError.not_emulated(f"ADMIN {tokens.peek().text.upper()}")


_SHOWS: dict[str, Callable[[Any, Tokens, bool], Rows]] = {
    "DATABASES": _databases, "SCHEMAS": _databases, "TABLES": _tables, "COLUMNS": _columns, "FIELDS": _columns,
    "CREATE": _create, "VARIABLES": _variables, "ALTER": _alter, "BACKENDS": _backends, "FRONTENDS": _frontends,
    "PROC": _proc, "WARNINGS": _empty("Level", "Code", "Message"), "ERRORS": _empty("Level", "Code", "Message"),
    "STATUS": _empty("Variable_name", "Value"), "ENGINES": _engines, "CHARSET": _charsets,
    "COLLATION": _collations,
}  # fmt: skip
