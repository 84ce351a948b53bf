"""The lane worker between a fake reader and a fake loader: order, parts, barriers, verdicts."""

import asyncio

import grpc
import pytest
from dbmazz.v1 import change_pb2, load_pb2, transformer_pb2

from tests.fixtures.waiting import wait_until
from tests.unit.transformer.transformer_peers import LOADED, options, ring
from tests.unit.transformer.transformer_world import ABSENT, INSERT, INT4, TEXT, UPDATE, Event, EventBatch, relation

DOCS = relation(("id", INT4), ("body", TEXT))
WIDER = relation(("id", INT4), ("body", TEXT), ("more", TEXT))
LOADING = transformer_pb2.LANE_STATE_LOADING
RETRYING = transformer_pb2.LANE_STATE_RETRYING
PARKED = transformer_pb2.LANE_STATE_PARKED
IDLE = transformer_pb2.LANE_STATE_IDLE
SCHEMA, TRUNCATE, HEARTBEAT = (
    change_pb2.BATCH_KIND_SCHEMA,
    change_pb2.BATCH_KIND_TRUNCATE,
    change_pb2.BATCH_KIND_HEARTBEAT,
)


def insert(batch_id: int, key: int) -> EventBatch:
    return EventBatch(batch_id, (Event(INSERT, (b"%d" % key, b"v%d" % key), 100 + batch_id),))


def mixed(batch_id: int) -> EventBatch:
    """Two signatures: two parts."""
    return EventBatch(
        batch_id, (Event(INSERT, (b"1", b"x"), 100 + batch_id), Event(UPDATE, (b"2", ABSENT), 100 + batch_id))
    )


def batch_ids(loads) -> list[list[int]]:
    return [list(load.progress.batch_ids) for load in loads]


async def test_windows_go_one_after_the_other_and_grow_meanwhile():
    async with ring(options(age_s=0.0)) as r:
        release = asyncio.Event()

        async def hold_first(request):
            if 1 in request.progress.batch_ids:
                await release.wait()
            return LOADED

        r.loader.answer = hold_first
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        await wait_until(lambda: r.loader.loads)
        await r.lane_state(LOADING)
        for number in (2, 4, 7):
            session.rows(DOCS, insert(number, number))

        async def received():
            return (await r.status()).row_count == 4

        await wait_until(received)
        assert batch_ids(r.loader.loads) == [[1]]
        assert session.acks == []
        release.set()
        await session.acked(1, 1, 7)
        assert batch_ids(r.loader.loads) == [[1], [2, 4, 7]]
        assert [load.label for load in r.loader.loads] == ["slot_1_1_1-1_0", "slot_1_1_2-7_0"]
        assert list(r.loader.loads[1].progress.safe_lsns) == [102, 104, 107]
        assert session.acks == [(1, 1, 1), (1, 1, 7)]
        assert r.loader.kinds == ["ensure", "load", "load"], "the target is brought in line once"
        lane = await r.lane_state(IDLE)
        assert (lane.pending_row_count, lane.pending_bytes, lane.table) == (0, 0, "public.t")


async def test_a_full_window_is_built_while_the_last_one_loads():
    async with ring(options(rows=2, age_s=60.0)) as r:
        release = asyncio.Event()

        async def hold(request):
            await release.wait()
            return LOADED

        r.loader.answer = hold
        session = await r.reader.session()
        for number in range(1, 8):
            session.rows(DOCS, insert(number, number), relation=number == 1)
        await wait_until(lambda: r.loader.loads)
        release.set()
        await session.acked(1, 1, 6)
        assert batch_ids(r.loader.loads) == [[1, 2], [3, 4], [5, 6]]
        assert (1, 1, 7) not in session.acks, "the seventh row waits for its window's age"
        assert (await r.lane()).pending_row_count == 1


