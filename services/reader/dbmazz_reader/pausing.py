"""Whether the socket is read. Belongs to the process: a pause outlasts the session in which it began."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when (seconds since 1970), and what the caller gave as reason."""

    since: float
    reason: str


class Gate:
    """Open until it is closed; `pause` says why it is closed."""

    def __init__(self) -> None:
        self.pause: Pause | None = None
        self._opened = asyncio.Event()
        self._opened.set()

    @property
    def closed(self) -> bool:
        """True while nothing may be read."""
        return self.pause is not None

    def close(self, reason: str) -> Pause:
        """Closed before, it stays so since then; a reason replaces the former one."""
        self._opened.clear()
        if self.pause is None:
            self.pause = Pause(time.time(), reason)
        elif reason:
            self.pause = Pause(self.pause.since, reason)
        return self.pause

    def open(self) -> Pause | None:
        """Ends the pause, and returns it; None when there was none."""
        ended, self.pause = self.pause, None
        self._opened.set()
        return ended

    async def opened(self, within_s: float) -> None:
        """Waits until it is open, at most `within_s` seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._opened.wait()
        except TimeoutError:
            return
