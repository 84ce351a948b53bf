"""Asks the four services how they are, over gRPC. A service that does not answer is a fact to show, not an error."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
import structlog
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.v1 import (
    checkpoint_pb2,
    checkpoint_pb2_grpc,
    loader_pb2,
    loader_pb2_grpc,
    reader_pb2,
    reader_pb2_grpc,
    transformer_pb2,
    transformer_pb2_grpc,
)

from dbmazz_monitor import answers
from dbmazz_monitor.protocol.sample import SERVICES, ReaderFacts, Replica, RingSample, Signature, State, Table

T = TypeVar("T")

log = structlog.get_logger("dbmazz.monitor")

DEADLINE_S = 2.0
# Tables and signatures are listed as often as everything else while they are few; the answers about many are long.
FEW_TABLES = 200
LISTS_EVERY_S = 3.0

_STUBS = {
    "reader": (reader_pb2_grpc.ReaderServiceStub, reader_pb2.ReaderServiceGetStatusRequest),
    "transformer": (transformer_pb2_grpc.TransformerServiceStub, transformer_pb2.TransformerServiceGetStatusRequest),
    "loader": (loader_pb2_grpc.LoaderServiceStub, loader_pb2.LoaderServiceGetStatusRequest),
    "checkpoint": (checkpoint_pb2_grpc.CheckpointServiceStub, checkpoint_pb2.CheckpointServiceGetStatusRequest),
}


class Ring:
    """All replicas of all services. `sample()` is one round; to be called by one task only."""

    def __init__(
        self, settings: Settings, *, deadline_s: float = DEADLINE_S, lists_every_s: float = LISTS_EVERY_S
    ) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        self._lists_every_s = lists_every_s
        self._lists_at_s = float("-inf")
        self._listed_at_s: float | None = None
        self._epoch = 0
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}
        self._states: dict[tuple[str, str], State] = {}
        self._tables: tuple[Table, ...] = ()
        self._signatures: tuple[Signature, ...] = ()
        self._notes: tuple[str, ...] = ()

    async def sample(self) -> RingSample:
        """Asks everybody at once; takes two deadlines at most. Never raises because of a peer."""
        found = await _together([self._service(service) for service in SERVICES])
        replicas = tuple(replica for service in found for replica in service)
        await self._forget({(replica.service, replica.address) for replica in replicas})
        self._log_changes(replicas)
        if self._lists_due(replicas):
            await self._refresh_lists(replicas)
        return RingSample(
            at_s=time.monotonic(),
            time_ms=time.time_ns() // 1_000_000,
            replicas=replicas,
            tables=self._tables,
            signatures=self._signatures,
            notes=self._notes,
            listed_at_s=self._listed_at_s,
        )

    async def close(self) -> None:
        """Closes all channels."""
        await self._forget(set())

    async def _service(self, service: str) -> list[Replica]:
        spec = getattr(self._settings, f"{service}_address")
        try:
            async with asyncio.timeout(self._deadline_s):
                addresses = await _addresses(spec, by_name=bool(self._settings.grpc_tls_ca))
        except (OSError, TimeoutError):
            error = f"{service.upper()}_ADDRESS={spec} does not resolve"
            return [Replica(service, spec, State.DOWN, error)]
        return await _together([self._replica(service, address) for address in addresses])

    async def _replica(self, service: str, address: str) -> Replica:
        request = _STUBS[service][1]()
        try:
            answer = await self._stub(service, address).GetStatus(request, timeout=self._deadline_s)
        except grpc.RpcError as error:
            return Replica(service, address, State.DOWN, self._why(error, address))
        return answers.replica(service, address, answer)

    def _lists_due(self, replicas: tuple[Replica, ...]) -> bool:
        """Also when the reader has begun anew: its lanes have other numbers then."""
        epoch = max((r.facts.epoch for r in replicas if isinstance(r.facts, ReaderFacts)), default=self._epoch)
        began, self._epoch = epoch != self._epoch, epoch
        few = len(self._tables) <= FEW_TABLES
        return began or few or time.monotonic() - self._lists_at_s >= self._lists_every_s

    async def _refresh_lists(self, replicas: tuple[Replica, ...]) -> None:
        up = [replica for replica in replicas if replica.state is not State.DOWN]
        readers = [self._stub("reader", r.address) for r in up if r.service == "reader"]
        transformers = [self._stub("transformer", r.address) for r in up if r.service == "transformer"]
        notes: list[str] = []
        if readers:
            request = reader_pb2.ListTablesRequest(without_columns=True)
            if listed := await self._list(request, [readers[0].ListTables]):
                self._tables, self._listed_at_s = answers.tables(listed[0]), time.monotonic()
            notes += [] if listed else ["The reader does not list its tables just now: the list may be old"]
        if transformers:
            calls = [stub.ListSignatures for stub in transformers]
            listed = await self._list(transformer_pb2.ListSignaturesRequest(), calls)
            self._signatures = answers.signatures(listed) if listed else self._signatures
            missing = len(calls) - len(listed)
            notes += [f"{missing} of {len(calls)} transformers do not list signatures just now"] if missing else []
        self._notes = tuple(notes)
        if readers:  # without a reader, ask again at the next round: the page waits for its tables
            self._lists_at_s = time.monotonic()

    async def _list(self, request: Any, calls: list[Any]) -> list[Any]:
        """The answers of those who gave one."""

        async def one(call: Any) -> Any:
            try:
                return await call(request, timeout=self._deadline_s)
            except grpc.RpcError as error:
                log.debug("list_failed", request=type(request).__name__, code=error.code().name)
                return None

        return [answer for answer in await _together([one(call) for call in calls]) if answer is not None]

    def _stub(self, service: str, address: str) -> Any:
        channel = self._channels.get((service, address))
        if channel is None:
            channel = self._channels[service, address] = open_channel(address, self._settings)
        return _STUBS[service][0](channel)

    async def _forget(self, kept: set[tuple[str, str]]) -> None:
        for key in self._channels.keys() - kept:
            await self._channels.pop(key).close()
            self._states.pop(key, None)

    def _why(self, error: grpc.RpcError, address: str) -> str:
        code = error.code()
        words = {
            grpc.StatusCode.UNAVAILABLE: f"nothing answers at {address}",
            grpc.StatusCode.DEADLINE_EXCEEDED: f"no answer from {address} within {self._deadline_s:g} s",
            grpc.StatusCode.UNIMPLEMENTED: f"another service answers at {address}: check the address",
        }
        return words.get(code, f"{address} answers {code.name}")

    def _log_changes(self, replicas: tuple[Replica, ...]) -> None:
        for replica in replicas:
            key = (replica.service, replica.address)
            if self._states.get(key) is not replica.state:
                self._states[key] = replica.state
                log.info("service_state", service=replica.service, address=replica.address, state=str(replica.state))


async def _together(calls: list[Coroutine[Any, Any, T]]) -> list[T]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


async def _addresses(spec: str, *, by_name: bool) -> list[str]:
    """host:port of every replica behind an address setting: a list with commas, or all addresses of a DNS name.

    With TLS (`by_name`) a name is dialled as it is, because certificates carry names.
    """
    if "," in spec:
        return list(dict.fromkeys(part.strip() for part in spec.split(",") if part.strip()))
    name = spec.removeprefix("dns:///")
    host, _, port = name.rpartition(":")
    if by_name or not port.isdigit() or "/" in host or host.startswith("[") or host == "localhost":
        return [spec]
    found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    # A dual-stack replica has one address per family: those of one family stand for all replicas.
    v4 = sorted({address[0] for family, *_, address in found if family == socket.AF_INET})
    v6 = sorted({address[0] for family, *_, address in found if family == socket.AF_INET6})
    return [f"{ip}:{port}" for ip in v4] or [f"[{ip}]:{port}" for ip in v6]
