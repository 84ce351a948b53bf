"""What Prometheus sees of a checkpoint: scraped from one that serves in this process."""

import asyncio
import contextlib

import grpc
import pytest
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc, load_pb2
from dbmazz_checkpoint.app import serve
from dbmazz_checkpoint.store.sqlite import SqliteStore

from tests.fixtures.ring import free_port
from tests.fixtures.scraping import scrape
from tests.fixtures.waiting import wait_until

DEADLINE_S = 10


@contextlib.asynccontextmanager
async def serving(path, metrics_port):
    """A stub of a checkpoint that runs as the process would run it."""
    settings = Settings(listen=f"127.0.0.1:{free_port()}", metrics_port=metrics_port)
    store, stop = await SqliteStore.open(path), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(settings, store, stop))
        try:
            async with open_channel(settings.listen, settings) as channel:
                yield checkpoint_pb2_grpc.CheckpointServiceStub(channel)
        finally:
            stop.set()
    await store.close()


async def begin(stub, slot):
    request = checkpoint_pb2.BeginEpochRequest(slot=slot, system_identifier="7", timeline=1, start_lsn=50, replica="r")
    return (await stub.BeginEpoch(request, timeout=DEADLINE_S, wait_for_ready=True)).epoch


async def report(stub, slot, epoch, batch, rows):
    progress = load_pb2.LoadProgress(
        slot=slot, epoch=epoch, lane=1, generation=1, batch_ids=[batch], safe_lsns=[100 * batch], part_count=1
    )
    request = checkpoint_pb2.ReportLoadedRequest(progress=progress, loaded_row_count=rows, table="orders")
    await stub.ReportLoaded(request, timeout=DEADLINE_S)


async def test_positions_epochs_and_what_waits_by_slot(tmp_path):
    port = free_port()
    async with serving(tmp_path / "checkpoint.db", port) as stub:
        first, other = await begin(stub, "orders"), await begin(stub, "other")
        await report(stub, "orders", first, 1, rows=3)
        await report(stub, "orders", first, 2, rows=4)
        for batch in (4, 5):
            await report(stub, "orders", first, batch, rows=10)
        with pytest.raises(grpc.aio.AioRpcError):
            await report(stub, "orders", first - 1, 3, rows=99)

        async def stored():
            return (await scrape(port))("dbmazz_checkpoint_lsn", slot="orders") == 200

        await wait_until(stored)
        seen = await scrape(port)
        seen.assert_declared("checkpoint")
        assert seen.of("dbmazz_checkpoint_epoch") == {("orders",): first, ("other",): other}
        assert seen.of("dbmazz_checkpoint_lsn") == {("orders",): 200, ("other",): 50}
        assert seen.of("dbmazz_checkpoint_rows_total") == {("orders",): 27, ("other",): 0}
        assert seen.of("dbmazz_checkpoint_parts_total") == {("orders",): 4, ("other",): 0}
        assert seen.of("dbmazz_checkpoint_waiting_batches") == {("orders",): 2, ("other",): 0}
        assert seen.of("dbmazz_checkpoint_fenced_reports_total") == {("orders",): 1, ("other",): 0}
        assert seen("dbmazz_checkpoint_store_failing") == 0
        assert seen("dbmazz_service_state", state="running") == 1
        assert sum(seen.of("dbmazz_service_state").values()) == 1
        times = seen.of("dbmazz_checkpoint_timestamp_seconds")
        assert seen("process_start_time_seconds") - 1 < times["orders",]


async def test_a_new_process_knows_positions_and_no_counters(tmp_path):
    port = free_port()
    async with serving(tmp_path / "checkpoint.db", port) as stub:
        epoch = await begin(stub, "orders")
    async with serving(tmp_path / "checkpoint.db", port) as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetCheckpoint(checkpoint_pb2.GetCheckpointRequest(slot="x"), timeout=5, wait_for_ready=True)
        seen = await scrape(port)
        assert seen.of("dbmazz_checkpoint_epoch") == {("orders",): epoch}
        assert seen.of("dbmazz_checkpoint_rows_total") == {}
