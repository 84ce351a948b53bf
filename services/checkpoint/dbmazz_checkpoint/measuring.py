"""The checkpoint's state and readings, taken from what it keeps anyway; dbmazz.metrics says what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from dbmazz import readings
from dbmazz.readings import Reading
from dbmazz.v1 import types_pb2

from dbmazz_checkpoint.positions import Positions
from dbmazz_checkpoint.protocol.slot import Checkpoint


def service_state(positions: Positions) -> types_pb2.ServiceState:
    """For GetStatus, too."""
    if positions.draining:
        return types_pb2.SERVICE_STATE_DRAINING
    return types_pb2.SERVICE_STATE_RETRYING if positions.failing else types_pb2.SERVICE_STATE_RUNNING


def measure(positions: Positions) -> Iterator[Reading]:
    """The stored position of every slot; counters only for epochs that this process has issued."""
    yield from readings.service_state(service_state(positions))
    yield "dbmazz_checkpoint_store_failing", (), int(positions.failing)
    for stored in positions.stored():
        yield from _slot(positions, stored)


def _slot(positions: Positions, stored: Checkpoint) -> Iterator[Reading]:
    slot = (stored.slot,)
    yield "dbmazz_checkpoint_lsn", slot, stored.confirmed_lsn
    yield "dbmazz_checkpoint_epoch", slot, stored.epoch
    yield "dbmazz_checkpoint_timestamp_seconds", slot, stored.update_time_us / 1e6
    yield "dbmazz_checkpoint_fenced_reports_total", slot, positions.fenced_count(stored.slot)
    open_epoch = positions.open_epoch(stored.slot)
    if open_epoch is None:
        return
    yield "dbmazz_checkpoint_waiting_batches", slot, open_epoch.ledger.waiting_batch_count
    yield "dbmazz_checkpoint_rows_total", slot, open_epoch.loaded_row_count
    yield "dbmazz_checkpoint_parts_total", slot, open_epoch.ledger.part_count
