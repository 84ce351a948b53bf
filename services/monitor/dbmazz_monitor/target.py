"""Counts live and soft-deleted rows in StarRocks, over its MySQL port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import pymysql
from dbmazz.errors import ConfigError, TargetUnavailable
from dbmazz.target import IS_DELETED

from dbmazz_monitor.protocol.sample import Table, TargetCount

QUERY_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 3
# StarRocks' error numbers; 1146 and 1049 are MySQL's own for the same.
_NO_TABLE = {5502, 1146}
_NO_DATABASE = {5501, 1049}
_UNKNOWN_VARIABLE = 1193


class TargetCounter:
    """One connection, kept between rounds; its blocking calls run in a thread, one at a time."""

    def __init__(self, sink_url: str, port: int, user: str, password: str, database: str) -> None:
        """`sink_url`: FE addresses over HTTP, separated by commas; the MySQL port is asked on the same hosts."""
        self._hosts = [host for url in sink_url.split(",") if (host := urlsplit(url.strip()).hostname)]
        if not self._hosts:
            raise ConfigError("SINK_URL names no host", "It looks like http://host:8030")
        self._port, self._user, self._password, self._database = port, user, password, database
        self._connection: pymysql.Connection | None = None
        self._socket: socket.socket | None = None

    async def count(self, tables: Sequence[Table]) -> dict[str, TargetCount]:
        """One SELECT per table. TargetUnavailable when no FE answers."""
        counts = {}
        for table in tables:
            counts[table.name] = await asyncio.to_thread(self._count, table.target_table)
        return counts

    async def close(self) -> None:
        """Ends the socket, so that a thread that waits on it returns at once."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster
            self._socket.close()
        self._connection = self._socket = None

    def _count(self, name: str) -> TargetCount:
        quoted = ".".join(_quoted(part) for part in (self._database, name))
        query = f"SELECT COUNT(*), SUM({_quoted(IS_DELETED)}) FROM {quoted}"
        connection = self._connection or self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                total, deleted = cursor.fetchone()
        except (pymysql.err.Error, OSError) as error:
            if not _is_lost(error):
                return TargetCount(None, note=_about_table(error))
            self._connection = None
            raise TargetUnavailable(f"StarRocks: {_words(error)}") from None
        gone = int(deleted or 0)
        return TargetCount(live=int(total) - gone, deleted=gone)

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
