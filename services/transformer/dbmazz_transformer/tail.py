"""Followers of the loads: each has a bounded queue; what it does not take in time is dropped and counted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dbmazz_transformer.protocol.plan import Load

# What a caller may leave waiting.
QUEUE_LOADS = 256
QUEUE_BYTES = 32 << 20
# Rows of one load that are shown at most.
SHOWN_ROWS = 1_000


@dataclass(frozen=True)
class Shown:
    """A load, its first rows as StarRocks gets them, when it was acknowledged, and how many loads were dropped before it.

    Of the body only the rows shown are kept, and how many bytes it had."""

    load: Load
    body_bytes: int
    rows: tuple[bytes, ...]
    time_ns: int
    dropped: int

    @property
    def size(self) -> int:
        """What it holds in memory, about, in bytes."""
        return sum(map(len, self.rows))


@dataclass(eq=False)
class Follower:
    """One caller: the target tables it asked for (all when empty), and loads that it has not taken yet."""

    tables: frozenset[str]
    row_limit: int
    only_partial: bool = False
    queue: asyncio.Queue[Shown] = field(default_factory=lambda: asyncio.Queue(maxsize=QUEUE_LOADS))
    dropped: int = 0
    waiting_bytes: int = 0

    async def next(self) -> Shown:
        """The next load."""
        shown = await self.queue.get()
        self.waiting_bytes -= shown.size
        return shown

    def offer(self, load: Load) -> None:
        """Takes a load if the caller asked for its table and there is room."""
        if (self.tables and load.table not in self.tables) or (self.only_partial and not load.partial_update):
            return
        if self.queue.full() or self.waiting_bytes >= QUEUE_BYTES:
            self.dropped += 1
            return
        rows = _first_lines(load.body, min(self.row_limit, load.row_count, SHOWN_ROWS))
        shown = Shown(replace(load, body=b""), len(load.body), rows, time.time_ns(), self.dropped)
        self.queue.put_nowait(shown)
        self.waiting_bytes += shown.size
        self.dropped = 0


class LoadTail:
    """All followers. Nobody listening costs nothing."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()

    @contextlib.contextmanager
    def follow(self, follower: Follower) -> Iterator[Follower]:
        """Loads go to the follower's queue for the time of the context."""
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


def _first_lines(body: bytes, count: int) -> tuple[bytes, ...]:
    """Copies these lines and nothing else: a body has tens of megabytes."""
    lines, start = [], 0
    for _ in range(count):
        end = body.find(b"\n", start)
        lines.append(body[start : end if end >= 0 else None])
        start = end + 1
    return tuple(lines)
