"""One table that is being loaded: who works on which range, what is on its way, when it is done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from dbmazz.config import Settings
from dbmazz.lsn import Lsn
from dbmazz.relation import Relation

from dbmazz_reader.confirming import Confirmation
from dbmazz_reader.feed import Feed
from dbmazz_reader.pausing import Gate
from dbmazz_reader.postgres.catalogue import Catalogue
from dbmazz_reader.protocol.chunk_query import Source
from dbmazz_reader.protocol.load import Load, LoadState
from dbmazz_reader.receiving import Receiver
from dbmazz_reader.snapshot.budget import Budget
from dbmazz_reader.snapshot.watching import LaneWatch
from dbmazz_reader.tables import ReplicatedTable

log = structlog.get_logger("dbmazz.reader")

# Stand for the number of a range: the table is to be prepared first, or all its rows are in the lane.
PREPARE, CLOSE = -1, -2


@dataclass(frozen=True)
class Surroundings:
    """What all loads of a session share."""

    settings: Settings
    catalogue: Catalogue
    receiver: Receiver
    feed: Feed
    confirmation: Confirmation
    gate: Gate
    wal_end: int
    budget: Budget
    # Of the process: see Status.
    reshaped: set[Relation]


class TableLoad:
    """The load, and what belongs to it in this session."""

    def __init__(self, load: Load, surroundings: Surroundings, store: Callable[[Load], Awaitable[None]]) -> None:
        self.load = load
        self.watch = LaneWatch()
        self.source: Source | None = None
        self.store = store
        # Every transaction that is not visible yet and was delivered is known: it was watched since the slot was made.
        self.watched_always = False
        self.chunk_rows = surroundings.settings.snapshot_chunk_size
        self._surroundings = surroundings
        self._claimed: set[int] = set()
        self._not_before = 0.0
        # (last batch, bytes, rows) of chunks that are not durable yet, in order of the lane.
        self._in_flight: deque[tuple[int, int, int]] = deque()

    @property
    def table(self) -> ReplicatedTable | None:
        """The table as it is replicated now; None when it is not any more."""
        return self._surroundings.receiver.tables.get(self.load.relation_id)

    # Work

    def claim(self, now: float) -> int | None:
        """The number of a range to work on, or PREPARE, or CLOSE; None when there is nothing to do now."""
        if now < self._not_before or PREPARE in self._claimed or CLOSE in self._claimed:
            return None
        if self.source is None:
            self._claimed.add(PREPARE)
            return PREPARE
        for number, part in enumerate(self.load.ranges):
            if number not in self._claimed and not part.exhausted:
                self._claimed.add(number)
                return number
        if self.load.exhausted and not self._claimed and self.load.state is LoadState.CHUNKING:
            self._claimed.add(CLOSE)
            return CLOSE
        return None

    def release(self, number: int, retry_in_s: float = 0.0) -> None:
        """Nobody works on it any more."""
        self._claimed.discard(number)
        if retry_in_s:
            self._not_before = time.monotonic() + retry_in_s

    def injected(self, batch_id: int, size: int, rows: int) -> None:
        """A chunk is in the lane; its bytes are given back when it is durable."""
        self._in_flight.append((batch_id, size, rows))

    def trouble(self, message: str) -> None:
        """Something is in the way; told once."""
        if message != self.load.message:
            log.warning("load_waits", table=self.load.table, reason=message)
        if self.load.state is not LoadState.CLOSING:
            self.load.advance(LoadState.WAITING, message)

    def goes_on(self) -> None:
        """Nothing is in the way any more."""
        if self.load.state in (LoadState.WAITING, LoadState.PENDING):
            self.load.advance(LoadState.CHUNKING)

    def drop(self) -> None:
        """The table is not replicated any more."""
        log.info("load_dropped", table=self.load.table)
        self.load.advance(LoadState.DROPPED)
        self._end()

    def _end(self) -> None:
        watches = self._surroundings.receiver.watches
        for lane in [lane for lane, watch in watches.items() if watch is self.watch]:
            del watches[lane]
        for _, size, _ in self._in_flight:
            self._surroundings.budget.give_back(size)
        self._in_flight.clear()

    # Durability

    async def settle(self) -> None:
        """Stores what is durable by now, and closes the load when all its rows are."""
        load, table = self.load, self.table
        if table is None:
            self.drop()
            return
        first_open = self._surroundings.feed.first_open(table.lane)
        while self._in_flight and (first_open is None or self._in_flight[0][0] < first_open):
            _, size, rows = self._in_flight.popleft()
            self._surroundings.budget.give_back(size)
            load.row_count += rows
            load.byte_count += size
        if load.closed(first_open):
            await self._close(table)
        elif load.acknowledge(first_open):
            await self.store(load)

    async def _close(self, table: ReplicatedTable) -> None:
        load = self.load
        load.acknowledge(None)
        load.advance(LoadState.DONE)
        await self.store(load)
        # From now on the target has every row that a partial image may belong to.
        table.loaded()
        self._end()
        log.info(
            "table_loaded",
            table=load.table,
            row_count=load.row_count,
            byte_count=load.byte_count,
            chunk_count=load.chunk_count,
            retake_count=load.retake_count,
            seconds=round(time.time() - load.begun_at, 3),
            start_lsn=str(Lsn(load.start_lsn)),
        )
