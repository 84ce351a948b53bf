"""Waiting until everything that was committed is durable in the target."""

from __future__ import annotations

import asyncio
import time

import psycopg
from dbmazz.config import Settings
from dbmazz.lsn import Lsn

from dbmazz_cli.inquiry import Answer, ask_ring

_POLL_S = 0.2


async def until_arrived(settings: Settings, deadline_s: float) -> str:
    """Waits for the reader to confirm the WAL position of now, which it does only for what the checkpoint has stored.

    Returns "" or, after `deadline_s`, where the reader stands and which lanes hold it up.
    """
    goal = await _mark(settings.source_url)
    deadline = time.monotonic() + deadline_s
    while True:
        answers = await ask_ring(settings, details=False)
        reader = next(answer for answer in answers if answer.service == "reader")
        confirmed = Lsn.parse(reader.status.confirmed_lsn) if reader.status and reader.status.confirmed_lsn else Lsn(0)
        if confirmed >= goal:
            return ""
        if time.monotonic() > deadline:
            late = f"not everything arrived within {deadline_s:g} s: the reader has confirmed {confirmed}, of {goal}"
            return "; ".join([late, *_hold_ups(answers)])
        await asyncio.sleep(_POLL_S)


async def _mark(source_url: str) -> Lsn:
    """The position, and behind it a message that makes the server report a later one."""
    async with await psycopg.AsyncConnection.connect(source_url, autocommit=True) as connection:
        row = await (await connection.execute("SELECT pg_current_wal_lsn()::text")).fetchone()
        await connection.execute("SELECT pg_logical_emit_message(true, 'dbmazz', 'end of the traffic')")
    assert row is not None
    return Lsn.parse(row[0])


def _hold_ups(answers: list[Answer]) -> list[str]:
    """Why lanes do not move, as their transformers say."""
    return [
        f"{lane.table}: {lane.message}"
        for answer in answers
        if answer.service == "transformer" and answer.status
        for lane in answer.status.lanes
        if lane.message
    ]
