"""Holding a rate: a token bucket, on whatever monotonic clock it is given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Spreads events evenly at `rate` per second.

    After a hold-up it catches up at full speed, but for at most `max_behind` seconds worth of events: a generator
    that was stalled for a minute must not answer with a minute's flood.
    """

    def __init__(self, rate: float, *, max_behind: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        if rate <= 0:
            raise ValueError(f"rate is {rate:g} events per second: give a positive number")
        self.rate = rate
        self._max_behind = max_behind
        self._clock = clock
        self._due = clock()

    def claim(self, count: int) -> float:
        """Take `count` events; returns the seconds to wait before they may be sent."""
        now = self._clock()
        self._due = max(self._due, now - self._max_behind)
        wait = self._due - now
        self._due += count / self.rate
        return max(0.0, wait)


async def stopped_within(stop: asyncio.Event, seconds: float) -> bool:
    """Let `seconds` pass, unless `stop` is set first; True when it is."""
    if seconds > 0 and not stop.is_set():
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass
    return stop.is_set()
