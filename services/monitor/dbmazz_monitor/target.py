"""Looks at StarRocks over its MySQL port: which tables and audit columns it has, and live and soft-deleted rows."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Hashable, Mapping, Sequence
from urllib.parse import urlsplit

import pymysql
from dbmazz.errors import ConfigError, TargetError, TargetUnavailable
from dbmazz.target import AUDIT_COLUMNS, IS_DELETED

from dbmazz_monitor.counts import Round
from dbmazz_monitor.protocol.rota import Rota
from dbmazz_monitor.protocol.sample import Table, TargetCount, TargetSeen

QUERY_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 3
# Of counting in one round; the tables that are left have their turn in the next ones.
BUDGET_S = 1.0
# Tables that are counted by one statement: one plan for all, and small enough to end within QUERY_TIMEOUT_S.
TOGETHER = 25
# The list of tables is asked for this often; a table that nothing was loaded into is counted this often.
LOOK_EVERY_S = 10.0
AGAIN_S = 60.0
# StarRocks' error numbers; 1146 and 1049 are MySQL's own for the same.
_NO_TABLE = {5502, 1146}
_NO_DATABASE = {5501, 1049}
_UNKNOWN_VARIABLE = 1193

_TABLES = "SELECT TABLE_NAME FROM information_schema.tables WHERE TABLE_SCHEMA = %s"
_COLUMNS = (
    "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.columns WHERE TABLE_SCHEMA = %s AND COLUMN_NAME IN ("
    + ", ".join(f"'{name}'" for name, _ in AUDIT_COLUMNS)
    + ")"
)


class TargetCounter:
    """One connection, kept between rounds; its blocking calls run in a thread, one at a time."""

    def __init__(
        self,
        sink_url: str,
        port: int,
        user: str,
        password: str,
        database: str,
        *,
        budget_s: float = BUDGET_S,
        together: int = TOGETHER,
        look_every_s: float = LOOK_EVERY_S,
        again_s: float = AGAIN_S,
    ) -> None:
        """`sink_url`: FE addresses over HTTP, separated by commas; the MySQL port is asked on the same hosts."""
        self._hosts = [host for url in sink_url.split(",") if (host := urlsplit(url.strip()).hostname)]
        if not self._hosts:
            raise ConfigError("SINK_URL names no host", "It looks like http://host:8030")
        self._port, self._user, self._password, self._database = port, user, password, database
        self._budget_s, self._together, self._look_every_s = budget_s, together, look_every_s
        self._connection: pymysql.Connection | None = None
        self._socket: socket.socket | None = None
        self._seen: TargetSeen | None = None
        self._looked_at_s = float("-inf")
        self._rota = Rota(again_s)
        self._counts: dict[str, TargetCount] = {}

    async def round(self, tables: Sequence[Table], marks: Mapping[str, Hashable]) -> Round[TargetCount, TargetSeen]:
        """Counts those of `tables` whose mark is another than before, many by one statement. TargetUnavailable when no FE
        answers."""
        until = time.monotonic() + self._budget_s
        wanted = {table.target_table: table for table in tables}
        seen = self._seen
        # A table that waits to be made is looked for at every round.
        late = time.monotonic() >= self._looked_at_s + self._look_every_s
        if seen is None or late or any(name not in seen.audit_columns for name in wanted):
            seen = await self._look()
        due = self._rota.due(
            {name: marks.get(table.name) for name, table in wanted.items() if name in seen.audit_columns},
            time.monotonic(),
        )
        self._counts = {name: count for name, count in self._counts.items() if name in wanted}
        counted = 0
        while counted < len(due) and (not counted or time.monotonic() < until):
            names = due[counted : counted + self._together]
            counts = await asyncio.to_thread(self._together_or_singly, names, seen)
            for name, count in counts.items():
                self._counts[name] = count
                self._rota.counted(name, marks.get(wanted[name].name), time.monotonic(), held=count.live is None)
            counted += len(names)
        return Round({table.name: self._known(table, seen) for table in tables}, seen, counted)

    async def close(self) -> None:
        """Ends the socket, so that a thread that waits on it returns at once."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster
            self._socket.close()
        self._connection = self._socket = None

    def _known(self, table: Table, seen: TargetSeen) -> TargetCount:
        if table.target_table not in seen.audit_columns:
            return TargetCount(None, note="not in the target yet")
        return self._counts.get(table.target_table, TargetCount(None))

    async def _look(self) -> TargetSeen:
        try:
            self._seen = await asyncio.to_thread(self._ask_for_tables)
        except pymysql.err.Error as error:
            raise TargetError(f"StarRocks does not list its tables: {_words(error)}") from None
        self._looked_at_s = time.monotonic()
        return self._seen

    def _ask_for_tables(self) -> TargetSeen:
        found: dict[str, set[str]] = {name: set() for (name,) in self._rows(_TABLES, self._database)}
        for table, column in self._rows(_COLUMNS, self._database) if found else ():
            found.setdefault(table, set()).add(column)
        return TargetSeen({name: frozenset(columns) for name, columns in found.items()})

    def _together_or_singly(self, names: Sequence[str], seen: TargetSeen) -> dict[str, TargetCount]:
        """One statement for all; when that fails because of one of them, one each, so that it is found out which."""
        try:
            return self._counted(names, seen)
        except pymysql.err.Error as error:
            if len(names) == 1:
                return {names[0]: TargetCount(None, note=_about_table(error))}
        found: dict[str, TargetCount] = {}
        for name in names:
            found |= self._together_or_singly([name], seen)
        return found

    def _counted(self, names: Sequence[str], seen: TargetSeen) -> dict[str, TargetCount]:
        rows = self._rows(self._query(names, seen))
        found = {}
        for number, total, deleted in rows:
            name = names[int(number)]
            marked = IS_DELETED in seen.audit_columns[name]
            gone = int(deleted or 0) if marked else None
            found[name] = TargetCount(live=int(total) - (gone or 0), deleted=gone)
        return found

    def _query(self, names: Sequence[str], seen: TargetSeen) -> str:
        parts = []
        for number, name in enumerate(names):
            quoted = ".".join(_quoted(part) for part in (self._database, name))
            deleted = f"SUM({_quoted(IS_DELETED)})" if IS_DELETED in seen.audit_columns[name] else "0"
            parts.append(f"SELECT {number}, COUNT(*), {deleted} FROM {quoted}")
        return " UNION ALL ".join(parts)

    def _rows(self, query: str, *values: str) -> Sequence[tuple]:
        """All rows of a statement; TargetUnavailable when the connection is lost, pymysql's error for what is refused."""
        connection = self._connection or self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return cursor.fetchall()
        except (pymysql.err.Error, OSError) as error:
            if not _is_lost(error):
                raise
            self._connection = None
            raise TargetUnavailable(f"StarRocks: {_words(error)}") from None

    def _connect(self) -> pymysql.Connection:
        """The first FE that answers; TargetUnavailable says what the last one said."""
        said = ""
        for host in self._hosts:
            try:
                self._connection = self._connect_to(host)
                return self._connection
            except (pymysql.err.Error, OSError) as error:
                said = f"{host}:{self._port}: {_words(error)}"
        raise TargetUnavailable(f"StarRocks at {said}")

    def _connect_to(self, host: str) -> pymysql.Connection:
        # A socket of our own, so that close() can end it under a thread that waits on it.
        self._socket = socket.create_connection((host, self._port), timeout=CONNECT_TIMEOUT_S)
        connection = pymysql.connect(
            host=host,
            port=self._port,
            user=self._user,
            password=self._password,
            read_timeout=QUERY_TIMEOUT_S + 1,
            write_timeout=QUERY_TIMEOUT_S,
            autocommit=None,
            defer_connect=True,
        )
        connection.connect(self._socket)
        try:
            _limit_queries(connection)
        except pymysql.err.Error:
            connection.close()
            raise
        return connection


def _limit_queries(connection: pymysql.Connection) -> None:
    """Lets StarRocks itself end a query that takes too long; the socket's own time-out is only the second line."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"SET query_timeout = {QUERY_TIMEOUT_S}")
        except pymysql.err.Error as error:
            if error.args[0] != _UNKNOWN_VARIABLE:  # a look-alike may not know it
                raise


def _is_lost(error: Exception) -> bool:
    """True for errors of the connection: the client library's own numbers are 2000 to 2999, the server's are others."""
    if isinstance(error, OSError | pymysql.err.InterfaceError):
        return True
    number = error.args[0] if error.args else None
    return not isinstance(number, int) or number < 1000 or 2000 <= number < 3000


def _about_table(error: Exception) -> str:
    number = error.args[0]
    if number in _NO_TABLE:
        return "not in the target yet"
    if number in _NO_DATABASE:
        return "the target database does not exist yet"
    return f"cannot be counted: {_words(error)}"


def _words(error: Exception) -> str:
    """The server's message in one line. These queries hold no values, so neither do their errors."""
    text = str(error.args[-1] if error.args else error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
