"""Rates between two samples of the same counters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters of a slot at one moment: rows count within the epoch, the LSN goes on across epochs."""

    at_s: float
    epoch: int
    loaded_row_count: int
    confirmed_lsn: int


def rates(before: Sample | None, now: Sample) -> tuple[float, float]:
    """Rows and bytes of WAL per second since the sample before; 0 for the first one.

    A new epoch counts its rows from 0.
    """
    if before is None or now.at_s <= before.at_s:
        return 0.0, 0.0
    elapsed = now.at_s - before.at_s
    known = before.loaded_row_count if now.epoch == before.epoch else 0
    return (now.loaded_row_count - known) / elapsed, (now.confirmed_lsn - before.confirmed_lsn) / elapsed
