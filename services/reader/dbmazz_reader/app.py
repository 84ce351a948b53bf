"""The reader as a process: serves first, then runs one session after another until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from dbmazz.backoff import Backoff
from dbmazz.config import Settings
from dbmazz.errors import DbmazzError, FencedError
from dbmazz.process import announce, flatten, run_service, stop_on_signals
from dbmazz.serving import Server
from dbmazz.v1.reader_pb2_grpc import add_ReaderServiceServicer_to_server

from dbmazz_reader.checkpointing import CheckpointClient
from dbmazz_reader.controlling import Control
from dbmazz_reader.measuring import measure
from dbmazz_reader.postgres.connecting import parse
from dbmazz_reader.protocol.states import SessionState, advance
from dbmazz_reader.service import ReaderService
from dbmazz_reader.session import Session
from dbmazz_reader.status import Status

log = structlog.get_logger("dbmazz.reader")

# Draining has its own bound (session.py); this one is for a session that hangs all the same.
STOP_S = 7.0


async def run(settings: Settings) -> int:
    """The process; DbmazzError for what a person must see."""
    return await serve(settings, stop_on_signals(), lambda address: announce("reader", address))


async def serve(settings: Settings, stop: asyncio.Event, on_bound: Callable[[str], None]) -> int:
    """Serves on LISTEN, tells the address, and replicates until `stop`."""
    settings.require("source_url")
    parse(settings.source_url)
    status = Status()
    control = Control(settings, status)
    server = Server("reader", settings)
    server.add(add_ReaderServiceServicer_to_server, ReaderService(control, status), "dbmazz.v1.ReaderService")
    server.measure(lambda: measure(settings, status))
    on_bound(await server.start())
    reader = Reader(control, status, server, CheckpointClient(settings))
    try:
        await reader.run(stop)
    finally:
        await server.stop(1.0)
        await reader.checkpoint.close()
    return 0


class Reader:
    """Runs sessions; decides after each whether another makes sense."""

    def __init__(self, control: Control, status: Status, server: Server, checkpoint: CheckpointClient) -> None:
        self.checkpoint = checkpoint
        self._control = control
        self._status = status
        self._server = server
        self._backoff = Backoff(first_s=0.2, cap_s=10.0)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until only a person can help: then the error is raised."""
        error: DbmazzError | None = None
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(stop.wait())
            while not stop.is_set() and (error is None or _passes(error)):
                session = self._control.next_session(self.checkpoint)
                attempt = group.create_task(self._attempt(session))
                await asyncio.wait((attempt, stopping), return_when=asyncio.FIRST_COMPLETED)
                error = await self._end(session, attempt, stop)
                if error is not None and not _passes(error) and self._control.refused(session, error):
                    error = None  # the former tables go on
                if error is None and session.complete:
                    break
                if error is not None:
                    await self._tell(error, stop)
                elif self._status.state in (SessionState.STREAMING, SessionState.PAUSED):
                    self._status.state = advance(self._status.state, SessionState.CONNECTING)
            stopping.cancel()
        self._status.state = advance(self._status.state, SessionState.STOPPED)
        if error is not None and not _passes(error):
            raise error

    async def _attempt(self, session: Session) -> DbmazzError | None:
        """One session; the error that ended it, the one that only a person can help with first."""
        try:
            await session.run(self._streaming)
        except DbmazzError as error:
            return error
        except BaseExceptionGroup as group:
            ours, others = group.split(DbmazzError)
            if others is not None or ours is None:
                raise
            return min(flatten(ours), key=_passes)
        return None

    async def _end(
        self, session: Session, attempt: asyncio.Task[DbmazzError | None], stop: asyncio.Event
    ) -> DbmazzError | None:
        if not stop.is_set():
            return await attempt
        session.finish()
        if self._status.state in (SessionState.STREAMING, SessionState.PAUSED):
            self._status.state = advance(self._status.state, SessionState.DRAINING)
            await asyncio.wait((attempt,), timeout=STOP_S)
        attempt.cancel()
        await asyncio.wait((attempt,))
        error = None if attempt.cancelled() else attempt.result()
        if error is not None:
            # What it had read and not delivered comes again; the confirmed position is right all the same.
            log.warning("ended_while_stopping", error=str(error))
        return None

    async def _streaming(self, session: Session) -> None:
        paused = self._control.gate.closed
        self._status.state = advance(self._status.state, SessionState.PAUSED if paused else SessionState.STREAMING)
        self._control.streams(session)
        self._status.last_error = ""
        self._backoff.reset()
        await self._server.set_ready(True)

    async def _tell(self, error: DbmazzError, stop: asyncio.Event) -> None:
        """Shows the error, and waits before the next attempt when there is one."""
        self._status.last_error = str(error)
        await self._server.set_ready(False)
        if not _passes(error):
            return
        self._status.state = advance(self._status.state, SessionState.RETRYING)
        pause = self._backoff.next_delay()
        log.warning("session_ended", reason=error.reason, error=str(error), retry_in_s=round(pause, 2))
        try:
            async with asyncio.timeout(pause):
                await stop.wait()
        except TimeoutError:
            self._status.state = advance(self._status.state, SessionState.CONNECTING)


def _passes(error: BaseException) -> bool:
    """True when another session can succeed: the source comes back, or a new epoch is all that is needed."""
    return isinstance(error, FencedError) or getattr(error, "retriable", False)


def main() -> int:
    """Entry point of the process."""
    return run_service("reader", run)
