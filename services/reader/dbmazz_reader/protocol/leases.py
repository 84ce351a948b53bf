"""Which transformer holds which lane, and what each is to be sent next.

A lane has at most one owner, and moves only when the owner is gone or has acknowledged everything it was sent; so the
batches of a lane are sent in order and none is lost. Each assignment is a new generation of the lane.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from dbmazz.errors import WireError
from dbmazz.relation import Relation

from dbmazz_reader.protocol.cuts import SealedBatch
from dbmazz_reader.protocol.retention import LaneQueue, Retention

# Bytes that may be on their way without acknowledgement: one stuck lane fills neither a transformer nor the way of others.
LANE_WINDOW = 16 << 20
TRANSFORMER_WINDOW = 128 << 20


@dataclass(slots=True)
class Lane:
    """A lane, its owner (a key of `Leases.transformers`) and its batches."""

    number: int
    queue: LaneQueue
    owner: int | None = None
    generation: int = 0
    moving: bool = False
    ready: bool = False
    sent_relation: Relation | None = None


@dataclass(slots=True)
class Transformer:
    """A connected transformer. `ready` lanes may have something to send, `releases` are lanes it has lost."""

    name: str
    lanes: set[int] = field(default_factory=set)
    ready: deque[Lane] = field(default_factory=deque)
    releases: deque[tuple[int, int]] = field(default_factory=deque)
    sent_bytes: int = 0
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Send this batch under this generation, with its relation when `relation` is not None."""

    batch: SealedBatch
    generation: int
    relation: Relation | None


@dataclass(frozen=True, slots=True)
class Release:
    """Tell the transformer that the lane is no longer its own."""

    lane: int
    generation: int


class Leases:
    """All lanes and transformers of one epoch."""

    def __init__(self, retention: Retention) -> None:
        self.retention = retention
        self.lanes: dict[int, Lane] = {}
        self.transformers: dict[int, Transformer] = {}
        self._next_transformer = 1

    def append(self, batches: Iterable[SealedBatch]) -> None:
        """New batches; a lane that is new is leased at once."""
        batches = list(batches)
        unknown = {batch.lane for batch in batches} - self.lanes.keys()
        for batch in batches:
            if batch.lane in unknown and batch.lane not in self.lanes:
                self.lanes[batch.lane] = Lane(batch.lane, LaneQueue(self.retention))
            lane = self.lanes[batch.lane]
            lane.queue.append(batch)
            self._mark_ready(lane)
        if unknown:
            self._settle()

    def connect(self, name: str) -> int:
        """A transformer dialled in; returns its key."""
        key, self._next_transformer = self._next_transformer, self._next_transformer + 1
        self.transformers[key] = Transformer(name)
        self._settle()
        return key

    def goodbye(self, key: int) -> None:
        """The transformer wants nothing more; its lanes leave as they drain."""
        self.transformers[key].leaving = True
        self._settle()

    def disconnect(self, key: int) -> None:
        """The transformer is gone: its lanes go elsewhere with all that it did not acknowledge."""
        for number in self.transformers.pop(key).lanes:
            lane = self.lanes[number]
            lane.queue.take_back()
            lane.owner, lane.moving = None, False
        self._settle()

    def acknowledge(self, key: int, number: int, generation: int, batch_id: int) -> None:
        """Batches of a lane are durable. One of a former generation is ignored; one never sent is a WireError."""
        lane = self.lanes.get(number)
        if lane is None or generation > lane.generation:
            raise WireError(f"acknowledgement of lane {number}, generation {generation}, which was never leased")
        if lane.owner != key or generation != lane.generation:
            return
        if batch_id > lane.queue.last_sent_id:
            raise WireError(f"acknowledgement of batch {batch_id} of lane {number}, which was never sent")
        self.transformers[key].sent_bytes -= lane.queue.acknowledge(batch_id)
        if lane.moving and not lane.queue.sent:
            self._release(lane)
            self._settle()
        self._mark_ready(lane)

    def next(self, key: int) -> Send | Release | None:
        """What to send to a transformer now; None when there is nothing or its window is full."""
        transformer = self.transformers[key]
        if transformer.releases:
            return Release(*transformer.releases.popleft())
        while transformer.ready:
            lane = transformer.ready[0]
            if lane.owner == key and not lane.moving and lane.queue.pending:
                size = lane.queue.pending[0].size
                if transformer.sent_bytes and transformer.sent_bytes + size > TRANSFORMER_WINDOW:
                    return None
                if not lane.queue.sent_bytes or lane.queue.sent_bytes + size <= LANE_WINDOW:
                    transformer.ready.rotate(-1)  # the lanes take turns
                    return self._send(transformer, lane)
            # Nothing to send, or its window is full: an acknowledgement or a new batch brings it back.
            transformer.ready.popleft()
            if lane.owner == key:
                lane.ready = False
        return None

    def _send(self, transformer: Transformer, lane: Lane) -> Send:
        batch = lane.queue.send()
        transformer.sent_bytes += batch.size
        relation = None
        if batch.relation is not None and batch.relation is not lane.sent_relation:
            relation = lane.sent_relation = batch.relation
        return Send(batch, lane.generation, relation)

    def _mark_ready(self, lane: Lane) -> None:
        if lane.owner is not None and not lane.ready and lane.queue.pending:
            lane.ready = True
            self.transformers[lane.owner].ready.append(lane)

    def _release(self, lane: Lane) -> None:
        transformer = self.transformers[lane.owner]
        transformer.lanes.discard(lane.number)
        transformer.releases.append((lane.number, lane.generation))
        lane.owner, lane.moving = None, False

    def _settle(self) -> None:
        """Takes lanes from those who have too many or leave, and leases what nobody holds."""
        for transformer in self.transformers.values():
            if transformer.leaving:
                self._move(transformer.lanes)
        takers = {key: self._staying(t) for key, t in self.transformers.items() if not t.leaving}
        if not takers:
            return
        quota, extra = divmod(len(self.lanes), len(takers))
        most_first = sorted(takers, key=lambda key: len(takers[key]), reverse=True)
        for position, key in enumerate(most_first):
            surplus = len(takers[key]) - (quota + (position < extra))
            if surplus > 0:
                # The lanes with least on their way drain first.
                by_load = sorted(takers[key], key=lambda number: (self.lanes[number].queue.sent_bytes, -number))
                self._move(by_load[:surplus])
                takers[key] = by_load[surplus:]
        held = {key: len(staying) for key, staying in takers.items()}
        for lane in self.lanes.values():
            if lane.owner is None:
                key = min(held, key=lambda key: (held[key], key))
                held[key] += 1
                self._assign(lane, key)

    def _staying(self, transformer: Transformer) -> list[int]:
        return [number for number in transformer.lanes if not self.lanes[number].moving]

    def _move(self, numbers: Iterable[int]) -> None:
        for number in list(numbers):
            lane = self.lanes[number]
            lane.moving = True
            if not lane.queue.sent:
                self._release(lane)

    def _assign(self, lane: Lane, key: int) -> None:
        lane.owner = key
        self.transformers[key].lanes.add(lane.number)
        lane.generation += 1
        lane.ready = False
        lane.sent_relation = None
        lane.queue.last_sent_id = 0
        self._mark_ready(lane)
