"""The lanes that the reader has leased to this replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog
from dbmazz.asking import TableName
from dbmazz.errors import WireError
from dbmazz.v1 import reader_pb2

from dbmazz_transformer.backlog import Backlog
from dbmazz_transformer.lane import Lane, LaneCallbacks
from dbmazz_transformer.loaders import Loaders
from dbmazz_transformer.options import LaneOptions
from dbmazz_transformer.protocol.lane_state import LaneState
from dbmazz_transformer.protocol.plan import LaneKey
from dbmazz_transformer.tail import LoadTail
from dbmazz_transformer.tally import Tally

log = structlog.get_logger("dbmazz.transformer")

# The reader bounds what it sends unacknowledged (per lane and per transformer). Should one not keep to that, its stream
# is not read above this many bytes, which holds it up for all lanes but keeps memory bounded.
BACKLOG_BYTES = 256 << 20

Acknowledge = Callable[[int, int, int], None]


class Lanes:
    """Starts and ends lane workers in the service's task group, one session of the reader's stream at a time."""

    def __init__(self, tasks: asyncio.TaskGroup, options: LaneOptions, loaders: Loaders) -> None:
        self.tally = Tally()
        self.tail = LoadTail()
        # Set while nothing waits to become durable.
        self.idle = asyncio.Event()
        # Set while there is room for more batches.
        self.room = asyncio.Event()
        self._total = Backlog()
        self._tasks = tasks
        # What the variables say, and what holds: the reader may tell other limits.
        self._own_options = self.options = options
        self._loaders = loaders
        self._slot, self._epoch = "", 0
        self._acknowledge: Acknowledge = lambda lane, generation, batch_id: None
        self._lanes: dict[int, Lane] = {}
        self._former_tables: set[TableName] = set()
        self._leaving: dict[int, Lane] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._flushing = False
        self._note_backlog()

    def open_session(
        self, slot: str, epoch: int, acknowledge: Acknowledge, flush: reader_pb2.FlushSettings | None = None
    ) -> None:
        """A new stream: all lanes come anew, whatever was received before comes again. `flush`: limits of windows for it."""
        self.close_session()
        self.change_limits(flush)
        self._slot, self._epoch, self._acknowledge = slot, epoch, acknowledge

    def close_session(self) -> None:
        """The stream has ended: loads that are under way are waited for, nothing else is sent."""
        for number in list(self._lanes):
            self._retire(number)
        self._acknowledge = lambda lane, generation, batch_id: None

    def receive(self, batch) -> None:
        """Hands a ChangeBatch to its lane; a newer generation starts the lane afresh. WireError for another epoch."""
        if batch.epoch != self._epoch:
            raise WireError(f"a batch of epoch {batch.epoch} came in a session of epoch {self._epoch}")
        lane = self._lanes.get(batch.lane)
        if lane is None or batch.generation > lane.key.generation:
            lane = self._start(batch.lane, batch.generation)
        elif batch.generation < lane.key.generation:
            raise WireError(f"lane {batch.lane} went back from generation {lane.key.generation} to {batch.generation}")
        lane.offer(batch)
        self._note_backlog()

    def release(self, number: int, generation: int) -> None:
        """The reader has taken a lane away; all that it had sent was acknowledged."""
        lane = self._lanes.get(number)
        if lane is not None and lane.key.generation <= generation:
            self._retire(number)

    def change_limits(self, flush: reader_pb2.FlushSettings | None) -> None:
        """Limits as the reader tells them; they hold for every window from the next one on."""
        options = self._own_options.told(flush)
        if options.limits == self.options.limits:
            return
        self.options = options
        for lane in self._lanes.values():
            lane.change_limits(options.limits)
        log.info("limits_changed", row_limit=options.limits.rows, age_s=options.limits.age_s)

    def flush(self) -> None:
        """From now on every window is due at once."""
        self._flushing = True
        for lane in self._lanes.values():
            lane.flush()

    def held(self) -> Iterable[Lane]:
        """The lanes of the session, by number."""
        return [lane for _, lane in sorted(self._lanes.items())]

    def tables(self, *, former: bool = False) -> set[TableName]:
        """The tables of the lanes that are held; with `former` also of those that were."""
        held = {lane.table_name for lane in self._lanes.values() if lane.table_name}
        return held | self._former_tables if former else held

    def trouble(self) -> str:
        """Why the first lane that retries or is parked does so; empty when none does."""
        stuck = (LaneState.RETRYING, LaneState.PARKED)
        return next((f"{lane.table}: {lane.message}" for lane in self.held() if lane.state in stuck), "")

    def cancel(self) -> None:
        """Ends all workers now."""
        for worker in self._workers:
            worker.cancel()

    def _start(self, number: int, generation: int) -> Lane:
        self._retire(number)
        lane = Lane(
            LaneKey(self._slot, self._epoch, number, generation),
            self.options,
            self._loaders,
            LaneCallbacks(self._acknowledge, self._changed),
            self.tally,
            self.tail,
            self._total,
            self._leaving.pop(number, None),
        )
        if self._flushing:
            lane.flush()
        self._lanes[number] = lane
        worker = self._tasks.create_task(lane.run(), name=f"lane-{number}")
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)
        log.info("lane_leased", lane=number, generation=generation, epoch=self._epoch)
        return lane

    def _retire(self, number: int) -> None:
        if (lane := self._lanes.pop(number, None)) is not None:
            lane.retire()
            if lane.table_name:
                self._former_tables.add(lane.table_name)
            if not lane.finished.is_set():
                self._leaving[number] = lane

    def _changed(self, lane: Lane) -> None:
        if lane.finished.is_set() and self._leaving.get(lane.key.lane) is lane:
            del self._leaving[lane.key.lane]
        self._note_backlog()

    def _note_backlog(self) -> None:
        _set_if(self.idle, not self._total.batch_count)
        _set_if(self.room, self._total.byte_count < BACKLOG_BYTES)


def _set_if(event: asyncio.Event, condition: bool) -> None:
    if condition:
        event.set()
    else:
        event.clear()
