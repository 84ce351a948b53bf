"""How fast the WAL that a slot keeps grows, and when the slot is lost if that goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from dbmazz_monitor.protocol.sample import Slot

# The server lets WAL go in steps (at its checkpoints), so growth is measured over some of its looks.
SPAN_S = 120.0


@dataclass(frozen=True, slots=True)
class Trend:
    """Bytes per second, negative while WAL is let go; None before the second look. `loss_in_s` is None when the slot is not
    on its way to be lost, or without a limit."""

    growth: float | None = None
    loss_in_s: int | None = None


class SlotTrend:
    """Fed with every sample; looks at the slot come less often."""

    def __init__(self, span_s: float = SPAN_S) -> None:
        self._span_s = span_s
        self._looks: deque[tuple[float, int]] = deque()

    def update(self, slot: Slot | None) -> Trend:
        """The trend with this look, which may be the one before again."""
        if slot is None or not slot.wal_status:
            return Trend()
        if not self._looks or slot.read_time_s > self._looks[-1][0]:
            self._looks.append((slot.read_time_s, slot.retained_wal_bytes))
        while len(self._looks) > 2 and self._looks[0][0] < slot.read_time_s - self._span_s:
            self._looks.popleft()
        (began, before), (ended, now) = self._looks[0], self._looks[-1]
        if ended <= began:
            return Trend()
        growth = (now - before) / (ended - began)
        return Trend(growth, _loss_in_s(slot.safe_wal_bytes, growth))


def _loss_in_s(safe: int | None, growth: float) -> int | None:
    if safe is None:
        return None
    if safe <= 0:
        return 0
    return int(safe / growth) if growth > 0 else None