async def test_parts_load_side_by_side_and_only_the_failed_one_again():
    async with ring() as r:
        together = asyncio.Barrier(2)
        attempts: list[str] = []

        async def both_then_one(request):
            attempts.append(request.label)
            if len(attempts) <= 2:
                await asyncio.wait_for(together.wait(), 5)
            return LOADED if request.partial_update or len(attempts) > 2 else load_pb2.VERDICT_RETRY

        r.loader.answer = both_then_one
        session = await r.reader.session()
        session.rows(DOCS, mixed(1), relation=True)
        await session.acked(1, 1, 1)
        assert sorted(attempts[:2]) == ["slot_1_1_1-1_0", "slot_1_1_1-1_1"]
        assert attempts[2:] == ["slot_1_1_1-1_0"]
        first, *_, again = (load for load in r.loader.loads if not load.partial_update)
        assert first == again, "the same request again, to the byte"
        partial = next(load for load in r.loader.loads if load.partial_update)
        assert (partial.progress.part, partial.progress.part_count) == (1, 2)
        assert list(partial.absent_columns) == ["body"]
        status = await r.status()
        assert (status.full_load_count, status.partial_load_count, status.partial_row_count) == (1, 1, 1)
        assert (status.row_count, status.loaded_row_count, status.folded_row_count) == (2, 2, 0)


@pytest.mark.parametrize(
    "trouble",
    [load_pb2.VERDICT_RETRY, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL],
)
async def test_retry_until_it_works_and_other_lanes_go_on(trouble):
    async with ring() as r:
        healthy = asyncio.Event()

        async def answer(request):
            return LOADED if healthy.is_set() or request.progress.lane == 2 else trouble

        r.loader.answer = answer
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        lane = await r.lane_state(RETRYING)
        assert "told so" in lane.message
        session.rows(DOCS, insert(2, 2), relation=True, lane=2)
        await session.acked(2, 1, 2)
        session.rows(DOCS, insert(3, 3))
        await wait_until(lambda: len(r.loader.loads) > 6, what="more attempts")
        assert [acked for acked in session.acks if acked[0] == 1] == []
        healthy.set()
        await session.acked(1, 1, 3)
        lane = await r.lane_state(IDLE)
        assert lane.message == ""
        of_first = [load for load in r.loader.loads if 1 in load.progress.batch_ids]
        assert all(load == of_first[0] for load in of_first)


@pytest.mark.parametrize(
    "trouble",
    [
        load_pb2.VERDICT_PARK,
        load_pb2.VERDICT_STOP,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ],
)
async def test_a_parked_lane_says_why_and_is_tried_again(trouble):
    async with ring() as r:
        healthy = asyncio.Event()

        async def answer(request):
            return LOADED if healthy.is_set() else trouble

        r.loader.answer = answer
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        lane = await r.lane_state(PARKED)
        assert "told so" in lane.message
        assert lane.pending_row_count == 1
        assert "public.t" in (await r.status()).status.last_error
        healthy.set()
        await session.acked(1, 1, 1)
        assert (await r.lane_state(IDLE)).message == ""


async def test_schema_barrier_in_mid_window():
    async with ring(options(age_s=60.0)) as r:
        session = await r.reader.session()
        session.barrier(SCHEMA, 1, DOCS)
        session.rows(DOCS, insert(2, 1))
        session.rows(DOCS, insert(3, 2))
        session.barrier(SCHEMA, 4, WIDER)
        session.rows(WIDER, EventBatch(5, (Event(INSERT, (b"3", b"c", b"m"), 105),)))
        session.barrier(TRUNCATE, 6, barrier_lsn=777)
        session.rows(WIDER, EventBatch(7, (Event(INSERT, (b"4", b"d", b"n"), 107),)))
        session.barrier(SCHEMA, 8, DOCS)
        await session.acked(1, 1, 8)
        assert r.loader.kinds == ["ensure", "load", "ensure", "load", "truncate", "load", "ensure"]
        assert batch_ids(r.loader.loads) == [[2, 3], [5], [7]]
        assert [b"more" in load.body for load in r.loader.loads] == [False, True, True]
        assert [len(request.relation.columns) for request in r.loader.of("ensure")] == [2, 3, 2]
        assert [list(request.progress.batch_ids) for request in r.loader.of("ensure")] == [[1], [4], [8]]
        (truncate,) = r.loader.of("truncate")
        assert (truncate.barrier_lsn, list(truncate.progress.batch_ids)) == (777, [6])
        assert truncate.progress.part_count == 1
        acked = [batch_id for _, _, batch_id in session.acks]
        assert acked == sorted(acked)
        assert set(acked) >= {8}


