"""The monitor's own readings: how it fares, and what it alone knows of the tables; dbmazz.metrics says what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dbmazz.readings import Reading, service_state
from dbmazz.v1 import types_pb2

from dbmazz_monitor.feed import State
from dbmazz_monitor.watch import Watch

_ROWS = {
    "source_rows": "dbmazz_source_rows",
    "target_rows": "dbmazz_target_rows",
    "deleted_rows": "dbmazz_deleted_rows",
}


def measure(watch: Watch) -> Iterator[Reading]:
    """Those of the last state; what is unknown is left out."""
    yield from service_state(types_pb2.SERVICE_STATE_RUNNING)
    yield "dbmazz_monitor_samples_total", (), watch.feed.number
    yield "dbmazz_monitor_sample_duration_seconds", (), watch.durations
    yield "dbmazz_monitor_listeners", (), watch.feed.listener_count
    for counting in (watch.source, watch.target):
        side = (counting.side,)
        yield "dbmazz_monitor_database_up", side, int(counting.latest.seen is not None and not counting.latest.problem)
        yield "dbmazz_monitor_round_duration_seconds", side, counting.tally.durations
        yield "dbmazz_monitor_counted_tables_total", side, counting.tally.counted
    if watch.feed.state:
        yield from _state(watch.feed.state)


def _state(state: State) -> Iterator[Reading]:
    numbers, tables = state["numbers"], state["tables"]
    if numbers["lag_ms"] is not None:
        yield "dbmazz_lag_seconds", (), numbers["lag_ms"] / 1e3
    yield from _slot(numbers["slot"] or {})
    for replica in state["replicas"]:
        labels = (replica["service"], replica["address"])
        yield "dbmazz_monitor_replica_up", labels, int(replica["state"] != "down")
    for level, count in tables["totals"]["levels"].items():
        yield "dbmazz_monitor_tables", (level,), count
    for row in tables["rows"]:
        yield from _table(row)


def _slot(slot: dict[str, Any]) -> Iterator[Reading]:
    for key, name in (("safe_wal_bytes", "dbmazz_slot_safe_wal_bytes"), ("loss_in_s", "dbmazz_slot_loss_seconds")):
        if slot.get(key) is not None:
            yield name, (slot["name"],), slot[key]


def _table(row: dict[str, Any]) -> Iterator[Reading]:
    # The label is the target's name in all services; of two source tables with one target, only one is replicated.
    if row["replicated"]:
        label = (row["target"],)
        for key, name in _ROWS.items():
            if row[key] is not None:
                yield name, label, row[key]
        if row["lag_ms"] is not None:
            yield "dbmazz_table_lag_seconds", label, row["lag_ms"] / 1e3
