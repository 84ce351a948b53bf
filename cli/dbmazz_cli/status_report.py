"""The answers of a ring, as a document for programs and as lines for people."""

from __future__ import annotations

from typing import Any

from dbmazz.printable import printable
from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import reader_pb2, transformer_pb2, types_pb2
from dbmazz_monitor.terminal.wording import millis, span
from google.protobuf.json_format import MessageToDict

from dbmazz_cli.inquiry import Answer, totals

_DOWN = ("DOWN", "STOPPED")


def healthy(answers: list[Answer]) -> bool:
    """False when a part does not answer, or has given up, or a table is parked."""
    parked = any(
        lane.state == transformer_pb2.LANE_STATE_PARKED
        for answer in answers
        if answer.service == "transformer" and answer.status is not None
        for lane in answer.status.lanes
    )
    return not parked and all(answer.state not in _DOWN for answer in answers)


def document(answers: list[Answer]) -> dict[str, Any]:
    """One JSON object. Messages are in protobuf's JSON form, with proto field names; 64-bit numbers are strings."""
    return {"healthy": healthy(answers), "ring": totals(answers), "services": [_service(answer) for answer in answers]}


def _service(answer: Answer) -> dict[str, Any]:
    service = {"service": answer.service, "address": answer.address, "state": answer.state, "error": answer.error}
    if answer.status is not None:
        service["status"] = _dict(answer.status)
        # 148 buckets say less than three numbers.
        if service["status"].pop("commit_to_visible", None) is not None:
            service["lag_ms"] = totals([answer])["lag_ms"]
    if answer.detail is not None:
        service |= _dict(answer.detail)
    return service


def _dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def lines(answers: list[Answer], now_s: float) -> list[str]:
    """For people: each service, then what it knows; what is down is said last, once more. `now_s` is Unix time."""
    text: list[str] = []
    for answer in answers:
        text.append(f"{answer.service:<12} {answer.state:<9} {answer.address}")
        if answer.status is not None:
            # It stays after the service has recovered; then it is history.
            if answer.status.status.last_error and answer.state not in ("RUNNING", "PAUSED"):
                text.append(f"  last error: {answer.status.status.last_error}")
            text.append(f"  {_process(answer.status.status, now_s)}")
            text += [f"  {line}" for line in _DETAILS[answer.service](answer)]
            if answer.error:
                text.append(f"  its lists are not known: {answer.error}")
    for answer in answers:
        if answer.state in _DOWN:
            why = answer.error or answer.status.status.last_error or "it has given up"
            text.append(f"the {answer.service} at {answer.address} is down: {why}")
    return [printable(line) for line in text]


def _process(status: types_pb2.ServiceStatus, now_s: float) -> str:
    """Who it is, for how long, and what it costs."""
    words = [status.replica, f"version {status.version}"]
    if started := status.start_time.ToSeconds():
        words.append(f"up {span(now_s - started)}")
    words += [f"CPU time {span(status.cpu_time.ToSeconds())}", f"memory {_bytes(status.rss_bytes)}"]
    return ", ".join(words)


def _reader(answer: Answer) -> list[str]:
    status = answer.status
    slot = status.slot_status
    text = [
        f"slot {status.slot}, publication {status.publication}, epoch {status.epoch}",
        f"received {status.received_lsn}, confirmed {status.confirmed_lsn}, server {status.server_lsn}: "
        f"{_bytes(status.lag_bytes)} behind",
        f"{status.row_count:,} rows in {status.transaction_count:,} transactions; "
        f"keeps {_bytes(status.retained_bytes)} of {_bytes(status.retained_bytes_limit)}",
    ]
    if slot.wal_status:
        text.append(
            f"slot health: {slot.wal_status}, {_bytes(slot.retained_wal_bytes)} of WAL kept from {slot.restart_lsn}"
        )
    if status.HasField("pause"):
        text.append(f"{paused_since(status.pause)}; the slot keeps the WAL until `dbmazz resume`")
    if status.reloaded_variables:
        names = ", ".join(f"{name}={status.status.config[name]}" for name in status.reloaded_variables)
        text.append(f"reloaded, until the reader restarts: {names}")
    text += [f"warning: {warning}" for warning in status.warnings]
    for table in answer.detail.tables if answer.detail else ():
        state = reader_pb2.TableState.Name(table.state).removeprefix("TABLE_STATE_").lower().replace("_", " ")
        text.append(
            f"{table.name} -> {table.target_table}: {state}, lane {table.lane} (generation {table.generation}), "
            f"{table.row_count:,} rows, at {table.transformer or 'no transformer'}"
        )
        if table.HasField("load") and table.load.state != reader_pb2.LOAD_STATE_DONE:
            text.append(f"  load: {load_line(table.load)}")
        if table.warning:
            text.append(f"  warning: {table.warning}")
    return text


