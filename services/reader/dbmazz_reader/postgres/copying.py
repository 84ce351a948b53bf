"""Reads chunks of tables: one connection, one REPEATABLE READ transaction and one COPY for each, nothing written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import psycopg
from dbmazz.errors import SourceError, SourceUnavailable
from dbmazz.lsn import Lsn
from dbmazz.relation import Relation
from psycopg import pq

from dbmazz_reader.postgres.connecting import connect
from dbmazz_reader.postgres.errors import SourceMoved, source_error
from dbmazz_reader.protocol.chunk import Snapshot
from dbmazz_reader.protocol.chunk_query import Source, boundary_statement, columns_of, shape_statement
from dbmazz_reader.protocol.kernel import complete_frames
from dbmazz_reader.protocol.load import Key

T = TypeVar("T")

# Of one answer; a COPY may take longer, as long as something comes.
ANSWER_S = 60.0
STALL_S = 600.0
# Waiting for a lock longer would hold up who waits behind us.
LOCK_MS = 5_000
# Pages of the sample that ranges are cut by.
SAMPLE_ROWS = 20_000

# The lock comes first: a snapshot from before a TRUNCATE or a rewrite would find the table empty. LOCK takes no snapshot.
_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = {lock_ms}; SET LOCAL"
    " standard_conforming_strings = on; LOCK TABLE {table} IN ACCESS SHARE MODE;"
    " SELECT pg_snapshot_xmax(s)::text, array_to_string(ARRAY(SELECT x FROM pg_snapshot_xip(s) AS x), ','),"
    " pg_current_wal_insert_lsn()::text FROM (SELECT pg_current_snapshot()) AS q (s); {shape}"
)


class ChunkTooLarge(SourceError):
    """The server's statement_timeout came before the chunk's end."""


class ChunkReader:
    """One connection, dialled when first needed and again when it broke."""

    def __init__(self, source_url: str) -> None:
        self._source_url = source_url
        self._connection: psycopg.AsyncConnection | None = None

    async def close(self) -> None:
        """Ends the connection, and whatever it does."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def begin(self, relation: Relation, source: Source) -> Snapshot:
        """Opens the transaction. SourceMoved when the table's columns are no longer those of `relation`."""
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._source_url)
        statement = _BEGIN.format(lock_ms=LOCK_MS, table=source.item, shape=shape_statement(relation, source))
        results = await self._guarded(self._ask(statement.encode()), f"reading {relation.qualified_name}")
        now = time.time_ns() // 1000
        xmax, running, lsn = (results[-2].get_value(0, column).decode() for column in range(3))
        self._check_shape(relation, results[-1])
        ids = frozenset(map(int, running.split(","))) if running else frozenset()
        return Snapshot(int(xmax), ids, Lsn.parse(lsn), now)

    async def boundaries(self, relation: Relation, source: Source, row_estimate: int, count: int) -> list[Key]:
        """Keys, ascending, that cut the table into at most `count` ranges alike in size; within the transaction."""
        percent = min(max(100.0 * SAMPLE_ROWS / max(row_estimate, 1), 0.001), 100.0)
        statement = boundary_statement(relation, source, percent, count)
        (found,) = await self._guarded(self._ask(statement.encode()), f"sampling {relation.qualified_name}")
        return [tuple(found.get_value(row, column) for column in range(found.nfields)) for row in range(found.ntuples)]

    async def copy(self, statement: bytes, doing: str) -> AsyncIterator[list[memoryview]]:
        """Rows in COPY's text format, some at a time. Who stops before the end calls `close`."""
        pgconn = self._connection.pgconn
        try:
            pgconn.send_query(statement)
            await self._flush(pgconn)
            result = await self._result(pgconn)
            if result is None or result.status != pq.ExecStatus.COPY_OUT:
                raise psycopg.errors.error_from_result(result)
            while True:
                frames, _, end = complete_frames(pgconn.get_copy_data)
                if frames:
                    yield frames
                if end < 0:
                    break
                async with asyncio.timeout(STALL_S):
                    await _arrival(pgconn)
                pgconn.consume_input()
            while (result := await self._result(pgconn)) is not None:
                if result.status != pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result)
        except psycopg.Error as error:
            await self.close()
            raise _error(error, doing) from None
        except TimeoutError:
            await self.close()
            raise SourceUnavailable(f"{doing}: nothing came for {STALL_S:.0f} s", "It is tried again") from None

    async def end(self) -> int:
        """Closes the transaction; how far the WAL was flushed at its end."""
        statement = b"SELECT pg_current_wal_flush_lsn()::text; COMMIT"
        results = await self._guarded(self._ask(statement), "asking for the end of the WAL")
        return Lsn.parse(results[0].get_value(0, 0).decode())

    async def rollback(self) -> None:
        """Closes the transaction, whatever state it is in."""
        if self._connection is not None and not self._connection.closed:
            await self._guarded(self._ask(b"ROLLBACK"), "ending a transaction")

    def _check_shape(self, relation: Relation, found: pq.abc.PGresult) -> None:
        for index, column in enumerate(relation.columns):
            # The server tells a domain's base type; 0 for the table when a column is none of a table's.
            if found.ftype(index) not in (column.base_type_oid, column.type_oid) or (
                found.ftable(index) not in (0, relation.relation_id)
            ):
                raise SourceMoved(
                    f"table {relation.qualified_name} has changed: its columns are no longer {columns_of(relation)}"
                )

    async def _guarded(self, work: Awaitable[T], doing: str) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await work
        except psycopg.Error as error:
            await self.close()
            raise _error(error, doing) from None
        except TimeoutError:
            await self.close()
            raise SourceUnavailable(f"{doing}: no answer within {ANSWER_S:.0f} s", "It is tried again") from None

    async def _ask(self, statements: bytes) -> list[pq.abc.PGresult]:
        """The results that have rows."""
        pgconn = self._connection.pgconn
        pgconn.send_query(statements)
        await self._flush(pgconn)
        found = []
        while (result := await self._result(pgconn)) is not None:
            if result.status == pq.ExecStatus.TUPLES_OK:
                found.append(result)
            elif result.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result)
        return found

    @staticmethod
    async def _result(pgconn: pq.abc.PGconn) -> pq.abc.PGresult | None:
        while pgconn.is_busy():
            await _arrival(pgconn)
            pgconn.consume_input()
        return pgconn.get_result()

    @staticmethod
    async def _flush(pgconn: pq.abc.PGconn) -> None:
        while pgconn.flush():
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            loop.add_writer(pgconn.socket, _wake, done)
            try:
                await done
            finally:
                loop.remove_writer(pgconn.socket)


async def _arrival(pgconn: pq.abc.PGconn) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    descriptor = pgconn.socket
    loop.add_reader(descriptor, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _wake(future: asyncio.Future) -> None:
    if not future.done():
        future.set_result(None)


def _error(error: psycopg.Error, doing: str) -> SourceError:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return ChunkTooLarge(f"{doing}: statement_timeout came first", "A smaller chunk is tried")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return SourceUnavailable(f"{doing}: somebody has it locked", "It is tried again")
    return source_error(error, doing, "GRANT SELECT ON ... TO ...;")
