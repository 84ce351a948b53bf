"""The token bucket, on a clock of the test's own."""

import asyncio

import pytest
from dbmazz_sandbox.generators.pace import Pace, stopped_within


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_spreads_events_evenly():
    clock = Clock()
    pace = Pace(1000, clock=clock)
    waits = []
    for _ in range(100):
        wait = pace.claim(10)
        waits.append(wait)
        clock.now += wait
    assert waits[0] == 0
    assert waits[1:] == pytest.approx([0.01] * 99)
    assert clock.now - 100.0 == pytest.approx(0.99)


def test_catches_up_after_a_hold_up_but_only_so_much():
    clock = Clock()
    pace = Pace(1000, max_behind=0.5, clock=clock)
    assert pace.claim(100) == 0
    clock.now += 0.4
    free = [pace.claim(100) for _ in range(4)]
    assert free == pytest.approx([0, 0, 0, 0])
    assert pace.claim(100) == pytest.approx(0.1)

    clock.now += 60
    sent = 0
    while pace.claim(100) == 0:
        sent += 100
    assert sent == pytest.approx(600, abs=100)


def test_refuses_a_rate_that_is_none():
    with pytest.raises(ValueError, match="rate is 0 events per second"):
        Pace(0)


async def test_a_stop_ends_the_wait():
    stop = asyncio.Event()
    assert not await stopped_within(stop, 0)
    assert not await stopped_within(stop, 0.001)
    asyncio.get_running_loop().call_soon(stop.set)
    async with asyncio.timeout(5):
        assert await stopped_within(stop, 3600)
    assert await stopped_within(stop, 3600)
