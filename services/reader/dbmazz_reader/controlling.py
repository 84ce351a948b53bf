"""Pause, resume, drain and reload: what callers want of the running reader, from one session to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from dbmazz.config import Settings
from dbmazz.errors import ConfigError, DbmazzError, SourceError
from dbmazz.v1 import reader_pb2

from dbmazz_reader.checkpointing import CheckpointClient
from dbmazz_reader.pausing import Gate, Pause
from dbmazz_reader.postgres.setup import rehearse
from dbmazz_reader.protocol.states import SessionState, advance
from dbmazz_reader.reloading import Change, Effective
from dbmazz_reader.session import Session, coalescing_s, collecting_s
from dbmazz_reader.status import Status, Streaming

log = structlog.get_logger("dbmazz.reader")

# Of waiting for everything that was read to be sealed.
SEAL_S = 5.0
# Of what a reload takes in turn: reading on for tables that go out, draining, and the new session.
CATCH_UP_S = 10.0
RELOAD_DRAIN_S = 20.0
BEGIN_S = 60.0
POLL_S = 0.1


class NotStreaming(DbmazzError):
    """Nothing can be done about tables now; later it can."""

    reason = "NOT_READY"
    retriable = True


class ReloadRefused(DbmazzError):
    """The tables cannot be had; the former ones go on."""

    reason = "RELOAD_REFUSED"


@dataclass(eq=False)
class Pending:
    """A reload of the tables on its way. `former` are relations and names of the session that ends for it."""

    wanted: Effective
    former: Mapping[int, str]
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    error: DbmazzError | None = None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload has done, by names of tables."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Control:
    """One per process. Calls come from the service; `next_session`, `streams` and `refused` from the loop of sessions."""

    def __init__(self, settings: Settings, status: Status) -> None:
        self.gate = Gate()
        self.effective = Effective(settings)
        self._status = status
        self._session: Session | None = None
        self._pending: Pending | None = None
        self._turn = asyncio.Lock()
        # Set when a session begins to stream, and when a pause ends.
        self._began = asyncio.Event()

    @property
    def settings(self) -> Settings:
        """The settings that hold."""
        return self.effective.settings

    @property
    def flush(self) -> reader_pb2.FlushSettings | None:
        """What transformers are told; None when nothing of it was reloaded."""
        size, interval = self.effective.told("flush_size"), self.effective.told("flush_interval_ms")
        if size is None and interval is None:
            return None
        flush = reader_pb2.FlushSettings(flush_size=size)
        if interval is not None:
            flush.flush_interval.FromMilliseconds(interval)
        return flush

    # The loop of sessions

    def next_session(self, checkpoint: CheckpointClient) -> Session:
        """The session to run next: with the tables that are wanted, when a reload is on its way."""
        pending = self._pending
        settings = pending.wanted.settings if pending else self.settings
        former = pending.former if pending else None
        self._session = Session(settings, checkpoint, self._status, self.gate, former)
        return self._session

    def streams(self, session: Session) -> None:
        """The session streams; a reload that it was for has succeeded."""
        pending = self._pending
        if pending is not None and session.settings is pending.wanted.settings:
            self.effective, self._pending = pending.wanted, None
            pending.settled.set()
        self._tell()
        self._began.set()

    def refused(self, session: Session, error: DbmazzError) -> bool:
        """True when the session has failed only because of a reload, which is taken back."""
        pending = self._pending
        if pending is None or session.settings is not pending.wanted.settings:
            return False
        log.error("reload_refused", error=str(error))
        pending.error, self._pending = error, None
        pending.settled.set()
        return True

    # Pause, resume, drain

    def pause(self, reason: str) -> tuple[Pause, bool]:
        """(the pause, True when it was paused before)."""
        before = self.gate.closed
        pause = self.gate.close(reason)
        if self._status.state is SessionState.STREAMING:
            self._status.state = advance(self._status.state, SessionState.PAUSED)
        if not before:
            log.info("paused", reason=reason)
        return pause, before

    async def sealed(self) -> bool:
        """Waits, for a moment, until all that was read is sealed."""
        if self._status.feed is None:
            return False
        try:
            async with asyncio.timeout(SEAL_S):
                await self._status.streaming.receiver.resting.wait()
        except TimeoutError:
            return False
        return True

    async def look_at_slot(self) -> None:
        """Renews what is known of the slot, when the source answers."""
        if self._session is not None and self._status.feed is not None:
            try:
                await self._session.look_at_slot()
            except SourceError as error:
                log.warning("slot_not_seen", error=str(error))

    def resume(self) -> Pause | None:
        """Ends the pause; None when there was none."""
        ended = self.gate.open()
        self._began.set()
        if self._status.state is SessionState.PAUSED:
            self._status.state = advance(self._status.state, SessionState.STREAMING)
        if ended is not None:
            log.info("resumed")
        return ended

    async def drained(self, timeout_s: float) -> bool:
        """Waits until nothing is on its way; False when that, or a connection, cannot be had in time, or somebody resumes."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.gate.closed:
                    streaming = self._open()
                    if streaming is None:
                        self._began.clear()
                        await self._began.wait()
                    elif streaming.settled:
                        streaming.confirmation.hurry()
                        return True
                    else:
                        await streaming.feed.progress(POLL_S)
        except TimeoutError:
            pass
        return False

    def hindrance(self) -> str:
        """What draining waits for."""
        streaming = self._open()
        if not self.gate.closed:
            return "the reader was resumed meanwhile"
        if streaming is None:
            return f"the reader is not connected: {self._status.last_error or self._status.state.value}"
        if not streaming.receiver.resting.is_set():
            return "a commit that was read waits for a synchronous standby"
        if streaming.feed.retention.empty:
            return "the checkpoint has not stored the position yet"
        if not streaming.feed.transformers:
            return "no transformer is connected"
        return "the target has not taken everything yet; the lanes in TransformerService/GetStatus say why"

    # Reload

    async def reload(self, change: Change) -> Reloaded:
        """Makes the change, whole or not at all.

        ConfigError for values that the variables do not take, ReloadRefused for tables that cannot be had, NotStreaming or
        SourceUnavailable when it may succeed later.
        """
        async with self._turn:
            if self._pending is not None:  # the caller of the one before has hung up
                await self._settle(self._pending)
            wanted = self.effective.changed(change)
            if change.tables is None:
                self._take(wanted)
                return Reloaded()
            return await self._retable(wanted)

    async def _retable(self, wanted: Effective) -> Reloaded:
        session, streaming = self._session, self._open()
        if session is None or streaming is None:
            why = self._status.last_error or self._status.state.value
            raise NotStreaming(f"the reader does not stream now ({why})", "Try again when it does")
        try:
            chosen = await rehearse(self.settings.source_url, wanted.settings)
        except (ConfigError, SourceError) as error:
            if getattr(error, "retriable", False):
                raise
            raise ReloadRefused(error.message, error.way_out) from None
        present = {table.relation.relation_id: table.relation.qualified_name for table in streaming.receiver.tables}
        added = sorted(chosen[key] for key in chosen.keys() - present.keys())
        removed = sorted(present[key] for key in present.keys() - chosen.keys())
        if not added and not removed and wanted.settings.tables == self.settings.tables:
            self._take(wanted)
            return Reloaded()
        # What goes out is delivered up to here. What stays would come again anyway.
        whole = not removed or await session.caught_up(streaming, CATCH_UP_S)
        pending = self._pending = Pending(wanted, present)
        log.info("reloading", tables=list(wanted.settings.tables), added=added, removed=removed)
        self._session.finish(RELOAD_DRAIN_S)
        await self._settle(pending)
        if pending.error is not None:
            raise ReloadRefused(pending.error.message, pending.error.way_out)
        return Reloaded(added, removed, _parting(removed, whole and session.drained, self.settings))

    async def _settle(self, pending: Pending) -> None:
        """Waits until the new session streams, or was refused."""
        try:
            async with asyncio.timeout(RELOAD_DRAIN_S + BEGIN_S):
                await pending.settled.wait()
        except TimeoutError:
            raise NotStreaming(
                f"the new session does not stream yet ({self._status.last_error or self._status.state.value})",
                "The reload goes on; look at GetStatus",
            ) from None

    def _take(self, wanted: Effective) -> None:
        if wanted != self.effective:
            log.info("reloaded", variables=wanted.variables)
        self.effective = wanted
        self._tell()

    def _tell(self) -> None:
        if (streaming := self._open()) is not None:
            streaming.receiver.hurry(collecting_s(self.settings), coalescing_s(self.settings))
        if self._status.feed is not None and self._status.feed.flush != self.flush:
            self._status.feed.tell(self.flush)

    def _open(self) -> Streaming | None:
        """The session that streams now, paused or not."""
        return self._status.streaming if self._status.feed is not None else None


def _parting(removed: list[str], whole: bool, settings: Settings) -> list[str]:
    """What to know about tables that went out."""
    if not removed:
        return []
    names = ", ".join(removed)
    listed = f"publication {settings.source_publication_name}"
    warnings = [
        f"{names} stay in {listed}; their changes are left out, and do not come later. To spare PostgreSQL the work, run"
        " ALTER PUBLICATION ... DROP TABLE yourself"
    ]
    if not whole:
        warnings.append(
            f"of {names}, changes from before this call may be missing in the target: they had not been read, or not been"
            " taken by the target, in time"
        )
    return warnings
