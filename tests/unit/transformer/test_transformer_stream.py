"""The stream: sessions, re-dials, generations, fencing, drain; and the service that people ask."""

import asyncio
import json
import random
import signal
import sys

import grpc
import pytest
from dbmazz.config import Settings
from dbmazz.v1 import change_pb2, load_pb2, reader_pb2, reader_pb2_grpc, transformer_pb2, types_pb2
from dbmazz.wire import relation_to_proto
from dbmazz_transformer.options import LaneOptions
from dbmazz_transformer.outbox import Outbox
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fixtures.waiting import wait_until
from tests.unit.transformer.test_transformer_lane import DOCS, batch_ids, insert, mixed
from tests.unit.transformer.test_transformer_property import History, live, one_by_one
from tests.unit.transformer.transformer_peers import LOADED, FakeReader, options, ring, serving
from tests.unit.transformer.transformer_world import table_for, to_proto

LOADING = transformer_pb2.LANE_STATE_LOADING
IDLE = transformer_pb2.LANE_STATE_IDLE
OWN_ROWS = str(options().limits.rows)


async def test_stream_cut_and_redial():
    """The load under way is waited for, so that the lane's order holds; what it stood for comes again."""
    async with ring() as r:
        release = asyncio.Event()

        async def hold_first(request):
            if (request.progress.lane, request.progress.generation) == (1, 1):
                await release.wait()
            return LOADED

        r.loader.answer = hold_first
        first = await r.reader.session(1)
        first.rows(DOCS, insert(1, 1), relation=True)
        await wait_until(lambda: r.loader.loads)
        first.end(grpc.StatusCode.UNAVAILABLE)
        second = await r.reader.session(2)
        second.rows(DOCS, insert(1, 1), relation=True, generation=2)
        second.rows(DOCS, insert(2, 2), generation=2)
        second.rows(DOCS, insert(3, 3), relation=True, lane=2)
        await second.acked(2, 1, 3)
        assert batch_ids(load for load in r.loader.loads if load.progress.lane == 1) == [[1]]
        release.set()
        await second.acked(1, 2, 2)
        assert first.acks == []
        generations = [load.progress.generation for load in r.loader.loads if load.progress.lane == 1]
        assert generations == sorted(generations)


async def test_a_new_epoch_drops_what_was_not_sent():
    async with ring(options(age_s=60.0)) as r:
        first = await r.reader.session(1)
        first.rows(DOCS, insert(1, 1), relation=True)
        await wait_until(lambda: r.lane())
        r.reader.epoch = 2
        first.end()
        second = await r.reader.session(2)
        assert (await r.status()).lanes == []
        second.barrier(change_pb2.BATCH_KIND_SCHEMA, 1, DOCS)
        await second.acked(1, 1, 1)
        assert r.loader.loads == []
        assert (await r.status()).epoch == 2


def flush_settings(rows: int | None = None, age_s: float | None = None) -> reader_pb2.FlushSettings:
    told = reader_pb2.FlushSettings(flush_size=rows)
    if age_s is not None:
        told.flush_interval.FromMilliseconds(round(age_s * 1000))
    return told


