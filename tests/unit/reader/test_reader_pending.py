"""What GetStatus and ListTables tell for the monitor: lanes in which something waits, the slot's margin, few bytes."""

from dataclasses import replace

from dbmazz.config import Settings
from dbmazz.v1 import change_pb2, reader_pb2
from dbmazz_reader.feed import Feed
from dbmazz_reader.postgres.catalogue import SlotHealth
from dbmazz_reader.protocol.cuts import SealedBatch
from dbmazz_reader.protocol.retention import LaneQueue, Retention
from dbmazz_reader.protocol.states import SessionState
from dbmazz_reader.service import ReaderService
from dbmazz_reader.status import Status

from tests.unit.reader.pgoutput_messages import table
from tests.unit.reader.test_reader_metrics import SLOT, session

ROWS, SCHEMA = change_pb2.BATCH_KIND_ROWS, change_pb2.BATCH_KIND_SCHEMA
RELATION = table(1, (0,), 1)


def sealed(batch_id: int, lane: int, *commit_times: int, size: int = 10) -> SealedBatch:
    packed = b"".join(time.to_bytes(8, "little") for time in commit_times)
    batch = change_pb2.ChangeBatch(
        batch_id=batch_id, lane=lane, kind=ROWS if commit_times else SCHEMA, commit_times=packed
    )
    return SealedBatch(batch_id, lane, RELATION, batch, size)


def test_a_queue_knows_its_oldest_rows_and_its_bytes():
    queue = LaneQueue(Retention(1 << 30))
    assert (queue.bytes, queue.batch_count, queue.oldest_commit_time) == (0, 0, 0)
    for batch in (sealed(1, 1), sealed(2, 1, 500, 900, size=7), sealed(3, 1, 1000)):
        queue.append(batch)
    assert (queue.bytes, queue.batch_count, queue.oldest_commit_time) == (27, 3, 500)
    queue.send()
    queue.send()
    assert (queue.bytes, queue.batch_count, queue.oldest_commit_time) == (27, 3, 500)
    queue.acknowledge(2)
    assert (queue.bytes, queue.batch_count, queue.oldest_commit_time) == (10, 1, 1000)
    queue.send()
    queue.take_back()
    assert (queue.bytes, queue.batch_count, queue.oldest_commit_time) == (10, 1, 1000)


def test_lanes_in_which_something_waits():
    feed = Feed("slot", "1", 1, 1 << 30)
    assert feed.pending() == []
    feed.append([sealed(1, 7, 300), sealed(2, 3, 100), sealed(3, 0)])
    assert [lane.number for lane in feed.pending()] == [3, 7]  # the heartbeat's lane is not a table's
    link = feed.connect("t")
    lanes = feed.leases.lanes
    while feed.leases.next(link._key) is not None:
        pass
    feed.leases.acknowledge(link._key, 3, lanes[3].generation, 2)
    assert [lane.number for lane in feed.pending()] == [7]


async def test_the_status_tells_them_and_how_much_the_slot_may_still_keep():
    streaming = session(Settings())
    status = Status(state=SessionState.STREAMING, streaming=streaming, slot_health=SlotHealth(SLOT, 7000, 3000, 123))
    service = ReaderService(Settings(), status)
    answer = await service.GetStatus(reader_pb2.ReaderServiceGetStatusRequest(), None)
    (lane,) = answer.pending_lanes
    (commit_time,) = {
        int.from_bytes(batch.batch.commit_times[:8], "little")
        for batch in streaming.feed.leases.lanes[lane.lane].queue.pending
    }
    assert lane.oldest_commit_time.ToMicroseconds() == commit_time > 0
    assert (lane.pending_bytes, lane.batch_count) == (streaming.feed.retention.bytes, 1)
    assert answer.slot_status.safe_wal_bytes == 123
    status.slot_health = replace(status.slot_health, safe_wal_bytes=None)
    answer = await service.GetStatus(reader_pb2.ReaderServiceGetStatusRequest(), None)
    assert not answer.slot_status.HasField("safe_wal_bytes")


async def test_tables_come_without_columns_when_asked():
    service = ReaderService(Settings(), Status(streaming=session(Settings())))
    full = (await service.ListTables(reader_pb2.ListTablesRequest(), None)).tables[0]
    brief = (await service.ListTables(reader_pb2.ListTablesRequest(without_columns=True), None)).tables[0]
    assert full.relation.columns
    assert not brief.relation.columns
    full.relation.ClearField("columns")
    assert brief == full
