"""How far each table is: age of what is not visible yet, rate, partial rows, last load. Kept from sample to sample."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from dbmazz_monitor.protocol.sample import Lane, Pause, ReaderFacts, RingSample, State, TransformerFacts

_TROUBLE = ("parked", "retrying")


@dataclass(frozen=True, slots=True)
class TableProgress:
    """One table; None is unknown. `lag_ms` is 0 when nothing waits. `partial`: partial rows came since the list before."""

    lag_ms: int | None = None
    rate: float | None = None
    partial_rows: int | None = None
    partial: bool = False
    last_sync_ms: int | None = None
    lane: Lane | None = None


UNKNOWN = TableProgress()


class Progress:
    """Compares each list of tables with the one before; remembers last loads of lanes that have moved."""

    def __init__(self) -> None:
        self._listed_at_s: float | None = None
        self._events: dict[str, int] = {}
        self._rates: dict[str, float] = {}
        self._partial_rows: dict[str, int] = {}
        self._partial: set[str] = set()
        self._loads: dict[str, int] = {}

    def update(self, sample: RingSample) -> dict[str, TableProgress]:
        """By table name, for every table of the sample."""
        if sample.listed_at_s is not None and sample.listed_at_s != self._listed_at_s:
            self._list(sample)
        reader = reader_of(sample)
        lanes = lanes_by_table(sample)
        for name, lane in lanes.items():
            self._loads[name] = max(lane.last_load_ms, self._loads.get(name, 0))
        waits = {one.lane: one.oldest_ms for one in reader.pending} if reader else {}
        knows = knows_all(sample)
        found = {}
        for table in sample.tables:
            if not table.replicated:
                found[table.name] = UNKNOWN
                continue
            lane = lanes.get(table.name)
            waiting = [ms for ms in (waits.get(table.lane, 0), lane.oldest_ms if lane else 0) if ms]
            found[table.name] = TableProgress(
                lag_ms=max(sample.time_ms - min(waiting), 1) if waiting else 0 if knows else None,
                rate=self._rates.get(table.name) if reader else None,
                partial_rows=self._partial_rows.get(table.target_table, 0) if self._listed_at_s is not None else None,
                partial=table.target_table in self._partial,
                last_sync_ms=self._loads.get(table.name) or None,
                lane=lane,
            )
        return found

    def _list(self, sample: RingSample) -> None:
        elapsed = sample.listed_at_s - self._listed_at_s if self._listed_at_s is not None else 0.0
        events = {table.name: table.row_count for table in sample.tables if table.replicated}
        before, self._events = self._events, events
        self._rates = {
            name: round((count - before[name]) / elapsed, 1)
            for name, count in events.items()
            # A counter that fell belongs to a new session: a new base, not a jump.
            if elapsed > 0 and count >= before.get(name, count + 1)
        }
        partial: defaultdict[str, int] = defaultdict(int)
        for signature in sample.signatures:
            if signature.absent_columns:
                partial[signature.table] += signature.row_count
        self._partial = {table for table, rows in partial.items() if rows > self._partial_rows.get(table, rows)}
        self._partial_rows, self._listed_at_s = dict(partial), sample.listed_at_s
        self._loads = {name: ms for name, ms in self._loads.items() if name in events}


def reader_of(sample: RingSample) -> ReaderFacts | None:
    """What the reader says; None while it is away."""
    return next((r.facts for r in sample.of("reader") if isinstance(r.facts, ReaderFacts)), None)


def pause_of(sample: RingSample) -> Pause | None:
    """Why the reader reads nothing although it could; None while it may read, or nobody knows."""
    reader = reader_of(sample)
    return reader.pause if reader else None


def knows_all(sample: RingSample) -> bool:
    """True while a lane in which nothing waits has nothing to wait for: the reader reads what PostgreSQL sends."""
    facts = reader_of(sample)
    reads = any(replica.state is State.RUNNING for replica in sample.of("reader"))
    if facts is None or not facts.epoch or facts.pause or not reads:
        return False
    return not facts.retained_bytes_limit or facts.retained_bytes < facts.retained_bytes_limit


def lanes_by_table(sample: RingSample) -> dict[str, Lane]:
    """Lane by table. A lane on its way between two transformers is shown by the one that is worse off."""
    found: dict[str, Lane] = {}
    for facts in (replica.facts for replica in sample.of("transformer")):
        for lane in facts.lanes if isinstance(facts, TransformerFacts) else ():
            if lane.table not in found or lane.state in _TROUBLE:
                found[lane.table] = lane
    return found
