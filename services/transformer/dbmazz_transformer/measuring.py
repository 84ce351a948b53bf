"""The transformer's readings, taken from the counters that it keeps anyway; dbmazz.metrics says what they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dbmazz.readings import Reading, service_state
from dbmazz.v1 import types_pb2

from dbmazz_transformer.lanes import Lanes
from dbmazz_transformer.protocol.lane_state import LaneState
from dbmazz_transformer.source import Source
from dbmazz_transformer.tally import Tally


def measure(state: types_pb2.ServiceState, lanes: Lanes, source: Source) -> Iterator[Reading]:
    """Counters since the start; lanes and what is pending are those of the present session."""
    yield from service_state(state)
    yield "dbmazz_epoch", (), source.epoch
    held = list(lanes.held())
    counts = Counter(lane.state for lane in held)
    for lane_state in LaneState:
        yield "dbmazz_lanes", (lane_state.name.lower(),), counts[lane_state]
    yield "dbmazz_pending_rows", (), sum(lane.backlog.row_count for lane in held)
    yield "dbmazz_pending_bytes", (), sum(lane.backlog.byte_count for lane in held)
    yield "dbmazz_pending_batches", (), sum(lane.backlog.batch_count for lane in held)
    yield "dbmazz_received_rows_total", (), lanes.tally.row_count
    yield "dbmazz_step_duration_seconds", (), lanes.tally.step_durations
    yield from _tables(lanes.tally)
    yield from _signatures(lanes.tally)


def _tables(tally: Tally) -> Iterator[Reading]:
    for table, counted in tally.tables.items():
        yield "dbmazz_rows_total", ("folded", table), counted.folded_row_count
        yield "dbmazz_rows_total", ("delivered", table), counted.loaded_row_count
        yield "dbmazz_bytes_total", ("delivered", table), counted.body_bytes
        yield "dbmazz_policy_values_total", (table,), counted.policy_value_count


def _signatures(tally: Tally) -> Iterator[Reading]:
    """By the number of absent columns: the sets themselves would be names of columns, and without bound."""
    loads: Counter[tuple[str, str]] = Counter()
    rows: Counter[tuple[str, str]] = Counter()
    absent: Counter[tuple[str, str]] = Counter()
    for (table, columns), counted in tally.signatures.items():
        loads[table, str(len(columns))] += counted.load_count
        rows[table, str(len(columns))] += counted.row_count
        absent[table, "insert"] += len(columns) * counted.insert_count
        absent[table, "update"] += len(columns) * counted.update_count
        absent[table, "delete"] += len(columns) * counted.delete_count
    for name, counter in (
        ("dbmazz_signature_loads_total", loads),
        ("dbmazz_signature_rows_total", rows),
        ("dbmazz_absent_values_total", absent),
    ):
        for labels, count in counter.items():
            yield name, labels, count
