"""Waiting until a ring that was started streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from dbmazz.config import Settings
from dbmazz.errors import DbmazzError

from dbmazz_cli.inquiry import ask_ring

_POLL_S = 0.2
_FIRST_NOTE_S = 10.0
_NOTE_S = 30.0


async def until_streaming(settings: Settings, note: Callable[[str], None], *, deadline_s: float | None = None) -> None:
    """Returns when all four services say RUNNING, or that they were paused. Says through `note`, now and then, what it still
    waits for.

    DbmazzError after `deadline_s`; None waits for ever, because a source or target that is away may come back.
    """
    started = time.monotonic()
    next_note = started + _FIRST_NOTE_S
    while True:
        answers = await ask_ring(settings, details=False)
        waiting = [_describe(answer) for answer in answers if answer.state not in ("RUNNING", "PAUSED")]
        if not waiting:
            return
        now = time.monotonic()
        if deadline_s is not None and now - started > deadline_s:
            raise DbmazzError(f"not all services run within {deadline_s:g} s: {'; '.join(waiting)}")
        if now > next_note:
            note(f"waiting for {'; '.join(waiting)}")
            next_note = now + _NOTE_S
        await asyncio.sleep(_POLL_S)


def _describe(answer) -> str:
    why = answer.error or answer.status.status.last_error
    return f"the {answer.service} ({answer.state.lower()}{', ' + why if why else ''})"
