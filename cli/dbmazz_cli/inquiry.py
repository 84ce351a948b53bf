"""Asks every service of a ring for its state, all at once, each with its own deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import (
    checkpoint_pb2,
    checkpoint_pb2_grpc,
    loader_pb2,
    loader_pb2_grpc,
    reader_pb2,
    reader_pb2_grpc,
    transformer_pb2,
    transformer_pb2_grpc,
    types_pb2,
)

DEADLINE_S = 2.0


@dataclass(frozen=True)
class Answer:
    """What one replica said, or why it said nothing."""

    service: str
    address: str
    # The service's GetStatusResponse; None when there was no answer: it is down.
    status: Any = None
    # Reader: ListTablesResponse. Transformer: ListSignaturesResponse.
    detail: Any = None
    # Why `status`, or `detail`, is missing.
    error: str = ""

    @property
    def state(self) -> str:
        """RUNNING, STARTING ... or DOWN."""
        if self.status is None:
            return "DOWN"
        return types_pb2.ServiceState.Name(self.status.status.state).removeprefix("SERVICE_STATE_")


async def ask_ring(settings: Settings, *, details: bool = True) -> list[Answer]:
    """One answer per address; an address may be a list of replicas separated by commas."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_ask(service, address.strip(), settings, details))
            for service in _CALLS
            for address in getattr(settings, f"{service}_address").split(",")
        ]
    return [task.result() for task in tasks]


async def _ask(service: str, address: str, settings: Settings, details: bool) -> Answer:
    calls = _CALLS[service]
    async with open_channel(address, settings) as channel:
        stub = calls.stub(channel)
        try:
            status = await stub.GetStatus(calls.status_request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            return Answer(service, address, error=_reason(error))
        if not details or calls.detail is None:
            return Answer(service, address, status)
        try:
            return Answer(service, address, status, await calls.detail(stub))
        except grpc.aio.AioRpcError as error:
            return Answer(service, address, status, error=_reason(error))


def _reason(error: grpc.aio.AioRpcError) -> str:
    """The library's words are long and repeat themselves; the code says what a person can use."""
    return {
        grpc.StatusCode.UNAVAILABLE: "no gRPC service answers there",
        grpc.StatusCode.DEADLINE_EXCEEDED: f"no answer within {DEADLINE_S:g} s",
        grpc.StatusCode.UNIMPLEMENTED: "another service answers there",
    }.get(error.code(), f"{error.code().name}: {error.details()}")


@dataclass(frozen=True)
class _Calls:
    """How a service is asked: its stub, the request for its state, and the call for what else people want to see."""

    stub: Callable[[grpc.aio.Channel], Any]
    status_request: Any
    detail: Callable[[Any], Awaitable[Any]] | None = None


_CALLS = {
    "reader": _Calls(
        reader_pb2_grpc.ReaderServiceStub,
        reader_pb2.ReaderServiceGetStatusRequest(),
        lambda stub: stub.ListTables(reader_pb2.ListTablesRequest(), timeout=DEADLINE_S),
    ),
    "transformer": _Calls(
        transformer_pb2_grpc.TransformerServiceStub,
        transformer_pb2.TransformerServiceGetStatusRequest(),
        lambda stub: stub.ListSignatures(transformer_pb2.ListSignaturesRequest(), timeout=DEADLINE_S),
    ),
    "loader": _Calls(loader_pb2_grpc.LoaderServiceStub, loader_pb2.LoaderServiceGetStatusRequest()),
    "checkpoint": _Calls(checkpoint_pb2_grpc.CheckpointServiceStub, checkpoint_pb2.CheckpointServiceGetStatusRequest()),
}


def totals(answers: list[Answer]) -> dict[str, Any]:
    """Sums over the replicas: what the demo and `dbmazz status` show of the ring as a whole.

    Latencies in milliseconds from commit to visible, 0 without samples.
    """
    latency = LatencyHistogram()
    loaders = [answer.status for answer in answers if answer.service == "loader" and answer.status]
    for loader in loaders:
        latency.merge(loader.commit_to_visible)
    return {
        "loaded_rows": sum(loader.loaded_row_count for loader in loaders),
        "partial_updates": sum(loader.partial_row_count for loader in loaders),
        "rows_unaccounted": sum(loader.rows_unaccounted for loader in loaders),
        "lag_ms": {
            "p50": round(latency.percentile(0.50), 1),
            "p99": round(latency.percentile(0.99), 1),
            "max": round(latency.max_ms, 1),
        },
    }
