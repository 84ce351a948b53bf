"""CheckpointService over real gRPC: epochs, fencing, reports, watchers, answers for people."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from dbmazz.errors import reason_of
from dbmazz.v1 import checkpoint_pb2 as pb
from dbmazz.v1 import types_pb2

from tests.fixtures.waiting import wait_until

DEADLINE_S = 10


async def refused(call, code: grpc.StatusCode, reason: str) -> str:
    """The message of the typed error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert (caught.value.code(), reason_of(caught.value)) == (code, reason)
    return caught.value.details()


async def fenced(call) -> str:
    return await refused(call, grpc.StatusCode.FAILED_PRECONDITION, "EPOCH_FENCED")


async def read_until(watch, lsn: int) -> list[pb.WatchConfirmedResponse]:
    """Announcements up to the one that names `lsn`."""
    heard = [await watch.read()]
    while heard[-1].confirmed_lsn < lsn:
        heard.append(await watch.read())
    return heard


# Epochs


async def test_the_first_epoch_comes_from_the_clock_and_the_position_from_the_reader(checkpoint):
    began = await checkpoint.begin(start_lsn=0x16_B374D848)
    assert (began.epoch, began.confirmed_lsn) == (1_763_600_000, 0x16_B374D848)
    stored = await checkpoint.store.get("orders")
    assert (stored.epoch, stored.confirmed_lsn, stored.timeline) == (began.epoch, 0x16_B374D848, 1)


async def test_an_epoch_is_answered_only_when_it_is_stored(checkpoint):
    release = checkpoint.store.hold()
    call = checkpoint.begin()
    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(call)
        await wait_until(checkpoint.positions._writing.locked)
        status = await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)
        assert not answer.done() and not status.slots
        release.set()
    assert (await checkpoint.store.get("orders")).epoch == answer.result().epoch


async def test_the_next_epoch_begins_where_the_last_was_confirmed(checkpoint):
    first = await checkpoint.begin(start_lsn=50)
    await checkpoint.report(first.epoch, 1)
    second = await checkpoint.begin(start_lsn=7)  # what had been reported counts, even if not stored yet
    assert (second.epoch, second.confirmed_lsn) == (first.epoch + 1, 100)
    checkpoint.clock[0] += 60
    third = await checkpoint.begin()
    assert third.epoch == first.epoch + 60


async def test_a_begin_that_overtakes_a_commit_counts_what_is_not_stored_yet(checkpoint):
    first = await checkpoint.begin()
    release = checkpoint.store.hold()
    await checkpoint.report(first.epoch, 1)
    await wait_until(checkpoint.positions._writing.locked)
    await checkpoint.report(first.epoch, 2)  # too late for the round that is being stored
    async with asyncio.TaskGroup() as tasks:
        second = tasks.create_task(checkpoint.begin())
        await wait_until(lambda: checkpoint.positions._writing._waiters)  # in front of the next round
        release.set()
    assert second.result().confirmed_lsn == 200
    assert (await checkpoint.store.get("orders")).confirmed_lsn == 200


async def test_epochs_grow_across_restarts_even_when_the_clock_went_back(start_checkpoint, tmp_path):
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        first = await checkpoint.begin(start_lsn=50)
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        checkpoint.clock[0] = 5.0
        second = await checkpoint.begin(start_lsn=1)
        assert (second.epoch, second.confirmed_lsn) == (first.epoch + 1, 50)


async def test_two_slots_do_not_touch_each_other(checkpoint):
    orders, items = await checkpoint.begin("orders", start_lsn=5), await checkpoint.begin("items", start_lsn=6)
    await checkpoint.report(items.epoch, 1, slot="items")
    assert [one.confirmed_lsn for one in await read_until(checkpoint.watch(items.epoch, "items"), 100)][-1] == 100
    assert (await checkpoint.watch(orders.epoch).read()).confirmed_lsn == 5


