"""One worker: prepares a table, or reads one range of it to its end, chunk by chunk."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog
from dbmazz.backoff import Backoff
from dbmazz.errors import SourceError, SourceUnavailable

from dbmazz_reader.postgres.copying import ChunkReader, ChunkTooLarge
from dbmazz_reader.postgres.errors import SourceMoved
from dbmazz_reader.postgres.load_source import load_source, writers
from dbmazz_reader.protocol.chunk import Chunk, load_version
from dbmazz_reader.protocol.chunk_query import chunk_statement
from dbmazz_reader.protocol.load import KeyRange, LoadState
from dbmazz_reader.snapshot.table_load import CLOSE, PREPARE, Surroundings, TableLoad
from dbmazz_reader.tables import ReplicatedTable

log = structlog.get_logger("dbmazz.reader")

# How long to wait for the stream to pass a chunk before it is injected all the same; the target then runs ahead of the stream.
PASS_S = 30.0
# How often the server is asked how far it has sent.
ASK_S = 0.25
# Pauses before a table that is in trouble is tried again.
SOON_S, LATER_S = 1.0, 30.0
LOOK_S = 0.2


class Moved(Exception):
    """The table is not replicated any more, or not as it was."""


class SessionEnds(Exception):
    """Sealing what was streamed has failed, which is not the load's trouble alone."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(str(error))
        self.error = error


