"""From the socket to sealed batches: the one task that reads, decodes, cuts and beats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

import structlog
from dbmazz.backoff import Backoff
from dbmazz.errors import SourceError

from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.feed import Feed
from dbmazz_reader.inspection import Inspection
from dbmazz_reader.pausing import Gate
from dbmazz_reader.postgres.catalogue import Catalogue
from dbmazz_reader.postgres.readback import read_back
from dbmazz_reader.postgres.stream import ReplicationStream
from dbmazz_reader.protocol.cuts import Cutter, SealedBatch
from dbmazz_reader.protocol.decoder import Decoder, KeepaliveSeen, RelationSeen, TruncateSeen
from dbmazz_reader.protocol.kernel import Fields
from dbmazz_reader.protocol.lanes import LaneBuilder
from dbmazz_reader.protocol.pgoutput import RelationMessage
from dbmazz_reader.protocol.visibility import still_running
from dbmazz_reader.snapshot.watching import LaneWatch
from dbmazz_reader.tables import ReplicatedTable, Tables

log = structlog.get_logger("dbmazz.reader")

# How often the loop looks around when nothing happens.
IDLE_S = 0.5
HEARTBEAT_S = 1.0
# Of looking for a transaction's visibility, before people are told: about five seconds.
PATIENT_ATTEMPTS = 15
# How long rows are collected at most when nothing was for as long as they may be, and while somebody watches them.
SHORT_S = 0.05
# So long a silence ends a burst, which is what fills batches: its last one does not wait for its age.
SILENCE_S = 0.1


class Receiver:
    """Reads one replication stream until it is told to stop."""

    def __init__(
        self,
        stream: ReplicationStream,
        catalogue: Catalogue,
        publication: str,
        tables: Tables,
        decoder: Decoder,
        cutter: Cutter,
        feed: Feed,
        confirmation: Confirmation,
        inspection: Inspection,
        interval_s: float,
        gate: Gate | None = None,
    ) -> None:
        self.tables = tables
        self.decoder = decoder
        self.cutter = cutter
        self.received_lsn = cutter.safe_lsn
        self.server_lsn = cutter.safe_lsn
        self.warnings: dict[int, str] = {}
        # Whoever loads rows beside the stream, by lane.
        self.watches: dict[int, LaneWatch] = {}
        # Told of a table that the stream has for the first time: its rows from before are in no batch.
        self.on_joined: Callable[[ReplicatedTable], None] = lambda table: None
        # Held while what was received is taken in: what comes between has it.
        self.turn = asyncio.Lock()
        # Set whenever something was taken in.
        self.moved = asyncio.Event()
        # Set while the gate is closed and all that was read is sealed.
        self.resting = asyncio.Event()
        self._stream = stream
        self._catalogue = catalogue
        self._publication = publication
        self._feed = feed
        self._confirmation = confirmation
        self._inspection = inspection
        self._collect_s = interval_s
        self._gate = gate or Gate()
        self._opened_at = 0.0
        self._cut_at = float("-inf")
        # True from when a batch was full until the next that was not.
        self._burst = False
        self._beaten_at = 0.0

    def hurry(self, interval_s: float, coalesce_s: float) -> None:
        """From now on collects rows for at most `interval_s`, and lets the socket fill for at most `coalesce_s`."""
        self._collect_s = interval_s
        self._stream.coalesce(coalesce_s)

    @property
    def _due_at(self) -> float:
        """When the rows that are open have been collected for long enough."""
        rested = self._opened_at - self._cut_at >= self._collect_s
        short = rested or self._inspection.watched
        return self._opened_at + (min(self._collect_s, SHORT_S) if short else self._collect_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop`; then everything that was read is in batches."""
        while not stop.is_set():
            if self._gate.closed:
                await self._rest()
                continue
            self.resting.clear()
            if self._feed.retention.full:
                # Not reading is what makes PostgreSQL wait; status updates go out all the same.
                await self._feed.progress(self._patience())
            elif await self._stream.readable(self._patience()):
                async with self.turn:
                    for frames in self._stream.receive():
                        await self._take(frames)
                self.moved.set()
            elif self._burst and self.decoder.open:
                async with self.turn:
                    await self.cut()
            if self.decoder.open and time.monotonic() >= self._due_at:
                async with self.turn:
                    await self.cut()
            self._beat()
        async with self.turn:
            await self.cut()

    async def _rest(self) -> None:
        """Paused: what was read is sealed and goes its way, and PostgreSQL waits."""
        if not self.resting.is_set():
            async with self.turn:
                await self.cut()
            self.resting.set()
        self._stream.check_open()
        self._beat()
        await self._gate.opened(IDLE_S)

    async def cut(self) -> None:
        """Seals all open lanes and sends them off."""
        await self._visible({readback.xid for lane in self.decoder.open for readback in lane.readbacks})
        for lane in self.decoder.open:
            if lane.readbacks:
                completed, gone = await read_back(self._catalogue, lane)
                log.debug("values_read_back", table=lane.relation.qualified_name, completed=completed, gone=gone)
        if self.decoder.open:
            self._burst, self._cut_at = False, time.monotonic()
            self._send(self.cutter.cut(self.decoder, self._cut_at - self._opened_at))

    async def _visible(self, xids: Collection[int]) -> None:
        """Waits until queries see these transactions: with synchronous replication, as long as their commits wait.

        PostgreSQL tells nobody when that is, so it is asked again and again. Status updates go out meanwhile.
        """
        backoff = Backoff(first_s=0.02, cap_s=0.5)
        while xids:
            xmax, running = await self._catalogue.snapshot()
            xids = [xid for xid in xids if still_running(xid, xmax, running)]
            if not xids:
                return
            if backoff.attempts == PATIENT_ATTEMPTS:
                log.warning(
                    "transaction_not_visible",
                    xid=min(xids),
                    way_out="its commit waits for a standby of synchronous_standby_names; if that names dbmazz, take it out",
                )
            await asyncio.sleep(backoff.next_delay())

    def seed(self, tables: list[ReplicatedTable]) -> None:
        """One schema barrier per table, so that empty tables exist in the target as well."""
        self._send([self.cutter.schema(table.lane, table.relation) for table in tables])

    def load(self, table: ReplicatedTable, batches: list[Fields], version: int) -> list[SealedBatch]:
        """Puts rows of a load into a table's lane, between two transactions, with everything before them cut."""
        table.builder.version_floor = max(table.builder.version_floor, version + 1)
        sealed = [self.cutter.load(table.builder, fields) for fields in batches]
        self._send(sealed)
        return sealed

    def end_load(self, table: ReplicatedTable, start_lsn: int) -> SealedBatch:
        """Rows of the target with a version below go; to be called as `load`."""
        sealed = self.cutter.truncate(table.builder, start_lsn)
        self._send([sealed])
        return sealed

    def _send(self, batches: list[SealedBatch]) -> None:
        for sealed in batches:
            if self.watches and (watch := self.watches.get(sealed.lane)) is not None:
                watch.take(sealed)
            table = self.tables.of_lane(sealed.lane)
            if table is not None and not sealed.loaded:
                table.row_count += sealed.batch.row_count
                table.byte_count += sealed.size
            self._inspection.offer(sealed)
        if batches:
            self._feed.append(batches)

    def _patience(self) -> float:
        if not self.decoder.open:
            return IDLE_S
        return min(max(self._due_at - time.monotonic(), 0.0), SILENCE_S if self._burst else IDLE_S)

    async def _take(self, frames: list[memoryview]) -> None:
        """Decodes frames; what decoding stops for is done in between."""
        decoder = self.decoder
        at = 0
        while at < len(frames):
            if not decoder.open:
                self._opened_at = self._stream.arrived_at
            at, event = decoder.decode(frames, at)
            if isinstance(event, RelationSeen):
                await self._described(event.message)
            elif isinstance(event, TruncateSeen):
                await self.cut()
                self._send([self._truncated(lane, event.lsn) for lane in event.lanes])
            elif isinstance(event, KeepaliveSeen):
                self._confirmation.answer(event.message)
            elif event is not None:
                await self.cut()
                self._burst = True
        self.received_lsn = max(self.received_lsn, decoder.last_lsn, decoder.committed_lsn, decoder.server_lsn)
        self.server_lsn = max(self.server_lsn, self.received_lsn)

    def _truncated(self, lane: LaneBuilder, lsn: int) -> SealedBatch:
        if (watch := self.watches.get(lane.lane)) is not None:
            watch.truncate(self.decoder.xid)
        return self.cutter.truncate(lane, lane.barrier(lsn, self.decoder.open_run, self.decoder.commit_lsn))

    def _beat(self) -> None:
        """On an idle or filtered database the WAL of others would pile up behind a position that no row moves."""
        decoder = self.decoder
        if decoder.open or decoder.xid is not None or not self._feed.retention.empty:
            return
        now = time.monotonic()
        if decoder.committed_lsn > self.cutter.safe_lsn and now >= self._beaten_at + HEARTBEAT_S:
            self._beaten_at = now
            self._send([self.cutter.heartbeat(decoder.committed_lsn)])

    async def _described(self, message: RelationMessage) -> None:
        """Binds a relation to its lane, after a look into the catalogue when it is new or was described before."""
        known = self.tables.unchanged(message)
        if known is not None:
            self.decoder.bind(message.relation_id, known.builder)
            return
        if self.decoder.xid is not None:
            # Else a table that the same transaction made would not be found, and its rows left out.
            await self._visible([self.decoder.xid])
        found = await self._catalogue.tables(self._publication, message.relation_id)
        if self.tables.get(message.relation_id) is None and not (found and self.tables.wanted(message)):
            # A partition beside its root, a table that TABLES does not mean, or one that was taken out before this session.
            log.info("relation_left_out", table=f"{message.schema}.{message.name}")
            self.decoder.bind(message.relation_id, None)
            return
        types = await self._catalogue.types(column.type_oid for column in message.columns)
        joined = self.tables.get(message.relation_id) is None
        try:
            table, changed = self.tables.described(message, found[0] if found else None, types)
        except SourceError as error:
            # One table that cannot be replicated must not stop the others; it is told at every look at the status.
            log.error("table_left_out", table=f"{message.schema}.{message.name}", error=str(error))
            self.warnings[message.relation_id] = f"{error.message}; the table is left out. {error.way_out}"
            self.decoder.bind(message.relation_id, None)
            return
        self.warnings.pop(message.relation_id, None)
        if changed:
            await self.cut()
            log.info("relation_changed", table=table.relation.qualified_name, version=table.relation.schema_version)
            self._send([self.cutter.schema(table.lane, table.relation)])
        self.decoder.bind(message.relation_id, table.builder)
        if joined:
            self.on_joined(table)
