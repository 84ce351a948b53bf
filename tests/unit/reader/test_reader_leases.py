"""Random transformers come, go, stall and acknowledge: each lane has one owner, keeps its order, and loses nothing."""

import random

import pytest
from dbmazz.errors import WireError
from dbmazz.v1 import change_pb2
from dbmazz_reader.protocol import leases as module
from dbmazz_reader.protocol.cuts import SealedBatch
from dbmazz_reader.protocol.leases import Leases, Release, Send
from dbmazz_reader.protocol.retention import Retention

from tests.unit.reader.pgoutput_messages import table

RELATIONS = {lane: table(1, (0,), lane) for lane in range(1, 50)}


def sealed(batch_id: int, lane: int, size: int = 10) -> SealedBatch:
    return SealedBatch(batch_id, lane, RELATIONS.get(lane), change_pb2.ChangeBatch(batch_id=batch_id, lane=lane), size)


class Transformer:
    """What one transformer has been told, checked as a real one would."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.unacknowledged: list[tuple[int, int, int]] = []
        self.relation_known: set[tuple[int, int]] = set()
        self.leaving = False


class World:
    def __init__(self, rng: random.Random, lanes: int) -> None:
        self.rng = rng
        self.lanes = lanes
        self.retention = Retention(1 << 40)
        self.leases = Leases(self.retention)
        self.transformers: dict[int, Transformer] = {}
        self.appended: dict[int, list[int]] = {lane: [] for lane in range(lanes)}
        self.done: dict[int, list[int]] = {lane: [] for lane in range(lanes)}
        self.generations: dict[int, int] = {}
        self.batch_id = 0

    def append(self) -> None:
        batches = []
        for _ in range(self.rng.randint(1, 6)):
            self.batch_id += 1
            lane = self.rng.randrange(self.lanes)
            self.appended[lane].append(self.batch_id)
            batches.append(sealed(self.batch_id, lane))
        self.leases.append(batches)

    def connect(self) -> None:
        self.transformers[self.leases.connect("t")] = Transformer()

    def pick(self) -> int | None:
        return self.rng.choice(list(self.transformers)) if self.transformers else None

    def disconnect(self) -> None:
        if (key := self.pick()) is not None:
            del self.transformers[key]
            self.leases.disconnect(key)

    def goodbye(self) -> None:
        if (key := self.pick()) is not None:
            self.transformers[key].leaving = True
            self.leases.goodbye(key)

    def send(self, key: int | None = None) -> bool:
        key = self.pick() if key is None else key
        if key is None or (due := self.leases.next(key)) is None:
            return False
        transformer = self.transformers[key]
        if isinstance(due, Release):
            assert transformer.held.pop(due.lane, due.generation) == due.generation
            assert not [entry for entry in transformer.unacknowledged if entry[0] == due.lane]
            return True
        assert isinstance(due, Send)
        lane, generation = due.batch.lane, due.generation
        if transformer.held.get(lane) != generation:
            assert generation > self.generations.get(lane, 0), "a generation was given out twice"
            self.generations[lane] = generation
            assert not transformer.leaving, "a lane was leased to a transformer that leaves"
            transformer.held[lane] = generation
        for other_key, other in self.transformers.items():
            assert other_key == key or not [entry for entry in other.unacknowledged if entry[0] == lane], "two owners"
        if due.relation is not None:
            transformer.relation_known.add((lane, generation))
        assert lane == 0 or (lane, generation) in transformer.relation_known, "first batch of a generation: no relation"
        position = len(self.done[lane]) + len([e for e in transformer.unacknowledged if e[0] == lane])
        assert due.batch.batch_id == self.appended[lane][position], "out of order"
        transformer.unacknowledged.append((lane, generation, due.batch.batch_id))
        return True

    def acknowledge(self, key: int | None = None) -> None:
        key = self.pick() if key is None else key
        if key is None or not (waiting := self.transformers[key].unacknowledged):
            return
        lane, generation, batch_id = self.rng.choice(waiting)
        covered = [entry for entry in waiting if entry[0] == lane and entry[2] <= batch_id]
        self.transformers[key].unacknowledged = [entry for entry in waiting if entry not in covered]
        self.done[lane] += [entry[2] for entry in covered]
        self.leases.acknowledge(key, lane, generation, batch_id)

    def finish(self) -> None:
        """A fresh transformer takes all that is left."""
        for key in list(self.transformers):
            del self.transformers[key]
            self.leases.disconnect(key)
        self.connect()
        (key,) = self.transformers
        while self.send(key) or self.transformers[key].unacknowledged:
            self.acknowledge(key)


@pytest.mark.parametrize("run", range(8))
def test_random_transformers(seed, run, monkeypatch):
    rng = random.Random(seed + run)
    monkeypatch.setattr(module, "LANE_WINDOW", rng.choice((10, 35, 1 << 20)))
    monkeypatch.setattr(module, "TRANSFORMER_WINDOW", rng.choice((10, 70, 1 << 20)))
    world = World(rng, lanes=rng.choice((1, 3, 12)))
    actions = [world.append, world.connect, world.disconnect, world.goodbye, world.send, world.acknowledge]
    for _ in range(3000):
        rng.choices(actions, weights=(4, 1, 0.6, 0.3, 12, 8))[0]()
        sent = sum(10 * len(t.unacknowledged) for t in world.transformers.values())
        assert sent == sum(t.sent_bytes for t in world.leases.transformers.values())
    world.finish()
    assert world.done == world.appended
    assert world.retention.empty
    assert world.retention.bytes == 0


def test_lanes_are_spread_evenly():
    leases = Leases(Retention(1 << 30))
    leases.append([sealed(number, number) for number in range(1, 8)])
    keys = [leases.connect(name) for name in "abc"]
    assert sorted(len(leases.transformers[key].lanes) for key in keys) == [2, 2, 3]
    leases.disconnect(keys[0])
    assert sorted(len(leases.transformers[key].lanes) for key in keys[1:]) == [3, 4]


def test_lane_moves_only_when_it_is_drained():
    leases = Leases(Retention(1 << 30))
    first = leases.connect("first")
    leases.append([sealed(1, 1), sealed(2, 2), sealed(3, 1)])
    for _ in range(3):
        leases.next(first)
    second = leases.connect("second")
    assert leases.next(second) is None
    moving = next(lane for lane in leases.lanes.values() if lane.moving)
    last = moving.queue.sent[-1].batch_id
    leases.append([sealed(4, moving.number)])
    assert leases.next(first) is None
    leases.acknowledge(first, moving.number, 1, last)
    assert leases.next(first) == Release(moving.number, 1)
    due = leases.next(second)
    assert (due.batch.batch_id, due.generation, due.relation) == (4, 2, RELATIONS[moving.number])


def test_stuck_lane_leaves_the_way_to_others(monkeypatch):
    monkeypatch.setattr(module, "LANE_WINDOW", 20)
    leases = Leases(Retention(1 << 30))
    key = leases.connect("only")
    leases.append([sealed(number, 1) for number in range(1, 6)] + [sealed(6, 2)])
    sent = []
    while (due := leases.next(key)) is not None:
        sent.append(due.batch.batch_id)
    assert sorted(sent) == [1, 2, 6]
    leases.acknowledge(key, 1, 1, 1)
    assert leases.next(key).batch.batch_id == 3
    assert leases.next(key) is None


def test_batch_larger_than_a_window_still_goes(monkeypatch):
    monkeypatch.setattr(module, "LANE_WINDOW", 20)
    monkeypatch.setattr(module, "TRANSFORMER_WINDOW", 30)
    leases = Leases(Retention(1 << 30))
    key = leases.connect("only")
    leases.append([sealed(1, 1, size=100), sealed(2, 1)])
    assert leases.next(key).batch.batch_id == 1
    assert leases.next(key) is None
    leases.acknowledge(key, 1, 1, 1)
    assert leases.next(key).batch.batch_id == 2


def test_strange_acknowledgements():
    leases = Leases(Retention(1 << 30))
    key = leases.connect("only")
    leases.append([sealed(1, 1), sealed(2, 1)])
    leases.next(key)
    for lane, generation, batch_id in ((9, 1, 1), (1, 2, 1), (1, 1, 2)):
        with pytest.raises(WireError, match="acknowledgement"):
            leases.acknowledge(key, lane, generation, batch_id)
    leases.acknowledge(key, 1, 0, 1)  # of a former generation
    assert leases.retention.batches == 2
    leases.acknowledge(key, 1, 1, 1)
    leases.acknowledge(key, 1, 1, 1)
    assert leases.retention.batches == 1


def test_retention_bound():
    retention = Retention(25)
    leases = Leases(retention)
    leases.append([sealed(1, 1), sealed(2, 2)])
    assert not retention.full
    leases.append([sealed(3, 2)])
    assert (retention.full, retention.bytes, retention.empty) == (True, 30, False)
