"""The latest state, encoded once for all listeners. Nobody has a queue: who is slow gets the newest and misses some."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

State = dict[str, Any]
Details = Callable[[str], State | None]

# For so many states a removed table is remembered; who was away for longer gets all rows anew.
REMEMBERED = 600


class Feed:
    """One publisher, any number of listeners, all on one event loop.

    A state has a number, from 1. Rows of its tables are told as what has changed since a listener's last number, so that
    a thousand tables that are still cost nothing.
    """

    def __init__(self, now_s: float) -> None:
        self.listener_count = 0
        self.closed = False
        self.number = 0
        self.state: State = {}
        self._published_s = now_s
        self._points: list[State] = []
        self._details: Details | None = None
        self._rows: dict[str, State] = {}
        self._changed_at: dict[str, int] = {}
        self._removed_at: dict[str, int] = {}
        self._encoded: dict[object, bytes] = {}
        self._changed = asyncio.Event()

    def publish(self, state: State, points: list[State], now_s: float, details: Details | None = None) -> None:
        """Makes `state` and the charts' points the latest; `now_s` is monotonic.

        `details(name)`: more about one table, for whoever asks; without it, the table's row alone.
        """
        self.number += 1
        self._published_s = now_s
        self._points = points
        self._details = details
        self._encoded = {}
        self.state = {**state, "point": points[-1] if points else None}
        self._compare(state.get("tables", {}).get("rows", []))
        self._wake()

    def close(self) -> None:
        """Ends all listeners."""
        self.closed = True
        self._wake()

    async def newer(self, seen: int) -> int:
        """Waits for a state with another number than `seen`, and returns its number; `seen` when the feed was closed."""
        while self.number == seen and not self.closed:
            await self._changed.wait()
        return seen if self.closed else self.number

    async def states(self) -> AsyncIterator[State]:
        """Each state as it comes, for who shows them in this process; ends with the feed."""
        seen = 0
        while (number := await self.newer(seen)) != seen:
            seen = number
            yield self.state

    def history(self) -> bytes:
        """The charts' points as JSON, oldest first."""
        return _encode(self._points)

    def document(self) -> bytes:
        """The latest state as JSON, `{}` before the first."""
        return self._once("all", lambda: self.state)

    def summary(self) -> bytes:
        """The latest state as JSON, without the rows of its tables."""

        def without_rows() -> State:
            tables = {key: value for key, value in self.state.get("tables", {}).items() if key != "rows"}
            return {**self.state, "tables": tables}

        return self._once("summary", without_rows)

    def tables(self, since: int) -> bytes:
        """Rows changed since the state with number `since` (0: all of them) as JSON; b"" when none has."""

        def all_rows() -> State:
            return {"all": True, "rows": list(self._rows.values()), "removed": []}

        if not since or since < self.number - REMEMBERED:
            return self._once("rows", all_rows)
        rows = [self._rows[name] for name, number in self._changed_at.items() if number > since]
        removed = [name for name, number in self._removed_at.items() if number > since]
        if not rows and not removed:
            return b""
        return self._once(since, lambda: {"all": False, "rows": rows, "removed": removed})

    def table(self, name: str) -> State | None:
        """More about one table: `{"table": row, "signatures": [...], "lane": {...} or None}`; None when there is none."""
        if self._details is not None:
            return self._details(name)
        row = self._rows.get(name)
        return row and {"table": row, "signatures": [], "lane": None}

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

    def _compare(self, rows: list[State]) -> None:
        """Takes note of which rows are new, other than they were, or gone."""
        before, self._rows = self._rows, {row["name"]: row for row in rows}
        for name, row in self._rows.items():
            if before.get(name) != row:
                self._changed_at[name] = self.number
                self._removed_at.pop(name, None)
        for name in before.keys() - self._rows.keys():
            del self._changed_at[name]
            self._removed_at[name] = self.number
        forgotten = [name for name, number in self._removed_at.items() if number < self.number - REMEMBERED]
        for name in forgotten:
            del self._removed_at[name]

    def _once(self, key: object, make: Callable[[], State]) -> bytes:
        """Encodes once per state what several listeners get, and nothing that nobody asks for."""
        if key not in self._encoded:
            self._encoded[key] = _encode(make())
        return self._encoded[key]

    def _wake(self) -> None:
        # Whoever waits holds the old event: setting it wakes them all, and the next wait is for the next state.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
