"""What the monitor tells, event by event, put together again: the latest state, with the rows of its tables, and points."""

from __future__ import annotations

from collections import deque
from typing import Any

SPAN_MS = 300_000


class Figures:
    """Takes the events of `/events` as they come; `complete` once a state and its tables are there."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.points: deque[dict[str, Any]] = deque()
        self._rows: dict[str, dict[str, Any]] | None = None

    @property
    def complete(self) -> bool:
        """True when there is something to show."""
        return bool(self.state) and self._rows is not None

    def begin(self) -> None:
        """A new stream begins: its first tables are all there are. What is shown stays until then."""
        self._rows = None

    def take(self, event: str, data: Any) -> None:
        """One event: `history`, `state` or `tables`; others are left alone."""
        if event == "history":
            self.points = deque(data)
        elif event == "state":
            self._take_state(data)
        elif event == "tables":
            self._take_tables(data)

    def _take_state(self, state: dict[str, Any]) -> None:
        tables = state.get("tables") or {}
        if "rows" in tables:
            # A state of this process, or of a monitor that does not tell changes alone.
            self._rows = {row["name"]: row for row in tables["rows"]}
        elif self._rows is not None:
            tables = {**tables, "rows": list(self._rows.values())}
        else:
            tables = {**tables, "rows": (self.state.get("tables") or {}).get("rows") or []}
        self.state = {**state, "tables": tables}
        point = state.get("point")
        if point and (not self.points or point["t"] > self.points[-1]["t"]):
            self.points.append(point)
            while self.points[0]["t"] < point["t"] - SPAN_MS:
                self.points.popleft()

    def _take_tables(self, change: dict[str, Any]) -> None:
        if change.get("all") or self._rows is None:
            self._rows = {}
        for name in change.get("removed") or []:
            self._rows.pop(name, None)
        self._rows.update((row["name"], row) for row in change.get("rows") or [])
        if self.state:
            self.state = {**self.state, "tables": {**self.state["tables"], "rows": list(self._rows.values())}}
