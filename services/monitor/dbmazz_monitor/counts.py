"""Counts rows on both sides within a budget: how often at most, how long at most, and how busy at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import structlog
from dbmazz.errors import DbmazzError

from dbmazz_monitor.protocol.sample import Counts, Table

log = structlog.get_logger("dbmazz.monitor")

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)

SOURCE_EVERY_S = 10.0
TARGET_EVERY_S = 2.0
# A round that took long is followed by a pause of this many times its length, so that counting never is the load.
REST_FACTOR = 4.0


class Counter(Protocol[C_co]):
    """Counts one side. A table that cannot be counted is an entry with a note; an unreachable side is a DbmazzError."""

    async def count(self, tables: Sequence[Table]) -> dict[str, C_co]:
        """Counts by source table name (schema.table), each query with a deadline of its own."""
        ...

    async def close(self) -> None:
        """Ends a query that is under way, and the connection."""
        ...


class Counting(Generic[C]):
    """Keeps the latest counts of one side; `run()` is its task. Without a counter it says `missing` and does nothing."""

    def __init__(self, side: str, counter: Counter[C] | None, every_s: float, missing: str = "") -> None:
        self._side = side
        self._counter = counter
        self._every_s = every_s
        self._tables: tuple[Table, ...] = ()
        self._some = asyncio.Event()
        self.latest: Counts[C] = Counts(problem="" if counter else missing, configured=counter is not None)

    def want(self, tables: tuple[Table, ...]) -> None:
        """Names the tables of the rounds to come; the first naming starts the first round."""
        self._tables = tables
        if tables:
            self._some.set()

    async def run(self) -> None:
        """Counts until cancelled, at most every `every_s` seconds from start to start."""
        if self._counter is None:
            return
        try:
            while True:
                await self._some.wait()
                started = time.monotonic()
                await self._round(self._counter)
                took = time.monotonic() - started
                await asyncio.sleep(max(self._every_s - took, REST_FACTOR * took))
        finally:
            await self._counter.close()

    async def _round(self, counter: Counter[C]) -> None:
        """Takes new counts, or keeps the former ones and says why."""
        try:
            latest = Counts(await counter.count(self._tables))
        except DbmazzError as error:
            latest = Counts(self.latest.by_table, str(error))
        if latest.problem != self.latest.problem:
            log.info("counting_changed", side=self._side, problem=latest.problem or None)
        self.latest = latest
