"""The loads of one session: which tables, who works on them, what is durable of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping

import structlog
from dbmazz.config import Settings
from dbmazz.errors import SourceError
from dbmazz.relation import Relation
from dbmazz.v1 import checkpoint_pb2

from dbmazz_reader.checkpointing import CheckpointClient
from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.feed import Feed
from dbmazz_reader.pausing import Gate
from dbmazz_reader.postgres.catalogue import Catalogue
from dbmazz_reader.protocol.chunk import Snapshot
from dbmazz_reader.protocol.load import Load, LoadState
from dbmazz_reader.receiving import Receiver
from dbmazz_reader.snapshot.budget import Budget
from dbmazz_reader.snapshot.storing import from_proto, to_proto
from dbmazz_reader.snapshot.table_load import Surroundings, TableLoad
from dbmazz_reader.snapshot.worker import Worker
from dbmazz_reader.tables import ReplicatedTable

log = structlog.get_logger("dbmazz.reader")

# How often to look whether something has become durable, when nobody says so.
LOOK_S = 0.5
# Of transactions per table, before it is asked which of them everybody can see.
KNOWN_XIDS = 20_000


class Loads:
    """All tables of a session that are loaded. `wal_end`: of the server when the session began."""

    def __init__(
        self,
        settings: Settings,
        checkpoint: CheckpointClient,
        catalogue: Catalogue,
        receiver: Receiver,
        feed: Feed,
        confirmation: Confirmation,
        gate: Gate,
        wal_end: int,
        reshaped: set[Relation],
    ) -> None:
        self.by_relation: dict[int, TableLoad] = {}
        # Set while there is nothing to load.
        self.idle = asyncio.Event()
        self.idle.set()
        self._settings = settings
        self._checkpoint = checkpoint
        self._feed = feed
        self._surroundings = Surroundings(
            settings, catalogue, receiver, feed, confirmation, gate, wal_end, Budget(settings.snapshot_bytes), reshaped
        )
        # Tables that wait for a worker.
        self._waiting: deque[TableLoad] = deque()
        self._work = asyncio.Event()

    @property
    def tables(self) -> list[TableLoad]:
        """In order of their names."""
        return sorted(self.by_relation.values(), key=lambda table: table.load.table)

    @property
    def active(self) -> bool:
        """True while a table is not done."""
        return any(table.load.active for table in self.by_relation.values())

    def take_up(
        self,
        stored: Iterable[checkpoint_pb2.TableLoad],
        unread: Mapping[int, int],
        tables: Iterable[ReplicatedTable],
        *,
        new_slot: bool,
    ) -> None:
        """Before anything is streamed: what earlier sessions have left, and tables that nobody has read.

        `stored` are the loads of the checkpoint, `unread` row estimates by relation. `new_slot`: this session has made it, and
        with that waited for all transactions that were running.
        """
        loads = {load.relation_id: load for load in map(from_proto, stored)}
        for table in tables:
            relation_id = table.relation.relation_id
            load = loads.get(relation_id)
            if load is not None:
                # Versions that the load's rows may have by now, whether the checkpoint has heard of them or not.
                done = load.state is LoadState.DONE
                load.end_lsn = load.end_lsn if done else max(load.end_lsn, self._surroundings.wal_end)
                table.builder.version_floor = load.end_lsn + 1
            wanted = self._settings.do_snapshot and relation_id in unread
            running = load is not None and load.active
            if running and load.fits(table.key_columns) and (wanted or load.on_demand or self._settings.do_snapshot):
                self._add(load)
            elif wanted or (running and load.on_demand):
                self._add(Load(relation_id, table.relation.qualified_name, table.key_columns))
                self.by_relation[relation_id].load.row_estimate = unread.get(relation_id, 0)
            if new_slot and relation_id in self.by_relation:
                self.by_relation[relation_id].watched_always = True
                self._surroundings.receiver.watches[table.lane] = self.by_relation[relation_id].watch

    def request(self, tables: Iterable[ReplicatedTable]) -> list[TableLoad]:
        """Loads these tables; a load that is under way goes on."""
        asked = []
        for table in tables:
            relation = table.relation
            known = self.by_relation.get(relation.relation_id)
            if known is None or not known.load.active:
                load = Load(relation.relation_id, relation.qualified_name, table.key_columns, on_demand=True)
                self._add(load)
            asked.append(self.by_relation[relation.relation_id])
        return asked

    def join(self, table: ReplicatedTable) -> None:
        """A table that is new in the stream, or was dropped and made again: its rows from before are read, too."""
        relation = table.relation
        if self._settings.do_snapshot and relation.relation_id not in self.by_relation:
            log.info("table_joined", table=relation.qualified_name)
            self._add(Load(relation.relation_id, relation.qualified_name, table.key_columns))

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            for _ in range(self._settings.snapshot_workers):
                group.create_task(self._serve())

    def _add(self, load: Load) -> None:
        table = TableLoad(load, self._surroundings, self.store)
        self.by_relation[load.relation_id] = table
        if table.table is not None:
            table.table.loading = True
        self._waiting.append(table)
        self.idle.clear()
        self._work.set()

    async def _serve(self) -> None:
        """One worker: takes what is next, for ever."""
        worker = Worker(self._settings.source_url, self._surroundings)
        try:
            while True:
                job = self._next()
                if job is None:
                    await worker.close()
                    await self._work_comes()
                else:
                    await worker.run(*job)
                    self._work.set()
        finally:
            await worker.close()

    def _next(self) -> tuple[TableLoad, int] | None:
        """(table, what `TableLoad.claim` says); None when there is nothing to do now."""
        now = time.monotonic()
        for _ in range(len(self._waiting)):
            table = self._waiting[0]
            if not table.load.active or (table.load.state is LoadState.CLOSING):
                self._waiting.popleft()
                continue
            part = table.claim(now)
            if part is not None:
                return table, part
            # All it has is claimed, or it is to be tried again later: the others get their turn.
            self._waiting.rotate(-1)
        return None

    async def _follow(self) -> None:
        """Stores what has become durable, and closes tables whose rows are all in the lane."""
        while True:
            while not self.active:
                self.idle.set()
                await self._work_comes()
            await self._feed.progress(LOOK_S)
            await self.settle()
            await self._forget()
            self._work.set()

    async def _work_comes(self) -> None:
        """Waits until there may be something to do."""
        self._work.clear()
        # A table that was in trouble is tried again after a while, and nobody says when.
        seconds = LOOK_S if self._waiting else None
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            return

    async def _forget(self) -> None:
        """Keeps what is known of transactions small, also for tables that wait for their turn."""
        watches = [watch for watch in self._surroundings.receiver.watches.values() if len(watch.streamed) > KNOWN_XIDS]
        if not watches:
            return
        try:
            snapshot = Snapshot(*await self._surroundings.catalogue.snapshot(), lsn=0, time=0)
        except SourceError as error:
            log.warning("visibility_not_seen", reason=error.message)
            return
        for watch in watches:
            watch.streamed.forget_visible(snapshot)

    async def settle(self) -> None:
        """Stores what is durable by now."""
        for table in list(self.by_relation.values()):
            if table.load.active:
                await table.settle()

    async def store(self, load: Load) -> None:
        """Durable in the checkpoint when it returns; FencedError when the epoch is over."""
        await self._checkpoint.store_load(self._feed.epoch, to_proto(load))