async def test_another_cluster_is_refused_and_nothing_changes(checkpoint):
    began = await checkpoint.begin()
    call = checkpoint.begin(system="99")
    message = await refused(call, grpc.StatusCode.FAILED_PRECONDITION, "SYSTEM_IDENTIFIER_MISMATCH")
    assert "99" in message and "SOURCE_URL" in message and "CHECKPOINT_URL" in message
    await checkpoint.report(began.epoch, 1)  # the epoch goes on
    assert (await checkpoint.begin(timeline=2)).epoch == began.epoch + 1  # a promoted standby is the same cluster


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"slot": ""}, "slot"),
        ({"slot": "Orders!"}, "slot"),
        ({"system": ""}, "system_identifier"),
        ({"system": "abc"}, "system_identifier"),
        ({"timeline": -1}, "timeline"),
    ],
)
async def test_a_bad_begin_is_refused_by_name(checkpoint, fields, names):
    message = await refused(checkpoint.begin(**fields), grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert message.startswith(names)
    assert await checkpoint.store.list() == []


# Fencing


async def test_reports_and_watchers_of_a_closed_epoch_are_fenced(checkpoint):
    old = await checkpoint.begin()
    watch = checkpoint.watch(old.epoch)
    assert (await watch.read()).confirmed_lsn == 0
    new = await checkpoint.begin()
    assert "closed" in await fenced(watch.read())
    assert "closed" in await fenced(checkpoint.report(old.epoch, 1))
    assert "never issued" in await fenced(checkpoint.report(new.epoch + 5, 1))
    assert "closed" in await fenced(checkpoint.watch(old.epoch).read())
    assert "not issued" in await fenced(checkpoint.report(old.epoch, 1, slot="nobody"))
    status = await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)
    assert [(slot.fenced_report_count, slot.part_count) for slot in status.slots] == [(2, 0)]


async def test_after_a_restart_every_epoch_of_before_is_fenced(start_checkpoint, tmp_path):
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        old = await checkpoint.begin(start_lsn=50)
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        assert "not issued by this checkpoint process" in await fenced(checkpoint.report(old.epoch, 1))
        assert "not issued by this checkpoint process" in await fenced(checkpoint.watch(old.epoch).read())
        # The position is there all the same.
        found = await checkpoint.stub.GetCheckpoint(pb.GetCheckpointRequest(slot="orders"), timeout=DEADLINE_S)
        assert (found.confirmed_lsn, found.checkpoint.confirmed_lsn, found.checkpoint.epoch) == (50, "0/32", old.epoch)


async def test_a_begin_whose_caller_hung_up_in_mid_write_fences_the_former_epoch(checkpoint):
    began = await checkpoint.begin()
    watch = checkpoint.watch(began.epoch)
    await watch.read()
    stored = await checkpoint.store.get("orders")
    await checkpoint.store.begin(replace(stored, epoch=began.epoch + 1), {})  # stored, and never answered
    await checkpoint.report(began.epoch, 1)
    await fenced(watch.read())
    assert (await checkpoint.store.get("orders")).confirmed_lsn == 0
    assert (await checkpoint.begin()).epoch == began.epoch + 2


# Reports and watchers


async def test_a_watcher_hears_the_position_at_once_and_every_move_is_stored_before(checkpoint):
    began = await checkpoint.begin(start_lsn=50)
    watch = checkpoint.watch(began.epoch)
    first = await watch.read()
    assert (first.confirmed_lsn, first.confirmed_batch_id) == (50, 0)
    for batch in (3, 1, 2, 5, 4):
        await checkpoint.report(began.epoch, batch)
    heard = [first]
    while heard[-1].confirmed_lsn < 500:
        heard.append(await watch.read())
        assert (await checkpoint.store.get("orders")).confirmed_lsn >= heard[-1].confirmed_lsn
    assert heard[-1].confirmed_batch_id == 5
    pairs = [(one.confirmed_lsn, one.confirmed_batch_id) for one in heard]
    assert pairs == sorted(set(pairs))


async def test_batches_that_do_not_move_the_position_move_the_batch_id(checkpoint):
    began = await checkpoint.begin(start_lsn=50)
    watch = checkpoint.watch(began.epoch)
    await watch.read()
    await checkpoint.report(began.epoch, 1, safe_lsns=[50])
    heard = await watch.read()
    assert (heard.confirmed_lsn, heard.confirmed_batch_id) == (50, 1)


async def test_two_watchers_hear_the_same(checkpoint):
    began = await checkpoint.begin()
    watches = [checkpoint.watch(began.epoch), checkpoint.watch(began.epoch)]
    assert [(await watch.read()).confirmed_lsn for watch in watches] == [0, 0]
    await checkpoint.report(began.epoch, 1, 2)
    assert [(await watch.read()).confirmed_lsn for watch in watches] == [200, 200]
    watches[0].cancel()  # one hangs up, the other stays
    await checkpoint.report(began.epoch, 3)
    assert (await watches[1].read()).confirmed_lsn == 300


