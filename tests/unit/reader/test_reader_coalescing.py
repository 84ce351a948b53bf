"""When the socket is read: at once after silence, in gulps under load, never later than the bound."""

import random

import pytest
from dbmazz_reader.protocol.coalescing import ENOUGH_BYTES, SHORTEST_S, Coalescing

BOUND_S = 0.01
ROOM = 6 << 20


def test_first_bytes_after_silence_are_read_at_once():
    coalescing = Coalescing(BOUND_S)
    assert coalescing.wait_s(100.0, 1, ROOM) == 0
    coalescing.emptied(100.0, 50)
    assert coalescing.wait_s(100.0 + BOUND_S, 1, ROOM) == 0
    assert coalescing.wait_s(200.0, 1, ROOM) == 0


def test_slow_traffic_is_read_once_per_bound():
    coalescing = Coalescing(BOUND_S)
    now = 100.0
    coalescing.emptied(now, 3_000)
    for _ in range(5):
        assert coalescing.wait_s(now, 0, ROOM) == pytest.approx(BOUND_S)
        assert coalescing.wait_s(now + 0.004, 3_000, ROOM) == pytest.approx(BOUND_S - 0.004)
        now += BOUND_S + 1e-9
        assert coalescing.wait_s(now, 9_000, ROOM) == 0
        coalescing.emptied(now, 9_000)


def test_backlog_is_read_as_soon_as_there_is_enough():
    coalescing = Coalescing(BOUND_S)
    coalescing.emptied(100.0, 0)
    coalescing.emptied(100.002, 160_000)  # 80 MB/s
    wait = coalescing.wait_s(100.002, 0, ROOM)
    assert wait == pytest.approx(ENOUGH_BYTES / 80e6, rel=0.01)
    assert coalescing.wait_s(100.002 + wait, ENOUGH_BYTES, ROOM) == 0
    # Not quite enough: a little more patience, not less than the event loop can wait.
    assert coalescing.wait_s(100.002 + wait, ENOUGH_BYTES - 100, ROOM) == SHORTEST_S


def test_a_small_buffer_is_never_waited_full(seed):
    """A sender that fills it at once, and stands still until it is read: the wait must not grow with the stand-still."""
    rng = random.Random(seed)
    for _ in range(20):
        room = rng.choice((16 << 10, 64 << 10, 128 << 10, 400 << 10))
        held = room // rng.choice((2, 3, 4))
        coalescing = Coalescing(0.2)
        now, waits = 100.0, []
        coalescing.emptied(now, 100)
        for _ in range(20):
            wait = coalescing.wait_s(now, 0, room)
            waits.append(wait)
            now += wait
            assert coalescing.wait_s(now, held, room) == 0
            coalescing.emptied(now, held)
        assert waits[-1] <= SHORTEST_S


def test_a_bound_of_zero_never_waits():
    coalescing = Coalescing(0.0)
    coalescing.emptied(100.0, 1 << 20)
    assert coalescing.wait_s(100.0, 0, ROOM) == 0
    assert coalescing.wait_s(100.0, 1, ROOM) == 0


def test_nothing_lies_longer_than_the_bound(seed):
    rng = random.Random(seed)
    for _ in range(50):
        bound = rng.choice((0.001, 0.01, 0.2))
        coalescing = Coalescing(bound)
        now, waiting, oldest = 0.0, 0, None
        for _ in range(400):
            wait = coalescing.wait_s(now, waiting, ROOM)
            assert wait == 0 or wait > 1e-9
            if waiting and not wait:
                assert coalescing.arrived_at(now) <= oldest + 1e-9
                assert now - coalescing.arrived_at(now) <= bound + 1e-9
                coalescing.emptied(now, waiting)
                waiting, oldest = 0, None
                continue
            # Bytes come while it sleeps; without a wait it sleeps until some come.
            step = wait or rng.expovariate(1 / bound)
            came = rng.choice((0, 10, 5_000, 10_000_000)) if wait else 10
            if came:
                arrival = now + step * rng.random() if wait else now + step
                oldest = arrival if oldest is None else oldest
                waiting += came
            now += step
            if oldest is not None:
                assert now - oldest <= bound + 1e-6
