"""A loader under test: served in the test's loop, with StarRocks and the checkpoint played by the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import grpc
import pytest_asyncio
from dbmazz.config import Settings
from dbmazz.errors import EPOCH_FENCED, abort
from dbmazz.v1 import checkpoint_pb2, checkpoint_pb2_grpc, load_pb2, loader_pb2_grpc
from dbmazz_loader.app import serve
from dbmazz_loader.protocol.attempt import Bounds

from tests.unit.loader.byte_peers import ByteStarRocks

# Quick enough for tests: as many sends as in production, in less time.
QUICK = Bounds(sends=3, sending_s=5.0, asking_s=5.0)


class PlayedCheckpoint(checkpoint_pb2_grpc.CheckpointServiceServicer):
    """Takes every report, unless told to fence or to be away."""

    def __init__(self) -> None:
        self.reports: list[checkpoint_pb2.ReportLoadedRequest] = []
        self.fenced = self.refuses = False
        self.away = 0
        self.address = ""

    async def ReportLoaded(
        self, request: checkpoint_pb2.ReportLoadedRequest, context: grpc.aio.ServicerContext
    ) -> checkpoint_pb2.ReportLoadedResponse:
        if self.away:
            self.away -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        if self.fenced:
            await abort(context, grpc.StatusCode.FAILED_PRECONDITION, EPOCH_FENCED, "epoch 1 is closed")
        if self.refuses:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such lane")
        self.reports.append(request)
        return checkpoint_pb2.ReportLoadedResponse()


@dataclass
class LoaderUnderTest:
    """A served loader and a client of it."""

    address: str
    stub: loader_pb2_grpc.LoaderServiceStub
    stop: asyncio.Event
    served: asyncio.Task[int]


StartLoader = Callable[..., Awaitable[LoaderUnderTest]]


@pytest_asyncio.fixture
async def checkpoint() -> AsyncIterator[PlayedCheckpoint]:
    servicer = PlayedCheckpoint()
    server = grpc.aio.server()
    checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield servicer
    await server.stop(0)


@pytest_asyncio.fixture
async def starrocks() -> AsyncIterator[ByteStarRocks]:
    """FE and BE as bytes; nothing listens on the MySQL port."""
    async with ByteStarRocks() as peers:
        yield peers


@pytest_asyncio.fixture
async def start_loader(checkpoint: PlayedCheckpoint) -> AsyncIterator[StartLoader]:
    """`loader = await start_loader(sink_url=...)`: serves until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, bounds: Bounds = QUICK, **settings: object) -> LoaderUnderTest:
            wanted = {"listen": "127.0.0.1:0", "checkpoint_address": checkpoint.address, "sink_port": 1} | settings
            address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            stop = asyncio.Event()
            served = asyncio.create_task(serve(Settings().replace(**wanted), stop, address.set_result, bounds))

            async def end() -> None:
                stop.set()
                assert await served == 0

            stack.push_async_callback(end)
            await asyncio.wait([served, address], return_when=asyncio.FIRST_COMPLETED)
            if served.done():
                served.result()
            channel = grpc.aio.insecure_channel(address.result())
            stack.push_async_callback(channel.close)
            return LoaderUnderTest(address.result(), loader_pb2_grpc.LoaderServiceStub(channel), stop, served)

        yield start


def load_request(label: str = "s_1_1_1-1_0", **changes: object) -> load_pb2.LoadRequest:
    """A load of two rows into `orders`."""
    fields: dict[str, object] = {
        "table": "orders",
        "label": label,
        "columns": ["`id`", "`note`", "`dbmazz_cdc_version`"],
        "row_count": 2,
        "body": b'{"id":1,"note":"a","dbmazz_cdc_version":7}\n{"id":2,"note":"b","dbmazz_cdc_version":7}\n',
        "progress": load_progress(),
    }
    return load_pb2.LoadRequest(**(fields | changes))


def load_progress() -> load_pb2.LoadProgress:
    return load_pb2.LoadProgress(
        slot="s", epoch=1, lane=1, generation=1, batch_ids=[1], safe_lsns=[100], part=0, part_count=1
    )
