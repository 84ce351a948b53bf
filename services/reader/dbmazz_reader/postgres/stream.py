"""The replication connection: START_REPLICATION, and CopyData in both directions, on the event loop."""

from __future__ import annotations

import array
import asyncio
import fcntl
import select
import termios
from typing import Self

import psycopg
from dbmazz.errors import SourceError, SourceUnavailable
from dbmazz.lsn import Lsn
from psycopg import pq

from dbmazz_reader.postgres.connecting import connect
from dbmazz_reader.postgres.errors import first_line, source_error
from dbmazz_reader.postgres.names import quote

START_S = 30.0
# Waking for each message costs the walsender and the reader twice as much as letting a few milliseconds' worth of them
# collect; below this many bytes in the kernel that is still worth the wait.
COALESCE_MAX_S = 0.005
COALESCE_BYTES = 8 << 10
# How much one call of `receive` takes at most before others get their turn.
RECEIVE_BYTES = 1 << 20


class ReplicationStream:
    """One replication session; after an error it is of no further use."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._more = False

    @classmethod
    async def open(cls, source_url: str) -> Self:
        """Connects with replication=database."""
        return cls(await connect(source_url, replication=True))

    async def identify(self) -> tuple[str, int, Lsn, str]:
        """(system identifier, timeline, end of the flushed WAL, database)."""
        row = await self._one_row("IDENTIFY_SYSTEM", "identifying the server")
        return str(row[0]), int(row[1]), Lsn.parse(row[2]), str(row[3])

    async def create_slot(self, name: str) -> Lsn:
        """Creates a logical slot for pgoutput and returns its consistent point: changes committed from there on are read."""
        # NOEXPORT_SNAPSHOT: an exported snapshot would hold back vacuum for as long as this connection is idle.
        row = await self._one_row(
            f"CREATE_REPLICATION_SLOT {quote(name)} LOGICAL pgoutput NOEXPORT_SNAPSHOT",
            f"creating replication slot {name}",
            fix="ALTER ROLE ... REPLICATION",
        )
        return Lsn.parse(row[1])

    async def _one_row(self, command: str, doing: str, fix: str = "") -> tuple:
        try:
            async with asyncio.timeout(START_S):
                # A walsender understands the simple protocol only; without parameters psycopg uses that.
                return await (await self._connection.execute(command)).fetchone()
        except psycopg.Error as error:
            raise source_error(error, doing, fix) from None
        except TimeoutError:
            raise SourceUnavailable(
                f"{doing}: no answer within {START_S:.0f} s",
                "It is tried again; a long transaction on the source holds up the creation of a slot",
            ) from None

    async def start(self, slot: str, publication: str, lsn: int) -> None:
        """Begins to stream from `lsn`; returns when the slot is ours."""
        names = quote(publication).replace("'", "''")
        command = (
            f"START_REPLICATION SLOT {quote(slot)} LOGICAL {Lsn(lsn)}"
            f" (proto_version '1', publication_names '{names}', messages 'true')"
        )
        try:
            self._pgconn.nonblocking = 1
            self._pgconn.send_query(command.encode())
            async with asyncio.timeout(START_S):
                await self._flush()
                while self._pgconn.is_busy():
                    await self.readable(None)
                    self._pgconn.consume_input()
            result = self._pgconn.get_result()
        except psycopg.Error as error:
            raise source_error(error, f"starting replication from slot {slot}") from None
        except TimeoutError:
            raise SourceUnavailable(f"starting replication from slot {slot}: no answer", "It is tried again") from None
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            raise self._ended(result, f"starting replication from slot {slot}")

    async def readable(self, timeout: float | None) -> bool:
        """Waits until there is something to read; False after `timeout` seconds."""
        if self._more:
            return True
        ready = self._loop.create_future()
        descriptor = self._pgconn.socket
        self._loop.add_reader(descriptor, _wake, ready)
        try:
            async with asyncio.timeout(timeout):
                await ready
        except TimeoutError:
            return False
        finally:
            self._loop.remove_reader(descriptor)
        return True

    async def receive(self) -> list[memoryview]:
        """The frames that are there, after a short wait for more when there are few; [] when none is complete.

        To be called when `readable`. libpq takes about 16 kB at a time, so the kernel's buffer is drained by rounds of
        one consume_input and get_copy_data until there is none.
        """
        # With more at hand the others still get their turn.
        await asyncio.sleep(0 if self._more or self._kernel_bytes() >= COALESCE_BYTES else COALESCE_MAX_S)
        frames: list[memoryview] = []
        taken = 0
        pgconn = self._pgconn
        try:
            while True:
                pgconn.consume_input()
                while True:
                    size, frame = pgconn.get_copy_data(1)
                    if size <= 0:
                        break
                    frames.append(frame)
                    taken += size
                if size < 0:
                    raise self._ended(pgconn.get_result(), "reading the stream of PostgreSQL")
                if taken >= RECEIVE_BYTES or not self._kernel_bytes():
                    break
        except psycopg.Error as error:
            raise source_error(error, "reading the stream of PostgreSQL") from None
        self._more = taken >= RECEIVE_BYTES
        return frames

    def check_open(self) -> None:
        """SourceUnavailable when PostgreSQL has hung up, which nobody would notice while nothing is read."""
        poll = select.poll()
        try:
            # Where there is no POLLRDHUP (macOS), an end is noticed by the status updates that follow it.
            poll.register(self._pgconn.socket, getattr(select, "POLLRDHUP", 0))
        except psycopg.Error as error:
            raise source_error(error, "holding the stream of PostgreSQL") from None
        if poll.poll(0):
            raise SourceUnavailable(
                "holding the stream of PostgreSQL: PostgreSQL ended the stream", "It is tried again"
            )

    async def send(self, frame: bytes) -> None:
        """Sends CopyData."""
        try:
            self._pgconn.put_copy_data(frame)
            await self._flush()
        except psycopg.Error as error:
            raise source_error(error, "reading the stream of PostgreSQL") from None

    async def close(self) -> None:
        """Ends the connection; PostgreSQL releases the slot when it notices."""
        await self._connection.close()

    async def _flush(self) -> None:
        while self._pgconn.flush():
            done = self._loop.create_future()
            descriptor = self._pgconn.socket
            self._loop.add_writer(descriptor, _wake, done)
            try:
                await done
            finally:
                self._loop.remove_writer(descriptor)

    def _kernel_bytes(self) -> int:
        """Bytes that wait in the kernel (FIONREAD)."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._pgconn.socket, termios.FIONREAD, waiting)
        return waiting[0]

    def _ended(self, result: pq.abc.PGresult | None, doing: str) -> SourceError:
        """Why the server ended the stream."""
        if result is None or result.status != pq.ExecStatus.FATAL_ERROR:
            return SourceUnavailable(f"{doing}: PostgreSQL ended the stream", "It is tried again")
        error = psycopg.errors.error_from_result(result)
        if error.sqlstate is None:
            return SourceUnavailable(f"{doing}: {first_line(str(error))}", "It is tried again")
        return source_error(error, doing)


def _wake(future: asyncio.Future) -> None:
    if not future.done():
        future.set_result(None)
