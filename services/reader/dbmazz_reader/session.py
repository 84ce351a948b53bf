"""One replication session, which is one epoch: prepare, decide where to start, acquire the slot, stream, drain.

A session ends by an error or by `finish`. Another can follow it in the same process; nothing is carried over but what people
should know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

import structlog
from dbmazz.config import Settings
from dbmazz.errors import SourceUnavailable
from dbmazz.lsn import Lsn

from dbmazz_reader.checkpointing import CheckpointClient
from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.feed import Feed
from dbmazz_reader.pausing import Gate
from dbmazz_reader.postgres.catalogue import Catalogue, SlotHealth
from dbmazz_reader.postgres.copying import LOCK_MS
from dbmazz_reader.postgres.setup import Prepared, prepare
from dbmazz_reader.postgres.stream import ReplicationStream
from dbmazz_reader.protocol import resume
from dbmazz_reader.protocol.cuts import Cutter
from dbmazz_reader.protocol.decoder import Decoder
from dbmazz_reader.receiving import Receiver
from dbmazz_reader.snapshot.loads import Loads
from dbmazz_reader.status import Status, Streaming
from dbmazz_reader.tables import Tables

log = structlog.get_logger("dbmazz.reader")

SLOT_POLL_S = 10.0
CATCH_UP_POLL_S = 0.1
DRAIN_S = 5.0
SETTLE_S = 1.0


def collecting_s(settings: Settings) -> float:
    """For how long rows are collected: older than this they would be a window of their own all the same."""
    return min(settings.batch_interval_ms, settings.flush_interval_ms) / 1000


def coalescing_s(settings: Settings) -> float:
    """For how long the socket fills: most of the age that a window may have is left to what else there is to do."""
    return min(settings.coalesce_max_ms, settings.flush_interval_ms / 2) / 1000


class Session:
    """Runs once. `former`: relations of the session before it, where TABLES has changed since."""

    def __init__(
        self,
        settings: Settings,
        checkpoint: CheckpointClient,
        status: Status,
        gate: Gate,
        former: Collection[int] | None = None,
    ) -> None:
        self.settings = settings
        # True once all that was read is known to be durable and confirmed, after `finish`.
        self.drained = False
        # True once it has ended because all tables are loaded.
        self.complete = False
        self._gate = gate
        self._former = former
        self._ending = asyncio.Event()
        self._drain_s = DRAIN_S
        self._checkpoint = checkpoint
        self._status = status
        self._catalogue = Catalogue(settings.source_url)
        self._load_catalogue = Catalogue(settings.source_url, LOCK_MS)

    def finish(self, drain_s: float = DRAIN_S) -> None:
        """Reads no more, waits for what was read for up to `drain_s` seconds, and ends."""
        self._drain_s = drain_s
        self._ending.set()

    async def run(self, on_streaming: Callable[[Session], Awaitable[None]]) -> None:
        """Streams until `finish`, then drains; or raises what ended it, alone or in a group."""
        stream: ReplicationStream | None = None
        try:
            prepared = await prepare(self._catalogue, self.settings, self._same_server)
            self._status.warnings = prepared.warnings
            stream = await ReplicationStream.open(self.settings.source_url, coalescing_s(self.settings))
            server, start, streamed = await self._decide(stream)
            new_slot = start.create or start.adopted
            if start.create:
                start = resume.Start(await stream.create_slot(self.settings.source_slot_name), create=True)
            unread = await self._unread(prepared, streamed, new_slot=new_slot)
            log.info("resuming", slot=self.settings.source_slot_name, lsn=str(Lsn(start.lsn)), new_slot=start.create)
            await stream.start(self.settings.source_slot_name, self.settings.source_publication_name, start.lsn)
            await self._stream(stream, prepared, server, start, unread, on_streaming)
        finally:
            if self._status.streaming is not None:
                self._status.streaming.feed.close()
            if stream is not None:
                await stream.close()
            await self._catalogue.close()
            await self._load_catalogue.close()

    async def _same_server(self) -> None:
        """Nothing is made on a server that the slot's checkpoint does not belong to."""
        stored = await self._checkpoint.stored()
        if stored is not None:
            identifier = await self._catalogue.system_identifier()
            resume.same_system(self.settings.source_slot_name, identifier, stored)

    async def _decide(self, stream: ReplicationStream) -> tuple[resume.Server, resume.Start, Collection[int] | None]:
        """Who the server is, where to start, and what the last epoch has replicated, None when it is not known."""
        server = resume.Server(*await stream.identify())
        health = await self._catalogue.slot(self.settings.source_slot_name)
        stored = await self._checkpoint.stored()
        slot = health.slot if health else None
        start = resume.decide(self.settings.source_slot_name, server, slot, stored)
        return server, start, (stored.streamed or None) if stored else None

    async def _unread(self, prepared: Prepared, streamed: Collection[int] | None, *, new_slot: bool) -> dict[int, int]:
        """Row estimates of tables whose earlier rows the slot does not carry.

        Looked at after the slot was made: to make one waits for running transactions, and what they wrote is not in it.
        """
        published = {table.relation_id for table in prepared.tables}
        joined = await self._joined(published, streamed)
        if not new_slot and not prepared.added and not joined:
            return {}
        tables = await self._catalogue.tables(self.settings.source_publication_name)
        # A table that comes back may have lost all its rows meanwhile, and the target has them.
        return {
            table.relation_id: max(table.row_estimate, 1)
            for table in tables
            if (table.row_estimate or (table.relation_id in joined and not new_slot))
            and table.relation_id in published
            and (new_slot or table.relation_id in prepared.added or table.relation_id in joined)
        }

    async def _joined(self, published: set[int], streamed: Collection[int] | None) -> frozenset[int]:
        """Tables that were published all along, but not replicated by the session before: they passed unread like new ones."""
        if self._former is not None:
            return frozenset(published.difference(self._former))
        if streamed is None:
            return frozenset()
        if not self.settings.tables and await self._catalogue.publishes_all(self.settings.source_publication_name):
            return frozenset()  # what is new was published from its beginning
        return frozenset(published.difference(streamed))

    async def _stream(
        self,
        stream: ReplicationStream,
        prepared: Prepared,
        server: resume.Server,
        start: resume.Start,
        unread: dict[int, int],
        on_streaming: Callable[[Session], Awaitable[None]],
    ) -> None:
        confirmation = Confirmation(stream, start.lsn, self._status_interval(prepared))
        async with asyncio.TaskGroup() as group:
            # The slot is ours, so the server waits for status updates from now on, also while the checkpoint is asked.
            background = [group.create_task(confirmation.send_forever())]
            relations = [table.relation_id for table in prepared.tables]
            begun = await self._checkpoint.begin_epoch(server, start.lsn, unread, relations)
            epoch, confirmed_lsn, self._status.preexisting = begun
            confirmation.advance(confirmed_lsn, 0)
            background.append(group.create_task(confirmation.follow(self._checkpoint, epoch)))
            background.append(group.create_task(self._watch_slot()))
            streaming = await self._streaming(stream, prepared, server, epoch, confirmation, new_slot=start.create)
            self._status.streaming = streaming
            log.info("streaming", epoch=epoch, confirmed_lsn=str(Lsn(confirmation.lsn)), tables=len(prepared.tables))
            await on_streaming(self)
            loading = group.create_task(streaming.loads.run())
            if self.settings.initial_snapshot_only:
                background.append(group.create_task(self._end_when_loaded(streaming.loads)))
            await streaming.receiver.run(self._ending)
            loading.cancel()
            await self._drain(streaming)
            await self._settle(streaming.loads)
            for task in background:
                task.cancel()

    async def _streaming(
        self,
        stream: ReplicationStream,
        prepared: Prepared,
        server: resume.Server,
        epoch: int,
        confirmation: Confirmation,
        *,
        new_slot: bool,
    ) -> Streaming:
        settings = self.settings
        tables = Tables(settings.tables)
        types = await self._catalogue.types(column.type_oid for table in prepared.tables for column in table.columns)
        seeded = tables.seed(prepared.tables, types, self._status.preexisting)
        feed = Feed(settings.source_slot_name, server.system_identifier, epoch, settings.retained_bytes)
        receiver = Receiver(
            stream=stream,
            catalogue=self._catalogue,
            publication=settings.source_publication_name,
            tables=tables,
            decoder=Decoder(settings.batch_rows, settings.batch_bytes, readback=settings.toast_readback),
            cutter=Cutter(epoch, confirmation.lsn),
            feed=feed,
            confirmation=confirmation,
            inspection=self._status.inspection,
            interval_s=collecting_s(settings),
            gate=self._gate,
        )
        receiver.server_lsn = max(receiver.server_lsn, server.wal_end)
        # Questions about a table that is locked must not hold up those of the stream.
        self._load_catalogue.major = self._catalogue.major
        loads = Loads(
            settings,
            self._checkpoint,
            self._load_catalogue,
            receiver,
            feed,
            confirmation,
            self._gate,
            server.wal_end,
            self._status.reshaped,
        )
        loads.take_up(await self._checkpoint.loads(), self._status.preexisting, seeded, new_slot=new_slot)
        receiver.on_joined = loads.join
        receiver.seed(seeded)
        for table in seeded:
            if table.warning:
                log.warning("table_not_loaded", table=table.relation.qualified_name, warning=table.warning)
        return Streaming(feed, receiver, confirmation, loads)

    async def _end_when_loaded(self, loads: Loads) -> None:
        """INITIAL_SNAPSHOT_ONLY: nothing is left to do once every table is loaded."""
        await loads.idle.wait()
        log.info("all_tables_loaded")
        self.complete = True
        self.finish()

    async def _drain(self, streaming: Streaming) -> None:
        """What was read is waited for, for a while; what is left comes again in the next session."""
        try:
            async with asyncio.timeout(self._drain_s):
                while not streaming.feed.retention.empty and streaming.feed.transformers:
                    await streaming.feed.progress(self._drain_s)
                if streaming.feed.retention.empty:
                    await streaming.confirmation.reached(streaming.receiver.cutter.batch_count)
                    self.drained = True
        except TimeoutError:
            log.warning("drain_incomplete", retained_bytes=streaming.feed.retention.bytes)
        await streaming.confirmation.send()
        log.info("drained", confirmed_lsn=str(Lsn(streaming.confirmation.lsn)))

    @staticmethod
    async def _settle(loads: Loads) -> None:
        """Chunks that have become durable at last are not read again by the next session."""
        try:
            async with asyncio.timeout(SETTLE_S):
                await loads.settle()
        except TimeoutError:
            log.warning("loads_not_stored")

    def _status_interval(self, prepared: Prepared) -> float:
        """STATUS_INTERVAL_S, or less when the server's patience asks for it."""
        patience_s = prepared.server.wal_sender_timeout_ms / 1000
        return min(self.settings.status_interval_s, patience_s / 3) if patience_s else self.settings.status_interval_s

    async def look_at_slot(self) -> None:
        """Renews what the status says about the slot."""
        try:
            health = await self._catalogue.slot(self.settings.source_slot_name)
        except SourceUnavailable as error:
            # The stream is what counts; if it is gone too, it says so itself.
            log.warning("slot_not_seen", error=str(error))
        else:
            self._seen(health)

    async def caught_up(self, streaming: Streaming, within_s: float) -> bool:
        """Reads on until everything that is committed now has been read; False when that takes longer."""
        health = await self._catalogue.slot(self.settings.source_slot_name)
        wanted = health.wal_end if health else 0
        try:
            async with asyncio.timeout(within_s):
                while streaming.receiver.received_lsn < wanted:
                    if streaming.feed.closed or self._gate.closed:
                        return False
                    await streaming.feed.progress(CATCH_UP_POLL_S)
        except TimeoutError:
            return False
        return True

    async def _watch_slot(self) -> None:
        while True:
            await self.look_at_slot()
            await asyncio.sleep(SLOT_POLL_S)

    def _seen(self, health: SlotHealth | None) -> None:
        self._status.slot_health, self._status.slot_read_time = health, time.time()
        if health is None:
            return
        if health.slot.wal_status in ("unreserved", "lost"):
            log.warning("slot_in_danger", wal_status=health.slot.wal_status, retained=health.retained_wal_bytes)
        if self._status.streaming is not None:
            receiver = self._status.streaming.receiver
            receiver.server_lsn = max(receiver.server_lsn, health.wal_end)
