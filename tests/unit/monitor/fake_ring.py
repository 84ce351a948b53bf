"""The four services as in-process gRPC servers whose answers a test sets, and counters without databases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from dbmazz.config import Settings
from dbmazz.errors import DbmazzError
from dbmazz.telemetry import LatencyHistogram, service_status
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
from dbmazz_monitor.counts import Round
from dbmazz_monitor.protocol.sample import Table

ADD = {
    "reader": reader_pb2_grpc.add_ReaderServiceServicer_to_server,
    "transformer": transformer_pb2_grpc.add_TransformerServiceServicer_to_server,
    "loader": loader_pb2_grpc.add_LoaderServiceServicer_to_server,
    "checkpoint": checkpoint_pb2_grpc.add_CheckpointServiceServicer_to_server,
}


def status(service: str, state: int = types_pb2.SERVICE_STATE_RUNNING, error: str = "") -> types_pb2.ServiceStatus:
    return service_status(service, state, {"SINK_PASSWORD": "***", "FLUSH_SIZE": "10000"}, error)


def reader_answer(**changes: Any) -> reader_pb2.ReaderServiceGetStatusResponse:
    values = {
        "status": status("reader"),
        "slot": "dbmazz_slot",
        "publication": "dbmazz_pub",
        "epoch": 1_800_000_000,
        "received_lsn": "16/B3750000",
        "confirmed_lsn": "16/B374D848",
        "server_lsn": "16/B3751000",
        "lag_bytes": 14_264,
        "row_count": 1000,
        "transaction_count": 100,
        "unchanged_toast_count": 40,
        "retained_bytes": 300_000,
        "retained_bytes_limit": 256 << 20,
        "transformers": ["host-1"],
        "slot_status": reader_pb2.SlotStatus(wal_status="reserved", retained_wal_bytes=50_000),
    }
    return reader_pb2.ReaderServiceGetStatusResponse(**(values | changes))


def transformer_answer(**changes: Any) -> transformer_pb2.TransformerServiceGetStatusResponse:
    lane = transformer_pb2.LaneStatus(
        lane=1, generation=1, table="public.orders", state=transformer_pb2.LANE_STATE_LOADING
    )
    values = {
        "status": status("transformer"),
        "epoch": 1_800_000_000,
        "lanes": [lane],
        "row_count": 990,
        "folded_row_count": 90,
        "loaded_row_count": 900,
        "full_load_count": 30,
        "partial_load_count": 12,
        "partial_row_count": 40,
    }
    return transformer_pb2.TransformerServiceGetStatusResponse(**(values | changes))


def loader_answer(latencies_ms: Sequence[float] = (), **changes: Any) -> loader_pb2.LoaderServiceGetStatusResponse:
    histogram = LatencyHistogram()
    for latency in latencies_ms:
        histogram.record(latency)
    values = {
        "status": status("loader"),
        "row_count": 900,
        "loaded_row_count": 900,
        "body_bytes": 90_000,
        "running_load_count": 1,
        "commit_to_visible": histogram.to_proto(),
        "target_version": "3.3.11",
    }
    return loader_pb2.LoaderServiceGetStatusResponse(**(values | changes))


def checkpoint_answer(**changes: Any) -> checkpoint_pb2.CheckpointServiceGetStatusResponse:
    stored = checkpoint_pb2.Checkpoint(slot="dbmazz_slot", epoch=1_800_000_000, confirmed_lsn="16/B374D848")
    values = {"status": status("checkpoint"), "slots": [checkpoint_pb2.SlotProgress(checkpoint=stored)]}
    return checkpoint_pb2.CheckpointServiceGetStatusResponse(**(values | changes))


def listed(*names: str, **changes: Any) -> reader_pb2.ListTablesResponse:
    return reader_pb2.ListTablesResponse(
        tables=[
            reader_pb2.ReplicatedTable(
                name=name,
                target_table=name.removeprefix("public.").replace(".", "__"),
                state=changes.get("state", reader_pb2.TABLE_STATE_STREAMING),
                lane=lane,
                transformer=changes.get("transformer", "host-1"),
                row_count=500,
                warning=changes.get("warning", ""),
            )
            for lane, name in enumerate(names, 1)
        ]
    )


ANSWERS: dict[str, Callable[[], Any]] = {
    "reader": reader_answer,
    "transformer": transformer_answer,
    "loader": loader_answer,
    "checkpoint": checkpoint_answer,
}


@dataclass
class FakeRing:
    """`answers` by service: what GetStatus says, or an exception code to refuse with; `tables`, `signatures` as listed."""

    answers: dict[str, Any] = field(default_factory=lambda: {name: make() for name, make in ANSWERS.items()})
    tables: reader_pb2.ListTablesResponse = field(default_factory=lambda: listed("public.orders", "sales.items"))
    signatures: transformer_pb2.ListSignaturesResponse = field(
        default_factory=lambda: transformer_pb2.ListSignaturesResponse(
            signatures=[
                transformer_pb2.SignatureCount(table="orders", load_count=30, row_count=860),
                transformer_pb2.SignatureCount(
                    table="orders", absent_columns=["payload"], load_count=12, row_count=40, update_count=40
                ),
            ]
        )
    )
    addresses: dict[str, str] = field(default_factory=dict)
    _servers: dict[str, grpc.aio.Server] = field(default_factory=dict)

    async def start(self, service: str) -> None:
        """Serves on the port that it had before, or on a free one."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        ADD[service](_Servicer(service, self), server)
        port = server.add_insecure_port(self.addresses.get(service, "127.0.0.1:0"))
        await server.start()
        self.addresses[service] = f"127.0.0.1:{port}"
        self._servers[service] = server

    async def stop(self, service: str) -> None:
        await self._servers.pop(service).stop(None)

    async def stop_all(self) -> None:
        for service in list(self._servers):
            await self.stop(service)

    def settings(self, **changes: Any) -> Settings:
        addresses = {f"{service}_address": address for service, address in self.addresses.items()}
        return Settings(**({"listen": "127.0.0.1:0"} | addresses | changes))


