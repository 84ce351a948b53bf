"""What a lane tells of time: since when something waits, what was loaded last, and when."""

import asyncio
import time

from dbmazz_transformer.backlog import Backlog, Covered
from dbmazz_transformer.protocol.batch import Batch, BatchKind

from tests.fixtures.waiting import wait_until
from tests.unit.transformer.transformer_peers import LOADED, options, ring
from tests.unit.transformer.transformer_world import INSERT, INT4, TEXT, Event, EventBatch, relation

DOCS = relation(("id", INT4), ("body", TEXT))
COMMITTED_US = 1_700_000_000_000_000


def packed(*times: int) -> bytes:
    return b"".join(time.to_bytes(8, "little") for time in times)


def test_a_backlog_knows_its_oldest_rows():
    backlog, batch = Backlog(total=Backlog()), Batch(1, BatchKind.HEARTBEAT, 1)
    assert (backlog.oldest_commit_time, backlog.loaded_commit_time) == (0, 0)
    for times in ((), (5, 9), (10,), ()):
        backlog.add(batch, packed(*times))
    assert backlog.oldest_commit_time == 5
    backlog.remove(Covered(1, 2))
    assert (backlog.oldest_commit_time, backlog.loaded_commit_time) == (10, 9)
    backlog.remove(Covered(2, 2))
    assert (backlog.oldest_commit_time, backlog.loaded_commit_time) == (0, 10)
    backlog.add(batch, packed(11))
    backlog.clear()
    assert (backlog.oldest_commit_time, backlog.batch_count, backlog.total.batch_count) == (0, 0, 0)


async def test_a_lane_tells_since_when_rows_wait_and_when_they_were_loaded():
    async with ring(options(age_s=0.0)) as r:
        release = asyncio.Event()

        async def hold(request):
            if request.row_count:
                await release.wait()
            return LOADED

        r.loader.answer = hold
        session = await r.reader.session()
        for number in (1, 2):
            event = Event(INSERT, (b"%d" % number, b"v"), 100 + number, commit_time=COMMITTED_US + number)
            session.rows(DOCS, EventBatch(number, (event,)), relation=number == 1)

        async def both_wait():
            lane = await r.lane()
            return lane if lane and lane.pending_row_count == 2 else None

        lane = await wait_until(both_wait)
        assert lane.oldest_pending_commit_time.ToMicroseconds() == COMMITTED_US + 1
        assert not lane.HasField("last_load_time")
        assert not lane.HasField("last_loaded_commit_time")
        assert (await r.status()).pending_bytes_limit > 0
        before = time.time_ns()
        release.set()

        async def none_waits():
            lane = await r.lane()
            return lane if not lane.pending_row_count else None

        lane = await wait_until(none_waits)
        assert not lane.HasField("oldest_pending_commit_time")
        assert lane.last_loaded_commit_time.ToMicroseconds() == COMMITTED_US + 2
        assert before <= lane.last_load_time.ToNanoseconds() <= time.time_ns()
