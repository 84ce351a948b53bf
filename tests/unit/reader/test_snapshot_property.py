"""Loads beside the stream, against a small model of PostgreSQL: whatever happens in between, the target becomes the source."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from dbmazz_reader.protocol.load import KeyRange, LoadState

from tests.unit.reader.load_driver import LoadDriver
from tests.unit.reader.source_model import SourceModel
from tests.unit.reader.target_model import Row, TargetModel

ROUNDS = int(os.environ.get("DBMAZZ_SNAPSHOT_ROUNDS", "400"))
STEPS = 250


def filled(rng: random.Random) -> SourceModel:
    source = SourceModel(rng, keys=rng.choice((3, 6, 12)))
    for key in source.keys:
        if rng.random() < 0.8:
            source.rows[key] = (source.value(), source.value() if rng.random() < 0.8 else None)
    return source


def drifted(rng: random.Random, source: SourceModel) -> TargetModel:
    """Loaded once, and then spoilt: rows that are missing, others, and rows that the source does not have."""
    target = TargetModel()
    for key in source.keys:
        image = source.rows.get(key, (b"extra", None))
        if rng.random() < 0.7:
            values = [key, *image] if rng.random() < 0.5 else [key, b"spoilt", b"spoilt"]
            target.rows[key] = Row(values, rng.randrange(900), deleted=rng.random() < 0.1)
    return target


def run(seed: int, *, truncates: bool, restarts: bool, zombies: bool, drift: bool) -> LoadDriver:
    rng = random.Random(seed)
    source = filled(rng)
    target = drifted(rng, source) if drift else TargetModel()
    driver = LoadDriver(rng, source, target, zombies=zombies)
    middle = (source.keys[len(source.keys) // 2],)
    ranges = [KeyRange(None, middle), KeyRange(middle, None)] if rng.random() < 0.4 else None
    busy, taking = rng.choice((0.1, 0.25, 0.4)), rng.choice((0.05, 0.2))
    for step in range(STEPS):
        dice = rng.random()
        if step == 15:
            driver.begin_load(ranges)
        if dice < busy:
            source.step(rng, truncates=truncates)
        elif dice < busy + 0.25:
            driver.deliver()
        elif dice < busy + 0.3:
            # Within a transaction, late duplicates are guarded by the LSNs of changes; those from before the load are raised to
            # one version, so then only their order guards them (docs/guarantees.md).
            if not zombies or driver.decoder.xid is None:
                driver.cut()
        elif dice < busy + 0.3 + taking:
            driver.take()
        elif dice < busy + 0.31 + taking and restarts:
            driver.restart()
            if step >= 15 and driver.stored["state"] is not LoadState.DONE:
                driver.begin_load()
        else:
            driver.advance()
    source.settle()
    for _ in range(1000):
        driver.deliver()
        if not zombies or driver.decoder.xid is None:
            driver.cut()
        driver.take()
        driver.advance()
        if _finished(driver):
            return driver
    raise AssertionError(f"seed {seed}: the load does not end: {driver.load.state}")


def _finished(driver: LoadDriver) -> bool:
    done = driver.load is None or driver.load.state is LoadState.DONE
    streamed = driver.delivered == len(driver.source.wal) and not driver.frames and driver.decoder.xid is None
    return done and streamed and driver.loaded == len(driver.batches) and not driver.decoder.open


KINDS = [
    {"truncates": False, "restarts": False, "zombies": False, "drift": False},
    {"truncates": True, "restarts": False, "zombies": False, "drift": False},
    {"truncates": False, "restarts": True, "zombies": False, "drift": False},
    {"truncates": True, "restarts": True, "zombies": False, "drift": True},
    {"truncates": False, "restarts": True, "zombies": True, "drift": True},
]


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "truncates", "restarts", "drift", "zombies"])
def test_the_target_becomes_the_source(kind, seed: int):
    seen: Counter[str] = Counter()
    for number in range(ROUNDS):
        driver = run(seed * 1_000_003 + number, **kind)
        live = driver.target.live()
        assert live == driver.source.rows, f"seed {seed * 1_000_003 + number}"
        seen.update(
            retakes=driver.retakes,
            completing=driver.completing,
            overtaken=driver.overtaken,
            restarts=driver.restarts,
        )
    # Else the test would show nothing.
    assert seen["retakes"] and seen["completing"] and seen["overtaken"], seen
    assert bool(seen["restarts"]) == kind["restarts"], seen
