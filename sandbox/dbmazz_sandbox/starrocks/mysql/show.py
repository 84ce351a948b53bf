"""SHOW, DESC and ADMIN SHOW / SET FRONTEND CONFIG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.alters import moment
from dbmazz_sandbox.starrocks.catalog import Column, Table
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.accounts import show_grants
from dbmazz_sandbox.starrocks.mysql.information import TABLES, default_text, properties
from dbmazz_sandbox.starrocks.mysql.variables import like_pattern
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens
from dbmazz_sandbox.starrocks.users import BUILTIN_ROLES, identity

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]
ALTER_COLUMNS = ["JobId", "TableName", "CreateTime", "FinishTime", "IndexName", "IndexId", "OriginIndexId",
                 "SchemaVersion", "TransactionId", "State", "Msg", "Progress", "Timeout"]  # fmt: skip
_BACKENDS = ["BackendId", "IP", "HeartbeatPort", "BePort", "HttpPort", "BrpcPort", "LastStartTime", "LastHeartbeat",
             "Alive", "SystemDecommissioned", "ClusterDecommissioned", "TabletNum", "DataUsedCapacity",
             "AvailCapacity", "TotalCapacity", "UsedPct", "MaxDiskUsedPct", "ErrMsg", "Version", "Status",
             "DataTotalCapacity", "DataUsedPct", "CpuCores", "MemLimit", "NumRunningQueries", "MemUsedPct", "CpuUsedPct",
             "DataCacheMetrics", "Location"]  # fmt: skip
_FRONTENDS = ["Name", "IP", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "ClusterId", "Join", "Alive",
              "ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "StartTime", "Version"]  # fmt: skip


async def run(session: StarRocksSession, tokens: Tokens) -> Rows:
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
    if tokens.accept("FROM") and tokens.name() != "default_catalog":
        raise SqlError.not_emulated("other catalogs")
    wanted = _like(tokens, "Database")
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
    wanted = _like(tokens, header)
    session.cluster.catalog.database(database)
    system = database == "information_schema"
    seen = TABLES if system else session.visible().databases.get(database, {})
    names = [name for name in sorted(seen) if wanted(name)]
    if full:
        return [(name, "SYSTEM VIEW" if system else "BASE TABLE") for name in names], [header, "Table_type"]
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
    wanted = _like(tokens, "Variable_name")
    values = [
        (name, "" if value is None else value) for name, value in session.variables.list() if name != "external_user"
    ]
    return [(name, str(value)) for name, value in values if wanted(name)], ["Variable_name", "Value"]


_ALTER = re.compile(
    r"""\A(?:FROM\s+(?P<db>`[^`]+`|[\w.]+)\s*)?(?:WHERE\s+(?P<where>.*?)\s*)?
    (?:ORDER\s+BY\s+(?P<by>CreateTime|JobId|FinishTime)(?:\s+(?P<order>ASC|DESC))?\s*)?
    (?:LIMIT\s+(?P<limit>\d+))?\s*;?\s*\Z""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_CONDITION = re.compile(r"""(TableName|State)\s*=\s*(['"])(.*?)\2""", re.IGNORECASE | re.DOTALL)


def _alter(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    tokens.expect("TABLE")
    names = [*ALTER_COLUMNS, "Warehouse"] if session.cluster.version.numbers >= (4, 0) else ALTER_COLUMNS
    if tokens.accept("OPTIMIZE") or tokens.accept("ROLLUP"):
        return [], names
    tokens.expect("COLUMN")
    match = _ALTER.match(tokens.sql[tokens.peek().start :])
    wanted = _conditions(match["where"] or "") if match else None
    if match is None or wanted is None:
        raise SqlError.not_emulated("this form of SHOW ALTER TABLE COLUMN")
    database = (match["db"] or session.database or "").strip("`").removeprefix("default_catalog.")
    if not database:
        raise SqlError.no_database()
    session.cluster.catalog.database(database)
    rows = [row for row in _jobs(session, database) if all(row[at] == value for at, value in wanted)]
    at = names.index(next(n for n in names if n.lower() == (match["by"] or "CreateTime").lower()))
    rows.sort(key=lambda row: (str(row[at]), row[0]), reverse=(match["order"] or "").upper() == "DESC")
    rows = rows[: int(match["limit"])] if match["limit"] else rows
    return [(*row, "default_warehouse")[: len(names)] for row in rows], names


def _conditions(text: str) -> list[tuple[int, str]] | None:
    """(position, value) pairs of a WHERE with AND; None for any other."""
    out = []
    for part in re.split(r"\s+AND\s+", text, flags=re.IGNORECASE) if text else []:
        found = _CONDITION.fullmatch(part.strip())
        if found is None:
            return None
        at = ALTER_COLUMNS.index("TableName" if found[1].lower() == "tablename" else "State")
        out.append((at, found[3]))
    return out


def _jobs(session: StarRocksSession, database: str) -> Iterable[Sequence[Any]]:
    now = session.cluster.now()
    tables = session.visible().databases.get(database, {})
    for table in tables.values():
        for job in table.jobs:
            yield (job.ident, table.name, job.created, job.finished, table.name, job.ident, table.ident,
                   f"{job.version}:0", job.ident, "FINISHED", "", None, 86400)  # fmt: skip
    for job in session.cluster.alters.of_database(database, now):
        if job.table not in tables:
            continue
        version = f"{len(tables[job.table].jobs) + 1}:0"
        ended = moment(job.finished) if job.ended else None
        yield (job.ident, job.table, moment(job.created), ended, job.table, job.ident, job.table_ident, version,
               job.ident, job.state.value, job.message, job.progress(now), 86400)  # fmt: skip


def _nodes_allowed(session: StarRocksSession) -> None:
    users, who = session.cluster.users, session.username
    if not any(users.may(who, privilege, roles=session.roles) for privilege in ("OPERATE", "NODE")):
        raise session.denied("OPERATE OR NODE", "SYSTEM", None)


def _backends(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    _nodes_allowed(session)
    now, version = f"{utc_now():%Y-%m-%d %H:%M:%S}", session.cluster.version.number
    tablets = sum(len(tables) for tables in session.cluster.catalog.databases.values())
    rows = [
        (node.ident, node.host, 0, 0, node.port, 0, now, now, str(node.alive).lower(), "false", "false", tablets,
         "0.000 ", "1.000 TB", "1.000 TB", "0.00 %", "0.00 %", "" if node.alive else "connection refused", version, "{}",
         "1.000 TB", "0.00 %", 2, "2.000 GB", 0, "0.00 %", "0.0 %", "N/A", "")
        for node in session.cluster.backends
    ]  # fmt: skip
    return rows, _BACKENDS


def _frontends(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    _nodes_allowed(session)
    host, http, _ = session.addresses()
    now, version = f"{utc_now():%Y-%m-%d %H:%M:%S}", session.cluster.version.number
    row = ("sandbox", host, 0, http, 0, 0, "LEADER", 1, "true", "true", 1, now, "true", "", now, version)
    return [row], _FRONTENDS


_TRANSACTIONS = ["TransactionId", "Label", "Coordinator", "TransactionStatus", "LoadJobSourceType", "PrepareTime",
                 "CommitTime", "PublishTime", "FinishTime", "Reason", "ErrorReplicasCount", "ListenerId", "TimeoutMs",
                 "ErrMsg"]  # fmt: skip


def _proc(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    path = tokens.string().rstrip("/")
    tokens.end()
    if path in ("/backends", "/frontends"):
        return (_backends if path == "/backends" else _frontends)(session, tokens, full)
    session.require("OPERATE")
    parts = path.strip("/").split("/")
    if parts[0] == "transactions" and len(parts) == 3 and parts[2] in ("running", "finished"):
        return _transactions(session, parts[1], parts[2] == "running"), _TRANSACTIONS
    if parts == ["dbs"]:
        databases = session.cluster.catalog.databases
        return [(name, name, len(databases[name]), "8388608.000 TB", None, "9223372036854775807") for name in
                sorted(databases)], ["DbId", "DbName", "TableNum", "Quota", "LastConsistencyCheckTime", "ReplicaQuota"]  # fmt: skip
    raise SqlError.not_emulated(f"SHOW PROC '{path}'")


def _transactions(session: StarRocksSession, database: str, running: bool) -> list[Sequence[Any]]:
    """The sandbox's databases have no numbers: `database` is the name, as SHOW PROC '/dbs' lists it."""
    rows: list[Sequence[Any]] = []
    for t in session.cluster.labels.transactions():
        if t.database == database and (t.state in ("PREPARE", "PREPARED", "COMMITTED")) == running:
            ended = moment(t.finished) if t.finished else None
            rows.append((t.ident, t.label, "BE: 127.0.0.1", t.state.value, "BACKEND_STREAMING", None, ended, ended,
                         ended, t.reason, 0, "[-1]", 600000, ""))  # fmt: skip
    return rows[::-1]


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


_SETTABLE = frozenset({"empty_load_as_error", "sandbox_alter_seconds"})


def _admin(session: StarRocksSession, tokens: Tokens) -> Rows:
    settings = session.cluster.settings
    names = ["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"]
    if tokens.accept("SHOW", "FRONTEND", "CONFIG"):
        wanted = _like(tokens, "Key")
        session.require("OPERATE")
        return [(k, "[]", v, "String", "true", "") for k, v in settings.items() if wanted(k)], names
    if tokens.accept("SET", "FRONTEND", "CONFIG"):
        tokens.expect("(")
        key = tokens.string()
        tokens.expect("=")
        value = tokens.string()
        tokens.expect(")")
        session.require("OPERATE")
        if key not in _SETTABLE:
            raise SqlError.not_emulated(f"ADMIN SET FRONTEND CONFIG {key}")
        if key == "sandbox_alter_seconds" and not re.fullmatch(r"\d+(\.\d+)?", value):
            raise SqlError.analysis(f"sandbox_alter_seconds wants seconds, not {value}")
        settings[key] = value.lower()
        return [], []
    raise SqlError.not_emulated(f"ADMIN {tokens.peek().text.upper()}")


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


def _processes(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    row = (session.connection_id, session.username, "127.0.0.1", session.database or "", "Query", "", 0, "OK",
           "SHOW PROCESSLIST", "false", "default_warehouse")  # fmt: skip
    return [row], ["Id", "User", "Host", "Db", "Command", "ConnectionStartTime", "Time", "State", "Info", "IsPending",
                   "Warehouse"]  # fmt: skip


_INDEX = ["Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name", "Collation", "Cardinality", "Sub_part",
          "Packed", "Null", "Index_type", "Comment", "Properties"]  # fmt: skip


def _indexes(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    _of_table(session, tokens)
    return [], _INDEX


_SHOWS: dict[str, Callable[[Any, Tokens, bool], Rows]] = {
    "DATABASES": _databases, "SCHEMAS": _databases, "TABLES": _tables, "COLUMNS": _columns, "FIELDS": _columns,
    "CREATE": _create, "VARIABLES": _variables, "ALTER": _alter, "BACKENDS": _backends, "FRONTENDS": _frontends,
    "PROC": _proc, "WARNINGS": _empty("Level", "Code", "Message"), "ERRORS": _empty("Level", "Code", "Message"),
    "STATUS": _empty("Variable_name", "Value"), "ENGINES": _engines, "CHARSET": _charsets,
    "COLLATION": _collations, "GRANTS": _grants, "USERS": _users, "ROLES": _roles, "CATALOGS": _catalogs,
    "PROCESSLIST": _processes, "INDEX": _indexes, "INDEXES": _indexes, "KEYS": _indexes,
}  # fmt: skip
