"""A reader and a loader on loopback, told by the test what to send and what to answer, around a real transformer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import grpc
from dbmazz.config import Settings
from dbmazz.relation import Relation
from dbmazz.target import AUDIT_COLUMNS
from dbmazz.v1 import (
    change_pb2,
    load_pb2,
    loader_pb2,
    loader_pb2_grpc,
    reader_pb2,
    reader_pb2_grpc,
    transformer_pb2,
    transformer_pb2_grpc,
)
from dbmazz.wire import relation_from_proto, relation_to_proto
from dbmazz_transformer.app import serve
from dbmazz_transformer.options import LaneOptions
from dbmazz_transformer.protocol.window import WindowLimits

from tests.fixtures.waiting import wait_until
from tests.unit.transformer.transformer_world import EventBatch, to_proto

LIMIT_BYTES = [("grpc.max_receive_message_length", 256 << 20)]


@dataclass(eq=False)
class ReaderSession:
    """One transformer's stream."""

    epoch: int
    replica: str = ""
    acks: list[tuple[int, int, int]] = field(default_factory=list)
    goodbye: bool = False
    hung_up: bool = False
    outgoing: asyncio.Queue = field(default_factory=asyncio.Queue)

    def send(self, proto: change_pb2.ChangeBatch) -> None:
        self.outgoing.put_nowait(reader_pb2.StreamChangesResponse(batch=proto))

    def rows(self, source: Relation, batch: EventBatch, *, relation: bool = False, **fields: object) -> None:
        extra = {"relation": relation_to_proto(source)} if relation else {}
        self.send(to_proto(source, batch, **{"epoch": self.epoch, **extra, **fields}))

    def barrier(self, kind: int, batch_id: int, source: Relation | None = None, **fields: object) -> None:
        extra = {"relation": relation_to_proto(source)} if source else {}
        defaults = {"epoch": self.epoch, "lane": 1, "generation": 1, "safe_lsn": batch_id}
        self.send(change_pb2.ChangeBatch(**{**defaults, **extra, **fields}, batch_id=batch_id, kind=kind))

    def release(self, lane: int, generation: int) -> None:
        release = reader_pb2.LaneRelease(lane=lane, generation=generation)
        self.outgoing.put_nowait(reader_pb2.StreamChangesResponse(release=release))

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK) -> None:
        self.outgoing.put_nowait(code)

    async def acked(self, lane: int, generation: int, batch_id: int) -> None:
        await wait_until(lambda: (lane, generation, batch_id) in self.acks, what=f"ack {lane}/{generation}/{batch_id}")


class FakeReader(reader_pb2_grpc.ReaderServiceServicer):
    def __init__(self) -> None:
        self.epoch = 1
        self.sessions: list[ReaderSession] = []
        self.on_session: Callable[[ReaderSession], None] = lambda session: None
        self.flush: reader_pb2.FlushSettings | None = None
        self.first: reader_pb2.StreamChangesResponse | None = None

    async def session(self, number: int = 1) -> ReaderSession:
        await wait_until(lambda: len(self.sessions) >= number, what=f"session {number}")
        return self.sessions[number - 1]

    async def StreamChanges(self, request_iterator, context):
        first = await anext(aiter(request_iterator))
        assert first.WhichOneof("event") == "hello", "the first request must be hello"
        session = ReaderSession(self.epoch, first.hello.replica)
        greeting = reader_pb2.StreamSession(slot="slot", epoch=session.epoch, system_identifier="1", flush=self.flush)
        yield self.first or reader_pb2.StreamChangesResponse(session=greeting)
        self.sessions.append(session)
        self.on_session(session)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(session, request_iterator))
            while True:
                item = await session.outgoing.get()
                if isinstance(item, grpc.StatusCode):
                    break
                yield item
            listening.cancel()
        if item is not grpc.StatusCode.OK:
            await context.abort(item, "told so")

    async def _listen(self, session: ReaderSession, requests) -> None:
        async for request in requests:
            match request.WhichOneof("event"):
                case "ack":
                    ack = request.ack
                    assert ack.epoch == session.epoch
                    session.acks.append((ack.lane, ack.generation, ack.batch_id))
                case "goodbye":
                    session.goodbye = True
                case other:
                    raise AssertionError(f"unexpected {other}")
        session.hung_up = True
        session.end()


LOADED = load_pb2.VERDICT_LOADED
Answer = Callable[[load_pb2.LoadRequest], Awaitable[int | grpc.StatusCode]]


@dataclass
class Call:
    """A call at the loader: `kind` load, ensure or truncate; `open` until it was answered."""

    kind: str
    request: object
    open: bool = True
    verdict: object = None


