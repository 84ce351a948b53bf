"""Logs with fixed event names, latency histograms, and what a process can say about itself."""

from __future__ import annotations

import bisect
import contextlib
import errno
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import structlog

from dbmazz import VERSION
from dbmazz.v1 import types_pb2

_START_NS = time.time_ns()

# Disk full, quota used up, largest size of a file reached.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def configure_logging(level: str = "INFO", form: str = "console") -> None:
    """Structured logs to stderr: `console` for people, `json` for machines. Call once per process."""
    renderer = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(FullDisk(sys.stderr)),
    )


class FullDisk:
    """A stream for logs that outlives a full disk: what cannot be written is counted and told once there is room again.

    A service that ended because its log cannot be written would turn a full disk into an outage. Anything else, like a pipe
    that nobody reads any more, is an error as ever.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._late = 0

    def write(self, text: str) -> None:
        """As the stream's own."""
        with self._tolerant():
            self._stream.write(text)

    def flush(self) -> None:
        """As the stream's own; called once for each line."""
        written = False
        with self._tolerant():
            self._stream.flush()
            written = True
        if not written:
            self._late += 1
        elif self._late:
            late, self._late = self._late, 0
            self.write(f"{late} lines of this log came late or not at all: the disk was full\n")

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise


def replica_name() -> str:
    """Host name and process id: unique within a ring."""
    return f"{socket.gethostname()}-{os.getpid()}"


class LatencyHistogram:
    """Counts in buckets that grow by 10 % from 1 ms to about 20 minutes: percentiles are right within 10 %."""

    # Four digits are read more easily than seventeen.
    BOUNDS = [float(f"{1.1**power:.4g}") for power in range(148)] + [float("inf")]

    def __init__(self) -> None:
        self.counts = [0] * len(self.BOUNDS)
        self.max_ms = 0.0
        # Of what was recorded here; what `merge` adds comes without it.
        self.sum_ms = 0.0

    def record(self, milliseconds: float, count: int = 1) -> None:
        """Adds `count` samples; a negative one (clocks differ) counts as 0."""
        milliseconds = max(milliseconds, 0.0)
        self.counts[bisect.bisect_left(self.BOUNDS, milliseconds)] += count
        self.max_ms = max(self.max_ms, milliseconds)
        self.sum_ms += milliseconds * count

    def copy(self) -> LatencyHistogram:
        """The present counts, for a reader that takes its time."""
        copied = LatencyHistogram()
        copied.counts, copied.max_ms, copied.sum_ms = list(self.counts), self.max_ms, self.sum_ms
        return copied

    def merge(self, proto: types_pb2.LatencyHistogram) -> None:
        """Adds the counts of another histogram, each to the bucket of the same bound."""
        for bound, count in zip(proto.upper_bound_ms, proto.count, strict=False):
            # Bounds of a peer that did not round them lie a little beside ours.
            self.counts[bisect.bisect_left(self.BOUNDS, bound * 0.999)] += count
        self.max_ms = max(self.max_ms, proto.max_ms)

    def percentile(self, fraction: float) -> float:
        """Upper bound in ms of the bucket that holds this fraction of the samples, at most the maximum; 0 without samples."""
        total, seen = sum(self.counts), 0
        for bound, count in zip(self.BOUNDS, self.counts, strict=True):
            seen += count
            if count and seen >= fraction * total:
                return min(bound, self.max_ms)
        return 0.0

    def to_proto(self) -> types_pb2.LatencyHistogram:
        """The proto of the present counts: the buckets that hold any, and their percentiles for people."""
        held = [(bound, count) for bound, count in zip(self.BOUNDS, self.counts, strict=True) if count]
        return types_pb2.LatencyHistogram(
            sample_count=sum(self.counts),
            p50_ms=self._told(0.5),
            p99_ms=self._told(0.99),
            max_ms=round(self.max_ms, 1),
            upper_bound_ms=[bound for bound, _ in held],
            count=[count for _, count in held],
        )

    def _told(self, fraction: float) -> float:
        return round(self.percentile(fraction), 1)


def service_status(
    service: str, state: types_pb2.ServiceState, config: dict[str, str], last_error: str = ""
) -> types_pb2.ServiceStatus:
    """What every service tells in GetStatus."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    status = types_pb2.ServiceStatus(
        service=service,
        replica=replica_name(),
        version=VERSION,
        state=state,
        rss_bytes=_resident_bytes(usage.ru_maxrss),
        config=config,
        last_error=last_error,
    )
    status.start_time.FromNanoseconds(_START_NS)
    status.cpu_time.FromNanoseconds(int((usage.ru_utime + usage.ru_stime) * 1e9))
    return status


def _resident_bytes(peak_kilobytes: int) -> int:
    """Resident memory now from /proc; where there is none (macOS), the peak, which that system counts in bytes."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return peak_kilobytes
