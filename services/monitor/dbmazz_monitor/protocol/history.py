"""What the page draws: the samples of the last minutes, measured once as they come in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from dbmazz_monitor.protocol.lag import Lag
from dbmazz_monitor.protocol.progress import Progress, TableProgress, reader_of
from dbmazz_monitor.protocol.rates import Buckets, Latency, LatencyWindow, Meter
from dbmazz_monitor.protocol.sample import (
    CheckpointFacts,
    Counts,
    LoaderFacts,
    ReaderFacts,
    Replica,
    RingSample,
    Slot,
    SourceCounts,
    TransformerFacts,
)
from dbmazz_monitor.protocol.slot import SlotTrend, Trend

_NOT_COUNTED: SourceCounts = Counts()
_NO_TREND = Trend()

SPAN_S = 300.0
LATENCY_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Measures:
    """Rates per second and percentiles at one sample; None where they are unknown (service down, or first sight)."""

    events: float | None = None
    loaded: float | None = None
    loaded_bytes: float | None = None
    lag_bytes: int | None = None
    lag_ms: int | None = None
    recent: Latency | None = None
    overall: Latency | None = None
    # CPU in thousandths of a core by Replica.key.
    cpu: dict[str, float] = field(default_factory=dict)
    # Rows per second by Replica.key: read, received, loaded, confirmed.
    rates: dict[str, float] = field(default_factory=dict)
    # By name of the source table.
    tables: dict[str, TableProgress] = field(default_factory=dict)
    # As the reader saw it last, or we did; None when nobody has.
    slot: Slot | None = None
    trend: Trend = _NO_TREND


class History:
    """Measures each sample against the one before and keeps the chart's points of the last five minutes."""

    def __init__(self, span_s: float = SPAN_S, latency_window_s: float = LATENCY_WINDOW_S) -> None:
        self._span_ms = span_s * 1000
        self._events, self._loaded, self._bytes = Meter(), Meter(), Meter()
        self._cpu: dict[str, Meter] = {}
        self._rates: dict[str, Meter] = {}
        self._lag, self._progress, self._trend = Lag(), Progress(), SlotTrend()
        self._latency = LatencyWindow(latency_window_s)
        self._points: deque[dict[str, float | None]] = deque()

    def points(self) -> list[dict[str, float | None]]:
        """`{"t", "events", "loaded", "lag", "p99", "lag_ms"}`, oldest first; t in milliseconds since 1970."""
        return list(self._points)

    def add(self, sample: RingSample, source: SourceCounts = _NOT_COUNTED) -> Measures:
        """Takes the next sample, whose `at_s` must not fall, and what is known of the source."""
        slot = _slot(sample, source)
        at = sample.at_s
        readers = [(r.key, r.facts) for r in sample.of("reader") if isinstance(r.facts, ReaderFacts)]
        loaders = [(r.key, r.facts) for r in sample.of("loader") if isinstance(r.facts, LoaderFacts)]
        histograms = {key: Buckets(f.latency_counts, f.latency_max_ms) for key, f in loaders if f.latency_counts}
        recent, overall = self._latency.update(at, histograms)
        measures = Measures(
            events=self._events.update(at, {(key, facts.epoch): facts.row_count for key, facts in readers}),
            loaded=self._loaded.update(at, {key: facts.loaded_row_count for key, facts in loaders}),
            loaded_bytes=self._bytes.update(at, {key: facts.body_bytes for key, facts in loaders}),
            lag_bytes=readers[0][1].lag_bytes if readers else None,
            lag_ms=self._lag.update(sample),
            recent=recent,
            overall=overall,
            cpu=self._millicores(at, sample.replicas),
            rates=self._replica_rates(at, sample.replicas),
            tables=self._progress.update(sample),
            slot=slot,
            trend=self._trend.update(slot),
        )
        self._remember(sample.time_ms, measures)
        return measures

    def _millicores(self, at_s: float, replicas: tuple[Replica, ...]) -> dict[str, float]:
        alive = {replica.key: replica.cpu_s for replica in replicas if replica.facts is not None}
        self._cpu = {key: self._cpu.get(key) or Meter() for key in alive}
        rates = {key: meter.update(at_s, {key: alive[key]}) for key, meter in self._cpu.items()}
        return {key: round(rate * 1000, 1) for key, rate in rates.items() if rate is not None}

    def _replica_rates(self, at_s: float, replicas: tuple[Replica, ...]) -> dict[str, float]:
        alive = {replica.key: _rows(replica) for replica in replicas if replica.facts is not None}
        self._rates = {key: self._rates.get(key) or Meter() for key in alive}
        rates = {key: meter.update(at_s, alive[key]) for key, meter in self._rates.items()}
        return {key: round(rate, 1) for key, rate in rates.items() if rate is not None}

    def _remember(self, time_ms: int, measures: Measures) -> None:
        point = {
            "t": time_ms,
            "events": _rounded(measures.events),
            "loaded": _rounded(measures.loaded),
            "lag": measures.lag_bytes,
            "p99": measures.recent.p99_ms if measures.recent else None,
            "lag_ms": measures.lag_ms,
        }
        self._points.append(point)
        while self._points[0]["t"] < time_ms - self._span_ms:
            self._points.popleft()


def _slot(sample: RingSample, source: SourceCounts) -> Slot | None:
    """The reader's word first: our own look is for when it is away."""
    reader = reader_of(sample)
    if reader is not None and reader.slot.wal_status:
        return reader.slot
    return source.seen.slot if source.seen else None


def _rows(replica: Replica) -> dict[int, int]:
    """The rows that went through a replica, by epoch where its counter begins anew with each."""
    match replica.facts:
        case ReaderFacts(epoch=epoch, row_count=count):
            return {epoch: count}
        case TransformerFacts(row_count=count) | LoaderFacts(loaded_row_count=count):
            return {0: count}
        case CheckpointFacts(loaded_row_count=count):
            return {0: count}
    return {}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