class FakeLoader(loader_pb2_grpc.LoaderServiceServicer):
    """Answers LOADED unless told otherwise; `answer` and `answer_schema` may take their time."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answer: Answer = self._loaded
        self.answer_schema: Answer = self._loaded
        self.hidden_columns: set[str] = set()
        self.version_guard = True

    @staticmethod
    async def _loaded(request) -> int:
        return LOADED

    def of(self, kind: str) -> list:
        return [call.request for call in self.calls if call.kind == kind]

    @property
    def loads(self) -> list[load_pb2.LoadRequest]:
        return self.of("load")

    @property
    def kinds(self) -> list[str]:
        return [call.kind for call in self.calls]

    async def Load(self, request, context):
        verdict = await self._answer("load", request, self.answer, context)
        return load_pb2.LoadResponse(verdict=verdict, message="" if verdict == LOADED else "told so")

    async def ApplySchema(self, request, context):
        kind = "ensure" if request.action == loader_pb2.SCHEMA_ACTION_ENSURE else "truncate"
        verdict = await self._answer(kind, request, self.answer_schema, context)
        if verdict != LOADED:
            return loader_pb2.ApplySchemaResponse(verdict=verdict, message="told so")
        names = [*(column.name for column in request.relation.columns), *(name for name, _ in AUDIT_COLUMNS)]
        columns = [loader_pb2.TargetColumn(name=name) for name in names if name not in self.hidden_columns]
        table = relation_from_proto(request.relation).name
        target = loader_pb2.TargetTable(table=table, columns=columns, version_guard=self.version_guard)
        return loader_pb2.ApplySchemaResponse(verdict=verdict, target=target)

    async def _answer(self, kind: str, request, answer: Answer, context) -> int:
        call = Call(kind, request)
        self.calls.append(call)
        try:
            call.verdict = await answer(request)
        finally:
            call.open = False
        if isinstance(call.verdict, grpc.StatusCode):
            await context.abort(call.verdict, "told so")
        return call.verdict


@dataclass
class Ring:
    """A running transformer between its fake peers."""

    reader: FakeReader
    loader: FakeLoader
    stub: transformer_pb2_grpc.TransformerServiceStub
    channel: grpc.aio.Channel
    stop: asyncio.Event
    stopped: asyncio.Event

    async def status(self) -> transformer_pb2.TransformerServiceGetStatusResponse:
        return await self.stub.GetStatus(transformer_pb2.TransformerServiceGetStatusRequest(), timeout=5)

    async def lane(self, number: int = 1) -> transformer_pb2.LaneStatus | None:
        lanes = {lane.lane: lane for lane in (await self.status()).lanes}
        return lanes.get(number)

    async def lane_state(self, state: int, number: int = 1) -> transformer_pb2.LaneStatus:
        async def reached():
            lane = await self.lane(number)
            return lane if lane and lane.state == state else None

        return await wait_until(reached, what=f"lane {number} in state {state}")


def options(**changes: object) -> LaneOptions:
    """Quick pauses; windows close at once unless told otherwise."""
    limits = WindowLimits(changes.pop("rows", 10_000), changes.pop("bytes", 32 << 20), changes.pop("age_s", 0.0))
    return LaneOptions(
        limits, **{"retry_first_s": 0.01, "retry_cap_s": 0.05, "park_first_s": 0.05, "park_cap_s": 0.05, **changes}
    )


@contextlib.asynccontextmanager
async def serving(servicer: object, register: Callable) -> AsyncIterator[str]:
    """host:port of a servicer."""
    server = grpc.aio.server(options=[*LIMIT_BYTES, ("grpc.so_reuseport", 0)])
    register(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def ring(
    lane_options: LaneOptions | None = None, drain_s: float = 0.2, **settings: object
) -> AsyncIterator[Ring]:
    """A transformer between a fake reader and a fake loader, stopped afterwards if the test has not."""
    reader, loader = FakeReader(), FakeLoader()
    async with (
        serving(reader, reader_pb2_grpc.add_ReaderServiceServicer_to_server) as reader_address,
        serving(loader, loader_pb2_grpc.add_LoaderServiceServicer_to_server) as loader_address,
    ):
        addresses = {"listen": "127.0.0.1:0", "reader_address": reader_address, "loader_address": loader_address}
        configured = Settings().replace(**{**addresses, **settings})
        stop, stopped = asyncio.Event(), asyncio.Event()
        bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                await serve(configured, stop, bound.set_result, lane_options or options(), drain_s)
            finally:
                stopped.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run())
            async with grpc.aio.insecure_channel(await bound) as channel:
                stub = transformer_pb2_grpc.TransformerServiceStub(channel)
                try:
                    yield Ring(reader, loader, stub, channel, stop, stopped)
                finally:
                    stop.set()