class _Servicer:
    def __init__(self, service: str, ring: FakeRing) -> None:
        self._service = service
        self._ring = ring

    async def GetStatus(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        answer = self._ring.answers[self._service]
        return await answer(context) if callable(answer) else answer

    async def ListTables(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return self._ring.tables

    async def ListSignatures(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return self._ring.signatures

    def __getattr__(self, name: str) -> Any:
        async def refuse(request: Any, context: grpc.aio.ServicerContext) -> Any:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{name} is not faked")

        if name.startswith("_"):
            raise AttributeError(name)
        return refuse


@contextlib.asynccontextmanager
async def fake_ring() -> AsyncIterator[FakeRing]:
    """All four services, up."""
    ring = FakeRing()
    try:
        for service in ANSWERS:
            await ring.start(service)
        yield ring
    finally:
        await ring.stop_all()


class FakeCounter:
    """Answers with what the test sets; `error` is raised instead. `rounds` holds the tables of every call.

    `seen`: what is there, as SourceSeen or TargetSeen.
    """

    def __init__(self, counts: dict[str, Any], seen: Any = None) -> None:
        self.counts = counts
        self.seen = seen
        self.marks: dict[str, Any] = {}
        self.error: DbmazzError | None = None
        self.rounds: list[list[str]] = []
        self.closed = False

    async def round(self, tables: Sequence[Table], marks: Mapping[str, Hashable]) -> Round:
        self.rounds.append([table.name for table in tables])
        self.marks = dict(marks)
        if self.error:
            raise self.error
        counts = {table.name: self.counts[table.name] for table in tables if table.name in self.counts}
        return Round(counts, self.seen, len(counts))

    async def close(self) -> None:
        self.closed = True
