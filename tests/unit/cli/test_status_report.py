"""What `dbmazz status` makes of the services' answers."""

from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import checkpoint_pb2, loader_pb2, reader_pb2, transformer_pb2, types_pb2
from dbmazz_cli import status_report
from dbmazz_cli.inquiry import Answer, totals

NOW_S = 1_795_175_003.5


def common(service: str, state: int = types_pb2.SERVICE_STATE_RUNNING, error: str = "") -> types_pb2.ServiceStatus:
    made = types_pb2.ServiceStatus(
        service=service, replica="host-7", version="0.1.0", state=state, last_error=error, rss_bytes=5_000_000_000
    )
    made.start_time.FromSeconds(round(NOW_S) - 7500)
    made.cpu_time.FromMilliseconds(61_500)
    return made


def loader(lags: list[float], **counters: int) -> Answer:
    latency = LatencyHistogram()
    for lag in lags:
        latency.record(lag)
    status = loader_pb2.LoaderServiceGetStatusResponse(
        status=common("loader"), commit_to_visible=latency.to_proto(), **counters
    )
    return Answer("loader", "127.0.0.1:3", status)


def ring() -> list[Answer]:
    slot = reader_pb2.SlotStatus(wal_status="extended", retained_wal_bytes=2_500_000, restart_lsn="0/1")
    reader = reader_pb2.ReaderServiceGetStatusResponse(
        status=common("reader"),
        slot="s",
        confirmed_lsn="0/10",
        server_lsn="0/20",
        lag_bytes=16,
        warnings=["w"],
        slot_status=slot,
    )
    table = reader_pb2.ReplicatedTable(
        name="public.t",
        target_table="t",
        state=reader_pb2.TABLE_STATE_STREAMING_WITHOUT_SNAPSHOT,
        lane=1,
        warning="old rows",
    )
    lane = transformer_pb2.LaneStatus(
        lane=1,
        table="public.t",
        state=transformer_pb2.LANE_STATE_PARKED,
        message="StarRocks refuses",
        pending_row_count=3,
    )
    signature = transformer_pb2.SignatureCount(table="t", absent_columns=["body"], load_count=2, row_count=9)
    return [
        Answer("reader", "127.0.0.1:1", reader, reader_pb2.ListTablesResponse(tables=[table])),
        Answer(
            "transformer",
            "127.0.0.1:2",
            transformer_pb2.TransformerServiceGetStatusResponse(status=common("transformer"), lanes=[lane]),
            transformer_pb2.ListSignaturesResponse(signatures=[signature]),
        ),
        loader([10.0] * 99 + [1000.0], loaded_row_count=100, partial_row_count=9),
        loader([20.0], loaded_row_count=1, rows_unaccounted=1),
        Answer(
            "checkpoint",
            "127.0.0.1:4",
            checkpoint_pb2.CheckpointServiceGetStatusResponse(status=common("checkpoint"), store="sqlite"),
        ),
    ]


def test_totals_are_over_all_replicas() -> None:
    sums = totals(ring())
    assert (sums["loaded_rows"], sums["partial_updates"], sums["rows_unaccounted"]) == (101, 9, 1)
    assert 10 <= sums["lag_ms"]["p50"] <= 11
    assert sums["lag_ms"]["max"] == 1000.0
    assert totals([])["lag_ms"] == {"p50": 0.0, "p99": 0.0, "max": 0.0}


def test_people_read_what_matters() -> None:
    text = "\n".join(status_report.lines(ring(), NOW_S))
    assert not status_report.healthy(ring()), "a table is parked"
    for words in (
        "warning: w",
        "slot health: extended, 2.5 MB of WAL kept from 0/1",
        "public.t -> t: streaming without snapshot, lane 1",
        "warning: old rows",
        "lane 1 public.t: parked, 3 rows wait: StarRocks refuses",
        "t without body: 2 loads, 9 rows",
        "rows unaccounted: 1",
        "host-7, version 0.1.0, up 2 h 5 min, CPU time 61 s, memory 5.0 GB",
        "commit to visible: p50 11 ms, p99 ",
        "max 1.00 s",
    ):
        assert words in text
    assert "is down" not in text


def test_what_is_down_or_has_given_up_is_said() -> None:
    stopped = reader_pb2.ReaderServiceGetStatusResponse(
        status=common("reader", types_pb2.SERVICE_STATE_STOPPED, "the slot is lost")
    )
    answers = [Answer("reader", "127.0.0.1:1", stopped), Answer("loader", "127.0.0.1:3", error="no answer within 2 s")]
    assert not status_report.healthy(answers)
    text = status_report.lines(answers, NOW_S)
    assert "the reader at 127.0.0.1:1 is down: the slot is lost" in text
    assert "the loader at 127.0.0.1:3 is down: no answer within 2 s" in text


def test_the_document_has_percentiles_instead_of_buckets() -> None:
    document = status_report.document(ring())
    services = {service["service"]: service for service in document["services"]}
    assert "commit_to_visible" not in services["loader"]["status"]
    assert services["loader"]["lag_ms"]["max"] == 20.0
    assert services["reader"]["tables"][0]["name"] == "public.t"
    assert services["transformer"]["signatures"][0]["absent_columns"] == ["body"]
    assert services["checkpoint"]["status"]["store"] == "sqlite"


def test_what_could_not_be_listed_and_what_nobody_has_measured_is_said() -> None:
    reader = reader_pb2.ReaderServiceGetStatusResponse(status=common("reader"))
    answers = [Answer("reader", "127.0.0.1:1", reader, error="no answer within 2 s"), loader([])]
    assert status_report.healthy(answers)
    text = status_report.lines(answers, NOW_S)
    assert "  its lists are not known: no answer within 2 s" in text
    assert "  commit to visible: nothing loaded yet" in text


def test_a_hostile_name_does_nothing_to_the_terminal() -> None:
    answers = ring()
    answers[0].detail.tables[0].name = "public.\x1b[31mred\u202e\n"
    text = status_report.lines(answers, NOW_S)
    assert all(line.isprintable() for line in text)
    assert any(r"public.\x1b[31mred\u202e\n -> t" in line for line in text)
