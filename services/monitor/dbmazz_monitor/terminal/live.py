"""The screen that renews itself, until q, Ctrl-C, or a terminal that has gone."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress

from rich.console import Console, RenderableType
from rich.live import Live

from dbmazz_monitor.terminal.keyboard import keys
from dbmazz_monitor.terminal.look import Look
from dbmazz_monitor.terminal.screen import Shown, screen
from dbmazz_monitor.terminal.supply import Supply

# Drawn anew at least as often, so that it shows when nothing comes.
REDRAW_S = 1.0
STALE_S = 5.0
_QUIT = frozenset(b"qQ")


async def show(supply: Supply, console: Console, look: Look) -> None:
    """Returns when a person ends it; what `supply` raises comes through. The terminal is left as it was."""
    stop, changed = asyncio.Event(), asyncio.Event()
    display = _Display(supply, console, look, changed)
    loop = asyncio.get_running_loop()
    handled = {signal.SIGINT: stop.set, signal.SIGTERM: stop.set, signal.SIGHUP: stop.set, signal.SIGWINCH: changed.set}
    for number, handler in handled.items():
        loop.add_signal_handler(number, handler)

    def pressed(typed: bytes) -> None:
        if not typed or _QUIT & frozenset(typed):
            stop.set()
        changed.set()

    try:
        with keys(pressed):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(supply.run(display.renewed)), group.create_task(display.run())]
                await stop.wait()
                for task in tasks:
                    task.cancel()
    except* OSError:
        pass  # the terminal has gone, and there is nobody left to tell
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


class _Display:
    """Draws when something has changed."""

    def __init__(self, supply: Supply, console: Console, look: Look, changed: asyncio.Event) -> None:
        self._supply = supply
        self._console = console
        self._look = look
        self._changed = changed
        self._renewed_s = time.monotonic()

    def renewed(self) -> None:
        """There are new figures, or none any more."""
        if not self._supply.trouble:
            self._renewed_s = time.monotonic()
        self._changed.set()

    async def run(self) -> None:
        with Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._drawn,
        ) as live:
            while True:
                self._changed.clear()
                live.refresh()
                # Not wait_for: until Python 3.12 it loses a cancellation that comes together with what it waits for.
                with suppress(TimeoutError):
                    async with asyncio.timeout(REDRAW_S):
                        await self._changed.wait()

    def _drawn(self) -> RenderableType:
        width, height = self._console.size
        figures = self._supply.figures
        return screen(Shown(figures.state, list(figures.points), self._note()), width, height, self._look)

    def _note(self) -> str:
        if self._supply.trouble:
            return self._supply.trouble
        silent = time.monotonic() - self._renewed_s
        return f"no news for {silent:.0f} s" if silent > STALE_S and self._supply.figures.state else ""