async def test_the_reader_tells_other_limits_and_a_session_without_them_has_the_own_ones():
    async with ring(options(age_s=60.0)) as r:
        first = await r.reader.session(1)
        first.rows(DOCS, insert(1, 1), relation=True)
        first.outgoing.put_nowait(reader_pb2.StreamChangesResponse(flush=flush_settings(rows=2)))
        await first.acked(1, 1, 1)  # what was collected goes as it is
        first.rows(DOCS, insert(2, 2))
        first.rows(DOCS, insert(3, 3))
        await first.acked(1, 1, 3)
        assert batch_ids(r.loader.loads) == [[1], [2, 3]]
        config = (await r.status()).status.config
        assert (config["FLUSH_SIZE"], config["FLUSH_INTERVAL_MS"]) == ("2", "60000")
        first.outgoing.put_nowait(reader_pb2.StreamChangesResponse(flush=flush_settings(rows=1000, age_s=0.01)))
        first.rows(DOCS, insert(4, 4), lane=2, relation=True)  # a lane that begins afterwards
        await first.acked(2, 1, 4)

        r.reader.epoch, r.reader.flush = 2, flush_settings(age_s=0.02)
        first.end()
        second = await r.reader.session(2)
        second.rows(DOCS, insert(1, 1), relation=True)
        await second.acked(1, 1, 1)
        config = (await r.status()).status.config
        assert (config["FLUSH_SIZE"], config["FLUSH_INTERVAL_MS"]) == (OWN_ROWS, "20")

        r.reader.epoch, r.reader.flush = 3, None
        second.end()
        await r.reader.session(3)

        async def own() -> bool:
            config = (await r.status()).status.config
            return (config["FLUSH_SIZE"], config["FLUSH_INTERVAL_MS"]) == (OWN_ROWS, "60000")

        await wait_until(own)


async def test_a_fenced_lane_drops_its_windows_and_starts_anew():
    async with ring() as r:
        fenced = True

        async def answer(request):
            return load_pb2.VERDICT_FENCED if fenced else LOADED

        r.loader.answer = answer
        first = await r.reader.session(1)
        first.rows(DOCS, insert(1, 1), relation=True)
        lane = await r.lane_state(IDLE)
        assert lane.message == "told so"
        first.rows(DOCS, insert(2, 2))
        first.barrier(change_pb2.BATCH_KIND_SCHEMA, 3, DOCS, lane=2)
        await first.acked(2, 1, 3)
        assert batch_ids(r.loader.loads) == [[1]]
        assert (await r.lane()).pending_row_count == 0
        fenced, r.reader.epoch = False, 5
        first.end()
        second = await r.reader.session(2)
        second.rows(DOCS, insert(1, 1), relation=True)
        await second.acked(1, 1, 1)
        assert r.loader.loads[-1].progress.epoch == 5


async def test_release_and_return_of_a_lane():
    async with ring() as r:
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        await session.acked(1, 1, 1)
        session.release(1, 1)

        async def gone():
            return await r.lane() is None

        await wait_until(gone)
        session.rows(DOCS, insert(5, 5), relation=True, generation=3)
        await session.acked(1, 3, 5)
        assert r.loader.kinds == ["ensure", "load", "ensure", "load"], "a new lease looks at the target anew"


@pytest.mark.parametrize("wrong", ["epoch", "generation", "session"])
async def test_a_reader_that_breaks_the_protocol_is_dialled_again(wrong):
    async with ring() as r:
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True, generation=2)
        await session.acked(1, 2, 1)
        if wrong == "epoch":
            session.rows(DOCS, insert(2, 2), generation=2, epoch=99)
        elif wrong == "generation":
            session.rows(DOCS, insert(2, 2), generation=1)
        else:
            session.outgoing.put_nowait(
                reader_pb2.StreamChangesResponse(session=reader_pb2.StreamSession(slot="slot", epoch=1))
            )
        await r.reader.session(2)
        assert wrong in (await r.status()).status.last_error


async def test_goodbye_flushes_open_windows_and_waits_for_acks():
    async with ring(options(age_s=60.0), drain_s=5.0) as r:
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        session.rows(DOCS, insert(2, 2), relation=True, lane=2)

        async def received():
            return (await r.status()).row_count == 2

        await wait_until(received)
        assert r.loader.loads == []
        r.stop.set()
        await asyncio.wait_for(r.stopped.wait(), 4)
        assert session.goodbye
        assert session.hung_up, "the acknowledgements were written before the stream was closed"
        assert sorted(session.acks) == [(1, 1, 1), (2, 1, 2)]


