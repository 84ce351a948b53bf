"""The page's contents as one plain dict: what `/api/state` answers and every event of `/events` carries."""

from __future__ import annotations

from typing import Any

from dbmazz_monitor.protocol.history import Measures
from dbmazz_monitor.protocol.levels import level_of
from dbmazz_monitor.protocol.picture import flow, picture
from dbmazz_monitor.protocol.problems import Problem, headline, problems
from dbmazz_monitor.protocol.progress import pause_of
from dbmazz_monitor.protocol.rates import Latency
from dbmazz_monitor.protocol.sample import (
    CheckpointFacts,
    LoaderFacts,
    ReaderFacts,
    Replica,
    RingSample,
    SourceCounts,
    TargetCounts,
    TransformerFacts,
)
from dbmazz_monitor.protocol.tables import signature, tables

TOP_SIGNATURES = 8
_SLOT_LEVELS = {"reserved": "ok", "extended": "warn"}


def view(sample: RingSample, measures: Measures, source: SourceCounts, target: TargetCounts) -> dict[str, Any]:
    """Numbers stay numbers (bytes, milliseconds, per second) and None means unknown: the page formats them.

    Keys: time_ms, headline, problems, ring, numbers, replicas, tables, signatures.
    """
    found = problems(sample, source, target, measures.slot, measures.trend)
    return {
        "time_ms": sample.time_ms,
        "headline": headline(sample, found),
        "problems": [_problem(problem) for problem in found],
        "ring": picture(sample, measures, source, target),
        "numbers": _numbers(sample, measures),
        "replicas": [_replica(replica, sample, measures) for replica in sample.replicas],
        "tables": tables(sample, measures, source, target),
        "signatures": _signatures(sample),
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"level": problem.level, "text": problem.text}


def _numbers(sample: RingSample, measures: Measures) -> dict[str, Any]:
    """Sums over the replicas that answer; None where nobody does."""
    reader = next((r.facts for r in sample.of("reader") if isinstance(r.facts, ReaderFacts)), None)
    transformers = [r.facts for r in sample.of("transformer") if isinstance(r.facts, TransformerFacts)]
    loaders = [r.facts for r in sample.of("loader") if isinstance(r.facts, LoaderFacts)]
    pause = pause_of(sample)
    return {
        "events_per_s": measures.events,
        "loaded_per_s": measures.loaded,
        "loaded_bytes_per_s": measures.loaded_bytes,
        "rows_in": reader.row_count if reader else None,
        "transactions": reader.transaction_count if reader else None,
        "unchanged_toast": reader.unchanged_toast_count if reader else None,
        "rows_loaded": _sum(loaders, "loaded_row_count"),
        "rows_folded": _sum(transformers, "folded_row_count"),
        "rows_unaccounted": _sum(loaders, "rows_unaccounted"),
        "dead_letters": _sum(loaders, "dead_lettered_row_count"),
        "full_loads": _sum(transformers, "full_load_count"),
        "partial_loads": _sum(transformers, "partial_load_count"),
        "partial_rows": _sum(transformers, "partial_row_count"),
        "policy_values": _sum(transformers, "policy_value_count"),
        "running_loads": _sum(loaders, "running_load_count"),
        "lag_bytes": measures.lag_bytes,
        "lag_ms": measures.lag_ms,
        "latency_recent": _latency(measures.recent),
        "latency_overall": _latency(measures.overall),
        "epoch": reader.epoch if reader else None,
        "retained_bytes": reader.retained_bytes if reader else None,
        "retained_bytes_limit": reader.retained_bytes_limit if reader else None,
        "confirmed_lsn": (reader.confirmed_lsn or None) if reader else None,
        "server_lsn": (reader.server_lsn or None) if reader else None,
        "stored_lsn": _stored_lsn(sample, reader),
        "slot": _slot(reader, measures),
        "last_sync_ms": _last_sync(measures),
        "paused": pause is not None,
        "pause": pause and {"since_ms": pause.since_ms or None, "reason": pause.reason},
        "partial_share": _partial_share(transformers),
    }


def _sum(facts: list[Any], name: str) -> int | None:
    return sum(getattr(one, name) for one in facts) if facts else None


def _last_sync(measures: Measures) -> int | None:
    times = [table.last_sync_ms for table in measures.tables.values() if table.last_sync_ms]
    return max(times, default=None)


def _partial_share(transformers: list[TransformerFacts]) -> float | None:
    """Of the rows loaded since the start of the transformers."""
    loaded = _sum(transformers, "loaded_row_count")
    return round(_sum(transformers, "partial_row_count") / loaded, 4) if loaded else None


def _latency(latency: Latency | None) -> dict[str, float] | None:
    if latency is None:
        return None
    return {"p50": latency.p50_ms, "p99": latency.p99_ms, "max": latency.max_ms, "samples": latency.sample_count}


def _stored_lsn(sample: RingSample, reader: ReaderFacts | None) -> str | None:
    """What the checkpoint has stored for the reader's slot, or for its only one while the reader is away."""
    facts = [r.facts for r in sample.of("checkpoint") if isinstance(r.facts, CheckpointFacts)]
    stored = dict(facts[0].stored) if facts else {}
    if reader is not None:
        return stored.get(reader.slot_name) or None
    return next(iter(stored.values())) if len(stored) == 1 else None


def _slot(reader: ReaderFacts | None, measures: Measures) -> dict[str, Any] | None:
    """Also while the reader is away, when it matters most: then as we have seen it ourselves."""
    slot, trend = measures.slot, measures.trend
    if slot is None:
        slot = reader and reader.slot
    if slot is None:
        return None
    seen = bool(slot.wal_status)
    return {
        "name": slot.name or (reader.slot_name if reader else None),
        "wal_status": slot.wal_status or None,
        "level": _SLOT_LEVELS.get(slot.wal_status, "bad") if seen else "idle",
        "retained_wal_bytes": slot.retained_wal_bytes if seen else None,
        "restart_lsn": slot.restart_lsn or None,
        "confirmed_flush_lsn": slot.confirmed_flush_lsn or None,
        "safe_wal_bytes": slot.safe_wal_bytes,
        "growth_bytes_per_s": None if trend.growth is None else round(trend.growth, 1),
        "loss_in_s": trend.loss_in_s,
    }


def _replica(replica: Replica, sample: RingSample, measures: Measures) -> dict[str, Any]:
    up = replica.facts is not None
    return {
        "service": replica.service,
        "name": replica.name or None,
        "address": replica.address,
        "state": str(replica.state),
        "version": replica.version or None,
        "uptime_s": round(sample.time_ms / 1000 - replica.start_time_s) if up and replica.start_time_s else None,
        "cpu_millicores": measures.cpu.get(replica.key),
        "rss_bytes": replica.rss_bytes if up else None,
        "error": replica.error,
        "level": level_of(replica),
        **flow(replica, measures),
    }


def _signatures(sample: RingSample) -> list[dict[str, Any]]:
    """The partial ones, most rows first: a row that lacks nothing is no TOAST signature."""
    partial = [one for one in sample.signatures if one.absent_columns]
    return [signature(one) for one in partial[:TOP_SIGNATURES]]
