"""LoaderService: gRPC to calls and back."""

from __future__ import annotations

import asyncio
import functools
import time

import grpc
from dbmazz.config import Settings
from dbmazz.errors import BAD_REQUEST, NOT_READY, abort
from dbmazz.relation import Relation
from dbmazz.telemetry import service_status
from dbmazz.v1 import load_pb2, loader_pb2, loader_pb2_grpc
from dbmazz.wire import relation_from_proto

from dbmazz_loader.book import RECORDS, Book
from dbmazz_loader.incoming import IncomingLoad
from dbmazz_loader.inflight import InFlight, JobBroke
from dbmazz_loader.protocol.headers import Load, why_malformed
from dbmazz_loader.reporting import Reporter
from dbmazz_loader.schema import Schema, SchemaOutcome
from dbmazz_loader.shipping import VERDICT_OF_REPORT, Shipping
from dbmazz_loader.standing import Standing
from dbmazz_loader.starrocks.stream_load import CONNECTIONS

# Room to answer before the caller stops listening.
_MARGIN_S = 0.5
# For callers without a deadline.
_DEADLINE_S = 600.0


class LoaderService(loader_pb2_grpc.LoaderServiceServicer):
    """See protos/dbmazz/v1/loader.proto."""

    def __init__(
        self,
        settings: Settings,
        in_flight: InFlight,
        shipping: Shipping,
        schema: Schema,
        reporter: Reporter,
        book: Book,
        standing: Standing,
    ) -> None:
        self._config = settings.shown()
        self._in_flight = in_flight
        self._shipping = shipping
        self._schema = schema
        self._reporter = reporter
        self._book = book
        self._standing = standing

    async def Load(self, incoming: IncomingLoad, context: grpc.aio.ServicerContext) -> load_pb2.LoadResponse:
        request, body = incoming.message, incoming.body
        await self._refuse_when_draining(context)
        await self._refuse_bad_progress(request.progress, context)
        deadline = _deadline(context)
        if not request.row_count:
            return await self._report_only(request, deadline)
        load = Load(
            table=request.table,
            label=request.label,
            columns=tuple(request.columns),
            partial_update=request.partial_update,
            merge_condition=request.version_column,
            row_count=request.row_count,
            body_bytes=len(body),
        )
        if why := why_malformed(load):
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, f"the load cannot be sent: {why}")
        start = functools.partial(self._shipping.ship, request, load, body)
        try:
            return await self._in_flight.run(request.label, deadline, start)
        except JobBroke as error:
            await abort(context, grpc.StatusCode.INTERNAL, error.reason, error.message)
            raise  # abort has raised

    async def _report_only(self, request: load_pb2.LoadRequest, deadline: float) -> load_pb2.LoadResponse:
        started = time.monotonic()
        report = await self._reporter.report(request.progress, 0, request.table, deadline)
        verdict = VERDICT_OF_REPORT[report.outcome]
        self._book.enter_report(verdict)
        milliseconds = int((time.monotonic() - started) * 1e3)
        return load_pb2.LoadResponse(verdict=verdict, message=report.reason, duration_ms=milliseconds)

    async def ApplySchema(
        self, request: loader_pb2.ApplySchemaRequest, context: grpc.aio.ServicerContext
    ) -> loader_pb2.ApplySchemaResponse:
        await self._refuse_when_draining(context)
        progress = request.progress if request.HasField("progress") else None
        if progress is not None:
            await self._refuse_bad_progress(progress, context)
        deadline = _deadline(context)
        match request.action:
            case loader_pb2.SCHEMA_ACTION_ENSURE:
                outcome = await self._schema.ensure(await self._relation(request, context), progress, deadline)
            case loader_pb2.SCHEMA_ACTION_TRUNCATE if request.barrier_lsn:
                relation = await self._relation(request, context)
                outcome = await self._schema.truncate(relation, request.barrier_lsn, progress, deadline)
            case _:
                text = "the schema action is unknown, or a truncate has no barrier_lsn"
                await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, text)
        return self._schema_response(outcome)

    async def _relation(self, request: loader_pb2.ApplySchemaRequest, context: grpc.aio.ServicerContext) -> Relation:
        try:
            return relation_from_proto(request.relation)
        except ValueError as error:
            text = f"the relation cannot be read: {error}"
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, text)
            raise  # abort has raised

    def _schema_response(self, outcome: SchemaOutcome) -> loader_pb2.ApplySchemaResponse:
        response = loader_pb2.ApplySchemaResponse(verdict=outcome.verdict, message=outcome.message)
        if outcome.verdict == load_pb2.VERDICT_LOADED and outcome.table is not None:
            response.target.CopyFrom(
                loader_pb2.TargetTable(
                    database=outcome.database,
                    table=outcome.table.name,
                    columns=[
                        loader_pb2.TargetColumn(name=column.name, type=column.type, key=column.key)
                        for column in outcome.table.columns
                    ],
                    version_guard=outcome.version_guard,
                )
            )
        return response

    async def GetStatus(
        self, request: loader_pb2.LoaderServiceGetStatusRequest, context: grpc.aio.ServicerContext
    ) -> loader_pb2.LoaderServiceGetStatusResponse:
        book, standing = self._book, self._standing
        return loader_pb2.LoaderServiceGetStatusResponse(
            status=service_status("loader", standing.state, self._config, standing.last_error),
            verdicts=[
                loader_pb2.VerdictCount(verdict=verdict, count=count)
                for verdict, count in sorted(book.verdicts.items())
            ],
            row_count=book.rows,
            loaded_row_count=book.loaded_rows,
            rows_unaccounted=book.rows_unaccounted,
            body_bytes=book.body_bytes,
            running_load_count=len(self._in_flight),
            partial_load_count=book.partial_loads,
            partial_row_count=book.partial_rows,
            commit_to_visible=book.commit_to_visible.to_proto(),
            target_version=self._schema.target_version,
            running_load_limit=CONNECTIONS,
        )

    async def ListLoads(
        self, request: loader_pb2.ListLoadsRequest, context: grpc.aio.ServicerContext
    ) -> loader_pb2.ListLoadsResponse:
        if request.page_size < 0:
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, "page_size is negative")
        count = min(request.page_size or RECORDS, RECORDS)
        return loader_pb2.ListLoadsResponse(loads=self._book.last(request.table, count))

    async def _refuse_when_draining(self, context: grpc.aio.ServicerContext) -> None:
        if self._standing.draining:
            await abort(context, grpc.StatusCode.UNAVAILABLE, NOT_READY, "this loader is shutting down")

    @staticmethod
    async def _refuse_bad_progress(progress: load_pb2.LoadProgress, context: grpc.aio.ServicerContext) -> None:
        good = progress.slot and progress.batch_ids and len(progress.batch_ids) == len(progress.safe_lsns)
        if not good or not 0 <= progress.part < progress.part_count:
            text = "progress must name a slot, batches with a safe LSN each, and a part below part_count"
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, text)


def _deadline(context: grpc.aio.ServicerContext) -> float:
    """When the caller stops listening, less the time to answer; on the event loop's clock."""
    remaining = context.time_remaining()
    now = asyncio.get_running_loop().time()
    return now + (_DEADLINE_S if remaining is None else max(remaining - _MARGIN_S, 0.0))
