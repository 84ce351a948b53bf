"""Ctrl-C, SIGTERM, a closed terminal: the first asks to end in order, the second to end at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from dbmazz.errors import DbmazzError

T = TypeVar("T")


class Interrupted(DbmazzError):
    """Asked to end before the work was done."""

    reason = "INTERRUPTED"
    # What a shell reports for a program that Ctrl-C has ended.
    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


class Interrupts:
    """To be made inside the running loop; handles the signals until the process ends."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # nohup has SIGHUP ignored, and means it.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work`; cancels it and raises Interrupted, in an ExceptionGroup, at the first signal."""
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._raise_stop())
            try:
                return await work
            finally:
                watcher.cancel()

    async def _raise_stop(self) -> None:
        await self.stop.wait()
        raise Interrupted
