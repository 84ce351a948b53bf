"""How far loads are, as the service tells it."""

from __future__ import annotations

import time

from dbmazz.v1 import reader_pb2

from dbmazz_reader.protocol.load import LoadState
from dbmazz_reader.snapshot.table_load import TableLoad

_STATES = {
    LoadState.PENDING: reader_pb2.LOAD_STATE_PENDING,
    LoadState.CHUNKING: reader_pb2.LOAD_STATE_CHUNKING,
    LoadState.CLOSING: reader_pb2.LOAD_STATE_CLOSING,
    LoadState.DONE: reader_pb2.LOAD_STATE_DONE,
    LoadState.WAITING: reader_pb2.LOAD_STATE_WAITING,
}


def progress(table: TableLoad, *, paused: bool) -> reader_pb2.SnapshotProgress | None:
    """One table's load; None for one that was dropped."""
    load = table.load
    if load.state is LoadState.DROPPED:
        return None
    shown = reader_pb2.SnapshotProgress(
        state=reader_pb2.LOAD_STATE_PAUSED if paused and load.active else _STATES[load.state],
        row_count=load.row_count,
        byte_count=load.byte_count,
        row_estimate=load.row_estimate,
        message=load.message,
        on_demand=load.on_demand,
        chunk_count=load.chunk_count,
        retake_count=load.retake_count,
        overtaken_row_count=load.overtaken_count,
    )
    if load.begun_at:
        shown.begin_time.FromMicroseconds(int(load.begun_at * 1e6))
    left = load.seconds_left(time.monotonic())
    if left is not None and not paused:
        shown.time_left.FromMilliseconds(round(left * 1000))
    return shown


def table_snapshot(table: TableLoad, *, paused: bool) -> reader_pb2.TableSnapshot:
    """The same with the table's name."""
    return reader_pb2.TableSnapshot(table=table.load.table, progress=progress(table, paused=paused))
