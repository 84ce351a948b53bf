"""CheckpointService over gRPC: requests to calls, errors to codes. No policy."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import grpc
from dbmazz import errors
from dbmazz.asking import BadQuestion, refuse
from dbmazz.config import Settings
from dbmazz.errors import DbmazzError, FencedError, WireError
from dbmazz.lsn import Lsn
from dbmazz.telemetry import service_status
from dbmazz.v1 import checkpoint_pb2 as pb
from dbmazz.v1 import checkpoint_pb2_grpc

from dbmazz_checkpoint import answers
from dbmazz_checkpoint.measuring import service_state
from dbmazz_checkpoint.positions import Draining, Positions
from dbmazz_checkpoint.protocol.epochs import SystemIdentifierError
from dbmazz_checkpoint.protocol.rates import Sample, rates
from dbmazz_checkpoint.store.interface import StoreError

FULL_NAME = "dbmazz.v1.CheckpointService"

_CODES = (
    (FencedError, grpc.StatusCode.FAILED_PRECONDITION),
    (SystemIdentifierError, grpc.StatusCode.FAILED_PRECONDITION),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
)


@asynccontextmanager
async def _typed_errors(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    """Ends the RPC with the code and the reason of an error of ours."""
    try:
        yield
    except Draining:
        message = "the checkpoint is stopping. Come back to the one that follows"
        await errors.abort(context, grpc.StatusCode.UNAVAILABLE, errors.NOT_READY, message)
    except BadQuestion as question:
        await refuse(context, question)
    except WireError as error:
        await errors.abort(context, grpc.StatusCode.INVALID_ARGUMENT, errors.BAD_REQUEST, str(error))
    except DbmazzError as error:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
        await errors.abort(context, code, error.reason, str(error))


class CheckpointService(checkpoint_pb2_grpc.CheckpointServiceServicer):
    """The servicer; `store` is the store's description for people."""

    def __init__(self, positions: Positions, settings: Settings, store: str) -> None:
        self._positions = positions
        self._settings = settings
        self._store = store

    async def BeginEpoch(self, request: pb.BeginEpochRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            issued, unread = await self._positions.begin_epoch(answers.epoch_request(request))
            return pb.BeginEpochResponse(
                epoch=issued.epoch,
                confirmed_lsn=issued.confirmed_lsn,
                unread_tables=[
                    pb.UnreadTable(relation_id=relation_id, row_estimate=rows) for relation_id, rows in unread.items()
                ],
            )

    async def ReportLoaded(self, request: pb.ReportLoadedRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            progress = request.progress
            part = answers.part_of(progress)
            self._positions.report(progress.slot, progress.epoch, part, request.loaded_row_count)
            return pb.ReportLoadedResponse()

    async def WatchConfirmed(self, request: pb.WatchConfirmedRequest, context: grpc.aio.ServicerContext):
        watch = self._positions.watch(request.slot, request.epoch)
        async with _typed_errors(context), aclosing(watch) as announcements:
            async for announced in announcements:
                yield pb.WatchConfirmedResponse(
                    confirmed_lsn=announced.confirmed_lsn,
                    confirmed_batch_id=announced.confirmed_batch_id,
                    confirmed_lsn_text=str(Lsn(announced.confirmed_lsn)),
                )

    async def GetStatus(self, request: pb.CheckpointServiceGetStatusRequest, context: grpc.aio.ServicerContext):
        positions, state = self._positions, service_state(self._positions)
        return pb.CheckpointServiceGetStatusResponse(
            status=service_status("checkpoint", state, self._settings.shown(), positions.last_error),
            store=self._store,
            slots=[answers.slot_progress(positions, stored) for stored in positions.stored()],
        )

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            stored = answers.stored_at(self._positions, request.slot)
            return pb.GetCheckpointResponse(
                checkpoint=answers.checkpoint_proto(stored),
                confirmed_lsn=stored.confirmed_lsn,
                streamed_tables=await self._positions.streamed(stored.slot),
            )

    async def StoreTableLoad(self, request: pb.StoreTableLoadRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            load = answers.table_load(request.load)
            await self._positions.store_load(answers.slot_name(request.slot), request.epoch, load)
            return pb.StoreTableLoadResponse()

    async def ListTableLoads(self, request: pb.ListTableLoadsRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            found = await self._positions.loads(answers.slot_name(request.slot))
            return pb.ListTableLoadsResponse(loads=map(answers.table_load_proto, found))

    async def ListCheckpoints(self, request: pb.ListCheckpointsRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            limit = answers.page_size(request.page_size)
            if request.slot:
                stored = answers.stored_at(self._positions, request.slot)
                found = await self._positions.history(stored.slot, limit)
            else:
                newest_first = sorted(self._positions.stored(), key=lambda stored: -stored.update_time_us)
                found = newest_first[:limit]
            return pb.ListCheckpointsResponse(checkpoints=map(answers.checkpoint_proto, found))

    async def StreamMetrics(self, request: pb.StreamMetricsRequest, context: grpc.aio.ServicerContext):
        async with _typed_errors(context):
            interval_s = answers.interval_s(request.interval)
            answers.sample_limit(request.sample_limit)
            before: dict[str, Sample] = {}
            sent = 0
            while True:
                response, before = self._metrics(before)
                yield response
                sent += 1
                if sent == request.sample_limit:
                    return
                if await self._positions.draining_within(interval_s):
                    raise Draining

    def _metrics(self, before: dict[str, Sample]) -> tuple[pb.StreamMetricsResponse, dict[str, Sample]]:
        """One message, and the samples that the next one counts from."""
        response = pb.StreamMetricsResponse()
        response.sample_time.GetCurrentTime()
        samples: dict[str, Sample] = {}
        for stored in self._positions.stored():
            progress = answers.slot_progress(self._positions, stored)
            now = Sample(time.monotonic(), stored.epoch, progress.loaded_row_count, stored.confirmed_lsn)
            rows, confirmed = rates(before.get(stored.slot), now)
            # Tenths: what is beyond them is noise to a person.
            response.slots.add(
                progress=progress, rows_per_second=round(rows, 1), confirmed_bytes_per_second=round(confirmed, 1)
            )
            samples[stored.slot] = now
        return response, samples
