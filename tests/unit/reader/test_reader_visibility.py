"""32-bit transaction ids of the stream against 64-bit snapshots."""

import random

import pytest
from dbmazz_reader.protocol.visibility import still_running

CYCLE = 1 << 32


@pytest.mark.parametrize(
    ("xid", "xmax", "running", "expected"),
    [
        (700, 701, (), False),
        (700, 700, (), True),  # not the last one that has ended
        (700, 705, (700, 703), True),
        (700, 705, (703,), False),
        (5, CYCLE + 6, (), False),
        (5, CYCLE + 6, (CYCLE + 5,), True),
        (CYCLE - 1, CYCLE + 6, (), False),  # from before the ids went round
        (CYCLE - 1, CYCLE + 6, (CYCLE - 1,), True),
        (3, 3 * CYCLE - 2, (), True),  # ids have gone round since the snapshot's last
    ],
)
def test_still_running(xid, xmax, running, expected):
    assert still_running(xid, xmax, frozenset(running)) is expected


def test_any_id_near_the_snapshot_is_told_as_its_full_id_is(seed):
    rng = random.Random(seed)
    for _ in range(2000):
        xmax = rng.randrange(CYCLE, 5 * CYCLE)
        full = xmax + rng.randrange(-(1 << 30), 1 << 30)
        running = frozenset(rng.sample(range(xmax - 50, xmax), 5))
        assert still_running(full % CYCLE, xmax, running) is (full >= xmax or full in running)
