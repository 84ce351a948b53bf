"""The MySQL port: mysql-mimic's protocol with StarRocks' handshake, error packets and sessions."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import structlog
from mysql_mimic import packets
from mysql_mimic.auth import IdentityProvider, NativePasswordAuthPlugin, User
from mysql_mimic.connection import Connection
from mysql_mimic.results import ResultSet
from mysql_mimic.server import MysqlServer
from mysql_mimic.stream import ConnectionClosed, MysqlStream
from mysql_mimic.types import Capabilities

from dbmazz_sandbox.starrocks.cluster import Cluster
from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.faults import Fault
from dbmazz_sandbox.starrocks.mysql.render import Chunks
from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession

log = structlog.get_logger("dbmazz.sandbox.starrocks")
CAPABILITIES = (
    Capabilities.CLIENT_PROTOCOL_41
    | Capabilities.CLIENT_CONNECT_WITH_DB
    | Capabilities.CLIENT_SECURE_CONNECTION
    | Capabilities.CLIENT_PLUGIN_AUTH
    | Capabilities.CLIENT_LONG_FLAG
    | Capabilities.CLIENT_CONNECT_ATTRS
    | Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
)
BIG_ROW = 8 << 20  # above this a row may need more than one packet of 16 MB


class _Users(IdentityProvider):
    def __init__(self, user: str, password: str) -> None:
        secret = NativePasswordAuthPlugin.create_auth_string(password) if password else None
        self._user = User(user, auth_string=secret, auth_plugin=NativePasswordAuthPlugin.name)

    async def get_user(self, username: str) -> User | None:
        return self._user if username == self._user.name else None


class StarRocksConnection(Connection):
    """Differences from mysql-mimic: StarRocks' codes and SQLSTATEs, a refused login ends the connection, affected rows
    in OK packets, rows of any size."""

    def error(self, **kwargs: Any) -> bytes:  # type: ignore[override]
        message, code, state = kwargs.get("msg", ""), int(kwargs.get("code", 1105)), kwargs.get("state", "HY000")
        if isinstance(message, SqlError):
            message, code, state = message.message, message.code, message.state
        return b"\xff" + struct.pack("<H", code) + b"#" + state.encode() + str(message).encode("utf-8", "replace")

    async def authenticate(self, username: str, auth_response: bytes, *args: Any, **kwargs: Any) -> None:
        user = await self.identity_provider.get_user(username)
        if user is not None:
            quiet = _Muted(self.stream)
            self.stream, stream = quiet, self.stream  # type: ignore[assignment]
            try:
                await super().authenticate(username, auth_response, *args, **kwargs)
            finally:
                self.stream = stream
            if self.session.username is not None:
                database = self.session.database
                if database:
                    await self.session.use(database)
                await self.stream.write(self.ok())
                return
        used = "YES" if auth_response else "NO"
        raise SqlError(f"Access denied for user '{username}' (using password: {used})", 1045, "28000")

    async def _guard(self, call: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
        try:
            await call(data)
        except SqlError as error:
            await self.stream.write(self.error(msg=error))

    async def handle_query(self, data: bytes) -> None:
        await self._guard(self._query, data)

    async def handle_init_db(self, data: bytes) -> None:
        await self._guard(super().handle_init_db, data)

    async def handle_field_list(self, data: bytes) -> None:
        await self._guard(super().handle_field_list, data)

    async def handle_stmt_execute(self, data: bytes) -> None:
        await self._guard(super().handle_stmt_execute, data)

    async def _query(self, data: bytes) -> None:
        parsed = packets.parse_com_query(capabilities=self.capabilities, client_charset=self.client_charset, data=data)
        result = await self.query(parsed.sql, parsed.query_attrs)
        if not result:
            affected = self.session.affected if isinstance(self.session, StarRocksSession) else 0
            await self.stream.write(self.ok(affected_rows=affected))
            return
        await self.write_text_resultset(result)

    async def write_text_resultset(self, result_set: ResultSet) -> None:
        columns = result_set.columns
        header = [packets.make_column_count(capabilities=self.capabilities, column_count=len(columns))]
        header += [
            packets.make_column_definition_41(
                server_charset=self.server_charset, name=c.name, column_type=c.type, character_set=c.character_set
            )
            for c in columns
        ]
        self.stream.write_many([*header, self.eof()])
        rows = result_set.rows
        if isinstance(rows, list):
            await self._write_rows(rows, columns)
        else:
            assert isinstance(rows, Chunks)
            async with aclosing(rows.chunks()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    await self._write_rows(chunk, columns)
        await self.stream.write(self.ok_or_eof())

    async def _write_rows(self, rows: list, columns: Any) -> None:
        small: list = []
        for row in rows:
            if sum(len(value) for value in row if isinstance(value, (str, bytes))) < BIG_ROW:
                small.append(row)
                continue
            self.stream.write_text_rows(small, columns)
            small = []
            await self.stream.write(packets.make_text_resultset_row(row, columns))
        self.stream.write_text_rows(small, columns)
        await self.stream.drain()


class _Muted:
    """The stream during a login, without the library's own verdict packets (OK 0x00, error 0xff): StarRocks' follow."""

    def __init__(self, stream: MysqlStream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        return await self._stream.read()

    async def write(self, data: bytes, drain: bool = True) -> None:
        if data[:1] not in (b"\x00", b"\xff"):
            await self._stream.write(data, drain)


class MysqlPort:
    """`start` returns the port; `stop` closes the connections and waits for them."""

    def __init__(self, cluster: Cluster, addresses: Callable[[], tuple[str, int, int]]) -> None:
        self._cluster = cluster
        self._addresses = addresses
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._users = _Users(cluster.user, cluster.password)
        self._control = MysqlServer().control
        self._server: asyncio.Server | None = None
        self._address = ("", 0)

    async def start(self, host: str, port: int) -> int:
        self._server = await asyncio.start_server(self._connected, host, port, limit=1 << 20)
        self._address = self._server.sockets[0].getsockname()[:2]
        return self._address[1]

    def refuse(self) -> None:
        """Cut all connections and take no new ones, until `admit`."""
        assert self._server is not None
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()

    async def admit(self) -> None:
        """Take connections again, on the same port."""
        await self.start(*self._address)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=5)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._cluster.faults.take(Fault.FE_DOWN):
            writer.transport.abort()
            return
        self._connections[task] = writer
        session = StarRocksSession(self._cluster, self._addresses)
        connection = StarRocksConnection(
            stream=MysqlStream(reader, writer), session=session, control=self._control,
            server_capabilities=CAPABILITIES, identity_provider=self._users,
        )  # fmt: skip
        try:
            connection.connection_id = await self._control.add(connection)
            await self._converse(connection)
        except (ConnectionClosed, ConnectionError, asyncio.IncompleteReadError):
            log.debug("mysql_connection_lost", connection=connection.connection_id)
        except Exception:
            log.exception("mysql_connection_failed", connection=connection.connection_id)
        finally:
            await self._control.remove(connection.connection_id)
            self._connections.pop(task, None)
            writer.close()

    async def _converse(self, connection: StarRocksConnection) -> None:
        try:
            await connection.connection_phase()
        except SqlError as error:
            await connection.stream.write(connection.error(msg=error))
            return
        await connection.session.init(connection)
        try:
            await connection.command_phase()
        finally:
            await connection.session.close()
