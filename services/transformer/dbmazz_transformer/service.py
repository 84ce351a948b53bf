"""dbmazz.v1.TransformerService: what the replica is doing, for people and for the monitor."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from dbmazz.config import Settings
from dbmazz.errors import BAD_REQUEST, abort
from dbmazz.telemetry import service_status
from dbmazz.v1 import transformer_pb2, transformer_pb2_grpc, types_pb2

from dbmazz_transformer.lane import Lane
from dbmazz_transformer.lanes import BACKLOG_BYTES, Lanes
from dbmazz_transformer.protocol.lane_state import LaneState
from dbmazz_transformer.protocol.plan import Load
from dbmazz_transformer.source import Source


class TransformerService(transformer_pb2_grpc.TransformerServiceServicer):
    """Maps gRPC to the lanes and the source; holds no policy."""

    def __init__(self, settings: Settings, lanes: Lanes, source: Source) -> None:
        self.draining = False
        self._settings = settings
        self._lanes = lanes
        self._source = source

    async def GetStatus(
        self, request: transformer_pb2.TransformerServiceGetStatusRequest, context: grpc.aio.ServicerContext
    ) -> transformer_pb2.TransformerServiceGetStatusResponse:
        """State and counters."""
        tally = self._lanes.tally
        error = self._lanes.trouble() or self._source.last_error
        return transformer_pb2.TransformerServiceGetStatusResponse(
            status=service_status("transformer", self.state(), self._settings.shown(), error),
            epoch=self._source.epoch,
            lanes=[_lane_status(lane) for lane in self._lanes.held()],
            row_count=tally.row_count,
            folded_row_count=tally.folded_row_count,
            loaded_row_count=tally.loaded_row_count,
            full_load_count=tally.full_load_count,
            partial_load_count=tally.partial_load_count,
            partial_row_count=tally.partial_row_count,
            policy_value_count=tally.policy_value_count,
            pending_bytes_limit=BACKLOG_BYTES,
        )

    async def TailLoads(
        self, request: transformer_pb2.TailLoadsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[transformer_pb2.TailLoadsResponse]:
        """Follows the loads until `load_limit`, or until the caller hangs up."""
        if request.load_limit < 0 or request.row_limit < 0:
            message = "load_limit and row_limit take 0 or more"
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, message)
        sent = 0
        with self._lanes.tail.follow(frozenset(request.tables), request.row_limit) as follower:
            # The headers tell the caller that it is listening from now on.
            await context.send_initial_metadata(())
            while not request.load_limit or sent < request.load_limit:
                load, rows, time_ns, dropped = await follower.queue.get()
                yield _tail_response(load, rows, time_ns, dropped)
                sent += 1

    async def ListSignatures(
        self, request: transformer_pb2.ListSignaturesRequest, context: grpc.aio.ServicerContext
    ) -> transformer_pb2.ListSignaturesResponse:
        """By table, most rows first."""
        wanted = frozenset(request.tables)
        counted = [
            (key, tally) for key, tally in self._lanes.tally.signatures.items() if not wanted or key[0] in wanted
        ]
        counted.sort(key=lambda item: (item[0][0], -item[1].row_count, item[0][1]))
        return transformer_pb2.ListSignaturesResponse(
            signatures=[
                transformer_pb2.SignatureCount(
                    table=table,
                    absent_columns=absent,
                    load_count=tally.load_count,
                    row_count=tally.row_count,
                    insert_count=tally.insert_count,
                    update_count=tally.update_count,
                    delete_count=tally.delete_count,
                )
                for (table, absent), tally in counted
            ]
        )

    def state(self) -> types_pb2.ServiceState:
        """What the replica is about."""
        if self.draining:
            return types_pb2.SERVICE_STATE_DRAINING
        if not self._source.ever_connected:
            return types_pb2.SERVICE_STATE_STARTING
        retrying = any(lane.state is LaneState.RETRYING for lane in self._lanes.held())
        if not self._source.connected or retrying:
            return types_pb2.SERVICE_STATE_RETRYING
        return types_pb2.SERVICE_STATE_RUNNING


def _lane_status(lane: Lane) -> transformer_pb2.LaneStatus:
    status = transformer_pb2.LaneStatus(
        lane=lane.key.lane,
        generation=lane.key.generation,
        table=lane.table,
        state=int(lane.state),
        pending_bytes=lane.backlog.byte_count,
        pending_row_count=lane.backlog.row_count,
        message=lane.message,
    )
    # A field that is not set costs nothing, and most lanes of many are still.
    if oldest := lane.backlog.oldest_commit_time:
        status.oldest_pending_commit_time.FromMicroseconds(oldest)
    if loaded := lane.backlog.loaded_commit_time:
        status.last_loaded_commit_time.FromMicroseconds(loaded)
    if lane.loaded_time_ns:
        status.last_load_time.FromNanoseconds(lane.loaded_time_ns)
    return status


def _tail_response(load: Load, rows: list[str], time_ns: int, dropped: int) -> transformer_pb2.TailLoadsResponse:
    response = transformer_pb2.TailLoadsResponse(
        table=load.table,
        label=load.label,
        columns=load.columns,
        partial_update=load.partial_update,
        absent_columns=load.absent_columns,
        row_count=load.row_count,
        body_bytes=len(load.body),
        rows=rows,
        dropped_count=dropped,
    )
    response.create_time.FromNanoseconds(time_ns)
    return response
