"""The latest state, encoded once for all listeners. Nobody has a queue: who is slow gets the newest and misses some."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Feed:
    """One publisher, any number of listeners, all on one event loop."""

    def __init__(self, now_s: float) -> None:
        self.listener_count = 0
        self.closed = False
        self._number = 0
        self._published_s = now_s
        self._document = b""
        self._points: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    def publish(self, state: dict[str, Any], points: list[dict[str, Any]], now_s: float) -> None:
        """Makes `state` and the charts' points the latest; `now_s` is monotonic."""
        self._number += 1
        self._published_s = now_s
        self._points = points
        self._document = _encode({**state, "point": points[-1] if points else None})
        self._wake()

    def close(self) -> None:
        """Ends all listeners."""
        self.closed = True
        self._wake()

    async def newer(self, seen: int) -> tuple[int, bytes]:
        """Waits for a state with another number than `seen`; (number, JSON), with b"" when the feed was closed."""
        while self._number == seen and not self.closed:
            await self._changed.wait()
        return (seen, b"") if self.closed else (self._number, self._document)

    def history(self) -> bytes:
        """The charts' points as JSON, oldest first."""
        return _encode(self._points)

    def document(self) -> bytes:
        """The latest state as JSON, `{}` before the first."""
        return self._document or b"{}"

    def age_s(self, now_s: float) -> float:
        """Seconds since the last state, or since the start before the first."""
        return now_s - self._published_s

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Counts a listener while it listens."""
        self.listener_count += 1
        try:
            yield
        finally:
            self.listener_count -= 1

    def _wake(self) -> None:
        # Whoever waits holds the old event: setting it wakes them all, and the next wait is for the next state.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
