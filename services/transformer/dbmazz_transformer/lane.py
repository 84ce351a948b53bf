"""The worker of one lane: sends what the builder makes, strictly one step after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from dbmazz.asking import TableName
from dbmazz.backoff import Backoff

from dbmazz_transformer.backlog import Backlog
from dbmazz_transformer.builder import Builder
from dbmazz_transformer.loaders import Loaders
from dbmazz_transformer.options import LaneOptions
from dbmazz_transformer.protocol.lane_state import LaneEvent, LaneState, next_state
from dbmazz_transformer.protocol.outcome import Verdict, worst
from dbmazz_transformer.protocol.plan import LaneKey, Load
from dbmazz_transformer.protocol.window import WindowLimits
from dbmazz_transformer.steps import Step
from dbmazz_transformer.tail import LoadTail
from dbmazz_transformer.tally import Tally

log = structlog.get_logger("dbmazz.transformer")


@dataclass(frozen=True)
class LaneCallbacks:
    """`acknowledge(lane, generation, batch_id)` when batches are durable; `changed(lane)` when the backlog shrank."""

    acknowledge: Callable[[int, int, int], None]
    changed: Callable[[Lane], None]


class Lane:
    """One lane in one generation. `run` is its task; everything else is called from the same event loop.

    The lane waits for `predecessor`, an earlier holder of the same lane in this process that still has a load under way,
    so that the order holds across generations and sessions, too.
    """

    def __init__(
        self,
        key: LaneKey,
        options: LaneOptions,
        loaders: Loaders,
        callbacks: LaneCallbacks,
        tally: Tally,
        tail: LoadTail,
        total: Backlog,
        predecessor: Lane | None = None,
    ) -> None:
        self.key = key
        self.state = LaneState.IDLE
        self.message = ""
        self.backlog = Backlog(total=total)
        # When rows became durable last, since 1970; 0 before the first.
        self.loaded_time_ns = 0
        self.finished = asyncio.Event()
        self._options = options
        self._callbacks = callbacks
        self._tally = tally
        self._tail = tail
        self._predecessor = predecessor
        self._builder = Builder(key, options, loaders, tally, self._loaded)
        self._retired = asyncio.Event()
        # Set while no call is under way.
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def table(self) -> str:
        """schema.table; empty before the first relation."""
        return self._builder.table

    @property
    def table_name(self) -> TableName | None:
        """The table by both names; None before the first relation."""
        return self._builder.table_name

    def offer(self, proto) -> None:
        """Takes a ChangeBatch. One that is malformed parks this lane, behind what came before it, and no other."""
        if self._retired.is_set() or self._builder.broken:
            return
        if (batch := self._builder.offer(proto)) is not None:
            self.backlog.add(batch, proto.commit_times)
            self._tally.row_count += batch.row_count
        self._enter(LaneEvent.COLLECT)

    def flush(self) -> None:
        """From now on whatever there is, is due at once: the transformer drains."""
        self._builder.flush()

    def change_limits(self, limits: WindowLimits) -> None:
        """Other limits, from the next window on."""
        self._builder.change_limits(limits)

    def retire(self) -> None:
        """Ends the worker as soon as the calls that are under way have ended; nothing new is sent."""
        self._retired.set()

    async def run(self) -> None:
        """Works until retired."""
        try:
            if self._predecessor is not None:
                await self._predecessor.finished.wait()
                self._predecessor = None
            async with asyncio.TaskGroup() as tasks:
                building = tasks.create_task(self._builder.run())
                sending = tasks.create_task(self._send())
                await self._retired.wait()
                building.cancel()
                await self._quiet.wait()
                sending.cancel()
        finally:
            self._builder.clear()
            self.backlog.clear()
            self.finished.set()
            self._callbacks.changed(self)

    async def _send(self) -> None:
        while True:
            step = await self._builder.steps.get()
            started = asyncio.get_running_loop().time()
            if not await self._deliver(step):
                return
            self._tally.step_durations.record((asyncio.get_running_loop().time() - started) * 1e3)
            self.backlog.remove(step.covered)
            if step.covered.row_count:
                self.loaded_time_ns = time.time_ns()
            self.message = ""
            if step.covered.last_batch_id:
                self._callbacks.acknowledge(self.key.lane, self.key.generation, step.covered.last_batch_id)
            more = self.backlog.batch_count or self._builder.broken
            self._enter(LaneEvent.DONE if more else LaneEvent.DRAINED)
            self._builder.done()
            self._callbacks.changed(self)

    async def _deliver(self, step: Step) -> bool:
        """Sends a step until all of it is durable; False when the lane is retired or fenced before that."""
        retrying = Backoff(self._options.retry_first_s, self._options.retry_cap_s)
        parking = Backoff(self._options.park_first_s, self._options.park_cap_s)
        while not self._retired.is_set():
            self._enter(LaneEvent.SEND)
            self._quiet.clear()
            try:
                outcome = worst(await step.attempt())
            finally:
                self._quiet.set()
            match outcome.verdict:
                case Verdict.LOADED:
                    return True
                case Verdict.FENCED:
                    self._fence(outcome.message)
                    return False
                case Verdict.RETRY:
                    pause = retrying.next_delay()
                    self._stall(LaneEvent.RETRY, outcome.message, pause)
                case _:
                    pause = parking.next_delay()
                    self._stall(LaneEvent.PARK, outcome.message, pause)
            await asyncio.sleep(pause)
        return False

    def _loaded(self, load: Load) -> None:
        self._tally.loaded(load)
        self._tail.publish(load)

    def _stall(self, event: LaneEvent, message: str, pause: float) -> None:
        if message != self.message:
            log.warning(
                "lane_parked" if event is LaneEvent.PARK else "lane_retrying",
                **self._builder.names(),
                reason=message,
                pause_s=round(pause, 2),
            )
        self.message = message
        self._enter(event)

    def _fence(self, message: str) -> None:
        """The reader that sent all this is gone: its rows come again in a new epoch, so nothing is kept."""
        log.warning("lane_fenced", **self._builder.names(), reason=message)
        self.message = message
        self._enter(LaneEvent.DROP)
        self.retire()

    def _enter(self, event: LaneEvent) -> None:
        self.state = next_state(self.state, event)
