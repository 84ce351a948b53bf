"""Requests that are no messages: INVALID_ARGUMENT with the name of the type, for every kind of call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import BAD_REQUEST, reason_of
from dbmazz.serving import Server
from dbmazz.v1 import reader_pb2, reader_pb2_grpc
from grpc_health.v1 import health_pb2

SETTINGS = Settings(listen="127.0.0.1:0")
GARBAGE = b"\xff" * 40
DEADLINE_S = 10.0


class Reader(reader_pb2_grpc.ReaderServiceServicer):
    """Every kind of call; `ended` tells that a stream's own clean-up has run."""

    def __init__(self) -> None:
        self.calls = 0
        self.ended = asyncio.Event()

    async def GetStatus(self, request, context):
        self.calls += 1
        return reader_pb2.ReaderServiceGetStatusResponse(row_count=7)

    async def TailChanges(self, request, context) -> AsyncIterator[reader_pb2.TailChangesResponse]:
        self.calls += 1
        try:
            for number in range(request.row_limit or 1_000_000):
                yield reader_pb2.TailChangesResponse(xid=number)
        finally:
            self.ended.set()

    async def StreamChanges(self, requests, context) -> None:
        self.calls += 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._echo(context))
        finally:
            self.ended.set()

    async def _echo(self, context) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.hello.replica == "broken":
                raise RuntimeError("a defect")
            await context.write(
                reader_pb2.StreamChangesResponse(session=reader_pb2.StreamSession(slot=request.hello.replica))
            )


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Reader, grpc.aio.Channel]]:
    servicer, server = Reader(), Server("reader", SETTINGS)
    server.add(reader_pb2_grpc.add_ReaderServiceServicer_to_server, servicer, "dbmazz.v1.ReaderService")
    address = await server.start()
    try:
        async with open_channel(address, SETTINGS) as channel:
            yield servicer, channel
    finally:
        await server.stop(0.1)


def assert_refused(error: grpc.aio.AioRpcError, message: str) -> None:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith(f"the body is not a {message}. ")
    assert "\n" not in error.details()
    assert reason_of(error) == BAD_REQUEST


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("/dbmazz.v1.ReaderService/GetStatus", "dbmazz.v1.ReaderServiceGetStatusRequest"),
        ("/grpc.health.v1.Health/Check", "grpc.health.v1.HealthCheckRequest"),
    ],
)
async def test_a_unary_call(served, caplog, method, message):
    servicer, channel = served
    with caplog.at_level(logging.ERROR, logger="grpc"), pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method)(GARBAGE, timeout=DEADLINE_S)
    assert_refused(caught.value, message)
    assert servicer.calls == 0
    assert not caplog.records, "no traceback for what a caller did wrong"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("/dbmazz.v1.ReaderService/TailChanges", "dbmazz.v1.TailChangesRequest"),
        ("/grpc.health.v1.Health/Watch", "grpc.health.v1.HealthCheckRequest"),
    ],
)
async def test_a_call_with_a_stream_of_answers(served, method, message):
    servicer, channel = served
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in channel.unary_stream(method)(GARBAGE, timeout=DEADLINE_S):
            pytest.fail("nothing is answered")
    assert_refused(caught.value, message)
    assert servicer.calls == 0


async def test_a_message_in_the_middle_of_a_stream(served):
    servicer, channel = served
    call = channel.stream_stream("/dbmazz.v1.ReaderService/StreamChanges")(timeout=DEADLINE_S)
    hello = reader_pb2.StreamHello(replica="one")
    await call.write(reader_pb2.StreamChangesRequest(hello=hello).SerializeToString())
    first = reader_pb2.StreamChangesResponse.FromString(await call.read())
    assert first.session.slot == "one"
    await call.write(GARBAGE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert_refused(caught.value, "dbmazz.v1.StreamChangesRequest")
    await asyncio.wait_for(servicer.ended.wait(), DEADLINE_S)


async def test_reflection_too(served):
    _, channel = served
    call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(timeout=DEADLINE_S)
    await call.write(GARBAGE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert_refused(caught.value, "grpc.reflection.v1alpha.ServerReflectionRequest")


async def test_a_defect_of_a_stream_is_not_called_a_bad_request(served):
    _, channel = served
    call = reader_pb2_grpc.ReaderServiceStub(channel).StreamChanges(timeout=DEADLINE_S)
    await call.write(reader_pb2.StreamChangesRequest(hello=reader_pb2.StreamHello(replica="broken")))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.UNKNOWN


async def test_a_stream_that_the_caller_leaves_cleans_up(served):
    servicer, channel = served
    call = reader_pb2_grpc.ReaderServiceStub(channel).TailChanges(reader_pb2.TailChangesRequest(), timeout=DEADLINE_S)
    assert (await call.read()).xid == 0
    call.cancel()
    await asyncio.wait_for(servicer.ended.wait(), DEADLINE_S)


async def test_what_is_well_formed_passes_and_what_is_not_there_stays_unimplemented(served):
    servicer, channel = served
    stub = reader_pb2_grpc.ReaderServiceStub(channel)
    for _ in range(2):
        status = await stub.GetStatus(reader_pb2.ReaderServiceGetStatusRequest(), timeout=DEADLINE_S)
        assert status.row_count == 7
    rows = [row async for row in stub.TailChanges(reader_pb2.TailChangesRequest(row_limit=3), timeout=DEADLINE_S)]
    assert [row.xid for row in rows] == [0, 1, 2]
    health = channel.unary_unary("/grpc.health.v1.Health/Check")
    body = health_pb2.HealthCheckRequest(service="dbmazz.v1.ReaderService").SerializeToString()
    assert health_pb2.HealthCheckResponse.FromString(await health(body, timeout=DEADLINE_S)).status
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/dbmazz.v1.ReaderService/Nothing")(GARBAGE, timeout=DEADLINE_S)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert servicer.calls == 3
