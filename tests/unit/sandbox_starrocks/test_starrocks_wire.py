"""The MySQL protocol itself: handshake, every command, binary rows, broken and huge packets, cut connections."""

from __future__ import annotations

import asyncio
import random
import struct

import pytest
import structlog
from dbmazz_sandbox.starrocks.mysql.wire import (
    Malformed,
    Prepared,
    Reader,
    parse_change_user,
    parse_execute,
    parse_login,
)
from mysql_mimic.types import Capabilities

from tests.unit.sandbox_starrocks.conftest import run_sql


class Wire:
    """A raw client: packets as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.sequence = reader, writer, 0

    async def read(self) -> bytes:
        async with asyncio.timeout(10):
            header = await self.reader.readexactly(4)
            self.sequence = header[3] + 1
            return await self.reader.readexactly(int.from_bytes(header[:3], "little"))

    def send(self, payload: bytes, sequence: int | None = None) -> None:
        number = self.sequence if sequence is None else sequence
        self.writer.write(len(payload).to_bytes(3, "little") + bytes([number % 256]) + payload)

    async def command(self, number: int, body: bytes = b"") -> bytes:
        self.send(bytes([number]) + body, 0)
        return await self.read()

    async def gone(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b"" or self.reader.at_eof()

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def connect(port: int) -> Wire:
    return Wire(*await asyncio.open_connection("127.0.0.1", port))


def login(
    user: str = "root", database: str = "", plugin: bytes = b"mysql_native_password", response: bytes = b""
) -> bytes:
    flags = 0x00000200 | 0x00008000 | 0x00080000 | (0x8 if database else 0)
    body = (
        struct.pack("<IIB", flags, 1 << 24, 33) + bytes(23) + user.encode() + b"\0" + bytes([len(response)]) + response
    )
    return body + (database.encode() + b"\0" if database else b"") + plugin + b"\0"


async def logged_in(db, **options) -> Wire:
    wire = await connect(db.sandbox.mysql_port)
    await wire.read()
    wire.send(login(**options))
    assert (await wire.read())[0] == 0
    return wire


def error(packet: bytes) -> tuple[int, str, str]:
    assert packet[0] == 0xFF
    return int.from_bytes(packet[1:3], "little"), packet[4:9].decode(), packet[9:].decode()


async def test_handshake_by_version(db, db34, db40) -> None:
    for database, version in ((db, b"5.1.0"), (db34, b"8.0.33"), (db40, b"8.0.33")):
        wire = await connect(database.sandbox.mysql_port)
        hello = await wire.read()
        await wire.close()
        assert hello[0] == 10 and hello[1:].startswith(version + b"\0")
        at = 1 + len(version) + 1 + 4 + 8 + 1
        low, charset, status, high, size = struct.unpack_from("<HBHHB", hello, at)
        assert (charset, status, size) == (33, 0, 21)
        capabilities = Capabilities(low | high << 16)
        assert capabilities == (
            Capabilities.CLIENT_PROTOCOL_41 | Capabilities.CLIENT_CONNECT_WITH_DB | Capabilities.CLIENT_SECURE_CONNECTION
            | Capabilities.CLIENT_PLUGIN_AUTH | Capabilities.CLIENT_LONG_FLAG | Capabilities.CLIENT_CONNECT_ATTRS
            | Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)  # fmt: skip
        assert hello.endswith(b"\0mysql_native_password\0")


async def test_a_newer_client_is_asked_for_the_native_password(db) -> None:
    wire = await connect(db.sandbox.mysql_port)
    hello = await wire.read()
    wire.send(login(plugin=b"caching_sha2_password", response=b"x" * 32))
    asked = await wire.read()
    assert asked[0] == 0xFE and asked[1:].startswith(b"mysql_native_password\0")
    assert asked[23:43] == hello[11:19] + hello[-35:-23]  # the same salt
    wire.send(b"")
    assert (await wire.read())[0] == 0
    await wire.close()


async def test_refused_logins_end_the_connection(db) -> None:
    for payload, code, state, text in (
        (login(user="nobody"), 1045, "28000", "Access denied for user 'nobody' (using password: NO)"),
        (login(response=b"y" * 20), 1045, "28000", "Access denied for user 'root' (using password: YES)"),
        (login(response=b"short"), 1045, "28000", "Access denied for user 'root' (using password: YES)"),
        (login(database="nope"), 5501, "3F000", "Unknown database 'nope'"),
        (b"\0\0\0", 1251, "08004", "Client does not support authentication protocol requested by server; "
         "consider upgrading MySQL client"),
        (login()[:40], 1251, "08004", "Client does not support authentication protocol requested by server; "
         "consider upgrading MySQL client"),
    ):  # fmt: skip
        wire = await connect(db.sandbox.mysql_port)
        await wire.read()
        wire.send(payload)
        assert error(await wire.read()) == (code, state, text)
        assert await wire.gone()
        await wire.close()


async def test_commands(db) -> None:
    await db.sql("CREATE TABLE t (k INT, s STRING DEFAULT 'x') PRIMARY KEY(k)", f"CREATE USER {db.name}_u")
    wire = await logged_in(db)
    assert (await wire.command(14))[0] == 0  # PING
    assert error(await wire.command(4, b"t\0")) == (1064, "HY000", "Unknown database(null)")
    for name in (db.name, f"default_catalog.{db.name}", "catalog default_catalog"):
        assert (await wire.command(2, name.encode()))[0] == 0
    assert error(await wire.command(2, b"nope")) == (5501, "3F000", "Unknown database 'nope'")
    assert error(await wire.command(2, b"catalog hive"))[0] == 5057
    first = await wire.command(4, b"t\0")  # FIELD_LIST
    assert b"\x01k\x01k" in first
    assert (await wire.read()).endswith(b"\x01x") and (await wire.read())[0] == 0xFE
    assert error(await wire.command(4, b"nope\0")) == (1064, "HY000", "Unknown table(nope)")
    assert error(await wire.command(4, b"no end"))[0] == 1835
    assert error(await wire.command(13)) == (1064, "HY000", "Unsupported command(Debug)")
    assert error(await wire.command(99)) == (1047, "08S01", "Unknown command(99)")
    denied = await wire.command(17, b"nobody\0\0\0!\0mysql_native_password\0")  # CHANGE_USER
    assert error(denied)[0] == 1045
    assert (await wire.command(3, b"SELECT current_user()"))[0] == 1  # still root
    while (await wire.read())[0] != 0xFE or wire.sequence < 5:
        pass
    assert (await wire.command(17, f"{db.name}_u\0\0\0!\0mysql_native_password\0".encode()))[0] == 0
    assert error(await wire.command(3, f"SELECT * FROM {db.name}.t".encode()))[0] == 5203
    assert (await wire.command(31))[0] == 0  # RESET_CONNECTION
    wire.send(b"\x01", 0)  # QUIT
    assert await wire.gone()
    await wire.close()


async def test_reset_forgets_variables_and_statements(db) -> None:
    wire = await logged_in(db)
    assert (await wire.command(3, b"SET query_timeout = 7"))[0] == 0
    assert (await wire.command(22, b"SELECT 1"))[0] == 0
    assert (await wire.command(31))[0] == 0
    assert error(await wire.command(23, b"\1\0\0\0\0\1\0\0\0"))[2] == "msg: Not Found prepared statement, stmtName: 1"
    await wire.command(3, b"SELECT @@query_timeout")
    packets = [await wire.read() for _ in range(4)]
    assert packets[2] == b"\x03300"
    await wire.close()


async def test_prepared_statements_bind_every_kind_of_parameter(db) -> None:
    await db.sql("CREATE TABLE t (k INT, s STRING, d DOUBLE, m DATETIME) PRIMARY KEY(k)",
                 "INSERT INTO t VALUES (1, 'it''s \\\\ ?', 2.5, '2024-01-02 03:04:05.000006')")  # fmt: skip
    wire = await logged_in(db, database=db.name)
    sql = b"SELECT k, s, d, m FROM t WHERE k = ? AND s = ? AND d = ? AND m = ? AND '?' = '?' AND ? IS NULL"
    prepared = await wire.command(22, sql)
    assert struct.unpack_from("<BIHH", prepared) == (0, 1, 0, 5)
    for _ in range(6):
        await wire.read()
    text = b"it's \\ ?"
    values = struct.pack("<i", 1) + bytes([len(text)]) + text + struct.pack("<d", 2.5)
    values += bytes([11]) + struct.pack("<HBBBBBI", 2024, 1, 2, 3, 4, 5, 6)
    kinds = bytes([3, 0, 253, 0, 5, 0, 12, 0, 6, 0])
    body = b"\1\0\0\0" + b"\0" + b"\1\0\0\0" + bytes([0b10000]) + b"\1" + kinds + values
    assert await wire.command(23, body) == b"\x04"
    packets = [await wire.read() for _ in range(7)]
    row = packets[5]
    assert row[:2] == b"\0\0" and row[2:6] == struct.pack("<i", 1) and text in row and struct.pack("<d", 2.5) in row
    again = b"\1\0\0\0" + b"\0" + b"\1\0\0\0" + bytes([0b10000]) + b"\0" + values  # types are remembered
    assert await wire.command(23, again) == b"\x04"
    assert len([await wire.read() for _ in range(7)]) == 7
    assert error(await wire.command(23, body[:20]))[0] == 1835
    assert error(await wire.command(22, b"DELETE FROM t WHERE k = 1")) == (
        1295, "HY000", "This command is not supported in the prepared statement protocol yet")  # fmt: skip
    wire.send(b"\x19\1\0\0\0", 0)  # CLOSE has no answer
    assert error(await wire.command(23, body))[2] == "msg: Not Found prepared statement, stmtName: 1"
    await wire.close()


def test_parameters_cannot_break_out_of_their_place() -> None:
    statement = Prepared(1, "SELECT ? , ?", [7, 11], [(253, False), (253, False)])
    evil = b"\\' OR 1=1 -- "
    body = b"\0" + b"\1\0\0\0" + b"\0" + b"\0" + bytes([len(evil)]) + evil + b"\x01?"
    assert statement.bound(parse_execute(Reader(body), statement)) == "SELECT '\\\\\\' OR 1=1 -- ' , '?'"


def test_cut_packets_are_malformed_wherever_they_end() -> None:
    whole = login(user="someone", database="d", response=b"z" * 20)
    parsed = parse_login(whole, Capabilities(0xFFFFFFFF) & ~Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    assert parsed is not None and (parsed.user, parsed.database, parsed.plugin) == (
        "someone",
        "d",
        "mysql_native_password",
    )
    for end in range(len(whole)):
        try:
            parse_login(whole[:end], Capabilities(0xFFFFFFFF))
        except Malformed:
            continue
        assert end == 32 or end > len(whole) - 25  # a TLS request, or all but the optional end
    for end in range(8):
        with pytest.raises(Malformed):
            parse_change_user(b"someone"[:end])


async def test_broken_packets_end_the_connection_quietly(db) -> None:
    for broken in (b"\x05\0\0\x07SELEC", b"\0\0\0\0", b"\xff\xff\xff\0" + b"x" * 100):
        wire = await logged_in(db)
        wire.writer.write(broken)
        wire.writer.write_eof()
        assert await wire.gone()
        await wire.close()
    assert await db.sql("SELECT 1") == [(1,)]


async def test_a_packet_that_is_too_big_is_refused(db) -> None:
    wire = await logged_in(db)
    chunk = b"x" * 0xFFFFFF
    try:
        for number in range(3):
            wire.send((b"\x03" if number == 0 else b"") + chunk[1 if number == 0 else 0 :], number)
            await wire.writer.drain()
        wire.send(b"", 3)
        answer = await wire.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        pytest.fail("the connection was cut without a word")
    assert error(answer) == (1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
    assert (await wire.command(14))[0] == 0
    await wire.close()


async def test_a_statement_of_several_packets(db) -> None:
    await db.sql("CREATE TABLE t (k INT, s VARCHAR(1048576)) PRIMARY KEY(k)")
    text = "y" * 1000000
    rows = ",".join(f"({i}, '{text}')" for i in range(18))
    await db.sql(f"INSERT INTO t VALUES {rows}")
    assert await db.sql("SELECT count(*), min(length(s)) FROM t") == [(18, 1000000)]
    rows = await db.sql("SELECT group_concat(s SEPARATOR '') FROM t")
    assert len(rows[0][0]) == 18000000


async def test_random_bytes_after_the_login(db) -> None:
    seed = random.randrange(1 << 32)
    random_ = random.Random(seed)
    with structlog.testing.capture_logs() as logs:
        for _ in range(60):
            wire = await logged_in(db)
            for _ in range(random_.randrange(1, 4)):
                payload = bytes([random_.randrange(2, 40)]) + random_.randbytes(random_.randrange(0, 60))
                wire.send(payload, random_.choice((0, 0, 0, 3)))
            wire.writer.write_eof()
            async with asyncio.timeout(10):
                await wire.reader.read()
            await wire.close()
    assert not [line for line in logs if line["log_level"] in ("error", "critical")], seed
    assert await db.sql("SELECT 1") == [(1,)]


async def test_connections_share_nothing(db) -> None:
    """A client that goes in the middle of a result leaves others and the store as they were."""
    await db.sql("CREATE TABLE t (k INT, s STRING) PRIMARY KEY(k)")
    await db.loaded("t", *({"k": i, "s": "x" * 1000} for i in range(9000)))

    async def cut() -> None:
        wire = await logged_in(db, database=db.name)
        assert (await wire.command(3, b"SET query_timeout = 9"))[0] == 0
        assert await wire.command(3, b"SELECT * FROM t ORDER BY k") == b"\x02"
        for _ in range(20):
            await wire.read()
        wire.writer.transport.abort()

    await asyncio.gather(*(cut() for _ in range(5)))
    rows = await asyncio.to_thread(run_sql, db.sandbox.mysql_port, ["SELECT @@query_timeout, database()"])
    assert rows == [(300, None)]
    assert await db.sql("SELECT count(*) FROM t") == [(9000,)]
