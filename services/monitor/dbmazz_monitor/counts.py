"""Looks at both databases and counts rows, within a budget: how often at most, how long at most, and how busy at most."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog
from dbmazz.backoff import Backoff
from dbmazz.errors import DbmazzError
from dbmazz.telemetry import LatencyHistogram

from dbmazz_monitor.protocol.sample import Counts, Table

log = structlog.get_logger("dbmazz.monitor")

C = TypeVar("C")
S = TypeVar("S")

SOURCE_EVERY_S = 10.0
TARGET_EVERY_S = 2.0
# A round that took long is followed by a pause of this many times its length, so that counting never is the load.
REST_FACTOR = 4.0
# Between attempts at a side that is away.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0


@dataclass(frozen=True, slots=True)
class Round(Generic[C, S]):
    """What one round brought: counts by source table name, old ones included, and what is there (None: nobody looked).

    `counted`: how many tables were counted by reading their rows.
    """

    by_table: dict[str, C]
    seen: S | None = None
    counted: int = 0


class Counter(Protocol[C, S]):
    """Looks at one side. A table that cannot be counted is an entry with a note; an unreachable side is a DbmazzError."""

    async def round(self, tables: Sequence[Table], marks: Mapping[str, Hashable]) -> Round[C, S]:
        """Looks for tables and counts some of those named, each query with a deadline of its own.

        `marks` by table name: another mark than in an earlier round means that the table has changed.
        """
        ...

    async def close(self) -> None:
        """Ends a query that is under way, and the connection."""
        ...


@dataclass
class Tally:
    """How much a side has been asked: rounds, how long they took, and tables counted."""

    durations: LatencyHistogram = field(default_factory=LatencyHistogram)
    counted: int = 0


class Counting(Generic[C, S]):
    """Keeps what is known of one side; `run()` is its task. Without a counter it says `missing` and does nothing."""

    def __init__(self, side: str, counter: Counter[C, S] | None, every_s: float, missing: str = "") -> None:
        self.side = side
        self.tally = Tally()
        self.latest: Counts[C, S] = Counts(problem="" if counter else missing, configured=counter is not None)
        self._counter = counter
        self._every_s = every_s
        self._tables: tuple[Table, ...] = ()
        self._marks: Mapping[str, Hashable] = {}
        self._names: set[str] = set()
        self._new = asyncio.Event()
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    def want(self, tables: tuple[Table, ...], marks: Mapping[str, Hashable] | None = None) -> None:
        """Names the tables of the rounds to come; a new one is not kept waiting for the interval to end."""
        self._marks = marks or {}
        if tables is self._tables:
            return
        names = {table.name for table in tables}
        if names - self._names:
            self._new.set()
        self._tables, self._names = tables, names

    async def run(self) -> None:
        """Works until cancelled, at most every `every_s` seconds from start to start."""
        if self._counter is None:
            return
        try:
            while True:
                started = time.monotonic()
                self._new.clear()
                reached = await self._round(self._counter)
                took = time.monotonic() - started
                if reached:
                    self.tally.durations.record(took * 1e3)
                    await self._rest(took)
                else:
                    await asyncio.sleep(self._backoff.next_delay())
        finally:
            await self._counter.close()

    async def _rest(self, took_s: float) -> None:
        rest = REST_FACTOR * took_s
        await asyncio.sleep(rest)
        try:
            async with asyncio.timeout(max(self._every_s - took_s - rest, 0.0)):
                await self._new.wait()
        except TimeoutError:
            return

    async def _round(self, counter: Counter[C, S]) -> bool:
        """Takes new counts, or keeps the former ones and says why; False when the side is away."""
        former = self.latest
        try:
            done = await counter.round(self._tables, self._marks)
        except DbmazzError as error:
            self.latest = Counts(former.by_table, str(error), seen=former.seen)
        else:
            self.latest = Counts(done.by_table, seen=done.seen or former.seen)
            self.tally.counted += done.counted
            self._backoff.reset()
        if self.latest.problem != former.problem:
            log.info("counting_changed", side=self.side, problem=self.latest.problem or None)
        return not self.latest.problem
