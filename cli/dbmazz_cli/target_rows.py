"""Live rows of a target table over the MySQL port, as the bytes that were sent, in key order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pymysql
from dbmazz.config import Settings
from dbmazz.errors import TargetError, TargetUnavailable
from dbmazz.target import IS_DELETED
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

CONNECT_S = 10
# StarRocks: unknown database, unknown table; MySQL's numbers for the same.
_MISSING = (5501, 5502, 1049, 1146)


class TargetTableMissing(TargetError):
    """The target has no such table, or no such database."""


@dataclass(frozen=True)
class Target:
    """The MySQL port of a StarRocks FE, and the database."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str = "dbmazz"

    @classmethod
    def of(cls, settings: Settings) -> Target:
        """The target that the settings name: the first FE of SINK_URL, at SINK_PORT."""
        from urllib.parse import urlsplit

        host = urlsplit(settings.sink_url.split(",")[0].strip()).hostname or ""
        return cls(host, settings.sink_port, settings.sink_user, settings.sink_password, settings.sink_database)


@contextlib.contextmanager
def open_target(target: Target) -> Iterator[pymysql.connections.Connection]:
    """A session that converts nothing; TargetUnavailable when there is no server."""
    try:
        connection = pymysql.connect(
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            connect_timeout=CONNECT_S,
            autocommit=True,
            # Every value as the bytes on the wire: what they mean is decided by the source's type.
            use_unicode=False,
            conv=encoders,
        )
    except pymysql.err.OperationalError as error:
        raise TargetUnavailable(
            f"StarRocks cannot be asked at {target.host}:{target.port} ({_words(error)})", "See SINK_URL and SINK_PORT"
        ) from None
    try:
        yield connection
    finally:
        # close() would wait for the rest of a result that nobody wants any more.
        connection._force_close()


def read_rows(
    connection: pymysql.connections.Connection, database: str, table: str, columns: Sequence[str], keys: Sequence[str]
) -> Iterator[tuple[bytes | None, ...]]:
    """Rows that are not soft-deleted, ordered by key, as they come; TargetTableMissing when the table is not there."""
    query = (
        f"SELECT {', '.join(map(_quoted, columns))} FROM {_quoted(database)}.{_quoted(table)}"
        f" WHERE {_quoted(IS_DELETED)} = false ORDER BY {', '.join(map(_quoted, keys))}"
    )
    cursor = connection.cursor(SSCursor)
    try:
        cursor.execute(query)
        yield from cursor
    except pymysql.err.Error as error:
        if error.args and error.args[0] in _MISSING:
            raise TargetTableMissing(f"{database}.{table} is not in the target") from None
        raise TargetError(f"{database}.{table} cannot be read from the target ({_words(error)})") from None


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _words(error: pymysql.err.Error) -> str:
    """The server's message: names of tables and columns, never values, because the statement holds none."""
    text = error.args[1] if len(error.args) > 1 else str(error)
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