async def test_a_watcher_that_comes_late_hears_the_latest(checkpoint):
    began = await checkpoint.begin()
    await checkpoint.report(began.epoch, 1)
    await read_until(checkpoint.watch(began.epoch), 100)
    late = await checkpoint.watch(began.epoch).read()
    assert (late.confirmed_lsn, late.confirmed_batch_id) == (100, 1)


async def test_reports_are_idempotent(checkpoint):
    began = await checkpoint.begin()
    for _ in range(3):
        await checkpoint.report(began.epoch, 1, part=0, part_count=2, rows=10)
    await checkpoint.report(began.epoch, 1, part=1, part_count=2, rows=5)
    for part in (0, 1):
        await checkpoint.report(began.epoch, 1, part=part, part_count=2, rows=10)
    status = await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)
    (slot,) = status.slots
    assert (slot.loaded_row_count, slot.part_count, slot.confirmed_batch_id) == (15, 2, 1)


async def test_reports_gather_while_the_disk_is_busy_and_are_stored_in_one_round(checkpoint):
    began = await checkpoint.begin()
    watch = checkpoint.watch(began.epoch)
    await watch.read()
    release = checkpoint.store.hold()
    for batch in range(1, 201):  # answered although nothing can be stored
        await checkpoint.report(began.epoch, batch)
    assert (await checkpoint.store.get("orders")).confirmed_lsn == 0
    release.set()
    heard = await read_until(watch, 20_000)
    assert len(heard) <= 2  # what was due when the disk stopped, and all the rest


