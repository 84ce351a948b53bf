"""Answers of the services (protos) as the monitor's own frozen values, at the edge."""

from __future__ import annotations

from typing import Any

from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import reader_pb2, transformer_pb2, types_pb2

from dbmazz_monitor.protocol.sample import (
    CheckpointFacts,
    Facts,
    Lane,
    LoaderFacts,
    Pause,
    Pending,
    ReaderFacts,
    Replica,
    Signature,
    Slot,
    State,
    Table,
    TransformerFacts,
)

# By name, so that a state which only one side knows is not an error.
_STATES = {
    number: State(word)
    for name, number in types_pb2.ServiceState.items()
    if (word := name.removeprefix("SERVICE_STATE_").lower()) in {str(state) for state in State}
}
_PAUSED = dict(types_pb2.ServiceState.items()).get("SERVICE_STATE_PAUSED", -1)
_LANE_STATES = {
    number: name.removeprefix("LANE_STATE_").lower() for name, number in transformer_pb2.LaneState.items() if number
}


def replica(service: str, address: str, answer: Any) -> Replica:
    """The replica behind a GetStatus answer of one of the four services."""
    status: types_pb2.ServiceStatus = answer.status
    return Replica(
        service=service,
        address=address,
        state=_STATES.get(status.state, State.UNKNOWN),
        error=status.last_error,
        name=status.replica or address,
        version=status.version,
        start_time_s=status.start_time.ToNanoseconds() / 1e9,
        cpu_s=status.cpu_time.ToNanoseconds() / 1e9,
        rss_bytes=status.rss_bytes,
        facts=_FACTS[service](answer),
    )


def _reader(answer: reader_pb2.ReaderServiceGetStatusResponse) -> Facts:
    slot = answer.slot_status
    return ReaderFacts(
        slot_name=answer.slot,
        publication=answer.publication,
        epoch=answer.epoch,
        confirmed_lsn=answer.confirmed_lsn,
        received_lsn=answer.received_lsn,
        server_lsn=answer.server_lsn,
        lag_bytes=answer.lag_bytes,
        row_count=answer.row_count,
        transaction_count=answer.transaction_count,
        unchanged_toast_count=answer.unchanged_toast_count,
        retained_bytes=answer.retained_bytes,
        retained_bytes_limit=answer.retained_bytes_limit,
        transformers=tuple(answer.transformers),
        warnings=tuple(answer.warnings),
        slot=Slot(
            slot.wal_status,
            slot.retained_wal_bytes,
            slot.restart_lsn,
            slot.confirmed_flush_lsn,
            slot.safe_wal_bytes if slot.HasField("safe_wal_bytes") else None,
            slot.read_time.ToNanoseconds() / 1e9,
            answer.slot,
        ),
        pending=tuple(
            Pending(lane.lane, _milliseconds(lane, "oldest_commit_time"), lane.pending_bytes, lane.batch_count)
            for lane in answer.pending_lanes
        ),
        pause=_pause(answer),
    )


def _pause(answer: Any) -> Pause | None:
    """A reader that is paused and has yet to connect tells its state as that; what it will do then is told here."""
    if answer.status.state == _PAUSED or ("pause" in answer.DESCRIPTOR.fields_by_name and answer.HasField("pause")):
        told = getattr(answer, "pause", None)
        return Pause(_milliseconds(told, "since_time"), told.reason) if told else Pause()
    return None


def _transformer(answer: transformer_pb2.TransformerServiceGetStatusResponse) -> Facts:
    return TransformerFacts(
        epoch=answer.epoch,
        lanes=tuple(_lane(lane) for lane in answer.lanes),
        row_count=answer.row_count,
        folded_row_count=answer.folded_row_count,
        loaded_row_count=answer.loaded_row_count,
        full_load_count=answer.full_load_count,
        partial_load_count=answer.partial_load_count,
        partial_row_count=answer.partial_row_count,
        policy_value_count=answer.policy_value_count,
        pending_bytes_limit=answer.pending_bytes_limit,
    )


def _lane(lane: transformer_pb2.LaneStatus) -> Lane:
    return Lane(
        lane=lane.lane,
        table=lane.table,
        state=_LANE_STATES.get(lane.state, "unknown"),
        pending_bytes=lane.pending_bytes,
        message=lane.message,
        generation=lane.generation,
        pending_rows=lane.pending_row_count,
        oldest_ms=_milliseconds(lane, "oldest_pending_commit_time"),
        last_load_ms=_milliseconds(lane, "last_load_time"),
    )


def _milliseconds(message: Any, field: str) -> int:
    """A time since 1970; 0 when it is not set."""
    return getattr(message, field).ToMilliseconds() if message.HasField(field) else 0


def _loader(answer: Any) -> Facts:
    histogram = answer.commit_to_visible
    # A loader with other buckets than ours is of another version: its latencies cannot be merged, so they are left out.
    known = len(histogram.count) == len(LatencyHistogram.BOUNDS)
    return LoaderFacts(
        row_count=answer.row_count,
        loaded_row_count=answer.loaded_row_count,
        dead_lettered_row_count=answer.dead_lettered_row_count,
        rows_unaccounted=answer.rows_unaccounted,
        body_bytes=answer.body_bytes,
        running_load_count=answer.running_load_count,
        running_load_limit=answer.running_load_limit,
        latency_counts=tuple(histogram.count) if known else (),
        latency_max_ms=histogram.max_ms,
        target_version=answer.target_version,
    )


def _checkpoint(answer: Any) -> Facts:
    return CheckpointFacts(
        stored=tuple((slot.checkpoint.slot, slot.checkpoint.confirmed_lsn) for slot in answer.slots),
        waiting_batch_count=sum(slot.waiting_batch_count for slot in answer.slots),
        loaded_row_count=sum(slot.loaded_row_count for slot in answer.slots),
    )


_FACTS = {"reader": _reader, "transformer": _transformer, "loader": _loader, "checkpoint": _checkpoint}


def tables(answer: reader_pb2.ListTablesResponse) -> tuple[Table, ...]:
    """The replicated tables, in the reader's order."""
    return tuple(_table(table) for table in answer.tables)


def _table(table: reader_pb2.ReplicatedTable) -> Table:
    schema, _, name = table.name.partition(".")
    return Table(
        name=table.name,
        schema=table.relation.schema or schema,
        table=table.relation.name or name,
        target_table=table.target_table,
        snapshotted=table.state != reader_pb2.TABLE_STATE_STREAMING_WITHOUT_SNAPSHOT,
        row_count=table.row_count,
        preexisting_row_estimate=table.preexisting_row_estimate,
        transformer=table.transformer,
        warning=table.warning,
        lane=table.lane,
    )


def signatures(answers: list[transformer_pb2.ListSignaturesResponse]) -> tuple[Signature, ...]:
    """Signatures over all transformers, most rows first."""
    merged: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for one in (signature for answer in answers for signature in answer.signatures):
        counts = (one.load_count, one.row_count, one.insert_count, one.update_count, one.delete_count)
        key = (one.table, tuple(one.absent_columns))
        merged[key] = [a + b for a, b in zip(merged.get(key, [0] * len(counts)), counts, strict=True)]
    found = [Signature(table, absent, *counts) for (table, absent), counts in merged.items()]
    return tuple(sorted(found, key=lambda s: (-s.row_count, s.table, s.absent_columns)))
