"""The demo from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from dbmazz.config import Settings
from dbmazz_sandbox.generators import TABLES, TrafficRun, create_schema

from dbmazz_cli.comparison import Target, compare
from dbmazz_cli.demo.arrival import until_arrived
from dbmazz_cli.demo.logs import LogFiles
from dbmazz_cli.demo.meter import Meter
from dbmazz_cli.demo.progress import Progress
from dbmazz_cli.demo.result import Result, Signature
from dbmazz_cli.demo.stack import demo_settings, directions, sandbox_program, with_monitor
from dbmazz_cli.inquiry import Answer, ask_ring, totals
from dbmazz_cli.interrupts import Interrupts
from dbmazz_cli.readiness import until_streaming
from dbmazz_cli.ring import STAGES, plan
from dbmazz_cli.supervisor import Supervisor, supervised

T = TypeVar("T")

STREAMING_S = 90.0
ARRIVAL_S = 120.0
_TICK_S = 1.0


@dataclass(frozen=True)
class Options:
    """As given on the command line; `duration_s` None runs until Ctrl-C and compares nothing."""

    duration_s: float | None
    rate: float
    ports: str
    postgres_version: str


class Demo:
    """One run; `result` is filled in as it goes."""

    def __init__(self, options: Options, settings: Settings, data: Path, progress: Progress, logs: LogFiles) -> None:
        self.result = Result()
        self._options = options
        self._settings = settings
        self._data = data
        self._progress = progress
        self._logs = logs
        self._interrupts = Interrupts()
        self._supervisors: list[Supervisor] = []

    async def run(self) -> None:
        """Ends every child, whatever happens. Interrupted at a signal, unless the demo was to run until one."""
        options = self._options
        program = sandbox_program(self._data, options.ports, options.postgres_version)
        async with supervised([[program]], self._logs, self._interrupts.hurry) as sandbox:
            self._supervisors.append(sandbox)
            with self._progress.step(f"PostgreSQL {options.postgres_version} and the StarRocks sandbox"):
                await self._guard(sandbox.all_announced())
            addresses = sandbox.announcements()["sandbox"]
            self._settings = demo_settings(self._settings, addresses, self._data)
            await self._guard(self._create_schema())
            await self._with_ring()

    async def _guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` as long as nobody interrupts and all children can be kept running."""
        for supervisor in self._supervisors:
            work = supervisor.guard(work)
        return await self._interrupts.guard(work)

    async def _create_schema(self) -> None:
        with self._progress.step(f"tables {', '.join(TABLES)}"):
            async with await psycopg.AsyncConnection.connect(self._settings.source_url) as connection:
                await create_schema(connection)

    async def _with_ring(self) -> None:
        ring = plan(self._settings, ports=self._options.ports)
        self._settings = ring.settings
        stages = with_monitor(ring, self._options.ports)
        async with supervised(stages, self._logs, self._interrupts.hurry) as services:
            self._supervisors.append(services)
            with self._progress.step("checkpoint, loader, transformer, reader, monitor"):
                await self._guard(services.all_announced())
            with self._progress.step("the ring streams"):
                await self._guard(until_streaming(ring.settings, self._progress.say, deadline_s=STREAMING_S))
            for line in directions(ring.settings, services.announcements()["monitor"]["address"]):
                self._progress.say(line)
            await self._traffic(services)
            if self._options.duration_s is not None:
                await self._guard(self._verify())
            await self._read_services()
            with self._progress.step("draining"):
                # Leaving the block drains; this only makes the wait visible.
                await services.drain()

    async def _traffic(self, services: Supervisor) -> None:
        options = self._options
        traffic = TrafficRun(self._settings.source_url, rate=options.rate, duration_s=options.duration_s)
        meter = Meter(services.pids())
        if options.duration_s is None:
            done = await self._until_interrupted(traffic)
        else:
            done = await self._guard(self._run(traffic))
        self.result.events, self.result.seconds = done.events, done.seconds
        self.result.services = sorted(
            meter.read(services.pids()), key=lambda cost: (*STAGES, "monitor").index(cost.name)
        )

    async def _until_interrupted(self, traffic: TrafficRun):
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._stop_traffic(traffic))
            work = self._run(traffic)
            for supervisor in self._supervisors:
                work = supervisor.guard(work)
            try:
                return await work
            finally:
                watcher.cancel()

    async def _stop_traffic(self, traffic: TrafficRun) -> None:
        await self._interrupts.stop.wait()
        traffic.stop()

    async def _run(self, traffic: TrafficRun):
        async with asyncio.TaskGroup() as group:
            ticker = group.create_task(self._tick(traffic))
            done = await traffic.run()
            ticker.cancel()
        return done

    async def _tick(self, traffic: TrafficRun) -> None:
        before, then = 0, time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            ring = totals(await ask_ring(self._settings, details=False))
            events, now = traffic.totals().events, time.monotonic()
            lag = ring["lag_ms"]
            self._progress.live(
                f"{events:,} events, {(events - before) / (now - then):,.0f}/s, loaded {ring['loaded_rows']:,} rows, "
                f"lag p50 {lag['p50']:,.0f} ms p99 {lag['p99']:,.0f} ms, partial updates {ring['partial_updates']:,}"
            )
            before, then = events, now

    async def _verify(self) -> None:
        with self._progress.step("waiting until everything has arrived"):
            problem = await until_arrived(self._settings, ARRIVAL_S)
        if problem:
            self.result.problems.append(problem)
        with self._progress.step("comparing every row and value"):
            target = Target.of(self._settings)
            self.result.tables = await asyncio.to_thread(compare, self._settings.source_url, target, TABLES)

    async def _read_services(self) -> None:
        answers = await ask_ring(self._settings)
        ring = totals(answers)
        self.result.lag_ms = ring["lag_ms"]
        self.result.partial_updates = ring["partial_updates"]
        self.result.rows_unaccounted = ring["rows_unaccounted"]
        self.result.signatures = _signatures(answers)
        down = [answer.service for answer in answers if answer.status is None]
        if down:
            self.result.problems.append(f"no answer from the {', '.join(down)} at the end")


def _signatures(answers: list[Answer]) -> list[Signature]:
    return [
        Signature(entry.table, tuple(entry.absent_columns), entry.load_count, entry.update_count, entry.delete_count)
        for answer in answers
        if answer.service == "transformer" and answer.detail
        for entry in answer.detail.signatures
        if entry.absent_columns
    ]


@contextlib.contextmanager
def log_files(data: Path):
    """The children's logs, below the data directory."""
    logs = LogFiles(data / "logs")
    try:
        yield logs
    finally:
        logs.close()
