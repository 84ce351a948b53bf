"""What Prometheus sees of a loader: scraped from one that serves in this process."""

from __future__ import annotations

import time

from dbmazz.v1 import load_pb2

from tests.fixtures.ring import free_port
from tests.fixtures.scraping import scrape
from tests.unit.loader.byte_peers import Answer, failure, success
from tests.unit.loader.conftest import load_progress, load_request

SECRET = "row-value-4711"


async def test_loads_by_table_and_verdict(starrocks, checkpoint, start_loader):
    port = free_port()
    loader = await start_loader(sink_url=starrocks.frontend.url, metrics_port=port)
    now_us = int(time.time() * 1e6)
    runs = [load_pb2.CommitRun(commit_time_us=now_us - 3_000_000, row_count=2)]
    first = load_request(commit_runs=runs)
    partial = load_request("s_1_1_2-2_0", partial_update=True)
    await loader.stub.Load(first, timeout=10)
    await loader.stub.Load(partial, timeout=10)
    # Two attempts: the first answer says that there is no room now.
    answers = iter([Answer(status=503, body=b"busy"), success()])
    starrocks.backend.script = lambda request: next(answers)
    await loader.stub.Load(load_request("s_1_2_3-3_0", table="items"), timeout=10)
    starrocks.backend.script = lambda request: failure(f"too many filtered rows {SECRET}")
    parked = await loader.stub.Load(load_request("s_1_1_4-4_0", body=SECRET.encode()), timeout=10)
    assert parked.verdict == load_pb2.VERDICT_PARK
    await loader.stub.Load(load_pb2.LoadRequest(progress=load_progress()), timeout=10)

    seen = await scrape(port)
    seen.assert_declared("loader")
    assert seen.of("dbmazz_loads_total") == {("orders", "loaded"): 2, ("orders", "park"): 1, ("items", "loaded"): 1}
    assert {key: count for key, count in seen.of("dbmazz_reports_total").items() if count} == {("loaded",): 1}
    assert seen.of("dbmazz_load_attempts_total") == {("orders",): 3, ("items",): 2}
    assert seen.of("dbmazz_rows_total") == {
        ("sent", "orders"): 4, ("loaded", "orders"): 4, ("sent", "items"): 2, ("loaded", "items"): 2,
    }  # fmt: skip
    bodies = len(first.body) + len(partial.body)
    assert seen.of("dbmazz_bytes_total") == {("loaded", "orders"): bodies, ("loaded", "items"): len(first.body)}
    assert seen.of("dbmazz_partial_loads_total") == {("orders",): 1, ("items",): 0}
    assert seen.of("dbmazz_partial_rows_total") == {("orders",): 2, ("items",): 0}
    assert seen("dbmazz_rows_unaccounted") == 0
    assert seen("dbmazz_load_duration_seconds_count") == 4
    assert seen("dbmazz_commit_to_visible_seconds_count") == 2
    assert 6 <= seen("dbmazz_commit_to_visible_seconds_sum") < 40
    assert seen("dbmazz_running_loads") == 0
    assert seen("dbmazz_peer_up", peer="frontend") == 1
    assert seen("dbmazz_peer_up", peer="mysql_port") == 0, "nothing listens there"
    assert SECRET not in seen.text
    assert "`id`" not in seen.text


async def test_rows_that_the_target_did_not_count_are_told(starrocks, checkpoint, start_loader):
    port = free_port()
    loader = await start_loader(sink_url=starrocks.frontend.url, metrics_port=port)
    starrocks.backend.script = lambda request: success(rows=1)
    await loader.stub.Load(load_request(), timeout=10)
    seen = await scrape(port)
    assert seen("dbmazz_rows_unaccounted") == 1
    assert seen.of("dbmazz_rows_total") == {("sent", "orders"): 2, ("loaded", "orders"): 1}