class Worker:
    """Has a connection of its own while it has work."""

    def __init__(self, source_url: str, surroundings: Surroundings) -> None:
        self._reader = ChunkReader(source_url)
        self._around = surroundings
        self._receiver = surroundings.receiver
        # Of a chunk in memory: the workers share half of the budget, the other half is on its way to the target.
        self._chunk_bytes = max(surroundings.budget.limit // (2 * surroundings.settings.snapshot_workers), 1 << 16)

    async def close(self) -> None:
        """Ends the connection."""
        await self._reader.close()

    async def run(self, table: TableLoad, number: int) -> None:
        """Works on what was claimed; what is in the way is told, and tried again."""
        pause = 0.0
        try:
            if number == PREPARE:
                await self._prepare(table)
            elif number == CLOSE:
                await self._close(table)
            else:
                await self._read(table, table.load.ranges[number])
        except Moved:
            table.drop()
        except SessionEnds as ends:
            raise ends.error from None
        except ChunkTooLarge as error:
            table.chunk_rows = max(table.chunk_rows // 2, 1)
            log.info("chunk_too_large", table=table.load.table, chunk_size=table.chunk_rows, reason=error.message)
        except SourceMoved as error:
            await self._reader.rollback()
            table.trouble(str(error))
            pause = SOON_S
            await self._reshaped(table, error)
        except SourceError as error:
            await self._reader.close()
            table.trouble(str(error))
            pause = SOON_S if getattr(error, "retriable", False) else LATER_S
        finally:
            table.release(number, pause)

    async def _reshaped(self, table: TableLoad, error: SourceMoved) -> None:
        """The table has other columns than the stream's rows had last, or is gone.

        The stream describes them with the next row. When there is none, a new session begins with what the catalogue has; once,
        for the same columns.
        """
        replicated = table.table
        if replicated is None:
            return
        relation = replicated.relation
        await self._passed(await self._around.catalogue.flush_lsn(), PASS_S)
        last = replace(relation, schema_version=0)
        if table.table is not None and table.table.relation is relation and last not in self._around.reshaped:
            self._around.reshaped.add(last)
            raise SourceUnavailable(error.message, "A new session begins with the columns as they are now")

    # Preparing

    async def _prepare(self, table: TableLoad) -> None:
        """Begins the load in this session: from here on, everything that goes into the lane is noted."""
        load, receiver = table.load, self._receiver
        replicated = self._replicated(table)
        source = await load_source(
            self._around.catalogue, self._around.settings.source_publication_name, replicated.relation
        )
        # Wherever the rows of earlier sessions came from, the stream is beyond it.
        await self._passed(self._around.wal_end, None)
        async with receiver.turn:
            receiver.watches[replicated.lane] = table.watch
            if not load.start_lsn:
                load.start_lsn = load_version(receiver.decoder.committed_lsn)
                load.begun_at = time.time()
            floor = max(load.start_lsn, load.end_lsn) + 1
            replicated.builder.version_floor = max(replicated.builder.version_floor, floor)
        if not table.watched_always:
            await self._no_doubt(table)
        if not load.ranges:
            load.ranges = [KeyRange()]
            load.row_estimate = source.row_estimate or load.row_estimate
            await self._split(table, replicated, source)
        await table.store(load)
        load.resumed_at, load.resumed_rows = time.monotonic(), load.row_count
        table.source = source
        table.goes_on()
        log.info("load_begins", table=load.table, ranges=len(load.ranges), loaded_before=load.row_count)

    async def _no_doubt(self, table: TableLoad) -> None:
        """Waits for transactions that may have been delivered before anything was noted, and that nobody can see yet."""
        catalogue, backoff = self._around.catalogue, Backoff(first_s=0.02, cap_s=0.5)
        doubtful = await writers(catalogue, table.load.relation_id)
        while doubtful:
            still = await writers(catalogue, table.load.relation_id)
            doubtful = {xid for xid in doubtful if xid in still and xid not in table.watch.streamed}
            if doubtful and backoff.attempts > 5:
                table.trouble(
                    f"transaction {min(doubtful)} has changed {table.load.table}, and may be about to commit: it is waited for"
                )
            if doubtful:
                await asyncio.sleep(backoff.next_delay())

    async def _split(self, table: TableLoad, replicated: ReplicatedTable, source) -> None:
        """Several ranges for a table that is worth it."""
        settings, load = self._around.settings, table.load
        count = min(settings.snapshot_workers, load.row_estimate // (4 * settings.snapshot_chunk_size))
        if count < 2:
            return
        await self._reader.begin(replicated.relation, source)
        boundaries = await self._reader.boundaries(replicated.relation, source, load.row_estimate, count)
        await self._reader.end()
        load.split(boundaries)

    # Reading

    async def _read(self, table: TableLoad, part: KeyRange) -> None:
        """The range, to its end."""
        backoff = Backoff(first_s=0.02, cap_s=1.0)
        while not part.exhausted:
            await self._room()
            if await self._chunk(table, part):
                backoff.reset()
                table.goes_on()
            else:
                table.load.retake_count += 1
                await asyncio.sleep(backoff.next_delay())

    async def _chunk(self, table: TableLoad, part: KeyRange) -> bool:
        """One chunk, from recording to injection; False when it must be taken again."""
        relation = self._replicated(table).relation
        # Rows that were received, and wait to be sealed, are recorded by then.
        chunk = Chunk(relation, table.watch.streamed.copy())
        table.watch.open(chunk)
        try:
            snapshot = await self._reader.begin(relation, table.source)
            seen = chunk.seen(snapshot)
            table.watch.streamed.forget_visible(snapshot)
            if not seen:
                await self._reader.rollback()
                return False
            whole = await self._copy(table, part, chunk)
            flush_lsn = await (self._reader.end() if whole else self._around.catalogue.flush_lsn())
            chunk.complete()
            end = whole and chunk.rows.row_count < table.chunk_rows
            self._around.budget.take(chunk.rows.byte_count)
            try:
                await self._passed(flush_lsn, PASS_S)
                size = await self._inject(table, part, chunk, end=end)
            finally:
                self._around.budget.give_back(chunk.rows.byte_count)
        finally:
            chunk.drop()
        if size is None:
            return False
        table.load.chunk_count += 1
        return True

    async def _copy(self, table: TableLoad, part: KeyRange, chunk: Chunk) -> bool:
        """Reads the rows; False when there are as many bytes as may be, and so fewer rows than asked for."""
        statement = chunk_statement(chunk.relation, table.source, part, table.chunk_rows)
        rows = self._reader.copy(statement, f"reading {table.load.table}")
        async with contextlib.aclosing(rows) as pieces:
            async for frames in pieces:
                try:
                    chunk.rows.take(frames)
                except ValueError as error:
                    await self._reader.close()
                    raise SourceError(f"reading {table.load.table}: {error}") from None
                if chunk.rows.byte_count > self._chunk_bytes and chunk.rows.row_count < table.chunk_rows:
                    await self._reader.close()
                    table.chunk_rows = max(chunk.rows.row_count, 1)
                    return False
        return True

    async def _inject(self, table: TableLoad, part: KeyRange, chunk: Chunk, *, end: bool) -> int | None:
        """The chunk's bytes in the lane; None when it must be taken again."""
        receiver, settings = self._receiver, self._around.settings
        async with self._between(table) as replicated:
            if replicated.relation is not chunk.relation:
                return None
            merged = chunk.merge(receiver.decoder.committed_lsn, settings.batch_rows, settings.batch_bytes)
            if merged is None:
                return None
            sealed = receiver.load(replicated, merged.batches, merged.version)
            size, last = sum(batch.size for batch in sealed), sealed[-1].batch_id if sealed else 0
            table.load.overtaken_count += merged.completing + merged.overtaken
            table.load.end_lsn = max(table.load.end_lsn, merged.version)
            part.inject(last, chunk.rows.last_key(), end=end)
            self._around.budget.take(size)
            table.injected(last, size, merged.read)
        return size

    async def _close(self, table: TableLoad) -> None:
        """All rows are in the lane: what the target has beyond them goes."""
        load = table.load
        async with self._between(table) as replicated:
            load.closing_batch = self._receiver.end_load(replicated, load.start_lsn).batch_id
            load.advance(LoadState.CLOSING)

    # Waiting

    @contextlib.asynccontextmanager
    async def _between(self, table: TableLoad) -> AsyncIterator[ReplicatedTable]:
        """Between two transactions of the stream, with everything before cut, and the reader not paused."""
        receiver = self._receiver
        while True:
            while self._around.gate.closed:
                await self._around.gate.opened(LOOK_S)
            async with receiver.turn:
                if receiver.decoder.xid is None and not self._around.gate.closed:
                    try:
                        await receiver.cut()
                    except SourceError as error:
                        raise SessionEnds(error) from None
                    yield self._replicated(table)
                    return
            await self._moved(LOOK_S)

    async def _room(self) -> None:
        """Waits while the reader is paused, or the target has not taken what it was given: the stream comes first."""
        around = self._around
        while True:
            if around.gate.closed:
                await around.gate.opened(LOOK_S)
            elif not around.budget.room or around.feed.retention.bytes > around.feed.retention.limit // 2:
                await around.feed.progress(LOOK_S)
            else:
                return

    async def _passed(self, lsn: int, within_s: float | None) -> None:
        """Waits until everything that was committed before `lsn` has been delivered, for a while."""
        decoder, started, asked_at = self._receiver.decoder, time.monotonic(), 0.0
        while decoder.committed_lsn < lsn:
            now = time.monotonic()
            if within_s is not None and now > started + within_s and not self._around.gate.closed:
                log.info("chunk_ahead_of_the_stream", waited_s=round(now - started, 1))
                return
            if now >= asked_at + ASK_S:
                asked_at = now
                self._around.confirmation.ask()
            await self._moved(ASK_S)

    async def _moved(self, within_s: float) -> None:
        """Until something was received."""
        self._receiver.moved.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._receiver.moved.wait()
        except TimeoutError:
            return

    @staticmethod
    def _replicated(table: TableLoad) -> ReplicatedTable:
        replicated = table.table
        if replicated is None or not table.load.fits(replicated.key_columns):
            raise Moved
        return replicated
