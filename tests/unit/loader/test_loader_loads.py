"""Load against an FE and a BE of bytes: what goes over the wire, and what each answer leads to."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time

import grpc
import lz4.frame
import pytest
import zstandard
from dbmazz.v1 import load_pb2, loader_pb2
from dbmazz_loader.starrocks.stream_load import CONNECTIONS, seen_from
from yarl import URL

from tests.fixtures.waiting import wait_until
from tests.unit.loader.byte_peers import Answer, BytePeer, ByteStarRocks, answer_json, failure, state, success
from tests.unit.loader.conftest import QUICK, load_request

LOADED, RETRY, PARK, STOP, FENCED = (
    load_pb2.VERDICT_LOADED, load_pb2.VERDICT_RETRY, load_pb2.VERDICT_PARK, load_pb2.VERDICT_STOP, load_pb2.VERDICT_FENCED,
)  # fmt: skip
AUTH = "Basic " + base64.b64encode("root:pässword".encode()).decode()


async def status_of(loader) -> loader_pb2.LoaderServiceGetStatusResponse:
    return await loader.stub.GetStatus(loader_pb2.LoaderServiceGetStatusRequest(), timeout=5)


async def test_sends_head_to_frontend_and_body_to_backend(starrocks, checkpoint, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url, sink_password="pässword")
    request = load_request(partial_update=True, version_column="dbmazz_cdc_version")
    response = await loader.stub.Load(request, timeout=10)
    assert (response.verdict, response.loaded_row_count, response.message) == (LOADED, 2, "")
    assert response.body_bytes == len(request.body)

    located = next(r for r in starrocks.frontend.received if r.method == "PUT")
    assert located.target == "/api/dbmazz/orders/_stream_load"
    assert located.headers["expect"] == "100-continue"
    assert located.headers["authorization"] == AUTH
    assert located.headers["content-length"] == "0"
    # FE takes 32 KB of headers: what grows with the table stays away from it.
    assert not {"columns", "transfer-encoding"} & set(located.headers)

    (sent,) = starrocks.sends
    assert sent.body == request.body
    assert {name: value for name, value in sent.headers.items() if name != "host"} == {
        "expect": "100-continue",
        "label": "s_1_1_1-1_0",
        "format": "json",
        "strict_mode": "true",
        "max_filter_ratio": "0",
        "ignore_json_size": "true",
        "timezone": "UTC",
        "timeout": "600",
        "columns": "`id`,`note`,`dbmazz_cdc_version`",
        "partial_update": "true",
        "partial_update_mode": "row",
        "merge_condition": "dbmazz_cdc_version",
        "authorization": AUTH,
        "content-length": str(len(request.body)),
    }
    (report,) = checkpoint.reports
    assert report.progress == request.progress
    assert (report.loaded_row_count, report.table) == (2, "orders")


async def test_keeps_the_backends_connection(starrocks, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    for part in range(3):
        assert (await loader.stub.Load(load_request(f"l-{part}"), timeout=10)).verdict == LOADED
    assert len(starrocks.sends) == 3
    assert starrocks.backend.connections == 1


async def test_header_errors_come_before_the_body(starrocks, start_loader):
    starrocks.loads = [failure("Column has no default value. column: note", early=True), success()]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == PARK
    assert "Column has no default value" in response.message
    assert starrocks.sends[0].body == b""
    # The connection, on which a body was announced and never sent, is not used again.
    assert (await loader.stub.Load(load_request("l-2"), timeout=10)).verdict == LOADED
    assert starrocks.sends[1].body == load_request().body
    assert starrocks.backend.connections == 2


async def test_lost_answer_after_commit_is_asked_for_and_not_sent_again(starrocks, checkpoint, start_loader):
    starrocks.loads = [Answer(lost=True)]
    starrocks.states = [state("PREPARE"), state("COMMITTED"), state("VISIBLE")]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert (response.verdict, response.loaded_row_count) == (LOADED, 2)
    assert len(starrocks.sends) == 1
    assert starrocks.asks == ["s_1_1_1-1_0"] * 3
    assert len(checkpoint.reports) == 1


async def test_lost_answer_on_a_kept_connection_is_not_sent_again_by_the_http_client(starrocks, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    starrocks.loads = [success(), Answer(lost=True), success()]
    starrocks.states = [state("VISIBLE")]
    await loader.stub.Load(load_request("l-1"), timeout=10)
    assert (await loader.stub.Load(load_request("l-2"), timeout=10)).verdict == LOADED
    assert [sent.label for sent in starrocks.sends] == ["l-1", "l-2"]
    assert starrocks.backend.connections == 1


async def test_lost_request_is_sent_again_once_its_label_is_free(starrocks, start_loader):
    starrocks.loads = [Answer(lost=True), success()]
    starrocks.states = [state("PREPARE"), state("ABORTED")]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    assert (await loader.stub.Load(load_request(), timeout=10)).verdict == LOADED
    assert [sent.label for sent in starrocks.sends] == ["s_1_1_1-1_0"] * 2
    (record,) = (await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(), timeout=5)).loads
    assert (record.attempt_count, record.status) == (2, "Success")


async def test_label_of_a_finished_load_is_success(starrocks, checkpoint, start_loader):
    starrocks.loads = [
        answer_json(
            Status="Label Already Exists", ExistingJobStatus="FINISHED", Message="Label [x] has already been used."
        )
    ]
    starrocks.states = [state("VISIBLE")]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert (response.verdict, response.loaded_row_count) == (LOADED, 2)
    assert len(starrocks.sends) == 1
    assert (await status_of(loader)).rows_unaccounted == 0


async def test_label_of_a_running_load_is_waited_for(starrocks, start_loader):
    starrocks.loads = [
        answer_json(Status="Label Already Exists", ExistingJobStatus="RUNNING", Message="used"),
        success(),
    ]
    starrocks.states = [state("PREPARE"), state("PREPARED"), state("ABORTED")]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    assert (await loader.stub.Load(load_request(), timeout=10)).verdict == LOADED
    assert len(starrocks.sends) == 2
    assert len(starrocks.asks) == 3


async def test_publish_timeout_is_reported_only_once_visible(starrocks, checkpoint, start_loader):
    visible = asyncio.Event()
    starrocks.loads = [answer_json(Status="Publish Timeout", Message="Publish timeout. ...", NumberLoadedRows=2)]
    starrocks.states = [state("COMMITTED"), state("COMMITTED"), Answer(wait=visible, body=state("VISIBLE").body)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    call = loader.stub.Load(load_request(), timeout=10)
    await wait_until(lambda: len(starrocks.asks) == 3, what="three questions")
    assert checkpoint.reports == []
    visible.set()
    assert (await call).verdict == LOADED
    assert (len(starrocks.sends), len(checkpoint.reports)) == (1, 1)


async def test_backend_5xx_leaves_the_outcome_open(starrocks, start_loader):
    starrocks.loads = [Answer(503, b"overloaded"), success()]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    assert (await loader.stub.Load(load_request(), timeout=10)).verdict == LOADED
    assert starrocks.asks == ["s_1_1_1-1_0"]
    assert len(starrocks.sends) == 2


async def test_frontend_5xx_is_retried_without_asking(starrocks, start_loader):
    starrocks.frontend_answer = Answer(503, b"starting")
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == RETRY
    assert "HTTP 503" in response.message
    assert starrocks.asks == []
    assert starrocks.sends == []


async def test_frontend_that_is_down_costs_one_call(starrocks, start_loader):
    async with BytePeer(lambda request: Answer(503)) as broken:
        gone = broken.url
        async with BytePeer(lambda request: Answer()) as closing:
            down = closing.url
        loader = await start_loader(sink_url=f"{down},{gone},{starrocks.frontend.url}")
        assert (await loader.stub.Load(load_request("l-1"), timeout=10)).verdict == LOADED
        met = len(broken.received)
        assert (await loader.stub.Load(load_request("l-2"), timeout=10)).verdict == LOADED
        assert len([r for r in broken.received[met:] if r.method == "PUT"]) == 0


async def test_wrong_password_stops_and_says_so(starrocks, start_loader, capsys):
    refused = Answer(401, b'{"status":"FAILED","msg":"Access denied for root@127.0.0.1"}')
    starrocks.frontend_answer = refused
    starrocks.frontend.script = lambda request: refused
    loader = await start_loader(sink_url=starrocks.frontend.url, sink_password="sesame")
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == STOP
    assert "SINK_USER and SINK_PASSWORD" in response.message
    status = (await status_of(loader)).status
    assert "SINK_PASSWORD" in status.last_error
    assert status.config["SINK_PASSWORD"] == "***"
    assert len(starrocks.frontend.received) >= 2
    out = "".join(capsys.readouterr())
    warnings = [line for line in out.splitlines() if "warning" in line]
    assert len(warnings) == 1  # one line per change, however often it is met
    assert "SINK_USER and SINK_PASSWORD" in warnings[0]
    assert "sesame" not in out


async def test_authorization_goes_to_frontend_and_backend_only(starrocks, start_loader):
    async with BytePeer(
        lambda request: Answer(body=b"Error: NULL value in non-nullable column 'note'. Row: {}")
    ) as log:
        url = f"{log.url}/api/_load_error_log?file=error_log_1"
        starrocks.loads = [failure("too many filtered rows", ErrorURL=url)]
        loader = await start_loader(sink_url=starrocks.frontend.url)
        await loader.stub.Load(load_request(), timeout=10)
        assert "authorization" in starrocks.sends[0].headers
        assert "authorization" not in log.received[0].headers


async def test_filtered_rows_park_with_the_reason_and_without_the_values(starrocks, start_loader, capsys):
    secret = "hunter2"
    starrocks.error_log = (
        f"Error: Value '{secret}' is out of range. The type of 'note' is DECIMAL128(10,2). Row: {{\"note\":\"{secret}\"}}\n"
        f"Error: Value 'it's {secret}' is out of range. The type of 'note' is DECIMAL128(10,2). Row: [1, {secret}]\n"
        f"Error: {secret} something new. Row: {secret}\n"
    ).encode()
    url = f"{starrocks.backend.url}/api/_load_error_log?file=error_log_a_b"
    starrocks.loads = [failure("too many filtered rows", NumberFilteredRows=3, ErrorURL=url)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == PARK
    assert "2 × column note: value is out of range for DECIMAL128(10,2)" in response.message
    assert url in response.message
    assert len(starrocks.sends) == 1
    records = await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(), timeout=5)
    assert secret not in response.message + str(records) + str(await status_of(loader)) + "".join(capsys.readouterr())


async def test_fenced_report(starrocks, checkpoint, start_loader):
    checkpoint.fenced = True
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == FENCED
    assert [(c.verdict, c.count) for c in (await status_of(loader)).verdicts] == [(FENCED, 1)]


async def test_report_is_repeated_until_the_checkpoint_is_back(starrocks, checkpoint, start_loader):
    checkpoint.away = 3
    loader = await start_loader(sink_url=starrocks.frontend.url)
    assert (await loader.stub.Load(load_request(), timeout=10)).verdict == LOADED
    assert len(starrocks.sends) == 1
    assert len(checkpoint.reports) == 1


async def test_checkpoint_that_stays_away_is_retry(starrocks, checkpoint, start_loader, monkeypatch):
    monkeypatch.setattr("dbmazz_loader.reporting.PATIENCE_S", 0.3)
    checkpoint.away = 1000
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=1.0)
    assert response.verdict == RETRY
    assert "checkpoint" in response.message
    assert "checkpoint" in (await status_of(loader)).status.last_error


async def test_heartbeat_is_reported_and_not_loaded(starrocks, checkpoint, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    request = load_pb2.LoadRequest(progress=load_request().progress)
    assert (await loader.stub.Load(request, timeout=10)).verdict == LOADED
    assert starrocks.sends == []
    assert checkpoint.reports[0].loaded_row_count == 0


async def test_second_call_with_the_label_joins_the_first(starrocks, checkpoint, start_loader):
    go = asyncio.Event()
    starrocks.loads = [Answer(wait=go, body=success().body)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    first = loader.stub.Load(load_request(), timeout=10)
    await wait_until(lambda: starrocks.sends, what="the first send")
    second = loader.stub.Load(load_request(), timeout=10)
    status = await status_of(loader)
    go.set()
    assert [(await first).verdict, (await second).verdict] == [LOADED, LOADED]
    assert status.running_load_count == 1
    assert status.running_load_limit == CONNECTIONS
    assert (len(starrocks.sends), len(checkpoint.reports)) == (1, 1)


async def test_load_survives_a_caller_that_hangs_up(starrocks, checkpoint, start_loader):
    go = asyncio.Event()
    starrocks.loads = [Answer(wait=go, body=success().body)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    call = loader.stub.Load(load_request(), timeout=10)
    await wait_until(lambda: starrocks.sends and starrocks.sends[0].body, what="the body")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()
    await wait_until(lambda: checkpoint.reports, what="the report")
    assert len(starrocks.sends) == 1


async def test_nothing_new_is_sent_for_a_caller_that_hung_up(starrocks, checkpoint, start_loader):
    go = asyncio.Event()
    starrocks.loads = [Answer(wait=go, body=failure("timeout").body), success()]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    call = loader.stub.Load(load_request(), timeout=10)
    await wait_until(lambda: starrocks.sends and starrocks.sends[0].body, what="the body")
    call.cancel()
    await asyncio.wait([asyncio.ensure_future(call.code())])

    async def nobody_waits() -> bool:
        return (await status_of(loader)).running_load_count == 1

    await wait_until(nobody_waits)
    go.set()

    async def ended() -> bool:
        return (await status_of(loader)).running_load_count == 0

    await wait_until(ended, what="the load's end")
    assert len(starrocks.sends) == 1
    assert checkpoint.reports == []


async def test_transient_failures_are_retried_here_and_then_handed_back(starrocks, start_loader):
    starrocks.loads = [failure("rpc timeout")]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == RETRY
    assert "rpc timeout" in response.message
    assert len(starrocks.sends) == QUICK.sends
    assert starrocks.asks == []  # Fail says that nothing was applied


async def test_a_caller_hears_in_time_that_it_did_not_work(starrocks, start_loader):
    starrocks.loads = [failure("Failed to load data into tablet 1, because of too many versions")]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=2.0)
    assert response.verdict == RETRY
    assert "FLUSH_INTERVAL_MS" in response.message
    assert len(starrocks.sends) == 1


async def test_backend_that_cannot_be_reached_is_named(starrocks, start_loader):
    async with BytePeer(lambda request: Answer()) as closing:
        gone = closing.url
    starrocks.frontend_answer = Answer(307, headers={"Location": f"{gone}/api/dbmazz/orders/_stream_load"})
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == RETRY
    assert f"the backend {gone.removeprefix('http://')}, which the FE named, cannot be reached" in response.message
    assert starrocks.asks == []  # nothing was sent
    # Probes of the FE do not hide it, and do not make the loader unready either.
    assert gone.removeprefix("http://") in (await status_of(loader)).status.last_error


@pytest.mark.parametrize(
    ("frontend", "backend", "seen"),
    [
        # A cluster in one container calls itself 127.0.0.1.
        ("http://starrocks:8030", "http://127.0.0.1:8040/a?b=%20", "http://starrocks:8040/a?b=%20"),
        ("http://10.0.0.5:8030", "http://localhost:8040/a", "http://10.0.0.5:8040/a"),
        ("http://[fd00::5]:8030", "http://[::1]:8040/a", "http://[fd00::5]:8040/a"),
        ("http://127.0.0.1:8030", "http://127.0.0.1:8040/a", "http://127.0.0.1:8040/a"),
        ("http://localhost:8030", "http://127.0.0.1:8040/a", "http://127.0.0.1:8040/a"),
        ("http://starrocks:8030", "http://10.0.0.7:8040/a", "http://10.0.0.7:8040/a"),
    ],
)
def test_a_backend_on_loopback_is_on_the_machine_of_its_frontend(frontend: str, backend: str, seen: str):
    assert str(seen_from(URL(frontend), URL(backend, encoded=True))) == seen


@pytest.mark.parametrize("location", ["", "ftp://x/y", "http://h:notaport/"])
async def test_redirect_to_nowhere_stops(starrocks, start_loader, location):
    starrocks.frontend_answer = Answer(307, headers={"Location": location})
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == STOP
    assert "SINK_URL" in response.message


async def test_frontend_that_is_no_starrocks_stops(starrocks, start_loader):
    starrocks.frontend.script = lambda request: Answer(body=b"<html>Welcome</html>")
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == STOP
    assert "It must be the HTTP port of a StarRocks FE" in response.message


async def test_report_that_the_checkpoint_refuses_is_handed_back(starrocks, checkpoint, start_loader):
    checkpoint.refuses = True
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert response.verdict == RETRY
    assert "INVALID_ARGUMENT" in response.message


async def test_rows_that_starrocks_did_not_count_are_unaccounted(starrocks, start_loader):
    starrocks.loads = [success(rows=1)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    response = await loader.stub.Load(load_request(), timeout=10)
    assert (response.verdict, response.loaded_row_count) == (LOADED, 1)
    status = await status_of(loader)
    assert (status.row_count, status.loaded_row_count, status.rows_unaccounted) == (2, 1, 1)


async def test_counters_latency_and_records(starrocks, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    now_us = time.time_ns() // 1000
    runs = [load_pb2.CommitRun(commit_time_us=now_us - 2_000_000, row_count=2)]
    request = load_request("l-1", partial_update=True, commit_runs=runs, absent_columns=["body"])
    await loader.stub.Load(request, timeout=10)
    await loader.stub.Load(load_request("l-2", table="other"), timeout=10)
    status = await status_of(loader)
    assert [(c.verdict, c.count) for c in status.verdicts] == [(LOADED, 2)]
    assert (status.partial_load_count, status.partial_row_count) == (1, 2)
    assert status.body_bytes == 2 * len(request.body)
    assert sum(status.commit_to_visible.count) == 2
    assert 2000 <= status.commit_to_visible.max_ms < 10_000
    listed = (await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(), timeout=5)).loads
    assert [record.label for record in listed] == ["l-2", "l-1"]
    listed = (await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(table="orders", page_size=5), timeout=5)).loads
    assert [(record.label, record.partial_update) for record in listed] == [("l-1", True)]
    assert list(listed[0].absent_columns) == ["body"]
    for wish, labels in (
        ({"table": "public.orders"}, ["l-1"]),
        ({"only_partial": True}, ["l-1"]),
        ({"only_failed": True}, []),
        ({"page_size": 1}, ["l-2"]),
    ):
        listed = (await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(**wish), timeout=5)).loads
        assert [record.label for record in listed] == labels, wish


@pytest.mark.parametrize(
    ("wish", "code", "words"),
    [
        ({"table": "sales.orders"}, "NOT_FOUND", "no table 'sales.orders' here. Did you mean orders? Known: orders. "),
        ({"table": "order"}, "NOT_FOUND", "ask the other loaders, too"),
        ({"page_size": -1}, "INVALID_ARGUMENT", "page_size is -1. It takes 1 or more"),
    ],
)
async def test_lists_of_loads_refuse_what_is_not_there(starrocks, start_loader, wish, code, words):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    await loader.stub.Load(load_request("l-1"), timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(**wish), timeout=5)
    assert caught.value.code().name == code
    assert words in caught.value.details()


async def test_the_loads_of_a_table_in_another_schema_are_found_by_its_name_at_the_source(starrocks, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    await loader.stub.Load(load_request("l-1", table="sales__orders"), timeout=10)
    listed = (await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(table="sales.orders"), timeout=5)).loads
    assert [record.table for record in listed] == ["sales__orders"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "a b"}, "label"),
        ({"label": "x" * 129}, "label"),
        ({"columns": ["`a`\r\nstrict_mode: false"]}, "control character"),
        ({"columns": []}, "columns"),
        ({"table": ""}, "table"),
        ({"body": b""}, "body"),
        ({"progress": load_pb2.LoadProgress()}, "progress"),
    ],
)
async def test_malformed_loads_are_refused(starrocks, start_loader, changes, words):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await loader.stub.Load(load_request(**changes), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in caught.value.details()
    assert starrocks.sends == []


async def test_large_body_arrives_whole(starrocks: ByteStarRocks, start_loader):
    starrocks.loads = [success(rows=1)]
    loader = await start_loader(sink_url=starrocks.frontend.url)
    body = b'{"id":1,"note":"' + b"x" * (24 << 20) + b'"}\n'
    channel = grpc.aio.insecure_channel(loader.address, options=[("grpc.max_send_message_length", -1)])
    load = channel.unary_unary(
        "/dbmazz.v1.LoaderService/Load",
        request_serializer=load_pb2.LoadRequest.SerializeToString,
        response_deserializer=load_pb2.LoadResponse.FromString,
    )
    assert (await load(load_request(body=body, row_count=1), timeout=20)).verdict == LOADED
    assert starrocks.sends[0].body == body
    await channel.close()


@pytest.mark.parametrize(
    ("name", "header", "restored"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("lz4", "lz4_frame", lz4.frame.decompress),
        ("zstd", "zstd", lambda body: zstandard.ZstdDecompressor().decompress(body)),
    ],
)
async def test_compressed_body_at_each_attempt(starrocks, start_loader, name, header, restored):
    starrocks.loads = [Answer(503, b"overloaded"), success(rows=100)]
    loader = await start_loader(sink_url=starrocks.frontend.url, load_compression=name)
    request = load_request(body=b'{"id":1,"note":"aaaaaaaaaaaaaaaa"}\n' * 100, row_count=100)
    response = await loader.stub.Load(request, timeout=10)
    assert (response.verdict, response.body_bytes) == (LOADED, len(request.body))
    assert len(starrocks.sends) == 2
    for sent in starrocks.sends:
        assert (restored(sent.body), sent.headers["compression"]) == (request.body, header)
        assert int(sent.headers["content-length"]) == len(sent.body) < len(request.body) / 5


async def test_a_load_under_way_tells_what_its_last_attempt_met(starrocks, start_loader):
    loader = await start_loader(sink_url=starrocks.frontend.url)
    release = asyncio.Event()
    held = success()
    held.wait = release
    starrocks.loads = [failure("rpc timeout"), held]
    call = loader.stub.Load(load_request("l-1", partial_update=True, absent_columns=["body"]), timeout=20)

    async def running(**wish) -> list[loader_pb2.LoadRecord]:
        answer = await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(**wish), timeout=5)
        assert not answer.loads
        return list(answer.running)

    async def second_attempt() -> bool:
        return [record.attempt_count for record in await running()] == [2]

    await wait_until(second_attempt, what="the second attempt")
    for wish in ({"table": "public.orders"}, {"only_partial": True}, {"only_failed": True}):
        (record,) = await running(**wish)
        assert (record.label, record.verdict, list(record.absent_columns)) == ("l-1", 0, ["body"])
        assert "rpc timeout" in record.message and not record.HasField("end_time")
    release.set()
    assert (await call).verdict == LOADED
    answer = await loader.stub.ListLoads(loader_pb2.ListLoadsRequest(), timeout=5)
    assert ([record.message for record in answer.loads], len(answer.running)) == ([""], 0)
