"""The reader's readings, taken from the counters that it keeps anyway; dbmazz.metrics says what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from dbmazz.config import Settings
from dbmazz.readings import Reading, one_of, service_state
from dbmazz.target import target_table_name

from dbmazz_reader.protocol import states
from dbmazz_reader.status import Status, Streaming
from dbmazz_reader.tables import ReplicatedTable

# Of pg_replication_slots.
WAL_STATUSES = ("reserved", "extended", "unreserved", "lost")


def measure(settings: Settings, status: Status) -> Iterator[Reading]:
    """Positions and counters are those of the last session; there are none before the first."""
    yield from service_state(states.service_state(status.state))
    streaming = status.streaming
    yield "dbmazz_epoch", (), streaming.feed.epoch if streaming else 0
    yield "dbmazz_retained_limit_bytes", (), settings.retained_bytes
    if streaming is not None:
        yield from _session(streaming)
        for table in streaming.receiver.tables:
            yield from _table(table)
    yield from _slot(settings.source_slot_name, status)


def _session(streaming: Streaming) -> Iterator[Reading]:
    receiver, decoder, feed = streaming.receiver, streaming.receiver.decoder, streaming.feed
    yield "dbmazz_transactions_total", (), decoder.transaction_count
    yield "dbmazz_batches_total", (), receiver.cutter.batch_count
    yield "dbmazz_ignored_rows_total", (), decoder.ignored_row_count
    yield "dbmazz_received_lsn", (), receiver.received_lsn
    yield "dbmazz_confirmed_lsn", (), streaming.confirmation.lsn
    yield "dbmazz_server_lsn", (), receiver.server_lsn
    yield "dbmazz_lag_bytes", (), max(receiver.server_lsn - streaming.confirmation.lsn, 0)
    yield "dbmazz_retained_bytes", (), feed.retention.bytes
    yield "dbmazz_retained_batches", (), feed.retention.batches
    yield "dbmazz_transformers", (), len(feed.transformers)


def _table(table: ReplicatedTable) -> Iterator[Reading]:
    relation = table.relation
    target = target_table_name(relation.schema, relation.name)
    yield "dbmazz_table_info", (target, relation.qualified_name), 1
    yield "dbmazz_rows_total", ("read", target), table.row_count
    yield "dbmazz_bytes_total", ("read", target), table.byte_count
    yield "dbmazz_toast_columns_total", (target, "update"), table.builder.unchanged_toast_count
    yield "dbmazz_unread_rows", (target,), table.preexisting_rows


def _slot(name: str, status: Status) -> Iterator[Reading]:
    """Nothing while the slot has not been looked at, or is gone."""
    if status.slot_health is None:
        return
    yield from one_of("dbmazz_slot_wal_status", (name,), status.slot_health.slot.wal_status, WAL_STATUSES)
    yield "dbmazz_slot_retained_wal_bytes", (name,), status.slot_health.retained_wal_bytes
    yield "dbmazz_slot_seen_timestamp_seconds", (name,), status.slot_read_time
