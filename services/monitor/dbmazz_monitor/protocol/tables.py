"""The table of replicated tables: rows on both sides, status, warning, and the totals row."""

from __future__ import annotations

from typing import Any

from dbmazz_monitor.protocol.sample import (
    Counts,
    Lane,
    RingSample,
    SourceCount,
    State,
    Table,
    TargetCount,
    TransformerFacts,
)

_UNCOUNTED_SOURCE = SourceCount(None)
_UNCOUNTED_TARGET = TargetCount(None)


def tables(sample: RingSample, source: Counts[SourceCount], target: Counts[TargetCount]) -> dict[str, Any]:
    """`rows`, `totals`, and `empty`: why there is no row, in words."""
    reader_up = any(replica.state is not State.DOWN for replica in sample.of("reader"))
    lanes = _lanes(sample)
    rows = [_row(table, lanes.get(table.name), reader_up, source, target) for table in sample.tables]
    return {"rows": rows, "totals": _totals(rows), "empty": "" if rows else _empty(reader_up)}


def _lanes(sample: RingSample) -> dict[str, Lane]:
    """Lane by table. A lane on its way between two transformers is shown by the one that is worse off."""
    found: dict[str, Lane] = {}
    for facts in (replica.facts for replica in sample.of("transformer")):
        for lane in facts.lanes if isinstance(facts, TransformerFacts) else ():
            if lane.table not in found or lane.state in ("parked", "retrying"):
                found[lane.table] = lane
    return found


def _row(
    table: Table, lane: Lane | None, reader_up: bool, source: Counts[SourceCount], target: Counts[TargetCount]
) -> dict[str, Any]:
    there = source.by_table.get(table.name, _UNCOUNTED_SOURCE)
    here = target.by_table.get(table.name, _UNCOUNTED_TARGET)
    level, status = _status(table, lane, reader_up)
    words = [table.warning, lane.message if lane else "", there.note, here.note]
    return {
        "name": table.name,
        "target": table.target_table,
        "source_rows": there.rows,
        "source_exact": there.exact,
        "target_rows": here.live,
        "deleted_rows": here.deleted,
        "events": table.row_count,
        "level": level,
        "status": status,
        "warning": "; ".join(word for word in words if word),
        "icon": "idle",
        "lag_ms": None,
        "rate": None,
        "partial_rows": None,
        "lane": lane.lane if lane else None,
        "audit": None,
        "replicated": True,
        "last_sync_ms": None,
    }


def _status(table: Table, lane: Lane | None, reader_up: bool) -> tuple[str, str]:
    if not reader_up:
        return "bad", "reader down"
    if lane is not None and lane.state == "parked":
        return "bad", "parked"
    if lane is not None and lane.state == "retrying":
        return "warn", "retrying"
    if not table.transformer:
        return "warn", "no transformer"
    if not table.snapshotted:
        return "warn", "streaming, earlier rows missing"
    return "ok", "streaming"


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums of what is known; `complete` is false when some table is not counted, `source_exact` when one is estimated."""
    totals: dict[str, Any] = {"tables": len(rows)}
    for column in ("source_rows", "target_rows", "deleted_rows", "events"):
        known = [row[column] for row in rows if row[column] is not None]
        totals[column] = sum(known) if known else None
        totals[f"{column}_complete"] = len(known) == len(rows)
    totals["with_audit"] = sum(row["audit"] is True for row in rows)
    totals["without_audit"] = sum(row["audit"] is False for row in rows)
    totals["not_replicated"] = sum(row["replicated"] is False for row in rows)
    totals["levels"] = {level: sum(row["level"] == level for row in rows) for level in ("ok", "warn", "bad", "idle")}
    totals["source_exact"] = all(row["source_exact"] for row in rows if row["source_rows"] is not None)
    return totals


def _empty(reader_up: bool) -> str:
    if reader_up:
        return "No table is replicated yet."
    return "The reader is down, and it is the one that knows the tables."
