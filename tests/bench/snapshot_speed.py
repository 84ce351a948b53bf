"""`python -m tests.bench.snapshot_speed`: loads of a narrow and a wide table, against `COPY table TO STDOUT > /dev/null` of the
same tables in the same run.

The ring loads into the null target (which takes everything and does nothing), or with --target sandbox into the sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from dbmazz.calling import QUICK_S
from dbmazz.v1 import reader_pb2, reader_pb2_grpc
from dbmazz_sandbox.postgres.binaries import find_binaries

from tests.bench.meter import Meter
from tests.bench.stack import BenchRing, Stack, running
from tests.fixtures.ring import SERVICES

_POLL_S = 0.02
_LOAD_S = 300.0


@dataclass(frozen=True)
class Table:
    """A table to load."""

    name: str
    create: str
    fill: str
    rows: int


def _tables(scale: float) -> list[Table]:
    narrow, wide = round(500_000 * scale), round(40_000 * scale)
    columns = ", ".join(f"c{number} {'int' if number % 3 else 'text'}" for number in range(99))
    values = ", ".join(f"n + {number}" if number % 3 else f"'value {number} of ' || n" for number in range(99))
    return [
        Table(
            "narrow",
            "CREATE TABLE narrow (id bigint PRIMARY KEY, account int, note text, at timestamptz)",
            f"INSERT INTO narrow SELECT n, n % 1000, 'note number ' || n, now() FROM generate_series(1, {narrow}) AS n",
            narrow,
        ),
        Table(
            "wide",
            f"CREATE TABLE wide (id bigint PRIMARY KEY, {columns})",
            f"INSERT INTO wide SELECT n, {values} FROM generate_series(1, {wide}) AS n",
            wide,
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.snapshot_speed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="loads of each table; medians are shown")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the tables")
    parser.add_argument("--workers", type=int, default=2, help="SNAPSHOT_WORKERS")
    parser.add_argument("--target", choices=("null", "sandbox"), default="null")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbmazz-bench-") as directory:
        print(json.dumps(asyncio.run(_run(Path(directory), options)), indent=1))


async def _run(directory: Path, options: argparse.Namespace) -> dict:
    results = {}
    with running(directory, null_target=options.target == "null") as stack:
        url = stack.database("loads")
        tables = _tables(options.scale)
        with psycopg.connect(url, autocommit=True) as source:
            for table in tables:
                source.execute(table.create)
                source.execute(table.fill)
                source.execute(f"VACUUM ANALYZE {table.name}")
        settings = {"DO_SNAPSHOT": "false", "SNAPSHOT_WORKERS": str(options.workers)}
        async with stack.ring("loads", url, settings) as ring:
            for table in tables:
                results[table.name] = await _bench(stack, ring, url, table, options.repeats)
    return results


async def _bench(stack: Stack, ring: BenchRing, url: str, table: Table, repeats: int) -> dict:
    loads, copies, cpu, size = [], [], [], 0
    for _ in range(repeats):
        seconds, size = _copy(stack, url, table)
        copies.append(seconds)
        meter = Meter.start(ring.pids)
        loads.append(await _load(ring, table))
        used = meter.used_s()
        cpu.append({name: used[name] for name in SERVICES})
    loaded, copied = statistics.median(loads), statistics.median(copies)
    return {
        "rows": table.rows,
        "megabytes": round(size / 1e6, 1),
        "load": {"rows_per_second": round(table.rows / loaded), "mb_per_second": round(size / 1e6 / loaded, 1)},
        "copy": {"rows_per_second": round(table.rows / copied), "mb_per_second": round(size / 1e6 / copied, 1)},
        "ratio_to_copy": round(statistics.median(c / s for c, s in zip(copies, loads, strict=True)), 3),
        "cpu_us_per_row": {
            name: round(statistics.median(one[name] for one in cpu) / table.rows * 1e6, 2) for name in SERVICES
        },
    }


def _copy(stack: Stack, url: str, table: Table) -> tuple[float, int]:
    """Seconds of psql's COPY into /dev/null, and the bytes that it is."""
    psql = str(find_binaries(stack.postgres.major).directory / "psql")
    command = [psql, "-X", "-q", url, "-c", f"COPY {table.name} TO STDOUT"]
    started = time.monotonic()
    with Path(os.devnull).open("wb") as nothing:
        subprocess.run(command, stdout=nothing, check=True, timeout=_LOAD_S)
    seconds = time.monotonic() - started
    with psycopg.connect(url) as source:
        row = source.execute(f"SELECT sum(length(t::text) + 1) FROM {table.name} AS t").fetchone()
    return seconds, int(row[0])


async def _load(ring: BenchRing, table: Table) -> float:
    """Seconds until every row is durable in the target, and the load is stored as done."""
    stub = reader_pb2_grpc.ReaderServiceStub(ring.ring.channel(ring.ring["reader"]))
    name = f"public.{table.name}"
    started = time.monotonic()
    await stub.StartSnapshot(reader_pb2.StartSnapshotRequest(tables=[name]), timeout=QUICK_S)
    async with asyncio.timeout(_LOAD_S):
        while True:
            ring.ring.assert_alive()
            answer = await stub.ListTables(
                reader_pb2.ListTablesRequest(tables=[name], without_columns=True), timeout=QUICK_S
            )
            load = answer.tables[0].load
            if load.state == reader_pb2.LOAD_STATE_DONE:
                assert load.row_count == table.rows, f"{load.row_count} of {table.rows} rows were loaded"
                return time.monotonic() - started
            await asyncio.sleep(_POLL_S)


if __name__ == "__main__":
    main()
