"""CPU time and memory of processes, from /proc (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/PID/stat behind the command's name, which may hold blanks: see proc(5).
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds; its resolution is a tick, mostly 10 ms."""
    fields = _fields(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_S


def children_cpu_s(pid: int) -> float:
    """The same of its children that have ended and were waited for."""
    fields = _fields(pid)
    return (int(fields[_CUTIME]) + int(fields[_CSTIME])) * _TICK_S


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def pss_bytes(pid: int) -> int:
    """Resident memory, pages that processes share (libraries, mostly) counted to each in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024


@dataclass(frozen=True)
class Meter:
    """CPU of several processes by name since the meter was made."""

    pids: dict[str, int]
    before: dict[str, float]

    @classmethod
    def start(cls, pids: dict[str, int]) -> Meter:
        return cls(pids, {name: cpu_s(pid) for name, pid in pids.items()})

    def used_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) - self.before[name] for name, pid in self.pids.items()}