def load_line(load: reader_pb2.SnapshotProgress) -> str:
    """`chunking, 1,200,000 of about 5,000,000 rows (24 %), 310.5 MB, about 2 min left`."""
    state = reader_pb2.LoadState.Name(load.state).removeprefix("LOAD_STATE_").lower()
    rows = f"{load.row_count:,} rows"
    # An estimate from before the first ANALYZE can be far too low: one that is passed says nothing any more.
    if load.row_estimate >= load.row_count and load.row_estimate:
        share = 100 * load.row_count // load.row_estimate
        rows = f"{load.row_count:,} of about {load.row_estimate:,} rows ({share} %)"
    words = [state, rows, _bytes(load.byte_count)]
    if load.HasField("time_left") and load.row_estimate >= load.row_count:
        words.append(f"about {span(load.time_left.ToSeconds())} left")
    return ", ".join(words) + (f": {load.message}" if load.message else "")


def _transformer(answer: Answer) -> list[str]:
    status = answer.status
    text = [
        f"{status.row_count:,} rows in, {status.folded_row_count:,} folded, {status.loaded_row_count:,} loaded; "
        f"loads: {status.full_load_count:,} full, {status.partial_load_count:,} partial",
    ]
    for lane in status.lanes:
        state = transformer_pb2.LaneState.Name(lane.state).removeprefix("LANE_STATE_").lower()
        waiting = f", {lane.pending_row_count:,} rows wait" if lane.pending_row_count else ""
        reason = f": {lane.message}" if lane.message else ""
        text.append(f"lane {lane.lane} {lane.table or '(heartbeats)'}: {state}{waiting}{reason}")
    for entry in answer.detail.signatures if answer.detail else ():
        columns = f"without {', '.join(entry.absent_columns)}" if entry.absent_columns else "full rows"
        text.append(f"{entry.table} {columns}: {entry.load_count:,} loads, {entry.row_count:,} rows")
    return text


def _loader(answer: Answer) -> list[str]:
    status = answer.status
    latency = LatencyHistogram()
    latency.merge(status.commit_to_visible)
    return [
        f"StarRocks {status.target_version or '(not asked yet)'}; {status.running_load_count} loads under way",
        f"{status.loaded_row_count:,} rows loaded, {_bytes(status.body_bytes)}; "
        f"{status.partial_row_count:,} rows in {status.partial_load_count:,} partial loads",
        f"rows unaccounted: {status.rows_unaccounted}; dead letters: {status.dead_lettered_row_count}",
        _latency(latency),
    ]


def _latency(latency: LatencyHistogram) -> str:
    if not sum(latency.counts):
        return "commit to visible: nothing loaded yet"
    p50, p99 = latency.percentile(0.5), latency.percentile(0.99)
    return f"commit to visible: p50 {millis(p50)}, p99 {millis(p99)}, max {millis(latency.max_ms)}"


def _checkpoint(answer: Answer) -> list[str]:
    text = [f"stores in {answer.status.store}"]
    for slot in answer.status.slots:
        stored = slot.checkpoint
        text.append(
            f"slot {stored.slot}: {stored.confirmed_lsn}, epoch {stored.epoch}, batch {slot.confirmed_batch_id:,} of "
            f"{slot.reported_batch_id:,} reported, {slot.waiting_batch_count:,} wait for an earlier one"
        )
    return text


def paused_since(pause: reader_pb2.PauseState) -> str:
    """`paused since 2026-11-20 11:43:44 UTC: maintenance`."""
    since = pause.since_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"paused since {since}" + (f": {pause.reason}" if pause.reason else "")


def _bytes(count: int) -> str:
    amount, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if abs(amount) < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


_DETAILS = {"reader": _reader, "transformer": _transformer, "loader": _loader, "checkpoint": _checkpoint}
