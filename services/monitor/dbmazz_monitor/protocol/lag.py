"""How old the oldest commit is that is not confirmed."""

from __future__ import annotations

from collections import deque

from dbmazz.lsn import Lsn

from dbmazz_monitor.protocol.progress import knows_all, reader_of
from dbmazz_monitor.protocol.sample import RingSample, TransformerFacts

# An hour of samples; who pauses for longer is told "at least".
REMEMBERED = 3600


class WalClock:
    """When the end of the WAL passed which position: tells the age of a position, also of WAL that nobody has read."""

    def __init__(self) -> None:
        self._ends: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)

    def update(self, time_ms: int, end: int) -> None:
        """The server's WAL ended at `end` then."""
        if not self._ends or end > self._ends[-1][1]:
            self._ends.append((time_ms, end))

    def since_ms(self, position: int) -> int | None:
        """When the WAL first went beyond `position`; None when that was before the first look, or has not happened."""
        if not self._ends or position < self._ends[0][1]:
            return None
        return next((time_ms for time_ms, end in self._ends if end > position), None)


class Lag:
    """Fed with every sample."""

    def __init__(self) -> None:
        self._wal = WalClock()

    def update(self, sample: RingSample) -> int | None:
        """Milliseconds; 0 when nothing waits, None when nobody knows."""
        reader = reader_of(sample)
        transformers = [r.facts for r in sample.of("transformer") if isinstance(r.facts, TransformerFacts)]
        waiting = [lane.oldest_ms for facts in transformers for lane in facts.lanes if lane.oldest_ms]
        if reader is None:
            return max(sample.time_ms - min(waiting), 1) if waiting else None
        waiting += [lane.oldest_ms for lane in reader.pending if lane.oldest_ms]
        if reader.server_lsn:
            self._wal.update(sample.time_ms, Lsn.parse(reader.server_lsn))
        if waiting:
            return max(sample.time_ms - min(waiting), 1)
        if knows_all(sample):
            return 0
        # Not read, so nobody knows of which table it is; but how old it is.
        if not reader.lag_bytes:
            return 0
        since = self._wal.since_ms(Lsn.parse(reader.confirmed_lsn)) if reader.confirmed_lsn else None
        return None if since is None else max(sample.time_ms - since, 1)
