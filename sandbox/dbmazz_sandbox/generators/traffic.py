"""Both generators together, for a while."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from dbmazz_sandbox.generators.counters import Counters, ToastCounters
from dbmazz_sandbox.generators.orders import OrdersGenerator
from dbmazz_sandbox.generators.pace import stopped_within
from dbmazz_sandbox.generators.toast import ToastGenerator


@dataclass(frozen=True)
class TrafficTotals:
    """What was committed, over how many seconds."""

    orders: Counters
    toast: ToastCounters
    seconds: float

    @property
    def events(self) -> int:
        return self.orders.events + self.toast.events

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds if self.seconds else 0.0


class TrafficRun:
    """Runs the orders and TOAST generators against `url` until `duration_s` is over or stop() is called.

    The tables must exist (create_schema). An error of either generator ends both, as an ExceptionGroup.
    """

    def __init__(
        self,
        url: str,
        *,
        duration_s: float | None = None,
        rate: float = 3000,
        toast_interval_s: float = 10.0,
        toast_rows: int = 20,
        seed: int | None = None,
        connections: int = 2,
    ) -> None:
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.orders = OrdersGenerator(url, rate, seed=self.seed, connections=connections)
        self.toast = ToastGenerator(url, toast_interval_s, rows=toast_rows, seed=self.seed)
        self._duration = duration_s
        self._stop = asyncio.Event()
        self._started: float | None = None

    def stop(self) -> None:
        """Ask run() to end with the transactions it is in; from the event loop's thread."""
        self._stop.set()

    def totals(self) -> TrafficTotals:
        """The counts so far."""
        seconds = 0.0 if self._started is None else time.monotonic() - self._started
        return TrafficTotals(self.orders.counters, self.toast.counters, seconds)

    async def run(self) -> TrafficTotals:
        self._started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.orders.run())
            group.create_task(self.toast.run())
            if self._duration is None:
                await self._stop.wait()
            else:
                await stopped_within(self._stop, self._duration)
            self.orders.stop()
            self.toast.stop()
        return self.totals()
