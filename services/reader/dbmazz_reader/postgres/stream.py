"""The replication connection: START_REPLICATION, and CopyData in both directions, on the event loop."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import select
import socket
import termios
from collections.abc import Iterator
from typing import Self

import psycopg
from dbmazz.errors import SourceError, SourceUnavailable
from dbmazz.lsn import Lsn
from psycopg import pq

from dbmazz_reader.postgres.connecting import connect
from dbmazz_reader.postgres.errors import first_line, source_error
from dbmazz_reader.postgres.names import quote
from dbmazz_reader.protocol.coalescing import Coalescing
from dbmazz_reader.protocol.kernel import complete_frames

START_S = 30.0
# How often libpq takes some at most before others get their turn: about 1 MB.
GULP_ROUNDS = 64
# TLS hands out what it has decrypted in portions; up to a record of it (16 kB) lies where FIONREAD does not look. libpq
# takes at least 8 kB at a time.
TLS_ROUNDS = 2


class ReplicationStream:
    """One replication session; after an error it is of no further use."""

    def __init__(self, connection: psycopg.AsyncConnection, coalesce_max_s: float) -> None:
        self._connection = connection
        self._coalescing = Coalescing(coalesce_max_s)
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        # A second handle on libpq's socket, to ask after it.
        self._socket = socket.socket(fileno=os.dup(self._pgconn.socket))
        self._more = False
        # The earliest time at which what `receive` gives can have come, of the event loop's clock.
        self.arrived_at = self._loop.time()

    @classmethod
    async def open(cls, source_url: str, coalesce_max_s: float = 0.0) -> Self:
        """Connects with replication=database. Under load the socket fills for at most `coalesce_max_s` before it is read."""
        return cls(await connect(source_url, replication=True), coalesce_max_s)

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
                    await self._arrival(None)
                    self._pgconn.consume_input()
            result = self._pgconn.get_result()
        except psycopg.Error as error:
            raise source_error(error, f"starting replication from slot {slot}") from None
        except TimeoutError:
            raise SourceUnavailable(f"starting replication from slot {slot}: no answer", "It is tried again") from None
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            raise self._ended(result, f"starting replication from slot {slot}")

    def coalesce(self, max_s: float) -> None:
        """From now on the socket fills for at most this long before it is read."""
        self._coalescing.max_s = max_s

    async def readable(self, timeout: float) -> bool:
        """Waits until the socket is to be read, which may be later than there is something; for at most `timeout` seconds.

        False when there is nothing even then. The others get their turn in any case.
        """
        deadline = self._loop.time() + timeout
        told = False
        while True:
            waiting, now = self._kernel_bytes(), self._loop.time()
            wait = 0.0 if self._more else self._coalescing.wait_s(now, waiting, self._room())
            # Told of something where there are no bytes: the end of the stream, which reading it will tell.
            if told or self._more or (waiting and (not wait or now >= deadline)):
                self.arrived_at = now if told else self._coalescing.arrived_at(now)
                await asyncio.sleep(0)
                return True
            if now >= deadline:
                return False
            if wait:
                # No need to be told: by then there will be something, or there will be silence.
                await asyncio.sleep(min(wait, deadline - now))
            else:
                told = await self._arrival(deadline - now)

    async def _arrival(self, timeout: float | None) -> bool:
        """Waits for the kernel to have something."""
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

    def receive(self) -> Iterator[list[memoryview]]:
        """The CopyData frames that are there, some at a time; to be called when `readable`.

        libpq takes about 16 kB at a time. Its frames are given out before it takes more: to collect them all first would
        cost half as much again, for the memory goes cold and the garbage collector counts.
        """
        pgconn, taken = self._pgconn, 0
        behind = TLS_ROUNDS if pgconn.ssl_in_use else 0
        self._more = True
        try:
            for _ in range(GULP_ROUNDS):
                pgconn.consume_input()
                frames, size, end = complete_frames(pgconn.get_copy_data)
                if frames:
                    yield frames
                if end < 0:
                    raise self._ended(pgconn.get_result(), "reading the stream of PostgreSQL")
                taken += size
                if not self._kernel_bytes():
                    if not behind:
                        self._more = False
                        self._coalescing.emptied(self._loop.time(), taken)
                        break
                    behind -= 1
        except psycopg.Error as error:
            raise source_error(error, "reading the stream of PostgreSQL") from None

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
        self._socket.close()
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

    def _room(self) -> int:
        """What the kernel's buffer holds by now; it grows by itself."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

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