async def test_a_lane_that_comes_during_the_drain_is_flushed_too():
    async with ring(options(age_s=60.0), drain_s=5.0) as r:
        release = asyncio.Event()

        async def hold(request):
            await release.wait()
            return LOADED

        r.loader.answer = hold
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        await wait_until(lambda: r.lane())
        r.stop.set()
        await wait_until(lambda: session.goodbye)
        session.rows(DOCS, insert(2, 2), relation=True, lane=2)
        await wait_until(lambda: len(r.loader.loads) == 2, what="both lanes loading")
        release.set()
        await asyncio.wait_for(r.stopped.wait(), 4)
        assert sorted(session.acks) == [(1, 1, 1), (2, 1, 2)]


async def test_drain_is_bounded_when_the_target_is_away():
    async with ring(drain_s=0.2) as r:

        async def away(request):
            return load_pb2.VERDICT_RETRY

        r.loader.answer = away
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        await r.lane_state(transformer_pb2.LANE_STATE_RETRYING)
        r.stop.set()
        await asyncio.wait_for(r.stopped.wait(), 4)
        assert session.acks == []


async def test_any_start_order_works():
    reader = FakeReader()
    async with ring(reader_address="127.0.0.1:1") as r:

        async def tried():
            status = (await r.status()).status
            return status if "UNAVAILABLE" in status.last_error else None

        status = await wait_until(tried)
        assert status.state == types_pb2.SERVICE_STATE_STARTING
        assert await serving_state(r) == health_pb2.HealthCheckResponse.NOT_SERVING
    register = reader_pb2_grpc.add_ReaderServiceServicer_to_server
    async with serving(reader, register) as address, ring(reader_address=address) as r:
        await reader.session()

        async def ready():
            return await serving_state(r) == health_pb2.HealthCheckResponse.SERVING

        await wait_until(ready)
        assert (await r.status()).status.state == types_pb2.SERVICE_STATE_RUNNING


async def serving_state(r) -> int:
    stub = health_pb2_grpc.HealthStub(r.channel)
    request = health_pb2.HealthCheckRequest(service="dbmazz.v1.TransformerService")
    return (await stub.Check(request, timeout=5)).status


async def test_tail_loads_and_signatures():
    async with ring() as r:
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        await session.acked(1, 1, 1)
        tail = r.stub.TailLoads(transformer_pb2.TailLoadsRequest(tables=["t"], load_limit=2, row_limit=1))
        await tail.initial_metadata()
        session.rows(DOCS, mixed(2))
        session.rows(relation_named("other"), insert(3, 2), relation=True, lane=2)
        seen = [load async for load in tail]
        assert [(load.table, load.partial_update, list(load.absent_columns)) for load in seen] == [
            ("t", False, []),
            ("t", True, ["body"]),
        ]
        assert [MessageToDict(load.first_rows[0])["id"] for load in seen] == [1, 2]
        assert not seen[0].rows
        assert seen[0].body_bytes > 0
        assert seen[0].create_time.seconds > 0
        await session.acked(2, 1, 3)
        signatures = (await r.stub.ListSignatures(transformer_pb2.ListSignaturesRequest(), timeout=5)).signatures
        assert [(s.table, list(s.absent_columns), s.row_count, s.insert_count, s.update_count) for s in signatures] == [
            ("other", [], 1, 1, 0),
            ("t", [], 2, 2, 0),
            ("t", ["body"], 1, 0, 1),
        ]
        for name in ("other", "public.other"):
            some = transformer_pb2.ListSignaturesRequest(tables=[name])
            assert len((await r.stub.ListSignatures(some, timeout=5)).signatures) == 1


def relation_named(name: str):
    return type(DOCS)(**{**vars(DOCS), "name": name})


