"""The control RPCs of dbmazz.v1.ReaderService: who may, what the messages say, and what errors become."""

from __future__ import annotations

import time
from typing import NoReturn

import grpc
from dbmazz.control import ControlGuard
from dbmazz.errors import BAD_REQUEST, ConfigError, DbmazzError, abort
from dbmazz.lsn import Lsn
from dbmazz.v1 import reader_pb2

from dbmazz_reader.controlling import Control, ReloadRefused
from dbmazz_reader.pausing import Pause
from dbmazz_reader.reloading import Change
from dbmazz_reader.status import Status

REASON_LENGTH = 200
DRAIN_S = 30.0
LONGEST_DRAIN_S = 600.0


class ControlCalls:
    """Pause, Resume, Drain and ReloadConfig; part of the servicer."""

    def __init__(self, control: Control, status: Status) -> None:
        self._control = control
        self._status = status
        self._guard = ControlGuard("reader", control.settings.control_token)

    async def Pause(self, request, context: grpc.aio.ServicerContext) -> reader_pb2.PauseResponse:
        """Closes the gate, and tells what the slot keeps."""
        await self._guard.admit(context, "Pause")
        await _check_reason(request.reason, context)
        pause, before = self._control.pause(request.reason)
        sealed = await self._control.sealed()
        await self._control.look_at_slot()
        return reader_pb2.PauseResponse(
            pause=pause_state(self._control.gate.pause or pause),
            was_paused=before,
            sealed=sealed,
            confirmed_lsn=self._confirmed_lsn(),
            slot_status=slot_status(self._status),
            notice=self._notice(),
        )

    async def Resume(self, request, context: grpc.aio.ServicerContext) -> reader_pb2.ResumeResponse:
        """Opens the gate."""
        await self._guard.admit(context, "Resume")
        ended = self._control.resume()
        response = reader_pb2.ResumeResponse()
        if ended is not None:
            response.paused_duration.FromMilliseconds(max(round((time.time() - ended.since) * 1000), 0))
        return response

    async def Drain(self, request, context: grpc.aio.ServicerContext) -> reader_pb2.DrainResponse:
        """Closes the gate, and waits."""
        await self._guard.admit(context, "Drain")
        timeout_s = request.timeout.ToTimedelta().total_seconds() if request.HasField("timeout") else DRAIN_S
        if not 0 < timeout_s <= LONGEST_DRAIN_S:
            message = f"timeout is {timeout_s:g} s. It takes more than 0 s, up to {LONGEST_DRAIN_S:g} s"
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, message)
        await _check_reason(request.reason, context)
        reason = request.reason or ("" if self._control.gate.closed else "drain")
        pause, _ = self._control.pause(reason)
        complete = await self._control.drained(timeout_s)
        streaming = self._status.streaming
        return reader_pb2.DrainResponse(
            pause=pause_state(self._control.gate.pause or pause),
            complete=complete,
            confirmed_lsn=self._confirmed_lsn(),
            left_batch_count=streaming.left_batches if streaming else 0,
            left_bytes=streaming.feed.retention.bytes if streaming else 0,
            open_transaction=streaming is not None and streaming.open_transaction,
            message="" if complete else self._control.hindrance(),
        )

    async def ReloadConfig(self, request, context: grpc.aio.ServicerContext) -> reader_pb2.ReloadConfigResponse:
        """Changes settings."""
        await self._guard.admit(context, "ReloadConfig")
        interval = request.flush_interval.ToMilliseconds() if request.HasField("flush_interval") else None
        change = Change(
            tables=tuple(request.tables) or None,
            flush_size=request.flush_size if request.HasField("flush_size") else None,
            flush_interval_ms=interval,
        )
        try:
            done = await self._control.reload(change)
        except DbmazzError as error:
            await _refuse(error, context)
        streaming = self._status.streaming
        names = [table.relation.qualified_name for table in streaming.receiver.tables] if streaming else []
        return reader_pb2.ReloadConfigResponse(
            tables=self._control.settings.tables,
            flush=self._control.flush,
            replicated_tables=names,
            added_tables=done.added,
            removed_tables=done.removed,
            transformers=streaming.feed.transformers if streaming else [],
            epoch=streaming.feed.epoch if streaming else 0,
            warnings=[*done.warnings, *self._status.all_warnings()],
        )

    def _confirmed_lsn(self) -> str:
        return str(Lsn(self._status.streaming.confirmation.lsn)) if self._status.streaming else ""

    def _notice(self) -> str:
        health = self._status.slot_health
        slot = self._control.settings.source_slot_name
        if health is None:
            return f"slot {slot} has not been looked at yet; it keeps the WAL from its position on until Resume"
        return (
            f"slot {slot} keeps the WAL from {Lsn(health.slot.restart_lsn)} on until Resume:"
            f" {health.retained_wal_bytes:,} bytes by now, wal_status {health.slot.wal_status or 'unknown'}"
        )


def pause_state(pause: Pause | None) -> reader_pb2.PauseState | None:
    """For GetStatus and the answers; None when there is none."""
    if pause is None:
        return None
    state = reader_pb2.PauseState(reason=pause.reason)
    state.since_time.FromMicroseconds(int(pause.since * 1e6))
    return state


def slot_status(status: Status) -> reader_pb2.SlotStatus | None:
    """The slot as of the last look; None before the first."""
    if status.slot_health is None:
        return None
    slot = status.slot_health.slot
    shown = reader_pb2.SlotStatus(
        wal_status=slot.wal_status,
        retained_wal_bytes=status.slot_health.retained_wal_bytes,
        restart_lsn=str(Lsn(slot.restart_lsn)),
        confirmed_flush_lsn=str(Lsn(slot.confirmed_flush_lsn)),
    )
    shown.read_time.FromMicroseconds(int(status.slot_read_time * 1e6))
    if status.slot_health.safe_wal_bytes is not None:
        shown.safe_wal_bytes = status.slot_health.safe_wal_bytes
    return shown


async def _check_reason(reason: str, context: grpc.aio.ServicerContext) -> None:
    if len(reason) > REASON_LENGTH or not reason.isprintable():
        message = f"reason is not fit to be shown. It takes up to {REASON_LENGTH} printable characters, on one line"
        await abort(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_REQUEST, message)


async def _refuse(error: DbmazzError, context: grpc.aio.ServicerContext) -> NoReturn:
    """Values first, because ConfigError is also what TABLES that match nothing raise, wrapped by then."""
    code = grpc.StatusCode.INTERNAL
    if isinstance(error, ConfigError):
        code = grpc.StatusCode.INVALID_ARGUMENT
    elif isinstance(error, ReloadRefused):
        code = grpc.StatusCode.FAILED_PRECONDITION
    elif getattr(error, "retriable", False):
        code = grpc.StatusCode.UNAVAILABLE
    await abort(context, code, error.reason, str(error))
    raise AssertionError("abort does not return")
