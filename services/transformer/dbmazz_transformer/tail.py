"""Followers of the loads: each has a bounded queue; what it does not take in time is dropped and counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from dbmazz_transformer.protocol.plan import Load

QUEUE_LOADS = 256


@dataclass(eq=False)
class Follower:
    """`queue` holds (load, rows to show, time in ns, loads dropped before it). Only the rows shown are kept."""

    tables: frozenset[str]
    row_limit: int
    queue: asyncio.Queue[tuple[Load, list[str], int, int]] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_LOADS)
    )
    dropped: int = 0

    def offer(self, load: Load) -> None:
        """Takes a load if the caller asked for its table and there is room."""
        if self.tables and load.table not in self.tables:
            return
        if self.queue.full():
            self.dropped += 1
            return
        rows = []
        if self.row_limit:
            # Splitting off a few lines copies those and one view of the rest.
            lines = load.body.split(b"\n", self.row_limit)[: min(self.row_limit, load.row_count)]
            rows = [line.decode(errors="replace") for line in lines]
        self.queue.put_nowait((load, rows, time.time_ns(), self.dropped))
        self.dropped = 0


class LoadTail:
    """All followers. Nobody listening costs nothing."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()

    @contextlib.contextmanager
    def follow(self, tables: frozenset[str], row_limit: int) -> Iterator[Follower]:
        """A follower for the time of the context."""
        follower = Follower(tables, row_limit)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def publish(self, load: Load) -> None:
        """A load was acknowledged."""
        if load.row_count:
            for follower in self._followers:
                follower.offer(load)