async def test_tail_takes_source_names_partial_updates_alone_and_text_as_it_is_sent():
    async with ring() as r:
        session = await r.reader.session()
        session.rows(DOCS, mixed(1), relation=True)
        await session.acked(1, 1, 1)
        wish = {"tables": ["public.t"], "load_limit": 1, "row_limit": 5, "only_partial": True}
        cut = r.stub.TailLoads(transformer_pb2.TailLoadsRequest(**wish, value_limit=3))
        raw = r.stub.TailLoads(transformer_pb2.TailLoadsRequest(**wish, raw_rows=True))
        await cut.initial_metadata()
        await raw.initial_metadata()
        session.rows(DOCS, mixed(2))
        (load,) = [load async for load in cut]
        assert (list(load.absent_columns), load.row_count, len(load.first_rows)) == (["body"], 1, 1)
        shown = MessageToDict(load.first_rows[0])
        assert shown["dbmazz_synced_at"] == "202… (26 characters)"
        (load,) = [load async for load in raw]
        assert not load.first_rows
        assert json.loads(load.rows[0])["id"] == shown["id"] == 2


@pytest.mark.parametrize(
    ("wish", "code", "words"),
    [
        ({"load_limit": -1}, "INVALID_ARGUMENT", "load_limit is -1"),
        ({"row_limit": -2}, "INVALID_ARGUMENT", "row_limit is -2"),
        ({"value_limit": -3}, "INVALID_ARGUMENT", "value_limit is -3"),
        ({"tables": ["public.tt"]}, "NOT_FOUND", "no table 'public.tt' here. Did you mean public.t? Known: public.t. "),
        ({"tables": ["t", ""]}, "NOT_FOUND", "no table '' here. Known: public.t. Another replica may have it"),
    ],
)
async def test_tail_refuses_what_would_never_show_anything(wish, code, words):
    async with ring() as r:
        session = await r.reader.session()
        session.rows(DOCS, mixed(1), relation=True)
        await session.acked(1, 1, 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await r.stub.TailLoads(transformer_pb2.TailLoadsRequest(**wish), timeout=5).read()
        assert (caught.value.code().name, words in caught.value.details()) == (code, True), caught.value.details()
        if "tables" in wish:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await r.stub.ListSignatures(transformer_pb2.ListSignaturesRequest(**wish), timeout=5)
            assert (caught.value.code().name, words in caught.value.details()) == (code, True)


async def test_a_replica_without_a_reader_says_so_rather_than_not_found():
    async with ring(reader_address="127.0.0.1:1") as r:
        tail = r.stub.TailLoads(transformer_pb2.TailLoadsRequest(tables=["t"]), timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await tail.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "not connected to the reader" in caught.value.details()


async def test_outbox_keeps_only_the_last_acknowledgement_of_a_lane():
    outbox = Outbox(3)
    for batch_id in range(1, 100):
        outbox.acknowledge(1, 1, batch_id)
    outbox.acknowledge(2, 4, 7)
    outbox.close()
    messages = [await outbox.next() for _ in range(3)]
    assert [(m.ack.epoch, m.ack.lane, m.ack.generation, m.ack.batch_id) for m in messages[:2]] == [
        (3, 1, 1, 99),
        (3, 2, 4, 7),
    ]
    assert messages[2] is None


async def test_a_reader_that_ignores_its_bounds_is_not_read_on(monkeypatch):
    monkeypatch.setattr("dbmazz_transformer.lanes.BACKLOG_BYTES", 1)
    async with ring() as r:
        release = asyncio.Event()

        async def hold(request):
            await release.wait()
            return LOADED

        r.loader.answer = hold
        session = await r.reader.session()
        session.rows(DOCS, insert(1, 1), relation=True)
        session.rows(DOCS, insert(2, 2))
        await r.lane_state(LOADING)
        assert (await r.status()).row_count == 1
        release.set()
        await session.acked(1, 1, 2)


class Retention:
    """The reader's side of re-sending: keeps every batch until it is acknowledged, per lane."""

    def __init__(self, protos: list[change_pb2.ChangeBatch]) -> None:
        self.protos = protos
        self.generations: dict[int, int] = {}
        self.relations = {proto.lane: proto.relation for proto in protos if proto.HasField("relation")}

    def unacked(self, sessions) -> list[change_pb2.ChangeBatch]:
        done: dict[int, int] = {}
        for session in sessions:
            for lane, _, batch_id in session.acks:
                done[lane] = max(done.get(lane, 0), batch_id)
        return [proto for proto in self.protos if proto.batch_id > done.get(proto.lane, 0)]

    def send(self, session, earlier) -> None:
        fresh = set()
        for proto in self.unacked(earlier):
            again = change_pb2.ChangeBatch()
            again.CopyFrom(proto)
            if proto.lane not in fresh:
                fresh.add(proto.lane)
                self.generations[proto.lane] = self.generations.get(proto.lane, 0) + 1
                again.relation.CopyFrom(self.relations[proto.lane])
            again.generation = self.generations[proto.lane]
            session.send(again)


@pytest.mark.parametrize("round_number", range(3))
async def test_cut_streams_and_failing_loads_lose_nothing(seed, round_number):
    """Random history over two lanes, a target that often fails after all, streams that break: the end is the same."""
    rng = random.Random(seed * 1000 + 300 + round_number)
    histories = {lane: History(rng) for lane in (1, 2)}
    batches = {lane: history.batches(12)[:12] for lane, history in histories.items()}
    protos, batch_id, renumbered = [], 0, {1: [], 2: []}
    for pair in zip(batches[1], batches[2], strict=True):
        for lane, batch in zip((1, 2), pair, strict=True):
            batch_id += 1
            renumbered[lane].append(batch)
            fields = {"lane": lane}
            if len(renumbered[lane]) == 1:
                fields["relation"] = relation_to_proto(histories[lane].relation)
            proto = to_proto(histories[lane].relation, batch, **fields)
            proto.batch_id = batch_id
            protos.append(proto)
    tables = {lane: table_for(history.relation) for lane, history in histories.items()}
    async with ring(options(rows=40, retry_cap_s=0.01)) as r:
        answers = random.Random(rng.random())

        async def answer(request):
            fate = answers.random()
            if fate < 0.2:
                return answers.choice((load_pb2.VERDICT_RETRY, load_pb2.VERDICT_PARK, grpc.StatusCode.UNAVAILABLE))
            if request.row_count:
                tables[request.progress.lane].load(request)
            # Loaded, but the answer is lost: it comes again.
            return LOADED if fate < 0.8 else grpc.StatusCode.UNAVAILABLE

        r.loader.answer = answer
        retention = Retention(protos)
        for cut in range(5):
            session = await r.reader.session(cut + 1)
            retention.send(session, r.reader.sessions)
            wanted = min(len(r.loader.loads) + rng.randint(1, 6), 10_000)
            if cut < 4:
                await wait_until(lambda n=wanted: len(r.loader.loads) >= n or not retention.unacked(r.reader.sessions))
                session.end(rng.choice((grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)))
        await wait_until(lambda: not retention.unacked(r.reader.sessions), what="everything acknowledged")
    for lane, history in histories.items():
        assert live(tables[lane]) == one_by_one(history, renumbered[lane])


async def test_the_process_serves_and_stops_on_sigterm(tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dbmazz_transformer",
        cwd=tmp_path,
        env={"LISTEN": "127.0.0.1:0", "READER_ADDRESS": "127.0.0.1:1", "LOADER_ADDRESS": "127.0.0.1:1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert json.loads(line)["service"] == "transformer"
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_settings_reach_the_lanes():
    chosen = LaneOptions.from_settings(
        Settings().replace(flush_size=7, flush_interval_ms=250, flush_bytes=1 << 20, soft_delete=False)
    )
    assert (chosen.limits.rows, chosen.limits.age_s, chosen.limits.bytes, chosen.soft_delete) == (
        7,
        0.25,
        1 << 20,
        False,
    )
