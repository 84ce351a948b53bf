"""What this replica has loaded: counters, latencies, and the last loads."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import structlog
from dbmazz.asking import TableName, meant, not_negative
from dbmazz.target import target_table_name
from dbmazz.telemetry import LatencyHistogram
from dbmazz.v1 import load_pb2, loader_pb2

from dbmazz_loader.table_counts import TableCounts

log = structlog.get_logger("dbmazz.loader")

RECORDS = 256
ELSEWHERE = ". It lists what this replica has loaded since it started; ask the other loaders, too"


class Book:
    """Counters since the start, and a ring of the last 256 loads."""

    def __init__(self) -> None:
        self.verdicts: Counter[int] = Counter()
        self.rows = self.loaded_rows = self.rows_unaccounted = self.body_bytes = 0
        self.partial_loads = self.partial_rows = 0
        self.commit_to_visible = LatencyHistogram()
        self.load_durations = LatencyHistogram()
        self.tables: defaultdict[str, TableCounts] = defaultdict(TableCounts)
        self._records: deque[loader_pb2.LoadRecord] = deque(maxlen=RECORDS)
        self._running: list[Callable[[], loader_pb2.LoadRecord]] = []

    def enter(self, record: loader_pb2.LoadRecord) -> None:
        """Takes note of a load that has ended."""
        record.end_time.GetCurrentTime()
        self._records.append(record)
        self.verdicts[record.verdict] += 1
        self.load_durations.record(record.duration_ms)
        self.tables[record.table].enter(record)
        if record.verdict != load_pb2.VERDICT_LOADED:
            return
        self.rows += record.row_count
        self.loaded_rows += record.loaded_row_count
        self.body_bytes += record.body_bytes
        if record.partial_update:
            self.partial_loads += 1
            self.partial_rows += record.row_count
        if missing := record.row_count - record.loaded_row_count:
            self.rows_unaccounted += abs(missing)
            log.error(
                "rows_unaccounted",
                table=record.table,
                label=record.label,
                sent=record.row_count,
                loaded=record.loaded_row_count,
            )

    def enter_report(self, verdict: int) -> None:
        """Takes note of a request that had nothing to load."""
        self.verdicts[verdict] += 1

    def enter_latencies(self, runs: Iterable[load_pb2.CommitRun], visible_time_s: float) -> None:
        """Commit to visible; `visible_time_s`: when StarRocks' answer was read, in seconds since 1970."""
        for run in runs:
            self.commit_to_visible.record(visible_time_s * 1e3 - run.commit_time_us / 1e3, run.row_count)

    @contextlib.contextmanager
    def under_way(self, record: Callable[[], loader_pb2.LoadRecord]) -> Iterator[None]:
        """A load runs for the time of the context; `record` tells how it stands whenever somebody asks."""
        self._running.append(record)
        try:
            yield
        finally:
            self._running.remove(record)

    def loads(self, request: loader_pb2.ListLoadsRequest) -> loader_pb2.ListLoadsResponse:
        """The loads that are asked for; BadQuestion for a table that has none, or a negative number."""
        not_negative(page_size=request.page_size)
        asked = [request.table] if request.table else []
        running = [record() for record in self._running]
        seen = {*self.tables, *(record.table for record in running)}
        tables = {table.target for table in meant(asked, _names(request.table, seen), ELSEWHERE)}
        ended = (record for record in reversed(self._records) if _wanted(record, tables, request))
        return loader_pb2.ListLoadsResponse(
            loads=islice(ended, request.page_size or RECORDS),
            running=[
                record
                for record in running
                if _wanted(record, tables, request) and (record.message or not request.only_failed)
            ],
        )


def _names(asked: str, seen: Iterable[str]) -> Iterator[TableName]:
    """The tables that were loaded. Their names at the source are not known here, so the one that is asked for is brought to
    its name in the target by the rule; where the schema ends is open when there are several dots."""
    words = asked.split(".")
    sources = {target_table_name(".".join(words[:at]), ".".join(words[at:])): asked for at in range(1, len(words))}
    return (TableName(sources.get(target, ""), target) for target in seen)


def _wanted(record: loader_pb2.LoadRecord, tables: set[str], request: loader_pb2.ListLoadsRequest) -> bool:
    return (
        (not tables or record.table in tables)
        and (record.partial_update or not request.only_partial)
        and (record.verdict != load_pb2.VERDICT_LOADED or not request.only_failed)
    )
