"""One MySQL conversation: handshake, login, commands, answers (starrocks.md 9; ConnectProcessor, MysqlProto)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import structlog
from mysql_mimic import packets
from mysql_mimic.charset import CharacterSet
from mysql_mimic.results import ResultColumn, ResultSet, ensure_result_set
from mysql_mimic.stream import ConnectionClosed, MysqlStream
from mysql_mimic.types import Capabilities, ServerStatus, str_len, uint_len
from mysql_mimic.utils import nonce

from dbmazz_sandbox.starrocks.errors import SqlError
from dbmazz_sandbox.starrocks.mysql.render import Chunks, shape_of
from dbmazz_sandbox.starrocks.mysql.session import StarRocksSession
from dbmazz_sandbox.starrocks.mysql.wire import (
    PLUGIN,
    Login,
    Malformed,
    Prepared,
    Reader,
    parse_change_user,
    parse_execute,
    parse_login,
)
from dbmazz_sandbox.starrocks.protocol.tokens import first_word, tokenize

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
UTF8 = 33  # utf8_general_ci: every text is UTF-8, whatever a client asks for
UTF8_SET = CharacterSet.utf8mb4
BIG_ROW = 8 << 20  # above this a row may need more than one packet of 16 MB
OLD_CLIENT = "Client does not support authentication protocol requested by server; consider upgrading MySQL client"
NOT_PREPARED = "This command is not supported in the prepared statement protocol yet"
TOO_BIG = "Got a packet bigger than 'max_allowed_packet' bytes"
MAX_PREPARED = 10000
MAX_DISCARDED = 1 << 30  # the largest packet MySQL's protocol has
# What MysqlCommand knows and ConnectProcessor does not handle, by number; any other number is an unknown command.
_UNSUPPORTED = {
    0: "Sleep", 5: "Create DB", 6: "Drop Db", 7: "Refresh", 8: "Shutdown", 9: "Statistics", 10: "Processlist",
    11: "Connect", 12: "Kill", 13: "Debug", 15: "Time", 16: "DELETE_INSERT", 24: "COM_STMT_SEND_LONG_DATA", 29: "COM_DAEMON",
}  # fmt: skip


class PacketReader:
    """Packets in, with a bound on their size; a wrong sequence number ends the connection, as in MysqlChannel.
    mysql-mimic's stream, which writes, counts the sequence."""

    limit = 32 << 20  # max_allowed_packet

    def __init__(self, stream: MysqlStream) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        """One logical packet. Raises ConnectionClosed, Malformed, or SqlError for one that is too big."""
        parts: list[bytes] = []
        size = 0
        reader, sequence = self._stream.reader, self._stream.seq
        while True:
            try:
                header = await reader.readexactly(4)
            except asyncio.IncompleteReadError as error:
                raise ConnectionClosed from error
            length, number = int.from_bytes(header[:3], "little"), header[3]
            if number != next(sequence):
                raise Malformed("Bad packet sequence.")
            size += length
            if size > MAX_DISCARDED:
                raise Malformed("a packet without an end")
            parts.append(await reader.readexactly(length))
            if size > self.limit:
                parts.clear()  # read to its end, so that the client hears the refusal
            if length == 0xFFFFFF:
                continue
            if size > self.limit:
                raise SqlError(TOO_BIG, 1153, "08S01")
            return b"".join(parts) if len(parts) > 1 else parts[0]


