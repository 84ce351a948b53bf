"""Statements over the MySQL port of an FE. PyMySQL blocks, so each call runs in a thread; its socket is ours, so that a
cancelled call ends at once instead of holding the thread until the read timeout."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pymysql
import structlog
from dbmazz.errors import TargetError
from pymysql.cursors import DictCursor

from dbmazz_loader.protocol.verdicts import Judgement, Outcome, Peer, judge_sql
from dbmazz_loader.starrocks.frontends import Frontend, Frontends

log = structlog.get_logger("dbmazz.loader")

T = TypeVar("T")

_CONNECT_S = 5.0
READ_S = 30.0
_GRACE_S = 5.0


class TargetRefusal(TargetError):
    """StarRocks refuses or is away; `judgement` says which, and whether it passes."""

    def __init__(self, judgement: Judgement, number: int = 0) -> None:
        super().__init__(judgement.reason)
        self.judgement = judgement
        # Error number of the MySQL protocol; 0 when it was none.
        self.number = number


class Session:
    """One connection. Rows are dictionaries by column name; errors are TargetRefusal."""

    def __init__(self, frontend: Frontend, user: str, password: str) -> None:
        self._frontend = frontend
        self._login = {"user": user, "password": password.encode()}
        self._socket: socket.socket | None = None
        self._connection: pymysql.Connection | None = None

    async def open(self) -> None:
        """Connects and logs in."""
        try:
            await self._in_thread(self._open, _CONNECT_S + READ_S)
        except BaseException:
            if self._socket is not None:
                self._socket.close()
            raise

    async def close(self) -> None:
        """Says goodbye."""
        await self._in_thread(self._close, READ_S)

    async def query(
        self, sql: str, arguments: tuple[object, ...] | None = None, timeout: float = READ_S
    ) -> list[dict[str, Any]]:
        """Runs one statement; `arguments` go in for %s, escaped. Rows of its result, none for DDL."""
        return await self._in_thread(lambda: self._query(sql, arguments, timeout), timeout)

    def _open(self) -> None:
        address = (self._frontend.host, self._frontend.mysql_port)
        self._socket = socket.create_connection(address, _CONNECT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connection = pymysql.Connection(
            **self._login,
            host=address[0],
            port=address[1],
            charset="utf8mb4",
            autocommit=True,
            cursorclass=DictCursor,
            read_timeout=READ_S,
            write_timeout=READ_S,
            defer_connect=True,
        )
        try:
            self._connection.connect(self._socket)
        except (pymysql.err.InternalError, struct.error, ValueError, IndexError, AssertionError):
            # PyMySQL takes the handshake apart unchecked.
            reason = f"{self._frontend.mysql_address} does not speak the MySQL protocol: check SINK_PORT"
            raise TargetRefusal(Judgement(Outcome.RETRY, reason, peer=Peer.MYSQL)) from None

    def _query(self, sql: str, arguments: tuple[object, ...] | None, timeout: float) -> list[dict[str, Any]]:
        connection = self._connection
        assert connection is not None, "open() first"
        # PyMySQL sets its timeout before every read, from this attribute; there is no setter.
        connection._read_timeout = timeout
        with connection.cursor() as cursor:
            cursor.execute(sql, arguments)
            return list(cursor.fetchall())

    def _close(self) -> None:
        if self._connection is not None and self._connection.open:
            self._connection.close()
        elif self._socket is not None:
            self._socket.close()

    async def _in_thread(self, call: Callable[[], T], timeout: float) -> T:
        try:
            async with asyncio.timeout(timeout + _GRACE_S):
                return await asyncio.to_thread(call)
        except pymysql.err.MySQLError as error:
            number, text = _told(error)
            raise TargetRefusal(judge_sql(number, text), number) from None
        except OSError as error:  # TimeoutError is one
            self._abort()
            text = error.strerror or type(error).__name__
            reason = f"the MySQL port {self._frontend.mysql_address} cannot be reached ({text})"
            raise TargetRefusal(Judgement(Outcome.RETRY, reason, peer=Peer.MYSQL), 2003) from None
        except asyncio.CancelledError:
            self._abort()
            raise

    def _abort(self) -> None:
        """Wakes the thread that waits for this connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)


class MySql:
    """Sessions at whichever FE answers."""

    def __init__(self, frontends: Frontends, user: str, password: str) -> None:
        self._frontends = frontends
        self._user = user
        self._password = password

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection for a few statements. Away at one FE, the next is tried; TargetRefusal of the last."""
        session = await self._connect()
        try:
            yield session
        finally:
            with contextlib.suppress(TargetRefusal):  # what was to be said has been answered
                await session.close()

    async def _connect(self) -> Session:
        refusal: TargetRefusal | None = None
        for frontend in self._frontends.in_turn():
            session = Session(frontend, self._user, self._password)
            try:
                await session.open()
            except TargetRefusal as error:
                refusal = error
                if error.judgement.outcome is not Outcome.RETRY:
                    raise
            else:
                self._frontends.prefer(frontend)
                return session
        raise refusal or TargetRefusal(Judgement(Outcome.RETRY, "no FE answers", peer=Peer.MYSQL))


def _told(error: pymysql.err.MySQLError) -> tuple[int, str]:
    """Number and text of an error. PyMySQL's own come without a number, or with one of the client's."""
    match error.args:
        case (int(number), str(text), *_):
            return number, text
        case (str(text), *_):
            return 0, text
    return 0, type(error).__name__