async def test_a_barrier_waits_for_the_rows_before_it_and_holds_those_behind():
    async with ring() as r:
        gates = {"load": asyncio.Event(), "ensure": asyncio.Event()}

        async def load(request):
            await gates["load"].wait()
            return LOADED

        async def schema(request):
            if list(request.progress.batch_ids) == [2]:
                await gates["ensure"].wait()
            return LOADED

        r.loader.answer, r.loader.answer_schema = load, schema
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        session.barrier(SCHEMA, 2, WIDER)
        session.rows(WIDER, EventBatch(3, (Event(INSERT, (b"3", b"c", b"m"), 105),)))
        await wait_until(lambda: r.loader.loads)
        assert r.loader.kinds == ["ensure", "load"]
        gates["load"].set()
        await wait_until(lambda: len(r.loader.of("ensure")) == 2)
        await session.acked(1, 1, 1)
        assert r.loader.kinds == ["ensure", "load", "ensure"]
        gates["ensure"].set()
        await session.acked(1, 1, 3)
        assert r.loader.kinds == ["ensure", "load", "ensure", "load"]


async def test_truncate_of_a_table_not_seen_yet_ensures_it_first():
    async with ring() as r:
        session = await r.reader.session()
        session.barrier(TRUNCATE, 1, DOCS, barrier_lsn=5)
        await session.acked(1, 1, 1)
        assert r.loader.kinds == ["ensure", "truncate"]
        assert not r.loader.of("ensure")[0].HasField("progress")


async def test_heartbeats_go_round_without_a_table():
    async with ring(options(age_s=60.0)) as r:
        session = await r.reader.session()
        session.barrier(HEARTBEAT, 1, lane=0, safe_lsn=4711)
        await session.acked(0, 1, 1)
        (beat,) = r.loader.loads
        assert (beat.row_count, beat.body, beat.table) == (0, b"", "")
        assert list(beat.progress.safe_lsns) == [4711]
        assert r.loader.kinds == ["load"]


@pytest.mark.parametrize(
    ("mode", "told", "column"), [("auto", True, 1), ("auto", False, 0), ("on", False, 1), ("off", True, 0)]
)
async def test_version_guard_follows_the_setting_and_the_target(mode, told, column):
    async with ring(options(version_guard=mode)) as r:
        r.loader.version_guard = told
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        await session.acked(1, 1, 1)
        assert r.loader.loads[0].version_column == ("", "dbmazz_cdc_version")[column]


async def test_a_target_that_lacks_a_column_parks_the_lane_until_it_has_it():
    async with ring() as r:
        r.loader.hidden_columns = {"body"}
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        lane = await r.lane_state(PARKED)
        assert "lacks columns: body" in lane.message
        assert r.loader.loads == []
        r.loader.hidden_columns = set()
        await session.acked(1, 1, 1)


async def test_a_malformed_batch_parks_its_lane_only_and_loads_what_came_before():
    async with ring(options(age_s=60.0)) as r:
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        broken = change_pb2.ChangeBatch(epoch=1, lane=1, generation=1, batch_id=2, kind=change_pb2.BATCH_KIND_ROWS)
        broken.row_count = 3
        session.send(broken)
        session.rows(DOCS, insert(3, 3))
        session.barrier(SCHEMA, 4, DOCS, lane=2)
        await session.acked(2, 1, 4)
        await session.acked(1, 1, 1)
        lane = await r.lane_state(PARKED)
        assert "ops is 0, expected 3" in lane.message
        assert batch_ids(r.loader.loads) == [[1]]


async def test_a_value_that_is_not_of_its_type_parks_its_lane_only():
    flags = relation(("id", INT4), ("flag", 16), name="flags")
    async with ring() as r:
        session = await r.reader.session()
        session.rows(flags, EventBatch(1, (Event(INSERT, (b"1", b"s3cret"), 1),)), relation=True)
        lane = await r.lane_state(PARKED)
        assert "column flag" in lane.message
        assert "s3cret" not in lane.message
        session.rows(DOCS, insert(2, 2), relation=True, lane=2)
        await session.acked(2, 1, 2)


async def test_a_64_mb_row_passes():
    async with ring(drain_s=5.0) as r:
        session = await r.reader.session()
        body = b"y" * (64 << 20)
        session.rows(DOCS, EventBatch(1, (Event(INSERT, (b"1", body), 1),)), relation=True)
        await session.acked(1, 1, 1)
        (load,) = r.loader.loads
        assert body in load.body