class StarRocksConnection:
    """`serve` runs from the handshake to the end of the connection. `ident` is the connection's number."""

    def __init__(self, stream: MysqlStream, session: StarRocksSession, ident: int, peer: str) -> None:
        self.stream, self.session, self.ident, self.peer = stream, session, ident, peer
        self._packets = PacketReader(stream)
        self._capabilities = CAPABILITIES
        self._nonce = nonce(20)
        self._prepared: dict[int, Prepared] = {}
        self._next_prepared = 1
        self._commands: dict[int, Callable[[bytes], Awaitable[None]]] = {
            2: self._init_db, 3: self._query, 4: self._field_list, 14: self._ping, 17: self._change_user,
            22: self._prepare, 23: self._execute, 25: self._close_statement, 26: self._ping, 31: self._reset,
        }  # fmt: skip

    async def serve(self) -> None:
        """Raises ConnectionClosed, ConnectionError or Malformed when the client goes or sends what is no packet."""
        if not await self._handshake():
            return
        while True:
            self.stream.reset_seq()
            try:
                data = await self._packets.read()
            except SqlError as error:  # a packet that is too big
                await self._refuse(error)
                continue
            if not data:
                raise Malformed("an empty command")
            if data[0] == 1:  # COM_QUIT
                return
            await self._command(data[0], data[1:])

    async def _command(self, number: int, body: bytes) -> None:
        handler = self._commands.get(number)
        try:
            if handler is None:
                name = _UNSUPPORTED.get(number)
                text = f"Unsupported command({name})" if name else f"Unknown command({number})"
                raise SqlError(text) if name else SqlError(text, 1047, "08S01")
            await handler(body)
        except SqlError as error:
            await self._refuse(error)
        except Malformed as error:
            await self._refuse(SqlError(f"Malformed packet: {error}", 1835, "HY000"))
        except RecursionError:
            await self._refuse(SqlError.not_emulated("a statement nested this deep"))

    # -- login ----------------------------------------------------------------------------------------------------

    async def _handshake(self) -> bool:
        """Whether the client is logged in."""
        version = self.session.cluster.version.mysql.encode() + b"\0"
        low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
        hello = b"\x0a" + version + struct.pack("<I", self.ident & 0xFFFFFFFF) + self._nonce[:8] + b"\0"
        hello += struct.pack("<HBHHB", low, UTF8, 0, high, 21) + bytes(10) + self._nonce[8:] + b"\0"
        await self.stream.write(hello + PLUGIN.encode() + b"\0")
        try:
            login = parse_login(await self._packets.read(), CAPABILITIES)
            if login is None:
                raise SqlError("Failed to change to SSL connection", 5400, "XX000")
            self._capabilities = login.capabilities
            await self._login(login)
        except Malformed:
            await self._refuse(SqlError(OLD_CLIENT, 1251, "08004"))
            return False
        except SqlError as error:
            await self._refuse(error)
            return False
        await self._ok()
        return True

    async def _login(self, login: Login) -> None:
        response = login.response
        if login.plugin not in (None, "", PLUGIN):
            await self.stream.write(b"\xfe" + PLUGIN.encode() + b"\0" + self._nonce + b"\0")
            response = await self._packets.read()
        if not self.session.cluster.users.accepts(login.user, self._nonce, response):
            used = "YES" if response else "NO"
            raise SqlError(f"Access denied for user '{login.user}' (using password: {used})", 1045, "28000")
        await self.session.become(login.user, login.database)

    async def _change_user(self, body: bytes) -> None:
        try:
            login = parse_change_user(body)
        except Malformed as error:
            raise SqlError(OLD_CLIENT, 1251, "08004") from error
        await self._login(login)
        await self._reset(b"")

    # -- commands -------------------------------------------------------------------------------------------------

    async def _ping(self, body: bytes) -> None:
        await self._ok()

    async def _reset(self, body: bytes) -> None:
        self._prepared.clear()
        await self.session.reset()
        await self._ok()

    async def _init_db(self, body: bytes) -> None:
        name = body.decode("utf-8", "replace").rstrip("\0")
        words = name.split()
        if len(words) == 2 and words[0].lower() == "catalog":
            if words[1] != "default_catalog":
                raise SqlError(f"Unknown catalog '{words[1]}'", 5057, "42000")
        elif len(words) == 2:
            raise SqlError("not supported command")
        else:
            await self.session.use(name)
        await self._ok()

    async def _field_list(self, body: bytes) -> None:
        name = Reader(body).name()
        if not name:
            raise SqlError("Empty tableName")
        columns = self.session.fields(name)
        for column, default in columns:
            definition = _definition(column, table=name, schema=self.session.database or "")
            self.stream.write_many([definition + str_len((default or "").encode())])
        await self._eof()

    async def _query(self, body: bytes) -> None:
        sql = body.rstrip(b"\0").decode("utf-8", "replace")
        await self._answer(await ensure_result_set(await self.session.handle_query(sql, {})))

    async def _prepare(self, body: bytes) -> None:
        sql = body.rstrip(b"\0").decode("utf-8", "replace")
        if first_word(sql) not in ("SELECT", "WITH", "("):
            raise SqlError(NOT_PREPARED, 1295)
        places = [token.start for token in tokenize(sql) if token.kind == "symbol" and token.text == "?"]
        if len(self._prepared) >= MAX_PREPARED or len(places) > 65535:
            raise SqlError("too many prepared statements or parameters")
        statement = Prepared(self._next_prepared, sql, places)
        self._prepared[statement.ident] = statement
        self._next_prepared += 1
        head = b"\0" + struct.pack("<IHHBH", statement.ident, 0, len(places), 0, 0)
        marks = [packets.make_column_definition_41(server_charset=UTF8_SET, name="?")] * len(places)
        self.stream.write_many([head, *marks])
        if places:
            await self._eof()
        else:
            await self.stream.drain()

    async def _execute(self, body: bytes) -> None:
        reader = Reader(body)
        ident = reader.number(4)
        statement = self._prepared.get(ident)
        if statement is None:
            raise SqlError(f"msg: Not Found prepared statement, stmtName: {ident}")
        sql = statement.bound(parse_execute(reader, statement))
        await self._answer(await ensure_result_set(await self.session.handle_query(sql, {})), binary=True)

    async def _close_statement(self, body: bytes) -> None:
        self._prepared.pop(Reader(body).number(4), None)  # has no answer

    # -- answers --------------------------------------------------------------------------------------------------

    async def _ok(self, affected: int = 0) -> None:
        await self.stream.write(b"\0" + uint_len(affected) + b"\0" + struct.pack("<HH", ServerStatus(0), 0))

    async def _eof(self) -> None:
        await self.stream.write(b"\xfe" + struct.pack("<HH", 0, 0))

    async def _refuse(self, error: SqlError) -> None:
        head = b"\xff" + struct.pack("<H", error.code) + b"#" + error.state.encode()
        await self.stream.write(head + (error.message or "Unknown error").encode("utf-8", "replace"))

    async def _answer(self, result: ResultSet, *, binary: bool = False) -> None:
        if not result:
            await self._ok(self.session.affected)
            return
        columns = result.columns
        head = [uint_len(len(columns)), *(_definition(column) for column in columns), b"\xfe\0\0\0\0"]
        self.stream.write_many(head)
        rows = result.rows
        if isinstance(rows, list):
            await self._rows(rows, columns, binary)
        else:
            assert isinstance(rows, Chunks)
            async with aclosing(rows.chunks()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    await self._rows(chunk, columns, binary)
        await self._eof()

    async def _rows(self, rows: list, columns: Any, binary: bool) -> None:
        if binary:
            for row in rows:
                await self.stream.write(packets.make_binary_resultrow(row, columns), drain=False)
            await self.stream.drain()
            return
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


def _definition(column: ResultColumn, *, table: str = "", schema: str = "") -> bytes:
    length, decimals, charset = shape_of(column)
    return packets.make_column_definition_41(
        server_charset=UTF8_SET, schema=schema, table=table, name=column.name, column_type=column.type,
        character_set=charset, column_length=length, decimals=decimals,
    )  # fmt: skip
