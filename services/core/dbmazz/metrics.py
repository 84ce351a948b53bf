"""Every metric of dbmazz, declared once: the endpoint (`exposing.py`) and docs/metrics.md are both made from METRICS.

Imported only where METRICS_PORT asks for it, and by `python -m dbmazz.metrics`, which prints the page. Names and units
follow Prometheus' naming practices: base units, `_total` for counters, one meaning per name in all services.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

READER, TRANSFORMER, LOADER, CHECKPOINT = "reader", "transformer", "loader", "checkpoint"
MONITOR = "monitor"
SERVICES = (READER, TRANSFORMER, LOADER, CHECKPOINT, MONITOR)


class Kind(StrEnum):
    """Prometheus' types of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` as it is queried; `labels` in the order in which services give their values."""

    name: str
    kind: Kind
    services: tuple[str, ...]
    help: str
    labels: tuple[str, ...] = ()


def _counter(name: str, services: Iterable[str], text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, tuple(services), text, labels)


def _gauge(name: str, services: Iterable[str], text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, tuple(services), text, labels)


def _histogram(name: str, services: Iterable[str], text: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, tuple(services), text, labels)


_DECLARED = (
    # Every service.
    _gauge("dbmazz_build_info", SERVICES, "Always 1; the labels say what runs", "service", "version"),
    _gauge("dbmazz_service_state", SERVICES, "1 for the state that the service is in, 0 for the others", "state"),
    # Several services.
    _counter(
        "dbmazz_rows_total",
        (READER, TRANSFORMER, LOADER),
        "Rows by stage: read from the log; folded into a later change of the same key; delivered in loads that were "
        "acknowledged; sent in loads that ended as LOADED; loaded, as the target counted them",
        "stage",
        "table",
    ),
    _counter(
        "dbmazz_bytes_total",
        (READER, TRANSFORMER, LOADER),
        "Bytes by stage: read (packed batches); delivered and loaded (JSON bodies of loads)",
        "stage",
        "table",
    ),
    _gauge("dbmazz_epoch", (READER, TRANSFORMER), "Epoch of the present session; 0 before the first"),
    # Reader.
    _gauge(
        "dbmazz_table_info",
        (READER,),
        "Always 1; joins the table label of all services with the source's schema.table",
        "table",
        "source_table",
    ),
    _counter("dbmazz_transactions_total", (READER,), "Transactions whose commit was decoded"),
    _counter("dbmazz_batches_total", (READER,), "Batches sealed, barriers and heartbeats included"),
    _counter("dbmazz_ignored_rows_total", (READER,), "Rows of relations that are not replicated"),
    _counter(
        "dbmazz_toast_columns_total",
        (READER,),
        "Unchanged TOAST columns that the log left out, by operation of the row; pgoutput leaves them out of updates only",
        "table",
        "operation",
    ),
    _gauge("dbmazz_received_lsn", (READER,), "LSN up to which the stream was received, as a number of bytes"),
    _gauge("dbmazz_confirmed_lsn", (READER,), "LSN that PostgreSQL is told is durable, as a number of bytes"),
    _gauge("dbmazz_server_lsn", (READER,), "End of the source's WAL as last seen, as a number of bytes"),
    _gauge("dbmazz_lag_bytes", (READER,), "WAL from the confirmed LSN to the end of the source's WAL"),
    _gauge("dbmazz_retained_bytes", (READER,), "Batches kept until they are durable"),
    _gauge("dbmazz_retained_limit_bytes", (READER,), "RETAINED_BYTES; at the bound the source is not read"),
    _gauge("dbmazz_retained_batches", (READER,), "Batches kept until they are durable"),
    _gauge("dbmazz_transformers", (READER,), "Transformers connected"),
    _gauge(
        "dbmazz_unread_rows",
        (READER,),
        "Rows that were there before replication, estimated; not in the target",
        "table",
    ),
    _gauge(
        "dbmazz_slot_wal_status",
        (READER,),
        "1 for the slot's wal_status in pg_replication_slots, 0 for the others",
        "slot",
        "wal_status",
    ),
    _gauge("dbmazz_slot_retained_wal_bytes", (READER,), "WAL that the source keeps for the slot", "slot"),
    _gauge("dbmazz_slot_seen_timestamp_seconds", (READER,), "When the slot was looked at last", "slot"),
    # Transformer.
    _counter(
        "dbmazz_received_rows_total", (TRANSFORMER,), "Rows received from the reader, those that came again included"
    ),
    _counter(
        "dbmazz_policy_values_total",
        (TRANSFORMER,),
        "Values that a policy changed because the target's type cannot hold them",
        "table",
    ),
    _counter(
        "dbmazz_absent_values_total",
        (TRANSFORMER,),
        "Values left out of acknowledged loads, because the source did not send them, by operation of the row",
        "table",
        "operation",
    ),
    _counter(
        "dbmazz_signature_loads_total",
        (TRANSFORMER,),
        "Acknowledged loads by TOAST signature, which is told as the number of columns that the rows lack",
        "table",
        "absent_columns",
    ),
    _counter(
        "dbmazz_signature_rows_total",
        (TRANSFORMER,),
        "Rows in acknowledged loads by the number of columns that they lack",
        "table",
        "absent_columns",
    ),
    _histogram(
        "dbmazz_step_duration_seconds",
        (TRANSFORMER,),
        "Time that a lane takes to make one window of batches, or one barrier, durable, repetitions included",
    ),
    _gauge("dbmazz_lanes", (TRANSFORMER,), "Lanes held, by state", "state"),
    _gauge("dbmazz_pending_rows", (TRANSFORMER,), "Rows received and not durable yet"),
    _gauge("dbmazz_pending_bytes", (TRANSFORMER,), "Bytes received and not durable yet"),
    _gauge("dbmazz_pending_batches", (TRANSFORMER,), "Batches received and not durable yet"),
    # Loader.
    _counter("dbmazz_loads_total", (LOADER,), "Loads that ended, by verdict", "table", "verdict"),
    _counter(
        "dbmazz_reports_total", (LOADER,), "Requests that had progress to report and no rows, by verdict", "verdict"
    ),
    _counter(
        "dbmazz_load_attempts_total", (LOADER,), "Stream Loads sent; more than loads when some were sent again", "table"
    ),
    _counter("dbmazz_partial_loads_total", (LOADER,), "Partial updates that ended as LOADED", "table"),
    _counter("dbmazz_partial_rows_total", (LOADER,), "Rows in partial updates that ended as LOADED", "table"),
    _gauge(
        "dbmazz_rows_unaccounted",
        (LOADER,),
        "Rows that were sent in loads that ended as LOADED and that the target did not count; anything but 0 is wrong",
    ),
    _histogram("dbmazz_load_duration_seconds", (LOADER,), "From a load's arrival to its verdict, repetitions included"),
    _histogram(
        "dbmazz_commit_to_visible_seconds",
        (LOADER,),
        "From the commit in PostgreSQL to the moment the row was visible in the target, by row",
    ),
    _gauge("dbmazz_running_loads", (LOADER,), "Loads under way"),
    _gauge("dbmazz_peer_up", (LOADER,), "1 when the peer answers as it should, else 0", "peer"),
    # Checkpoint.
    _gauge("dbmazz_checkpoint_lsn", (CHECKPOINT,), "Stored position of the slot, as a number of bytes", "slot"),
    _gauge("dbmazz_checkpoint_epoch", (CHECKPOINT,), "Epoch that stored it", "slot"),
    _gauge("dbmazz_checkpoint_timestamp_seconds", (CHECKPOINT,), "When it was stored", "slot"),
    _gauge(
        "dbmazz_checkpoint_waiting_batches",
        (CHECKPOINT,),
        "Batches completed beyond the contiguous prefix: they wait for an earlier one",
        "slot",
    ),
    _counter("dbmazz_checkpoint_rows_total", (CHECKPOINT,), "Rows reported as durable in the present epoch", "slot"),
    _counter("dbmazz_checkpoint_parts_total", (CHECKPOINT,), "Parts of windows reported in the present epoch", "slot"),
    _counter(
        "dbmazz_checkpoint_fenced_reports_total",
        (CHECKPOINT,),
        "Reports refused because their epoch was closed",
        "slot",
    ),
    _gauge("dbmazz_checkpoint_store_failing", (CHECKPOINT,), "1 while the store cannot be written, else 0"),
    # Monitor.
    _gauge("dbmazz_lag_seconds", (MONITOR,), "Age of the oldest commit that is not confirmed; 0 when nothing waits"),
    _gauge(
        "dbmazz_table_lag_seconds",
        (MONITOR,),
        "Age of the table's oldest commit that is not visible in the target; 0 when nothing waits",
        "table",
    ),
    _gauge("dbmazz_source_rows", (MONITOR,), "Rows in the source, estimated where the table is large", "table"),
    _gauge("dbmazz_target_rows", (MONITOR,), "Rows in the target that are not marked as deleted", "table"),
    _gauge("dbmazz_deleted_rows", (MONITOR,), "Rows in the target that are marked as deleted", "table"),
    _gauge(
        "dbmazz_slot_safe_wal_bytes",
        (MONITOR,),
        "WAL that can still be written before the slot is in danger; not there without max_slot_wal_keep_size",
        "slot",
    ),
    _gauge(
        "dbmazz_slot_loss_seconds",
        (MONITOR,),
        "Time until the slot is in danger if the WAL it keeps goes on growing; not there while it does not",
        "slot",
    ),
    _gauge("dbmazz_monitor_tables", (MONITOR,), "Tables shown, by level", "level"),
    _gauge("dbmazz_monitor_replica_up", (MONITOR,), "1 when the replica answers, else 0", "service", "address"),
    _gauge("dbmazz_monitor_database_up", (MONITOR,), "1 when the last look at this side worked, else 0", "side"),
    _counter("dbmazz_monitor_samples_total", (MONITOR,), "Times that the ring was asked how it is"),
    _histogram(
        "dbmazz_monitor_sample_duration_seconds", (MONITOR,), "Time to ask the ring and to make a state of its answers"
    ),
    _histogram(
        "dbmazz_monitor_round_duration_seconds", (MONITOR,), "Time that looking at one side and counting took", "side"
    ),
    _counter(
        "dbmazz_monitor_counted_tables_total",
        (MONITOR,),
        "Tables counted by reading their rows, again and again",
        "side",
    ),
    _gauge("dbmazz_monitor_listeners", (MONITOR,), "Open pages"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _DECLARED}

_HEAD = """# Metrics

With `METRICS_PORT` set, each service serves `http://host:port/metrics` for Prometheus (plain HTTP, on the host of `LISTEN`).
Without it nothing is loaded or bound. A scrape reads the counters that the service keeps anyway.

- `table` is the table's name in the target, in all services; `dbmazz_table_info` has the source's name beside it.
- Counters start from 0 with the process. Those of the reader start with each session, those of the checkpoint with each
  epoch, too; `rate()` and `increase()` take that for what it is.
- LSNs are bytes since the beginning of the WAL, so that differences are bytes of WAL.
- Histograms are cumulative at bounds that grow by 46 %, from 1 ms to 15 minutes.
- `process_*` (CPU time, resident memory, start time, file descriptors) are those of Prometheus' client library.
- Neither row values nor column names are in any metric.

`deploy/grafana/dbmazz.json` is a dashboard of these, `deploy/prometheus/alerts.yaml` has alert rules.

This page is made by `python -m dbmazz.metrics`.

| Metric | Type | Labels | Services | Meaning |
|---|---|---|---|---|
"""


def markdown() -> str:
    """docs/metrics.md."""
    lines = (
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} "
        f"| {', '.join(metric.services)} | {metric.help} |\n"
        for metric in _DECLARED
    )
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
