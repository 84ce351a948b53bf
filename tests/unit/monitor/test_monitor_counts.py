"""Counting within a budget, without databases; and what the counters say when there is none."""

import asyncio

import pytest
from dbmazz.config import Settings
from dbmazz.errors import ConfigError, SourceUnavailable, TargetUnavailable
from dbmazz_monitor.counts import FIRST_PAUSE_S, LONGEST_PAUSE_S, Counting
from dbmazz_monitor.protocol.sample import SourceCount, SourceSeen, SourceTable, Table
from dbmazz_monitor.source import SourceCounter
from dbmazz_monitor.target import TargetCounter
from dbmazz_monitor.watch import source_counting, target_counting

from tests.fixtures.waiting import wait_until
from tests.unit.monitor.fake_ring import FakeCounter

ORDERS = Table("public.orders", "public", "orders", "orders")
SECRET = "s3cret-word"


async def test_looks_at_once_and_does_not_keep_a_new_table_waiting():
    seen = SourceSeen({"public.orders": SourceTable("public", "orders")})
    counter = FakeCounter({"public.orders": SourceCount(5, exact=True)}, seen)
    counting = Counting("source", counter, every_s=60.0)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(counting.run())
        await wait_until(lambda: counting.latest.seen)
        assert counter.rounds == [[]]
        counting.want((ORDERS,), {"public.orders": 7})
        await wait_until(lambda: counting.latest.by_table)
        task.cancel()
    assert counter.marks == {"public.orders": 7}
    assert counting.latest.seen is seen
    assert (counting.tally.counted, sum(counting.tally.durations.counts)) == (1, 2)
    assert counting.latest.by_table == {"public.orders": SourceCount(5, exact=True)}
    assert counter.closed


async def test_a_side_that_is_away_is_asked_less_and_less_often(monkeypatch: pytest.MonkeyPatch):
    pauses, sleep = [], asyncio.sleep

    async def passing(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", passing)
    counter = FakeCounter({})
    counter.error = SourceUnavailable("PostgreSQL is away")
    counting = Counting("source", counter, every_s=10.0)
    task = asyncio.ensure_future(counting.run())
    while len(pauses) < 8:
        await sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert FIRST_PAUSE_S / 2 <= pauses[0] <= FIRST_PAUSE_S
    assert pauses[0] < pauses[2] < pauses[4]
    assert LONGEST_PAUSE_S / 2 <= pauses[7] <= LONGEST_PAUSE_S


async def test_keeps_the_last_counts_while_the_side_is_away():
    counter = FakeCounter({"public.orders": SourceCount(5)})
    counting = Counting("source", counter, every_s=0.0)
    counting.want((ORDERS,))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(counting.run())
        await wait_until(lambda: counting.latest.by_table)
        counter.error = SourceUnavailable("PostgreSQL is away")
        await wait_until(lambda: counting.latest.problem)
        assert counting.latest.problem == "PostgreSQL is away"
        assert counting.latest.by_table["public.orders"].rows == 5
        counter.error = None
        await wait_until(lambda: not counting.latest.problem)
        task.cancel()


async def test_a_budget_between_rounds():
    counter = FakeCounter({})
    counting = Counting("target", counter, every_s=30.0)
    counting.want((ORDERS,))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(counting.run())
        await wait_until(lambda: counter.rounds)
        counting.want((ORDERS, ORDERS))
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(counter.rounds) == 1
        task.cancel()


async def test_without_addresses_it_says_what_is_missing():
    source, target = source_counting(Settings()), target_counting(Settings())
    await asyncio.wait_for(source.run(), 1)
    await asyncio.wait_for(target.run(), 1)
    assert (source.latest.problem, source.latest.configured) == ("Source: SOURCE_URL is not set", False)
    assert (target.latest.problem, target.latest.configured) == ("Target: SINK_URL is not set", False)


@pytest.mark.parametrize("url", [f"postgres//u:{SECRET}@h/d", f"postgresql://u:{SECRET}@h:port/d?bad=1"])
async def test_bad_source_url_is_refused_without_showing_it(url: str):
    with pytest.raises(ConfigError, match="SOURCE_URL") as caught:
        SourceCounter(url)
    assert SECRET not in str(caught.value)


def test_bad_sink_url_is_refused():
    with pytest.raises(ConfigError, match="SINK_URL"):
        TargetCounter("starrocks", 9030, "root", SECRET, "dbmazz")


async def test_unreachable_source_is_one_line_without_secrets(unused_tcp_port: int):
    counter = SourceCounter(f"postgresql://u:{SECRET}@127.0.0.1:{unused_tcp_port}/d")
    with pytest.raises(SourceUnavailable) as caught:
        await counter.round([ORDERS], {})
    text = str(caught.value)
    assert str(unused_tcp_port) in text
    assert SECRET not in text
    assert "\n" not in text


async def test_unreachable_target_names_the_address(unused_tcp_port: int):
    counter = TargetCounter("http://127.0.0.1:1", unused_tcp_port, "root", SECRET, "dbmazz")
    with pytest.raises(TargetUnavailable, match=f"127.0.0.1:{unused_tcp_port}") as caught:
        await counter.round([ORDERS], {})
    assert SECRET not in str(caught.value)
    await counter.close()
