"""Counters to rates, histograms to percentiles. Counters of a process that began anew are a new base, not a jump."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from dbmazz.telemetry import LatencyHistogram


class Meter:
    """Turns counters, by process and epoch, into one rate per second over all of them."""

    def __init__(self) -> None:
        self._at_s = 0.0
        self._values: dict[Hashable, float] = {}

    def update(self, at_s: float, values: Mapping[Hashable, float]) -> float | None:
        """Rate since the update before; None when no counter can be compared with its former value."""
        elapsed, before = at_s - self._at_s, self._values
        steps = [value - before[key] for key, value in values.items() if key in before and value >= before[key]]
        self._at_s, self._values = at_s, dict(values)
        return sum(steps) / elapsed if steps and elapsed > 0 else None


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds, right within 10 %."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    sample_count: int


@dataclass(frozen=True, slots=True)
class Buckets:
    """Counts of one process's dbmazz.telemetry.LatencyHistogram, and its largest sample in milliseconds."""

    counts: tuple[int, ...]
    max_ms: float


class LatencyWindow:
    """Percentiles over the last `window_s` seconds and over all, from histograms that only ever grow."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._past: deque[tuple[float, dict[str, Buckets]]] = deque()

    def update(self, at_s: float, processes: Mapping[str, Buckets]) -> tuple[Latency | None, Latency | None]:
        """(recent, overall); None where there is no sample. A process not seen before counts from its first sight."""
        # One entry at or before the window's beginning is the base to subtract.
        while len(self._past) > 1 and self._past[1][0] <= at_s - self._window_s:
            self._past.popleft()
        recent = [_grown(self._base(key, now), now) for key, now in processes.items()]
        self._past.append((at_s, dict(processes)))
        return _latency(recent), _latency(list(processes.values()))

    def _base(self, key: str, now: Buckets) -> Buckets:
        return next((seen[key] for _, seen in self._past if key in seen), now)


def _grown(base: Buckets, now: Buckets) -> Buckets:
    steps = tuple(after - before for before, after in zip(base.counts, now.counts, strict=True))
    return Buckets(steps if min(steps, default=0) >= 0 else now.counts, now.max_ms)


def _latency(processes: list[Buckets]) -> Latency | None:
    merged = LatencyHistogram()
    for buckets in processes:
        merged.counts = [a + b for a, b in zip(merged.counts, buckets.counts, strict=True)]
        merged.max_ms = max(merged.max_ms, buckets.max_ms)
    total = sum(merged.counts)
    if not total:
        return None
    # The largest sample of a window is not told apart from that of all time: the percentile's bucket bounds it.
    return Latency(
        round(merged.percentile(0.5), 1), round(merged.percentile(0.99), 1), round(merged.percentile(1), 1), total
    )
