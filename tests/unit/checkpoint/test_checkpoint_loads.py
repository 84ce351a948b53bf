"""How far loads are, and which tables were streamed: stored per slot, fenced by the epoch, kept over a restart."""

from __future__ import annotations

import grpc
import pytest
from dbmazz.errors import reason_of
from dbmazz.v1 import checkpoint_pb2 as pb

DEADLINE_S = 10


def load(
    relation_id: int = 7, *, done: bool = False, cursor: tuple[bytes, ...] = (b"5", b"caf\xc3\xa9")
) -> pb.TableLoad:
    state = pb.TABLE_LOAD_STATE_DONE if done else pb.TABLE_LOAD_STATE_RUNNING
    ranges = [pb.KeyRange(cursor=cursor, up_to=(b"9", b"")), pb.KeyRange(after=(b"9", b""))]
    return pb.TableLoad(relation_id=relation_id, table="public.t", state=state, key_columns=("a", "b"), ranges=ranges)


async def begin(stub, *, unread=(), streamed=(), slot: str = "orders") -> pb.BeginEpochResponse:
    request = pb.BeginEpochRequest(slot=slot, system_identifier="1", timeline=1, start_lsn=5, streamed_tables=streamed)
    for relation_id in unread:
        request.unread_tables.add(relation_id=relation_id, row_estimate=10)
    return await stub.BeginEpoch(request, timeout=DEADLINE_S)


async def store(stub, epoch: int, found: pb.TableLoad, slot: str = "orders") -> None:
    await stub.StoreTableLoad(pb.StoreTableLoadRequest(slot=slot, epoch=epoch, load=found), timeout=DEADLINE_S)


async def loads(stub, slot: str = "orders") -> list[pb.TableLoad]:
    answer = await stub.ListTableLoads(pb.ListTableLoadsRequest(slot=slot), timeout=DEADLINE_S)
    return list(answer.loads)


async def streamed(stub, slot: str = "orders") -> list[int]:
    answer = await stub.GetCheckpoint(pb.GetCheckpointRequest(slot=slot), timeout=DEADLINE_S)
    return list(answer.streamed_tables)


async def test_a_load_survives_a_restart(start_checkpoint, tmp_path):
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        epoch = (await begin(checkpoint.stub)).epoch
        assert await loads(checkpoint.stub) == []
        await store(checkpoint.stub, epoch, load(8))
        await store(checkpoint.stub, epoch, load(7, cursor=()))
        await store(checkpoint.stub, epoch, load(7))
    async with start_checkpoint(tmp_path / "c.db") as checkpoint:
        found = await loads(checkpoint.stub)
        assert [one.relation_id for one in found] == [7, 8]
        assert found[0].update_time.ToMicroseconds() > 0
        found[0].ClearField("update_time")
        assert found[0] == load(7)
        assert await loads(checkpoint.stub, "nobody") == []


async def test_a_finished_load_takes_the_table_off_the_unread_ones(checkpoint):
    first = await begin(checkpoint.stub, unread=(7, 8))
    await store(checkpoint.stub, first.epoch, load(7))
    await store(checkpoint.stub, first.epoch, load(8, done=True))
    again = await begin(checkpoint.stub)
    assert [table.relation_id for table in again.unread_tables] == [7]


async def test_loads_of_a_closed_epoch_are_refused(checkpoint):
    first = await begin(checkpoint.stub)
    await begin(checkpoint.stub)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store(checkpoint.stub, first.epoch, load())
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.FAILED_PRECONDITION, "EPOCH_FENCED")
    assert await loads(checkpoint.stub) == []


@pytest.mark.parametrize("wrong", [pb.TableLoad(state=pb.TABLE_LOAD_STATE_DONE), pb.TableLoad(relation_id=7)])
async def test_a_load_that_cannot_be_is_refused(checkpoint, wrong):
    epoch = (await begin(checkpoint.stub)).epoch
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await store(checkpoint.stub, epoch, wrong)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_streamed_tables_are_those_of_the_last_epoch_that_told(checkpoint):
    await begin(checkpoint.stub, streamed=(3, 1, 3))
    assert await streamed(checkpoint.stub) == [1, 3]
    await begin(checkpoint.stub, streamed=(9,), slot="items")
    await begin(checkpoint.stub)
    assert await streamed(checkpoint.stub) == [1, 3]
    await begin(checkpoint.stub, streamed=(2,))
    assert await streamed(checkpoint.stub) == [2]
    assert await streamed(checkpoint.stub, "items") == [9]