async def test_contradictions_are_refused_by_name(checkpoint):
    began = await checkpoint.begin()
    await checkpoint.report(began.epoch, 1, part=0, part_count=2)
    again = checkpoint.report(began.epoch, 1, part=0, part_count=3)
    message = await refused(again, grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    assert message == "report of lane 1 generation 1 batches 1-1 has 3 parts, an earlier report said 2"
    empty = checkpoint.report(began.epoch)
    assert "names no batch" in await refused(empty, grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


# A store that fails


async def test_a_failing_store_announces_nothing_shows_why_and_recovers(checkpoint):
    began = await checkpoint.begin()
    watch = checkpoint.watch(began.epoch)
    await watch.read()
    checkpoint.store.broken = True
    await checkpoint.report(began.epoch, 1)
    await wait_until(lambda: checkpoint.positions.failing)
    status = (await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)).status
    assert status.state == types_pb2.SERVICE_STATE_RETRYING
    assert "SQLITE_FULL" in status.last_error
    late = await checkpoint.watch(began.epoch).read()
    assert (late.confirmed_lsn, late.confirmed_batch_id) == (0, 0)
    message = await refused(checkpoint.begin("items"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert "SQLITE_FULL" in message
    checkpoint.store.broken = False
    assert (await watch.read()).confirmed_lsn == 100
    await wait_until(lambda: not checkpoint.positions.failing)
    status = (await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)).status
    assert status.state == types_pb2.SERVICE_STATE_RUNNING


async def test_a_begin_that_cannot_be_stored_leaves_the_former_epoch_open(checkpoint):
    began = await checkpoint.begin()
    checkpoint.store.broken = True
    await refused(checkpoint.begin(), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    checkpoint.store.broken = False
    await checkpoint.report(began.epoch, 1)
    await read_until(checkpoint.watch(began.epoch), 100)


# Drain


async def test_drain_stores_and_announces_what_is_due_then_sends_watchers_away(start_checkpoint, tmp_path):
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        began = await checkpoint.begin()
        watch = checkpoint.watch(began.epoch)
        metrics = checkpoint.stub.StreamMetrics(pb.StreamMetricsRequest(), timeout=DEADLINE_S)
        await watch.read()
        await metrics.read()
        release = checkpoint.store.hold()
        await checkpoint.report(began.epoch, 1)
        await checkpoint.report(began.epoch, 2)
        checkpoint.positions.drain()
        status = (await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)).status
        assert status.state == types_pb2.SERVICE_STATE_DRAINING
        release.set()
        await read_until(watch, 200)
        await refused(watch.read(), grpc.StatusCode.UNAVAILABLE, "NOT_READY")
        await refused(metrics.read(), grpc.StatusCode.UNAVAILABLE, "NOT_READY")
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        assert checkpoint.positions.stored_at("orders").confirmed_lsn == 200


# Answers for people


async def test_status_tells_slots_store_and_config_without_secrets(checkpoint):
    began = await checkpoint.begin(start_lsn=0x16_B374D848)
    await checkpoint.report(began.epoch, 2, rows=10, safe_lsns=[2**41])
    status = await checkpoint.stub.GetStatus(pb.CheckpointServiceGetStatusRequest(), timeout=DEADLINE_S)
    assert (status.status.service, status.status.state) == ("checkpoint", types_pb2.SERVICE_STATE_RUNNING)
    assert status.store == checkpoint.store.description
    assert status.status.config["SOURCE_URL"] == "***"
    assert b"hunter2" not in status.SerializeToString()
    (slot,) = status.slots
    assert slot.checkpoint.confirmed_lsn == "16/B374D848"
    assert slot.checkpoint.update_time.ToSeconds() == 1_763_600_000
    assert (slot.confirmed_batch_id, slot.reported_batch_id, slot.waiting_batch_count) == (0, 2, 1)


async def test_get_checkpoint_of_an_unknown_slot_is_not_found(checkpoint):
    call = checkpoint.stub.GetCheckpoint(pb.GetCheckpointRequest(slot="orders"), timeout=DEADLINE_S)
    assert "orders" in await refused(call, grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_list_checkpoints_current_of_all_or_history_of_one(checkpoint):
    for number in range(3):
        checkpoint.clock[0] += 10
        await checkpoint.begin(f"slot_{number}")
    orders = [await checkpoint.begin("orders")]
    for _ in range(4):
        checkpoint.clock[0] += 10
        orders.append(await checkpoint.begin("orders"))

    async def listed(**fields):
        request = pb.ListCheckpointsRequest(**fields)
        return (await checkpoint.stub.ListCheckpoints(request, timeout=DEADLINE_S)).checkpoints

    assert [one.slot for one in await listed()] == ["orders", "slot_2", "slot_1", "slot_0"]
    assert [one.slot for one in await listed(page_size=2)] == ["orders", "slot_2"]
    assert [one.epoch for one in await listed(slot="orders")] == [one.epoch for one in reversed(orders)]
    assert len(await listed(slot="orders", page_size=5000)) == 5
    unknown = checkpoint.stub.ListCheckpoints(pb.ListCheckpointsRequest(slot="order"), timeout=DEADLINE_S)
    message = await refused(unknown, grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert message == ("nothing is stored for slot order. Did you mean orders? Known: orders, slot_0, slot_1, slot_2")
    bad = checkpoint.stub.ListCheckpoints(pb.ListCheckpointsRequest(page_size=-1), timeout=DEADLINE_S)
    assert "page_size" in await refused(bad, grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")


async def test_metrics_stream_positions_and_rates(checkpoint):
    began = await checkpoint.begin()
    request = pb.StreamMetricsRequest()
    request.interval.FromMilliseconds(100)
    stream = checkpoint.stub.StreamMetrics(request, timeout=DEADLINE_S)
    first = await stream.read()
    assert (first.slots[0].rows_per_second, first.slots[0].confirmed_bytes_per_second) == (0, 0)
    await checkpoint.report(began.epoch, 1, rows=1000, safe_lsns=[100_000])
    rates = [await stream.read() for _ in range(4)]
    assert sum(one.slots[0].rows_per_second for one in rates) > 0
    assert sum(one.slots[0].confirmed_bytes_per_second for one in rates) > 0
    assert rates[-1].slots[0].rows_per_second == 0  # nothing was reported since
    assert rates[-1].slots[0].progress.checkpoint.confirmed_lsn == "0/186A0"
    assert rates[-1].sample_time.ToMilliseconds() - rates[0].sample_time.ToMilliseconds() >= 250
    assert all(round(one.slots[0].rows_per_second, 1) == one.slots[0].rows_per_second for one in rates)
    stream.cancel()
    request.sample_limit = 2
    assert len([one async for one in checkpoint.stub.StreamMetrics(request, timeout=DEADLINE_S)]) == 2
    request.sample_limit = -1
    bad = checkpoint.stub.StreamMetrics(request, timeout=DEADLINE_S).read()
    assert "sample_limit -1" in await refused(bad, grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
    request.sample_limit = 0
    request.interval.FromMilliseconds(99)
    bad = checkpoint.stub.StreamMetrics(request, timeout=DEADLINE_S).read()
    assert "interval" in await refused(bad, grpc.StatusCode.INVALID_ARGUMENT, "BAD_REQUEST")
