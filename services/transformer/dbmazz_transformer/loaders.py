"""Client of the loaders: loads and schema actions, with every failure as a verdict."""

from __future__ import annotations

import grpc
from dbmazz.calling import open_channel
from dbmazz.config import Settings
from dbmazz.errors import EPOCH_FENCED, reason_of
from dbmazz.relation import Relation
from dbmazz.v1 import load_pb2, loader_pb2, loader_pb2_grpc
from dbmazz.wire import relation_to_proto

from dbmazz_transformer.protocol.layout import Target
from dbmazz_transformer.protocol.outcome import Outcome, Verdict
from dbmazz_transformer.protocol.plan import Load, Progress

# What the loader needs beside the time that StarRocks has: redirect, label look-ups, and the report.
MARGIN_S = 30.0

ENSURE = loader_pb2.SCHEMA_ACTION_ENSURE
TRUNCATE = loader_pb2.SCHEMA_ACTION_TRUNCATE

_SERVICE = loader_pb2.DESCRIPTOR.services_by_name["LoaderService"]
_LOAD = f"/{_SERVICE.full_name}/{_SERVICE.methods_by_name['Load'].name}"
# Field number and wire type, which says that a length follows.
_BODY_TAG = bytes([load_pb2.LoadRequest.BODY_FIELD_NUMBER << 3 | 2])

# The same call would fail in the same way: a request that is refused, or a message beyond GRPC_MAX_MESSAGE_BYTES.
_PARKING = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}


class Loaders:
    """All loader replicas behind LOADER_ADDRESS, in turn."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.loader_address
        self._deadline_s = settings.load_timeout_s + MARGIN_S
        self._channel = open_channel(settings.loader_address, settings, round_robin=True)
        self._stub = loader_pb2_grpc.LoaderServiceStub(self._channel)
        # The stub's Load, but for a request that is bytes already.
        self._load = self._channel.unary_unary(
            _LOAD, request_serializer=None, response_deserializer=load_pb2.LoadResponse.FromString
        )

    async def load(self, load: Load) -> Outcome:
        """One Stream Load. Sending the same load again is safe: its label tells."""
        try:
            response = await self._load(load_to_wire(load), timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            return self._failure(error)
        return _outcome(response)

    async def apply_schema(
        self, relation: Relation, action: int, barrier_lsn: int, progress: Progress | None
    ) -> tuple[Outcome, Target | None]:
        """Brings the target table in line (ENSURE) or truncates it; the table as it is then, when LOADED."""
        request = loader_pb2.ApplySchemaRequest(
            relation=relation_to_proto(relation),
            action=action,
            barrier_lsn=barrier_lsn,
            progress=progress and progress_to_proto(progress),
        )
        try:
            response = await self._stub.ApplySchema(request, timeout=self._deadline_s)
        except grpc.aio.AioRpcError as error:
            return self._failure(error), None
        target = None
        if response.HasField("target"):
            names = tuple(column.name for column in response.target.columns)
            target = Target(response.target.table, names, response.target.version_guard)
        return _outcome(response), target

    async def close(self) -> None:
        """Cancels what is under way."""
        await self._channel.close()

    def _failure(self, error: grpc.aio.AioRpcError) -> Outcome:
        message = f"loader {self._address}: {error.code().name} {error.details() or ''}".rstrip()
        if reason_of(error) == EPOCH_FENCED:
            return Outcome(Verdict.FENCED, message)
        return Outcome(Verdict.PARK if error.code() in _PARKING else Verdict.RETRY, message)


def _outcome(response: load_pb2.LoadResponse | loader_pb2.ApplySchemaResponse) -> Outcome:
    try:
        return Outcome(Verdict(response.verdict), response.message)
    except ValueError:
        return Outcome(Verdict.PARK, f"the loader gave the unknown verdict {response.verdict}: is it newer?")


def load_to_wire(load: Load) -> bytes:
    """The LoadRequest of a load, serialized.

    The body is put behind the other fields by hand: the library would copy it into a message and out of that again. A reader
    takes fields in any order.
    """
    return b"".join((load_to_proto(load).SerializeToString(), _BODY_TAG, varint(len(load.body)), load.body))


def load_to_proto(load: Load) -> load_pb2.LoadRequest:
    """The request of a load, without its body."""
    return load_pb2.LoadRequest(
        table=load.table,
        label=load.label,
        columns=load.columns,
        partial_update=load.partial_update,
        version_column=load.version_column,
        row_count=load.row_count,
        progress=progress_to_proto(load.progress),
        commit_runs=[load_pb2.CommitRun(commit_time_us=time, row_count=rows) for time, rows in load.commit_runs],
        absent_columns=load.absent_columns,
        insert_count=load.insert_count,
        update_count=load.update_count,
        delete_count=load.delete_count,
    )


def varint(number: int) -> bytes:
    """Base 128, least significant group first, as protobuf writes lengths."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def progress_to_proto(progress: Progress) -> load_pb2.LoadProgress:
    """The progress that a load or barrier stands for."""
    return load_pb2.LoadProgress(
        slot=progress.key.slot,
        epoch=progress.key.epoch,
        lane=progress.key.lane,
        generation=progress.key.generation,
        batch_ids=progress.batch_ids,
        safe_lsns=progress.safe_lsns,
        part=progress.part,
        part_count=progress.part_count,
    )
