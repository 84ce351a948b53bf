"""What the services cost: CPU over a period, and memory at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cost:
    """One process. 1000 millicores are one core, fully used; `rss_bytes` is resident memory."""

    name: str
    cpu_millicores: int
    rss_bytes: int


class Meter:
    """Measures from its making to `read`."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._started = time.monotonic()
        self._before = {pid: used for pid in pids.values() if (used := _cpu_seconds(pid)) is not None}

    def read(self, pids: dict[str, int]) -> list[Cost]:
        """Costs by name; a process that was started meanwhile counts from its own start."""
        seconds = max(time.monotonic() - self._started, 1e-3)
        costs = []
        for name, pid in pids.items():
            used = _cpu_seconds(pid)
            if used is not None:
                cores = (used - self._before.get(pid, 0.0)) / seconds
                costs.append(Cost(name, round(1000 * cores), _rss_bytes(pid)))
        return costs


def _cpu_seconds(pid: int) -> float | None:
    """User and system time, None when the process is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return times.user + times.system


def _rss_bytes(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
