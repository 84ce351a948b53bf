"""Backlog drains: the ring is paused, a backlog is written, PostgreSQL's own client reads a copy of it, then the ring."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import psycopg

from tests.bench.meter import Meter
from tests.bench.recvlogical import drain
from tests.bench.stack import BenchRing, Stack, wal_end
from tests.bench.workloads import Workload
from tests.fixtures.ring import SERVICES


@dataclass(frozen=True)
class Drain:
    """One drain of one backlog by the ring and by pg_recvlogical."""

    rows: int
    seconds: float
    cpu_s: dict[str, float]
    peer_seconds: float
    peer_cpu_s: float
    peer_walsender_cpu_s: float


async def bench(stack: Stack, workload: Workload, repeats: int, scale: float, progress) -> dict:
    """Medians over `repeats` drains, as build/bench.json has them."""
    name = workload.name.lower()
    url = stack.database(name)
    with psycopg.connect(url, autocommit=True) as source:
        source.execute("SET synchronous_commit = off")
        workload.prepare(source)
        async with stack.ring(name, url, {}) as ring:
            workload.fill(source)
            drains, first = [], 1_000
            for number in range(repeats):
                progress(f"{workload.name} {workload.what}: {number + 1} of {repeats}")
                one, first = await _once(stack, workload, ring, source, first, scale, peer_first=number % 2 == 0)
                drains.append(one)
            progress(f"{workload.name}: comparing source and target")
            compared = await ring.compare(workload.tables)
    return _summary(drains, compared)


async def _once(
    stack: Stack,
    workload: Workload,
    ring: BenchRing,
    source: psycopg.Connection,
    first: int,
    scale: float,
    *,
    peer_first: bool,
) -> tuple[Drain, int]:
    """The two drains take turns in who meets the WAL cold."""
    transactions = max(1, round(workload.transactions * scale))
    await ring.confirmed(wal_end(source))
    await ring.pause()
    first = workload.write(source, first, transactions)
    end = wal_end(source)
    args = (stack.postgres, ring.ring.source_url, ring.ring.slot, ring.ring.publication, end)
    copy = f"{ring.ring.slot}_kept"
    peer = drain(*args) if peer_first else None
    if peer is None:
        source.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [ring.ring.slot, copy])
    meter = Meter.start(ring.pids)
    started = time.monotonic()
    await ring.resume()
    await ring.confirmed(end)
    seconds, cpu_s = time.monotonic() - started, meter.used_s()
    if peer is None:
        peer = drain(stack.postgres, ring.ring.source_url, copy, ring.ring.publication, end)
        source.execute("SELECT pg_drop_replication_slot(%s)", [copy])
    rows = transactions * workload.rows
    return Drain(rows, seconds, cpu_s, peer.seconds, peer.client_cpu_s, peer.walsender_cpu_s), first


def _summary(drains: list[Drain], compared: int) -> dict:
    rows = drains[0].rows

    def us(values: list[float]) -> float:
        return round(statistics.median(values) / rows * 1e6, 3)

    services = us([sum(one.cpu_s[name] for name in SERVICES) for one in drains])
    peer = us([one.peer_cpu_s for one in drains])
    return {
        "rows": rows,
        "repeats": len(drains),
        "rows_compared": compared,
        "rows_per_second": round(statistics.median(rows / one.seconds for one in drains)),
        "ratio_to_pg_recvlogical": round(statistics.median(one.peer_seconds / one.seconds for one in drains), 3),
        "cpu_us_per_row": {
            **{name: us([one.cpu_s[name] for one in drains]) for name in (*SERVICES, "walsender")},
            "services": services,
        },
        "pg_recvlogical": {
            "rows_per_second": round(statistics.median(rows / one.peer_seconds for one in drains)),
            "cpu_us_per_row": {"client": peer, "walsender": us([one.peer_walsender_cpu_s for one in drains])},
        },
        "events_per_millicore": round(1000 / services, 1) if services else None,
        # Against the client's own cost in the same run: what the kept baseline is compared by.
        "cpu_ratio_to_pg_recvlogical": round(services / peer, 3) if peer else None,
    }
