"""SHOW BACKENDS, FRONTENDS, PROC, PROCESSLIST, and ADMIN SHOW / SET FRONTEND CONFIG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbmazz_sandbox.starrocks.alters import moment
from dbmazz_sandbox.starrocks.cluster import utc_now
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.variables import like
from dbmazz_sandbox.starrocks.protocol.tokens import Tokens

if TYPE_CHECKING:
    from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

Rows = tuple[list[Sequence[Any]], list[str]]
_BACKENDS = ["BackendId", "IP", "HeartbeatPort", "BePort", "HttpPort", "BrpcPort", "LastStartTime", "LastHeartbeat",
             "Alive", "SystemDecommissioned", "ClusterDecommissioned", "TabletNum", "DataUsedCapacity",
             "AvailCapacity", "TotalCapacity", "UsedPct", "MaxDiskUsedPct", "ErrMsg", "Version", "Status",
             "DataTotalCapacity", "DataUsedPct", "CpuCores", "MemLimit", "NumRunningQueries", "MemUsedPct", "CpuUsedPct",
             "DataCacheMetrics", "Location"]  # fmt: skip
_FRONTENDS = ["Name", "IP", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "ClusterId", "Join", "Alive",
              "ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "StartTime", "Version"]  # fmt: skip


def _nodes_allowed(session: StarRocksSession) -> None:
    users, who = session.cluster.users, session.username
    if not any(users.may(who, privilege, roles=session.roles) for privilege in ("OPERATE", "NODE")):
        raise session.denied("OPERATE OR NODE", "SYSTEM", None)


def backends(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
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


def frontends(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    _nodes_allowed(session)
    host, http, _ = session.addresses()
    now, version = f"{utc_now():%Y-%m-%d %H:%M:%S}", session.cluster.version.number
    row = ("sandbox", host, 0, http, 0, 0, "LEADER", 1, "true", "true", 1, now, "true", "", now, version)
    return [row], _FRONTENDS


_TRANSACTIONS = ["TransactionId", "Label", "Coordinator", "TransactionStatus", "LoadJobSourceType", "PrepareTime",
                 "CommitTime", "PublishTime", "FinishTime", "Reason", "ErrorReplicasCount", "ListenerId", "TimeoutMs",
                 "ErrMsg"]  # fmt: skip


def proc(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    path = tokens.string().rstrip("/")
    tokens.end()
    if path in ("/backends", "/frontends"):
        return (backends if path == "/backends" else frontends)(session, tokens, full)
    session.require("OPERATE")
    parts = path.strip("/").split("/")
    if parts[0] == "transactions" and len(parts) == 3 and parts[2] in ("running", "finished"):
        return _transactions(session, parts[1], parts[2] == "running"), _TRANSACTIONS
    if parts == ["dbs"]:
        databases = session.cluster.catalog.databases
        names = ["DbId", "DbName", "TableNum", "Quota", "LastConsistencyCheckTime", "ReplicaQuota"]
        quota = ("8388608.000 TB", None, "9223372036854775807")
        return [(name, name, len(databases[name]), *quota) for name in sorted(databases)], names
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


_SETTABLE = frozenset({"empty_load_as_error", "sandbox_alter_seconds"})


def admin(session: StarRocksSession, tokens: Tokens) -> Rows:
    settings = session.cluster.settings
    names = ["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"]
    if tokens.accept("SHOW", "FRONTEND", "CONFIG"):
        wanted = like(tokens, "Key")
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


def processes(session: StarRocksSession, tokens: Tokens, full: bool) -> Rows:
    row = (session.connection_id, session.username, "127.0.0.1", session.database or "", "Query", "", 0, "OK",
           "SHOW PROCESSLIST", "false", "default_warehouse")  # fmt: skip
    return [row], ["Id", "User", "Host", "Db", "Command", "ConnectionStartTime", "Time", "State", "Info", "IsPending",
                   "Warehouse"]  # fmt: skip
