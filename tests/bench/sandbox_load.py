"""`make bench-sandbox`: what the StarRocks sandbox takes. Loads of 10,000 rows into one Primary Key table, over HTTP, as the
loader sends them (JSON, merge_condition), one after the other, several at a time, and 200 in a row, with a reader beside
them. The sandbox is a process of its own; client and reader share the machine with it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from base64 import b64encode
from pathlib import Path

import aiohttp
import psutil
import pymysql

from tests.fixtures.fix_ring import Sandbox, running_sandbox

ROWS = 10_000  # per load
TABLE = (
    "CREATE TABLE d.t (id BIGINT, name VARCHAR(100), amount BIGINT, rate DOUBLE, created DATETIME, note VARCHAR(200), "
    "dbmazz_version BIGINT) PRIMARY KEY(id)"
)
HEADERS = {
    "Authorization": "Basic " + b64encode(b"root:").decode(),
    "Expect": "100-continue",
    "format": "json",
    "strict_mode": "true",
    "max_filter_ratio": "0",
    "ignore_json_size": "true",
    "timezone": "UTC",
    "timeout": "600",
    "columns": "id,name,amount,rate,created,note,dbmazz_version",
    "merge_condition": "dbmazz_version",
}


def body(number: int, keys: int) -> bytes:
    """Load `number`: its rows go round over `keys` keys, so that later ones update."""
    start = number * ROWS
    return b"\n".join(
        json.dumps(
            {
                "id": n % keys, "name": f"customer {n}", "amount": n * 3, "rate": n / 7,
                "created": f"2026-01-{n % 28 + 1:02} 10:20:30.123456", "note": "x" * (n % 40), "dbmazz_version": n,
            }
        ).encode()
        for n in range(start, start + ROWS)
    )  # fmt: skip


class Reader(threading.Thread):
    """Point queries over the MySQL port, one after the other; their latencies in milliseconds."""

    def __init__(self, port: int, keys: int) -> None:
        super().__init__(name="reader")
        self._port, self._keys = port, keys
        self._done = threading.Event()
        self.latencies: list[float] = []

    def run(self) -> None:
        connection = pymysql.connect(host="127.0.0.1", port=self._port, user="root", database="d", ssl_disabled=True)
        with connection, connection.cursor() as cursor:
            while not self._done.wait(0.005):
                started = time.perf_counter()
                cursor.execute(f"SELECT name, amount FROM t WHERE id = {len(self.latencies) * 7919 % self._keys}")
                cursor.fetchall()
                self.latencies.append((time.perf_counter() - started) * 1000)

    def stop(self) -> dict[str, float]:
        self._done.set()
        self.join(30)
        ordered = sorted(self.latencies)
        return {
            "queries": len(ordered),
            "p50_ms": round(statistics.median(ordered), 2),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
            "max_ms": round(ordered[-1], 2),
        }


async def load(http: aiohttp.ClientSession, url: str, data: bytes) -> None:
    async with http.put(f"{url}/api/d/t/_stream_load", data=io.BytesIO(data), headers=HEADERS) as answer:
        reply = json.loads(await answer.text())
        if reply["Status"] != "Success" or reply["NumberLoadedRows"] != ROWS:
            raise RuntimeError(f"a load failed: {reply}")


async def run(sandbox: Sandbox, loads: int, long: int) -> dict:
    process = psutil.Process(sandbox.process.pid)
    keys = ROWS * loads
    connection = pymysql.connect(host="127.0.0.1", port=sandbox.sink_port, user="root", ssl_disabled=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE d")
        cursor.execute(TABLE)
        cursor.execute("SHOW BACKENDS")
        url = f"http://127.0.0.1:{cursor.fetchone()[4]}"
    bodies = [body(number, keys) for number in range(loads)]
    results: dict = {"rows_per_load": ROWS, "bytes_per_row": round(len(bodies[0]) / ROWS)}
    async with aiohttp.ClientSession() as http:
        for name, each in (
            ("inserts, one at a time", 1),
            ("updates, one at a time", 1),
            ("updates, four at a time", 4),
        ):
            results[name] = await _phase(http, url, process, bodies, each)
            print(f"{name}: {json.dumps(results[name])}", flush=True)
        reader = Reader(sandbox.sink_port, keys)
        reader.start()
        memory = [process.memory_info().rss]
        started = time.perf_counter()
        for number in range(long):
            await load(http, url, bodies[number % loads])
            if (number + 1) % (long // 4) == 0:
                memory.append(process.memory_info().rss)
        seconds = time.perf_counter() - started
        results["with a reader"] = {
            "loads": long,
            "rows_per_second": round(long * ROWS / seconds),
            "rss_mb": [round(size / 2**20) for size in memory],
            **reader.stop(),
        }
        print(f"{long} in a row, with a reader: {json.dumps(results['with a reader'])}", flush=True)
    return results


async def _phase(
    http: aiohttp.ClientSession, url: str, process: psutil.Process, bodies: list[bytes], each: int
) -> dict:
    gate, before = asyncio.Semaphore(each), sum(process.cpu_times()[:2])

    async def one(data: bytes) -> None:
        async with gate:
            await load(http, url, data)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for data in bodies:
            group.create_task(one(data))
    seconds = time.perf_counter() - started
    rows = ROWS * len(bodies)
    used = sum(process.cpu_times()[:2]) - before
    return {"rows_per_second": round(rows / seconds), "sandbox_cpu_us_per_row": round(used * 1e6 / rows, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-sandbox", description=__doc__)
    parser.add_argument("--loads", type=int, default=30, help="loads of 10,000 rows per phase")
    parser.add_argument("--long", type=int, default=200, help="loads in a row with the reader")
    parser.add_argument("--output", type=Path, default=Path("build/bench-sandbox.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbmazz-bench-") as directory, running_sandbox(Path(directory)) as sandbox:
        results = asyncio.run(run(sandbox, options.loads, options.long))
    results["machine"] = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    print(options.output, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
