"""`dbmazz monitor --terminal`: live on a terminal, once elsewhere; or the state as JSON."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from dbmazz.config import load_settings
from dbmazz.errors import DbmazzError
from dbmazz.telemetry import configure_logging
from rich.console import Console

from dbmazz_monitor.terminal.live import show
from dbmazz_monitor.terminal.look import Look
from dbmazz_monitor.terminal.screen import Shown, snapshot
from dbmazz_monitor.terminal.supply import Following, Sampling, Supply

# How long a single look waits for figures worth showing.
SETTLE_S = 6.0
# For pipes and files, which have no width.
_WIDTH = 120


@dataclass(frozen=True)
class Options:
    """`url`: of a monitor to follow; empty: this process samples. `once`: one look, also on a terminal."""

    url: str = ""
    once: bool = False
    as_json: bool = False
    ascii: bool = False


def main(options: Options) -> int:
    """Exit code: 1 when a single look finds a part down, or finds nothing."""
    live = sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not options.once
    live = live and not options.as_json
    # On our screen a log line would be a stain; what matters is in the figures.
    configure_logging("CRITICAL" if live else "ERROR")
    supply: Supply = Following(options.url) if options.url else Sampling(load_settings())
    if live:
        asyncio.run(show(supply, Console(), look_of(sys.stdout.encoding, os.environ, options)))
        return 0
    return asyncio.run(_once(supply, options))


def look_of(encoding: str | None, environment: Mapping[str, str], options: Options) -> Look:
    """What the terminal shows. In the locale C Python writes UTF-8 all the same; who asks for C by LC_ALL means ASCII."""
    plain = options.ascii or environment.get("LC_ALL") in ("C", "POSIX")
    return Look("ascii" if plain else encoding or "ascii")


async def _once(supply: Supply, options: Options) -> int:
    changed = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supply.run(changed.set))
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not supply.settled() and not supply.trouble:
                    await changed.wait()
                    changed.clear()
        task.cancel()
    if not supply.figures.complete:
        raise DbmazzError(supply.trouble or f"no figures within {SETTLE_S:g} s", "Is the monitor running there?")
    state = supply.figures.state
    sys.stdout.write(json.dumps(state) + "\n" if options.as_json else _plain(supply, options))
    return 1 if (state.get("headline") or {}).get("level") == "bad" else 0


def _plain(supply: Supply, options: Options) -> str:
    """Text for whoever reads it: coloured on a terminal, else without any escapes and trailing blanks."""
    look = look_of(sys.stdout.encoding, os.environ, options)
    shown = Shown(supply.figures.state, list(supply.figures.points), supply.trouble)
    on_terminal = sys.stdout.isatty()
    width = None if on_terminal or os.environ.get("COLUMNS", "").strip("0").isdigit() else _WIDTH
    console = Console(file=io.StringIO(), width=width, force_terminal=on_terminal, no_color=None)
    console.print(snapshot(shown, console.width, look))
    text = console.file.getvalue()
    return text if on_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())
