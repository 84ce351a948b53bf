"""ALTER TABLE jobs: one at a time per table, and only over when SHOW ALTER TABLE COLUMN says so.

Fast schema evolution adds columns within the statement; other changes, and shared-data clusters, leave a job behind.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dbmazz.backoff import Backoff

from dbmazz_loader.protocol.identifiers import quoted
from dbmazz_loader.protocol.redaction import plain_line
from dbmazz_loader.protocol.verdicts import Judgement, Outcome
from dbmazz_loader.starrocks.mysql import Session, TargetRefusal

# A rewrite can take longer; the sender then asks again, and finds the job still running.
_PATIENCE_S = 60.0
_OVER = ("FINISHED", "CANCELLED")


async def newest_job(session: Session, database: str, table: str) -> dict[str, Any] | None:
    """The last schema change of a table, None when there never was one (or it is forgotten)."""
    source = quoted(database).replace("%", "%%")
    rows = await session.query(f"SHOW ALTER TABLE COLUMN FROM {source} WHERE TableName = %s", (table,))
    return max(rows, key=_number, default=None)


async def wait_for_idle(session: Session, database: str, table: str) -> None:
    """Returns when no schema change of the table is under way; TargetRefusal (RETRY) when that takes too long."""
    pause = Backoff(first_s=0.05, cap_s=2.0)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            # At least one pause: what holds the table need not be on the list yet.
            while True:
                await asyncio.sleep(pause.next_delay())
                job = await newest_job(session, database, table)
                if job is None or _state(job) in _OVER:
                    return
    except TimeoutError:
        raise _slow(table) from None


async def wait_for_job(session: Session, database: str, table: str, before: dict[str, Any] | None) -> None:
    """Returns when the schema change that was just asked for is done; `before` is the newest job from before it.

    TargetRefusal: PARK when StarRocks cancelled it, RETRY when it takes too long.
    """
    pause = Backoff(first_s=0.05, cap_s=2.0)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                job = await newest_job(session, database, table)
                if job is None or (before is not None and _number(job) == _number(before)):
                    return  # done within the statement
                if _state(job) == "FINISHED":
                    return
                if _state(job) == "CANCELLED":
                    reason = f"StarRocks cancelled the schema change of {table}: {plain_line(str(job.get('Msg', '')))}"
                    raise TargetRefusal(Judgement(Outcome.PARK, reason))
                await asyncio.sleep(pause.next_delay())
    except TimeoutError:
        raise _slow(table) from None


def is_race(refusal: TargetRefusal) -> bool:
    """True when another loader is changing the table, or has just made the same change."""
    text = refusal.message.casefold()
    return any(part in text for part in ("not in normal state", "schema change", "duplicate column", "already exists"))


def _slow(table: str) -> TargetRefusal:
    return TargetRefusal(Judgement(Outcome.RETRY, f"the schema change of {table} is still running", pause_s=1.0))


def _number(job: dict[str, Any]) -> int:
    return int(job["JobId"])


def _state(job: dict[str, Any]) -> str:
    return str(job["State"]).upper()
