"""SIGKILL, SIGTERM and more replicas, in traffic: the target equals the source afterwards, and the slot never runs ahead."""

from __future__ import annotations

import asyncio

import pytest
from dbmazz_sandbox.generators import TABLES, TrafficRun, create_schema

from tests.fixtures.fix_postgres import SourceDatabase
from tests.fixtures.fix_ring import RingMaker, Sandbox
from tests.fixtures.ring import SERVICES, Ring
from tests.fixtures.traffic import more_events, traffic
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(240)]


async def started(source_db: SourceDatabase, ring: Ring) -> None:
    async with await source_db.connect() as connection:
        await create_schema(connection)
    ring.start()
    await ring.streaming()


async def equal_in_the_end(ring: Ring, run: TrafficRun) -> None:
    await ring.caught_up(timeout=90)
    await ring.assert_equal(*TABLES)
    await ring.assert_never_ahead()
    assert run.totals().toast.unchanged_updates > 0


@pytest.mark.parametrize("service", SERVICES)
async def test_a_killed_service_comes_back_without_loss(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int, service: str
) -> None:
    ring = make_ring()
    await started(source_db, ring)
    async with traffic(source_db, seed) as run:
        for _ in range(2):
            await more_events(run, 400)
            ring[service].kill()
            await ring.assert_never_ahead() if service != "checkpoint" else await ring.slot_lsn()
            await more_events(run, 200)
            ring[service].start()
            await ring.streaming(timeout=60)
        await more_events(run, 400)
    await equal_in_the_end(ring, run)
    assert (await ring.reader_status()).unchanged_toast_count > 0


async def test_everything_is_killed_at_once(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    ring = make_ring()
    await started(source_db, ring)
    async with traffic(source_db, seed) as run:
        await more_events(run, 500)
        for service in SERVICES:
            ring[service].kill()
        await more_events(run, 500)
        for service in reversed(SERVICES):
            ring[service].start()
        await ring.streaming(timeout=60)
    await equal_in_the_end(ring, run)


async def test_a_drained_service_exits_0_and_comes_back(
    source_db: SourceDatabase, make_ring: RingMaker, seed: int
) -> None:
    ring = make_ring()
    await started(source_db, ring)
    async with traffic(source_db, seed) as run:
        for service in SERVICES:
            await more_events(run, 150)
            assert await asyncio.to_thread(ring[service].terminate) == 0, ring[service].log[-3000:]
            ring[service].start()
            await ring.streaming(timeout=60)
    await equal_in_the_end(ring, run)


async def test_two_of_each_and_one_of_each_stopped(source_db: SourceDatabase, make_ring: RingMaker, seed: int) -> None:
    ring = make_ring(transformers=2, loaders=2)
    await started(source_db, ring)
    async with traffic(source_db, seed) as run:
        await more_events(run, 600)
        both = await asyncio.gather(ring.loader_status(0), ring.loader_status(1))
        assert all(status.row_count > 0 for status in both), "round robin reaches both loaders"
        lanes = [len((await ring.transformer_status(number)).lanes) for number in (0, 1)]
        assert all(lanes), f"both transformers have lanes: {lanes}"
        ring.replicas["transformer"][1].kill()
        await asyncio.to_thread(ring.replicas["loader"][0].terminate)
        await more_events(run, 600)
        ring.replicas["transformer"][1].start()
        await more_events(run, 300)
        await asyncio.to_thread(ring.replicas["transformer"][0].terminate)
        await more_events(run, 300)
    await equal_in_the_end(ring, run)


async def test_a_late_load_does_not_win_over_a_newer_one(
    source_db: SourceDatabase, make_ring: RingMaker, sandbox: Sandbox
) -> None:
    """A load hangs in the target while reader and transformer are killed; newer rows overtake it, then it commits."""
    async with await source_db.connect() as connection:
        await connection.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
        ring = make_ring()
        ring.start()
        await ring.streaming()
        await connection.execute("INSERT INTO t SELECT n, 0 FROM generate_series(1, 50) n")
        await ring.caught_up()
        loaded = (await ring.loader_status()).loaded_row_count
        await sandbox.fault("delay_before_commit_ms", table=f"{ring.sink_database}.t", count=1, delay_ms=6000)
        await connection.execute("UPDATE t SET v = 1")

        async def hangs() -> bool:
            return (await sandbox.faults())["hits"].get("delay_before_commit_ms", 0) > 0

        await wait_until(hangs, timeout=20, what="the load hangs")
        ring["reader"].kill()
        ring["transformer"].kill()
        await connection.execute("UPDATE t SET v = 2 WHERE id % 2 = 0")
        await connection.execute("DELETE FROM t WHERE id % 5 = 0")
        ring["reader"].start()
        ring["transformer"].start()
        await ring.streaming()
        await ring.caught_up()
        assert (await ring.loader_status()).running_load_count == 1, "the late load is still under way"
        await ring.assert_equal("public.t")

        async def landed() -> bool:
            status = await ring.loader_status()
            return status.running_load_count == 0 and status.loaded_row_count > loaded

        await wait_until(landed, timeout=30, what="the late load has landed")
    await ring.assert_equal("public.t")
