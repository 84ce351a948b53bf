"""The table of tables: rows on both sides, how far each is, status and icon, warning, and the totals row."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dbmazz.target import AUDIT_COLUMNS

from dbmazz_monitor.protocol.history import Measures
from dbmazz_monitor.protocol.progress import UNKNOWN, TableProgress, pause_of
from dbmazz_monitor.protocol.sample import (
    RingSample,
    Signature,
    SourceCount,
    SourceCounts,
    State,
    Table,
    TargetCount,
    TargetCounts,
    TargetSeen,
)

LEVELS = ("ok", "idle", "warn", "bad")
_UNCOUNTED_SOURCE = SourceCount(None)
_UNCOUNTED_TARGET = TargetCount(None)
_AUDIT = frozenset(name for name, _ in AUDIT_COLUMNS)


def tables(sample: RingSample, measures: Measures, source: SourceCounts, target: TargetCounts) -> dict[str, Any]:
    """`rows`, `totals`, and `empty`: why there is no row, in words."""
    reader_up = any(replica.state is not State.DOWN for replica in sample.of("reader"))
    reader = "paused" if pause_of(sample) else "up" if reader_up else "down"
    rows = [
        _row(table, measures.tables.get(table.name, UNKNOWN), reader, source, target, _audit(table, target.seen))
        for table in sample.tables
    ]
    return {"rows": rows, "totals": _totals(rows), "empty": "" if rows else _empty(reader_up)}


def details(name: str, sample: RingSample, measures: Measures, row: dict[str, Any]) -> dict[str, Any]:
    """More about one table: its row, its signatures (full rows included), and the lane as its transformer tells it."""
    table = next(table for table in sample.tables if table.name == name)
    lane = measures.tables.get(name, UNKNOWN).lane
    return {
        "table": row,
        "signatures": [signature(one) for one in sample.signatures if one.table == table.target_table],
        "lane": lane
        and {
            "lane": lane.lane,
            "generation": lane.generation,
            "transformer": table.transformer or None,
            "state": lane.state,
            "pending_bytes": lane.pending_bytes,
            "pending_rows": lane.pending_rows,
            "oldest_ms": lane.oldest_ms or None,
            "last_load_ms": lane.last_load_ms or None,
            "message": lane.message,
        },
    }


def signature(one: Signature) -> dict[str, Any]:
    """One set of absent columns, and how often it came."""
    return {
        "table": one.table,
        "absent": list(one.absent_columns),
        "loads": one.load_count,
        "rows": one.row_count,
        "inserts": one.insert_count,
        "updates": one.update_count,
        "deletes": one.delete_count,
    }


def _audit(table: Table, seen: TargetSeen | None) -> bool | None:
    """True when the target table has all audit columns; None when nobody knows, or there is no such table."""
    columns = seen.audit_columns.get(table.target_table) if seen else None
    return None if columns is None else columns >= _AUDIT


def _row(
    table: Table,
    progress: TableProgress,
    reader: str,
    source: SourceCounts,
    target: TargetCounts,
    audit: bool | None,
) -> dict[str, Any]:
    there = source.by_table.get(table.name, _UNCOUNTED_SOURCE)
    here = target.by_table.get(table.name, _UNCOUNTED_TARGET)
    absent = target.seen is not None and audit is None
    level, icon, status = _status(table, progress, reader, audit, absent=absent)
    words = [table.warning, progress.lane.message if progress.lane else "", there.note, here.note]
    return {
        "name": table.name,
        "target": table.target_table,
        "source_rows": there.rows,
        "source_exact": there.exact,
        "target_rows": here.live,
        "deleted_rows": here.deleted,
        "events": table.row_count if table.replicated else None,
        "level": level,
        "icon": icon,
        "status": status,
        "warning": "; ".join(word for word in words if word),
        "lag_ms": progress.lag_ms,
        "rate": progress.rate,
        "partial_rows": progress.partial_rows,
        "lane": table.lane or None,
        "audit": audit,
        "replicated": table.replicated,
        "last_sync_ms": progress.last_sync_ms,
    }


def _status(
    table: Table, progress: TableProgress, reader: str, audit: bool | None, *, absent: bool
) -> tuple[str, str, str]:
    """Level, icon, and the same in words."""
    if table.replicated is False:
        return "idle", "unaudited" if audit is False else "idle", "not replicated"
    if reader == "down":
        return "bad", "down", "reader down"
    lane = progress.lane.state if progress.lane else ""
    if lane == "parked":
        return "bad", "parked", "parked"
    if lane == "retrying":
        return "warn", "retry", "retrying"
    if reader == "paused":
        return "warn", "waiting", "paused"
    if not table.transformer:
        return "warn", "waiting", "no transformer"
    if absent:
        return "warn", "absent", "not in the target yet"
    if audit is False:
        return "warn", "unaudited", "audit columns missing in the target"
    icon = "idle"
    if progress.rate or progress.lag_ms:
        icon = "partial" if progress.partial else "moving"
    return ("ok", icon, "streaming") if table.snapshotted else ("warn", icon, "streaming, earlier rows missing")


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums of what is known; `complete` is false when some table is not counted, `source_exact` when one is estimated."""
    totals: dict[str, Any] = {"tables": len(rows)}
    for column in ("source_rows", "target_rows", "deleted_rows", "events", "partial_rows", "rate"):
        known = [row[column] for row in rows if row[column] is not None]
        totals[column] = round(sum(known), 1) if known else None
        totals[f"{column}_complete"] = len(known) == len(rows)
    totals["lag_ms"] = max((row["lag_ms"] for row in rows if row["lag_ms"] is not None), default=None)
    totals["source_exact"] = all(row["source_exact"] for row in rows if row["source_rows"] is not None)
    totals["with_audit"] = sum(row["audit"] is True for row in rows)
    totals["without_audit"] = sum(row["audit"] is False for row in rows)
    totals["not_replicated"] = sum(row["replicated"] is False for row in rows)
    levels = Counter(row["level"] for row in rows)
    totals["levels"] = {level: levels[level] for level in LEVELS}
    return totals


def _empty(reader_up: bool) -> str:
    if reader_up:
        return "No table is replicated yet."
    return "The reader is down, and it is the one that knows the tables."
