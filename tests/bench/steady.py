"""Steady load: a held rate of mixed transactions, for as long as asked, and what the ring costs meanwhile."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import psycopg
from dbmazz.telemetry import LatencyHistogram
from dbmazz_sandbox.generators.pace import Pace, stopped_within

from tests.bench.meter import Meter
from tests.bench.stack import BenchRing, Stack, wal_end
from tests.bench.workloads import WORKLOADS
from tests.fixtures.ring import SERVICES

_SAMPLE_S = 1.0
_WARM_UP_S = 5.0


@dataclass
class Writer:
    """Commits small mixed transactions (W2's) at `rate` row events per second until it is stopped."""

    url: str
    rate: float
    transactions_a_call: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    events: int = 0

    async def run(self) -> None:
        workload = WORKLOADS["W2"]
        pace, first = Pace(self.rate), 1_000
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as source:
            events = workload.rows * self.transactions_a_call
            while not await stopped_within(self.stop, pace.claim(events)):
                await source.execute("CALL work(%s, %s)", [first, self.transactions_a_call])
                first += workload.keys * self.transactions_a_call
                self.events += events


async def bench(stack: Stack, name: str, rate: float, seconds: float, settings: dict[str, str], progress) -> dict:
    """`rate` 0 is rest. Figures over `seconds` after a short warm-up."""
    url = stack.database(name)
    with psycopg.connect(url, autocommit=True) as source:
        WORKLOADS["W2"].prepare(source)
        async with stack.ring(name, url, settings) as ring:
            writer = Writer(url, rate, 10 if rate >= 10_000 else 1)
            async with asyncio.TaskGroup() as group:
                if rate:
                    group.create_task(writer.run())
                progress(f"{name}: warming up")
                await asyncio.sleep(_WARM_UP_S)
                measured = await _measure(ring, writer, seconds, lambda text: progress(f"{name}: {text}"))
                writer.stop.set()
            await ring.confirmed(wal_end(source))
            progress(f"{name}: comparing source and target")
            compared = await ring.compare(WORKLOADS["W2"].tables)
    return {"rate": rate, **measured, "rows_compared": compared}


async def _measure(ring: BenchRing, writer: Writer, seconds: float, progress) -> dict:
    meter, before, first = Meter.start(ring.pids), await _latency(ring), writer.events
    started = time.monotonic()
    points: list[dict[str, float]] = []
    rss = dict.fromkeys(SERVICES, 0)
    while (elapsed := time.monotonic() - started) < seconds:
        await asyncio.sleep(min(_SAMPLE_S, seconds - elapsed))
        now = time.monotonic() - started
        rss = {service: max(value, rss[service]) for service, value in ring.rss().items()}
        status = await ring.ring.reader_status()
        points.append({"t": round(now, 2), "events": writer.events - first, "lag_bytes": status.lag_bytes})
        progress(f"{now:.0f} of {seconds:.0f} s, lag {status.lag_bytes / 1024:.0f} KB")
    elapsed, used, events = time.monotonic() - started, meter.used_s(), writer.events - first
    pss = ring.pss()
    services_s = sum(used[service] for service in SERVICES)
    millicores = {name: round(value / elapsed * 1000, 2) for name, value in used.items()}
    return {
        "seconds": round(elapsed, 1),
        "events_per_second": round(events / elapsed, 1),
        "millicores": {**millicores, "services": round(services_s / elapsed * 1000, 2)},
        "events_per_millicore": round(events / (services_s * 1000), 1) if events and services_s else None,
        "cpu_us_per_event": round(services_s / events * 1e6, 2) if events else None,
        "lag_ms": _lag(before, await _latency(ring)),
        "rss_bytes": {**rss, "services": sum(rss.values())},
        "pss_bytes": pss,
        "points": points,
    }


async def _latency(ring: BenchRing) -> LatencyHistogram:
    found = LatencyHistogram()
    found.merge((await ring.ring.loader_status()).commit_to_visible)
    return found


def _lag(before: LatencyHistogram, after: LatencyHistogram) -> dict[str, float] | None:
    """Commit to visible in between: percentiles are bounds of buckets; None without a sample."""
    between = LatencyHistogram()
    between.counts = [b - a for a, b in zip(before.counts, after.counts, strict=True)]
    last = max((n for n, count in enumerate(between.counts) if count), default=None)
    if last is None:
        return None
    between.max_ms = min(between.BOUNDS[last], after.max_ms)
    return {
        "p50": round(between.percentile(0.50), 1),
        "p99": round(between.percentile(0.99), 1),
        "max": round(between.max_ms, 1),
    }
