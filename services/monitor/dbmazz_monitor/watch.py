"""Watches the ring and both databases, and publishes what is seen; who shows it is elsewhere. Nothing is kept on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from dbmazz.config import Settings
from dbmazz.telemetry import LatencyHistogram

from dbmazz_monitor.counts import SOURCE_EVERY_S, TARGET_EVERY_S, Counting
from dbmazz_monitor.feed import Feed, State
from dbmazz_monitor.protocol.discovery import Discovery
from dbmazz_monitor.protocol.history import History, Measures
from dbmazz_monitor.protocol.progress import reader_of
from dbmazz_monitor.protocol.sample import RingSample, SourceCount, SourceSeen, TargetCount, TargetSeen
from dbmazz_monitor.protocol.tables import details
from dbmazz_monitor.protocol.view import view
from dbmazz_monitor.ring import Ring
from dbmazz_monitor.source import SourceCounter
from dbmazz_monitor.target import TargetCounter

SAMPLE_EVERY_S = 1.0

SourceCounting = Counting[SourceCount, SourceSeen]
TargetCounting = Counting[TargetCount, TargetSeen]


def source_counting(settings: Settings) -> SourceCounting:
    """Looks at PostgreSQL, or says that SOURCE_URL is missing."""
    counter = None
    if settings.source_url:
        counter = SourceCounter(
            settings.source_url, slot=settings.source_slot_name, publication=settings.source_publication_name
        )
    return Counting("source", counter, SOURCE_EVERY_S, "Source: SOURCE_URL is not set")


def target_counting(settings: Settings) -> TargetCounting:
    """Looks at StarRocks, or says that SINK_URL is missing."""
    counter = None
    if settings.sink_url:
        counter = TargetCounter(
            settings.sink_url,
            settings.sink_port,
            settings.sink_user,
            settings.sink_password,
            settings.sink_database,
        )
    return Counting("target", counter, TARGET_EVERY_S, "Target: SINK_URL is not set")


class Watch:
    """Three tasks: one asks the ring, two count. Parts that are away are shown, never waited for."""

    def __init__(
        self,
        settings: Settings,
        source: SourceCounting | None = None,
        target: TargetCounting | None = None,
        *,
        sample_every_s: float = SAMPLE_EVERY_S,
    ) -> None:
        self.source = source or source_counting(settings)
        self.target = target or target_counting(settings)
        self.feed = Feed(time.monotonic())
        # How long it takes to ask everybody and to make a state of the answers.
        self.durations = LatencyHistogram()
        self._ring = Ring(settings)
        self._every_s = sample_every_s
        self._history = History()
        self._discovery = Discovery()

    async def run(self) -> None:
        """Until cancelled; then the feed is closed."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._sample(), self.source.run(), self.target.run()):
                    group.create_task(work)
        finally:
            self.feed.close()
            await self._ring.close()

    async def _sample(self) -> None:
        while True:
            started = time.monotonic()
            await self._once()
            took = time.monotonic() - started
            self.durations.record(took * 1e3)
            await asyncio.sleep(max(0.0, self._every_s - took))

    async def _once(self) -> None:
        sample = self._discovered(await self._ring.sample())
        source, target = self.source.latest, self.target.latest
        measures = self._history.add(sample, source)
        # The reader sees at once what PostgreSQL's statistics tell late.
        self.source.want(sample.tables, {table.name: table.row_count for table in sample.tables})
        self.target.want(sample.tables, {name: table.last_sync_ms for name, table in measures.tables.items()})
        state = view(sample, measures, source, target)
        more = _Details(sample, measures, state)
        self.feed.publish(state, self._history.points(), time.monotonic(), more.of)

    def _discovered(self, sample: RingSample) -> RingSample:
        listed = None if sample.listed_at_s is None else sample.tables
        reader = reader_of(sample)
        busy = {lane.lane for lane in reader.pending} if reader else ()
        tables = self._discovery.tables(listed, self.source.latest.seen, self.target.latest.seen, busy)
        return replace(sample, tables=tables)


class _Details:
    """What a state is made of, for who wants to know more about one table."""

    def __init__(self, sample: RingSample, measures: Measures, state: State) -> None:
        self._sample, self._measures, self._state = sample, measures, state

    def of(self, name: str) -> State | None:
        """None when the state has no such table."""
        row = next((row for row in self._state["tables"]["rows"] if row["name"] == name), None)
        return row and details(name, self._sample, self._measures, row)


@asynccontextmanager
async def watching(settings: Settings, *, sample_every_s: float = SAMPLE_EVERY_S) -> AsyncIterator[Feed]:
    """A feed without a web server: `async for state in feed.states()`. It ends with the block."""
    watch = Watch(settings, sample_every_s=sample_every_s)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        try:
            yield watch.feed
        finally:
            task.cancel()
