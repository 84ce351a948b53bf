"""Polling real gRPC servers in this process."""

import asyncio
import time

import grpc
from dbmazz.config import Settings
from dbmazz.v1 import transformer_pb2, types_pb2
from dbmazz_monitor.protocol.sample import RingSample, State
from dbmazz_monitor.ring import Ring

from tests.fixtures.waiting import wait_until
from tests.unit.monitor.fake_ring import fake_ring, loader_answer, status


async def one_sample(settings: Settings, **options) -> RingSample:
    ring = Ring(settings, **options)
    try:
        return await ring.sample()
    finally:
        await ring.close()


async def test_all_services_answer():
    async with fake_ring() as fakes:
        fakes.answers["loader"] = loader_answer([5.0, 100.0])
        sample = await one_sample(fakes.settings())
    assert [replica.service for replica in sample.replicas] == ["reader", "transformer", "loader", "checkpoint"]
    assert {replica.state for replica in sample.replicas} == {State.RUNNING}
    (reader,) = sample.of("reader")
    assert (reader.facts.slot_name, reader.facts.lag_bytes) == ("dbmazz_slot", 14_264)
    assert reader.facts.slot.wal_status == "reserved"
    (loader,) = sample.of("loader")
    assert sum(loader.facts.latency_counts) == 2
    assert loader.rss_bytes > 0
    (transformer,) = sample.of("transformer")
    assert transformer.facts.lanes[0].state == "loading"
    assert sample.of("checkpoint")[0].facts.stored == (("dbmazz_slot", "16/B374D848"),)
    assert [(table.name, table.schema, table.table) for table in sample.tables] == [
        ("public.orders", "public", "orders"),
        ("sales.items", "sales", "items"),
    ]
    assert [signature.absent_columns for signature in sample.signatures] == [(), ("payload",)]


async def test_a_service_that_is_down_and_comes_back():
    async with fake_ring() as fakes:
        ring = Ring(fakes.settings(), lists_every_s=0)
        try:
            assert (await ring.sample()).of("reader")[0].state is State.RUNNING
            await fakes.stop("reader")
            sample = await ring.sample()
            assert sample.of("reader")[0].state is State.DOWN
            assert sample.of("reader")[0].error == f"nothing answers at {fakes.addresses['reader']}"
            assert [table.name for table in sample.tables] == ["public.orders", "sales.items"]  # the last known
            assert sample.of("loader")[0].state is State.RUNNING
            await fakes.start("reader")

            async def is_back() -> bool:
                return (await ring.sample()).of("reader")[0].state is State.RUNNING

            await wait_until(is_back)
        finally:
            await ring.close()


async def test_a_service_that_hangs_costs_one_deadline():
    never = asyncio.Event()

    async def hang(context: grpc.aio.ServicerContext) -> None:
        await never.wait()

    async with fake_ring() as fakes:
        fakes.answers["loader"] = hang
        started = time.monotonic()
        sample = await one_sample(fakes.settings(), deadline_s=0.3)
        took = time.monotonic() - started
        never.set()
    assert took < 2
    (loader,) = sample.of("loader")
    assert loader.state is State.DOWN
    assert "within 0.3 s" in loader.error
    assert sample.of("reader")[0].state is State.RUNNING


async def test_another_service_on_the_address():
    async with fake_ring() as fakes:
        sample = await one_sample(fakes.settings(loader_address=fakes.addresses["reader"]))
    assert "another service answers" in sample.of("loader")[0].error


async def test_states_and_errors_are_told():
    async with fake_ring() as fakes:
        retrying = status("loader", types_pb2.SERVICE_STATE_RETRYING, "StarRocks is away")
        fakes.answers["loader"] = loader_answer(status=retrying)
        sample = await one_sample(fakes.settings())
    (loader,) = sample.of("loader")
    assert (loader.state, loader.error) == (State.RETRYING, "StarRocks is away")


async def test_every_replica_of_a_list_is_asked():
    async with fake_ring() as first, fake_ring() as second:
        both = f"{first.addresses['transformer']},{second.addresses['transformer']}"
        sample = await one_sample(first.settings(transformer_address=both))
    assert [replica.state for replica in sample.of("transformer")] == [State.RUNNING, State.RUNNING]
    partial = next(signature for signature in sample.signatures if signature.absent_columns)
    assert (partial.row_count, partial.load_count) == (80, 24)


async def test_a_name_that_does_not_resolve():
    async with fake_ring() as fakes:
        sample = await one_sample(fakes.settings(loader_address="loader.invalid:50053"))
    (loader,) = sample.of("loader")
    assert loader.state is State.DOWN
    assert loader.error == "LOADER_ADDRESS=loader.invalid:50053 does not resolve"


async def test_lane_states_have_words():
    async with fake_ring() as fakes:
        lane = transformer_pb2.LaneStatus(lane=2, table="public.orders", state=transformer_pb2.LANE_STATE_PARKED)
        fakes.answers["transformer"].lanes.append(lane)
        sample = await one_sample(fakes.settings())
    assert [lane.state for lane in sample.of("transformer")[0].facts.lanes] == ["loading", "parked"]
