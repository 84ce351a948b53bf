"""What the demo shows while it works: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol, TextIO

# Plain output of the live line is for logs: not every second.
_PLAIN_EVERY_S = 5.0


class Progress(Protocol):
    """One of the two below."""

    def step(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Shown while the body runs, and as done with its duration afterwards."""

    def say(self, text: str) -> None:
        """Lines that stay."""

    def live(self, text: str) -> None:
        """The state now; replaces the one before."""

    def close(self) -> None:
        """Leaves the terminal as it was."""


class PlainProgress:
    """Lines, for pipes and files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last_live = 0.0

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        self.say(f"{text} ...")
        yield
        self.say(f"{text}: done ({time.monotonic() - started:.1f} s)")

    def say(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def live(self, text: str) -> None:
        if time.monotonic() - self._last_live >= _PLAIN_EVERY_S:
            self._last_live = time.monotonic()
            self.say(text)

    def close(self) -> None:
        """Lines leave nothing behind."""


class RichProgress:
    """A spinner with the step, or with the live line."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._status = self._console.status("")

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        self._show(text)
        try:
            yield
        finally:
            self._status.stop()
        self._console.print(f"[green]✓[/] {text} [dim]{time.monotonic() - started:.1f} s[/]")

    def say(self, text: str) -> None:
        # Not wrapped: commands are there to be copied.
        self._console.print(text, markup=False, soft_wrap=True)

    def live(self, text: str) -> None:
        self._show(text)

    def close(self) -> None:
        self._status.stop()

    def _show(self, text: str) -> None:
        from rich.text import Text

        self._status.update(Text(text))
        self._status.start()


def progress_on(stream: TextIO) -> Progress:
    """The one that suits the stream."""
    return RichProgress(stream) if stream.isatty() else PlainProgress(stream)
