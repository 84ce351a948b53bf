"""One load on its way: sent, asked for, waited for, and reported, as `protocol.attempt` decides."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog
from dbmazz.v1 import load_pb2, loader_pb2

from dbmazz_loader.book import Book
from dbmazz_loader.inflight import Patience
from dbmazz_loader.protocol.attempt import Attempt, Bounds, State
from dbmazz_loader.protocol.headers import Load
from dbmazz_loader.protocol.redaction import reasons_of_log
from dbmazz_loader.protocol.verdicts import Outcome, Peer
from dbmazz_loader.reporting import Reported, Reporter
from dbmazz_loader.standing import Standing
from dbmazz_loader.starrocks.stream_load import Reply, StreamLoad

log = structlog.get_logger("dbmazz.loader")

_VERDICTS = {
    State.LOADED: load_pb2.VERDICT_LOADED,
    State.GAVE_UP: load_pb2.VERDICT_RETRY,
    State.PARKED: load_pb2.VERDICT_PARK,
    State.STOPPED: load_pb2.VERDICT_STOP,
}
VERDICT_OF_REPORT = {
    Reported.TAKEN: load_pb2.VERDICT_LOADED,
    Reported.FENCED: load_pb2.VERDICT_FENCED,
    Reported.NOT_TAKEN: load_pb2.VERDICT_RETRY,
}


@dataclass
class _Shipment:
    """A load under way, and what has been learned about it."""

    request: load_pb2.LoadRequest
    load: Load
    body: memoryview
    attempt: Attempt
    started_s: float
    status: str = ""
    error_url: str = ""
    # Rows that StarRocks counted; None while it has not told.
    counted: int | None = None
    visible_time_s: float = 0.0
    peer: Peer | None = None


class Shipping:
    """Ships loads to StarRocks and reports them to the checkpoint."""

    def __init__(
        self, stream_load: StreamLoad, reporter: Reporter, book: Book, standing: Standing, bounds: Bounds | None = None
    ) -> None:
        self._stream_load = stream_load
        self._reporter = reporter
        self._book = book
        self._standing = standing
        self._bounds = bounds or Bounds()

    async def ship(
        self, request: load_pb2.LoadRequest, load: Load, body: memoryview, patience: Patience
    ) -> load_pb2.LoadResponse:
        """From the first send to the verdict."""
        clock = asyncio.get_running_loop().time
        shipment = _Shipment(request, load, body, Attempt(clock(), self._bounds), clock())
        with self._book.under_way(lambda: self._record(shipment, clock())):
            return await self._ship(shipment, patience)

    async def _ship(self, shipment: _Shipment, patience: Patience) -> load_pb2.LoadResponse:
        clock = asyncio.get_running_loop().time
        request, load = shipment.request, shipment.load
        attempt = shipment.attempt
        while not attempt.state.final:
            reply = await self._step(shipment)
            self._learn(shipment, reply)
            pause = attempt.judge(reply.judgement, clock(), patience.deadline)
            await asyncio.sleep(pause)
            attempt.resume(clock(), patience.deadline)
        verdict, message = _VERDICTS[attempt.state], attempt.reason
        if verdict == load_pb2.VERDICT_LOADED:
            shipment.visible_time_s = shipment.visible_time_s or time.time()
            report = await self._reporter.report(request.progress, self._loaded(shipment), load.table)
            verdict, message = VERDICT_OF_REPORT[report.outcome], report.reason
        elif shipment.error_url:
            message = await self._explain(shipment, message)
        return self._close(shipment, verdict, message, clock())

    async def _step(self, shipment: _Shipment) -> Reply:
        if shipment.attempt.state is not State.SEND:
            return await self._stream_load.label_state(shipment.load.label)
        shipment.attempt.sent()
        return await self._stream_load.send(shipment.load, shipment.body)

    def _learn(self, shipment: _Shipment, reply: Reply) -> None:
        judgement, answer = reply.judgement, reply.answer
        shipment.peer = judgement.peer
        if judgement.outcome is Outcome.LOADED:
            shipment.visible_time_s = time.time()
        if answer is not None:
            shipment.status, shipment.error_url = answer.status, answer.error_url
            # An answer about an earlier load under the label counts nothing.
            if judgement.outcome in (Outcome.LOADED, Outcome.COMMITTED) and not answer.existing_job_status:
                shipment.counted = answer.loaded
        self._standing.heed(judgement)
        if judgement.outcome is Outcome.LOADED:
            self._standing.works(Peer.LOADING)

    @staticmethod
    def _loaded(shipment: _Shipment) -> int:
        """Rows in the target. Where only the label's state was told it is all of them, as max_filter_ratio is 0."""
        return shipment.load.row_count if shipment.counted is None else shipment.counted

    async def _explain(self, shipment: _Shipment, message: str) -> str:
        """Adds the reasons from the backend's error log, without row values, and where the rows can be seen."""
        columns = (item.partition("=")[0].strip().strip("`") for item in shipment.load.columns)
        reasons = reasons_of_log(await self._stream_load.error_log(shipment.error_url), columns)
        return f"{message}: {reasons or 'no reason given'}. The rows are in the backend's log, {shipment.error_url}"

    def _record(self, shipment: _Shipment, now: float) -> loader_pb2.LoadRecord:
        """The load for people, as it stands."""
        load, attempt = shipment.load, shipment.attempt
        return loader_pb2.LoadRecord(
            label=load.label,
            table=load.table,
            status=shipment.status,
            row_count=load.row_count,
            loaded_row_count=self._loaded(shipment) if attempt.state is State.LOADED else 0,
            body_bytes=load.body_bytes,
            duration_ms=int((now - shipment.started_s) * 1e3),
            attempt_count=attempt.sends,
            partial_update=load.partial_update,
            absent_columns=shipment.request.absent_columns,
            message=attempt.reason,
        )

    def _close(self, shipment: _Shipment, verdict: int, message: str, now: float) -> load_pb2.LoadResponse:
        load, request = shipment.load, shipment.request
        record = self._record(shipment, now)
        record.verdict, record.message = verdict, message
        self._book.enter(record)
        loaded, milliseconds = record.loaded_row_count, record.duration_ms
        facts = {"table": load.table, "label": load.label, "rows": load.row_count, "ms": milliseconds}
        if verdict == load_pb2.VERDICT_LOADED:
            self._book.enter_latencies(request.commit_runs, shipment.visible_time_s)
            log.debug("load_done", **facts)
        elif shipment.peer is not None:  # said once, by the standing
            log.debug("load_not_done", verdict=load_pb2.Verdict.Name(verdict), reason=message, **facts)
        else:
            log.warning("load_not_done", verdict=load_pb2.Verdict.Name(verdict), reason=message, **facts)
        return load_pb2.LoadResponse(
            verdict=verdict,
            loaded_row_count=loaded,
            body_bytes=load.body_bytes,
            duration_ms=milliseconds,
            message=message,
        )
