"""The generators as a process that outlives the source's absences."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import psycopg
import structlog
from dbmazz.backoff import Backoff
from dbmazz.errors import ConfigError, SourceError
from dbmazz_sandbox.generators import TrafficRun, create_schema
from dbmazz_sandbox.generators.pace import stopped_within

from dbmazz_cli.interrupts import Interrupts

log = structlog.get_logger("dbmazz.sandbox")

CONNECT_S = 5
SLOT_POLL_S = 0.2
# SQLSTATE classes that pass by themselves: connection, resources, shutdown of the server.
_PASSING = ("08", "53", "57")


@dataclass(frozen=True)
class Options:
    """As given on the command line."""

    rate: float
    toast_interval_s: float
    ready_file: Path | None = None
    # Replication slot that must be there before the first row; empty: none.
    after_slot: str = ""


async def generate(source_url: str, options: Options) -> None:
    """Until the first signal. SourceError for what does not pass by itself, as missing rights; a refused
    login is waited out like an absence, since psycopg does not tell them apart."""
    interrupts = Interrupts()
    backoff = Backoff(first_s=0.2, cap_s=5.0)
    while not interrupts.stop.is_set():
        try:
            await _tables(source_url)
            if options.ready_file is not None:
                options.ready_file.touch()
            backoff.reset()
            if not options.after_slot or await _slot_is_there(source_url, options.after_slot, interrupts):
                traffic = TrafficRun(source_url, rate=options.rate, toast_interval_s=options.toast_interval_s)
                await _traffic(traffic, interrupts)
        except* psycopg.Error as group:
            pause = backoff.next_delay()
            log.warning("source_away", reason=_reason(group), retry_in_s=round(pause, 2))
            await stopped_within(interrupts.stop, pause)


async def _tables(source_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(source_url, connect_timeout=CONNECT_S) as connection:
        await create_schema(connection)


async def _slot_is_there(source_url: str, name: str, interrupts: Interrupts) -> bool:
    """Waits for it; False when a signal came first. Rows from before a slot are none that it will ever tell."""
    query = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"
    async with await psycopg.AsyncConnection.connect(
        source_url, autocommit=True, connect_timeout=CONNECT_S
    ) as connection:
        while not await (await connection.execute(query, (name,))).fetchone():
            if await stopped_within(interrupts.stop, SLOT_POLL_S):
                return False
    return True


async def _traffic(traffic: TrafficRun, interrupts: Interrupts) -> None:
    async with asyncio.TaskGroup() as group:
        stopper = group.create_task(_stop(traffic, interrupts))
        totals = await traffic.run()
        stopper.cancel()
    log.info("traffic_ended", events=totals.events, seconds=round(totals.seconds, 1))


async def _stop(traffic: TrafficRun, interrupts: Interrupts) -> None:
    await interrupts.stop.wait()
    traffic.stop()


def _reason(group: BaseExceptionGroup) -> str:
    """The first error in one line, without the URL; SourceError or ConfigError when waiting will not help."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, psycopg.ProgrammingError) and error.diag.sqlstate is None:
        # The driver's message would repeat the URL, and with it the password.
        raise ConfigError("SOURCE_URL is not a URL", "It takes postgresql://user:password@host:5432/database") from None
    state = error.diag.sqlstate if isinstance(error, psycopg.Error) else None
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if state is not None and not state.startswith(_PASSING):
        raise SourceError(f"the generators cannot work: {line}", "See SOURCE_URL and the server's log") from None
    return line
