"""The loader's readings, taken from the counters that it keeps anyway; dbmazz.metrics says what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from dbmazz.readings import Reading, service_state
from dbmazz.v1 import load_pb2

from dbmazz_loader.book import Book
from dbmazz_loader.protocol.verdicts import Peer
from dbmazz_loader.standing import Standing
from dbmazz_loader.table_counts import TableCounts


def measure(book: Book, standing: Standing, running: int) -> Iterator[Reading]:
    """Counters since the start; `running`: loads under way."""
    yield from service_state(standing.state)
    for peer in Peer:
        yield "dbmazz_peer_up", (str(peer),), int(not standing.problem(peer))
    yield "dbmazz_running_loads", (), running
    yield "dbmazz_rows_unaccounted", (), book.rows_unaccounted
    yield "dbmazz_load_duration_seconds", (), book.load_durations
    yield "dbmazz_commit_to_visible_seconds", (), book.commit_to_visible
    reports = book.verdicts.copy()
    for table, counts in book.tables.items():
        yield from _table(table, counts)
        reports.subtract(counts.verdicts)
    for verdict, count in reports.items():
        yield "dbmazz_reports_total", (_named(verdict),), count


def _table(table: str, counts: TableCounts) -> Iterator[Reading]:
    for verdict, count in counts.verdicts.items():
        yield "dbmazz_loads_total", (table, _named(verdict)), count
    yield "dbmazz_load_attempts_total", (table,), counts.attempts
    yield "dbmazz_rows_total", ("sent", table), counts.rows
    yield "dbmazz_rows_total", ("loaded", table), counts.loaded_rows
    yield "dbmazz_bytes_total", ("loaded", table), counts.body_bytes
    yield "dbmazz_partial_loads_total", (table,), counts.partial_loads
    yield "dbmazz_partial_rows_total", (table,), counts.partial_rows


def _named(verdict: int) -> str:
    return load_pb2.Verdict.Name(verdict).removeprefix("VERDICT_").lower()
