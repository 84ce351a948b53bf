"""What Prometheus sees of a transformer: scraped from one that serves in this process."""

from dbmazz.v1 import change_pb2, load_pb2

from tests.fixtures.ring import free_port
from tests.fixtures.scraping import scrape
from tests.fixtures.waiting import wait_until
from tests.unit.transformer.test_transformer_lane import DOCS, WIDER, insert, mixed
from tests.unit.transformer.transformer_peers import LOADED, ring
from tests.unit.transformer.transformer_world import ABSENT, UPDATE, Event, EventBatch


async def test_rows_loads_and_signatures_by_table():
    port = free_port()
    async with ring(metrics_port=port) as r:
        empty = await scrape(port)
        assert empty("dbmazz_epoch") in (0, 1)
        assert empty.of("dbmazz_rows_total") == {}
        session = await r.reader.session()
        session.rows(DOCS, mixed(1), relation=True)
        await session.acked(1, 1, 1)
        # The same key twice in one batch: one of them is folded.
        twice = (Event(UPDATE, (b"7", b"row-value"), 110), Event(UPDATE, (b"7", ABSENT), 110))
        session.rows(DOCS, EventBatch(2, twice))
        await session.acked(1, 1, 2)
        sparse = Event(UPDATE, (b"1", ABSENT, ABSENT), 120)
        session.rows(WIDER, EventBatch(3, (sparse,)), relation=True)
        await session.acked(1, 1, 3)
        session.barrier(change_pb2.BATCH_KIND_HEARTBEAT, 4, lane=0)
        await session.acked(0, 1, 4)
        seen = await scrape(port)
        bodies = sum(len(load.body) for load in r.loader.loads)
    seen.assert_declared("transformer")
    assert seen("dbmazz_service_state", state="running") == 1
    assert seen("dbmazz_received_rows_total") == 5
    assert seen.of("dbmazz_rows_total") == {("folded", "t"): 1, ("delivered", "t"): 4}
    assert seen.of("dbmazz_bytes_total") == {("delivered", "t"): bodies}
    assert seen.of("dbmazz_signature_rows_total") == {("t", "0"): 2, ("t", "1"): 1, ("t", "2"): 1}
    assert seen.of("dbmazz_signature_loads_total") == {("t", "0"): 2, ("t", "1"): 1, ("t", "2"): 1}
    assert seen.of("dbmazz_absent_values_total") == {("t", "insert"): 0, ("t", "update"): 3, ("t", "delete"): 0}
    assert seen.of("dbmazz_policy_values_total") == {("t",): 0}
    assert seen("dbmazz_lanes", state="idle") == 2
    assert seen("dbmazz_pending_rows") == seen("dbmazz_pending_bytes") == seen("dbmazz_pending_batches") == 0
    assert seen("dbmazz_step_duration_seconds_count") >= 4
    assert "row-value" not in seen.text
    assert '"body"' not in seen.text, "no column names"


async def test_a_lane_that_is_parked_and_what_waits_behind_it():
    port = free_port()
    async with ring(metrics_port=port) as r:
        refused = True

        async def answer(request):
            return load_pb2.VERDICT_PARK if refused else LOADED

        r.loader.answer = answer
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        session.rows(DOCS, insert(2, 2))

        async def parked():
            seen = await scrape(port)
            return seen if seen("dbmazz_lanes", state="parked") == 1 and seen("dbmazz_pending_rows") == 2 else None

        seen = await wait_until(parked)
        assert seen("dbmazz_pending_batches") == 2
        assert seen("dbmazz_pending_bytes") > 0
        assert seen.of("dbmazz_rows_total").get(("delivered", "t")) in (None, 0)
        refused = False
        await session.acked(1, 1, 2)
        assert (await scrape(port)).of("dbmazz_rows_total")["delivered", "t"] == 2
