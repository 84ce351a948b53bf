"""What the reader costs: backlogs of W1 to W3, a live load and rest, with a consumer behind it that acknowledges at once.

    python tests/bench/reader_backlog.py                        this tree, medians of 3
    python tests/bench/reader_backlog.py --against DIR          this tree and another, run by run in turns
    python tests/bench/reader_backlog.py --only W2,live --set COALESCE_MAX_MS=0 --runs 5 --json out.json

CPU is what the scheduler counted for the process (/proc/PID/task/*/schedstat), so this runs on Linux. rows/s of
pg_recvlogical -f /dev/null, on a copy of the same slot in the same turn, is what the ratios compare with.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from dbmazz_sandbox.postgres.binaries import find_binaries

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from reader_workloads import (  # noqa: E402
    PUBLICATION,
    WORKLOADS,
    Backlog,
    Workload,
    copy_slot,
    drop_slot,
    start_server,
    walsender,
    write_backlog,
)

LIVE_EVENTS_PER_SECOND = 3_000
LIVE_SECONDS = 12.0
REST_SECONDS = 10.0
WAIT_S = 120.0


def cpu_s(pid: int) -> float:
    """Seconds of CPU of a process so far, to the nanosecond; 0 when it is gone."""
    total = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mb(pid: int) -> float:
    """Peak resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


class Line:
    """A child that speaks JSON, one object per line."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def read(self) -> dict:
        ready, _, _ = select.select([self.process.stdout], [], [], WAIT_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise SystemExit(f"{self.process.args} gave no answer within {WAIT_S:.0f} s")
        return json.loads(line)

    def ask(self, order: dict) -> dict:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.read()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@contextlib.contextmanager
def ring(tree: Path, backlog: Backlog, slot: str, start: int, settings: dict[str, str]) -> Iterator[tuple[Line, Line]]:
    """A reader of `tree` on the slot, and its consumer, which has been greeted."""
    position = (str(int(start)), backlog.system_identifier, str(backlog.timeline))
    consumer = Line([sys.executable, str(HERE / "reader_consumer.py"), slot, *position], dict(os.environ))
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tree}/services/reader:{tree}/services/core",
        "SOURCE_URL": backlog.url,
        "SOURCE_SLOT_NAME": slot,
        "SOURCE_PUBLICATION_NAME": PUBLICATION,
        "LISTEN": "127.0.0.1:0",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    try:
        environment["CHECKPOINT_ADDRESS"] = consumer.read()["checkpoint"]
        reader = Line([sys.executable, "-m", "dbmazz_reader"], environment)
        try:
            consumer.ask({"dial": reader.read()["address"]})
            yield reader, consumer
        finally:
            reader.stop()
    finally:
        consumer.process.stdin.close()
        consumer.process.wait(20)


def drain(tree: Path, workload: Workload, backlog: Backlog, settings: dict[str, str]) -> dict[str, float]:
    """One backlog from its first row to its last."""
    slot = copy_slot(backlog, workload.name)
    with ring(tree, backlog, slot, backlog.start, settings) as (reader, consumer):
        sender = walsender(backlog, slot)
        report = consumer.ask({"reach": [backlog.rows, 0]})
        ours, theirs = cpu_s(reader.process.pid), cpu_s(sender)
        peak = resident_mb(reader.process.pid)
    if report["rows"] != backlog.rows:
        raise SystemExit(f"{workload.name}: {report['rows']} rows arrived, {backlog.rows} were written")
    drop_slot(backlog, slot)
    # What starting costs is taken off once it is known; see `starting`.
    return {
        "rows_per_second": backlog.rows / report["seconds"],
        "reader_us": ours / backlog.rows * 1e6,
        "walsender_us": theirs / backlog.rows * 1e6,
        "batches": report["batches"],
        "rss_mb": peak,
    }


def recvlogical(workload: Workload, backlog: Backlog) -> dict[str, float]:
    """The same backlog with PostgreSQL's own client."""
    from dbmazz.lsn import Lsn

    slot = copy_slot(backlog, workload.name)
    binary = Path(find_binaries(16).postgres).with_name("pg_recvlogical")
    command = [str(binary), "-d", backlog.url, "--slot", slot, "--start", "-f", "/dev/null", "--endpos"]
    command += [str(Lsn(backlog.end)), "-o", "proto_version=1", "-o", f"publication_names={PUBLICATION}"]
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        ours = theirs = sender = 0.0
        while process.poll() is None:
            sender = sender or walsender(backlog, slot)
            ours = max(ours, cpu_s(process.pid))
            theirs = max(theirs, cpu_s(int(sender)) if sender else 0.0)
            time.sleep(0.01)
    seconds = time.monotonic() - started
    drop_slot(backlog, slot)
    return {
        "rows_per_second": backlog.rows / seconds,
        "reader_us": ours / backlog.rows * 1e6,
        "walsender_us": theirs / backlog.rows * 1e6,
    }


def live(tree: Path, backlog: Backlog, settings: dict[str, str]) -> dict[str, float]:
    """10-row transactions at a steady rate, then rest: millicores, and the age of commits at the consumer."""
    with psycopg.connect(backlog.url, autocommit=True) as sql:
        slot = f"live_{time.monotonic_ns()}"
        from dbmazz.lsn import Lsn

        row = sql.execute("SELECT lsn FROM pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,)).fetchone()
        with ring(tree, backlog, slot, Lsn.parse(row[0]), settings) as (reader, consumer):
            sender = walsender(backlog, slot)
            sql.execute("TRUNCATE wide")
            time.sleep(0.5)
            consumer.ask({})
            marks = [(time.monotonic(), cpu_s(reader.process.pid), cpu_s(sender))]
            sent = _traffic(sql, LIVE_EVENTS_PER_SECOND, LIVE_SECONDS)
            report = consumer.ask({"reach": [sent, 0]})
            marks.append((time.monotonic(), cpu_s(reader.process.pid), cpu_s(sender)))
            time.sleep(1.5)
            rested = time.monotonic(), cpu_s(reader.process.pid)
            time.sleep(REST_SECONDS)
            rest = (cpu_s(reader.process.pid) - rested[1]) / (time.monotonic() - rested[0])
    drop_slot(backlog, slot)
    seconds = marks[1][0] - marks[0][0]
    ages = report["ages_ms"]
    return {
        "events_per_second": report["rows"] / seconds,
        "reader_millicores": (marks[1][1] - marks[0][1]) / seconds * 1000,
        "walsender_millicores": (marks[1][2] - marks[0][2]) / seconds * 1000,
        "age_p50_ms": ages[len(ages) // 2],
        "age_p99_ms": ages[len(ages) * 99 // 100],
        "rest_millicores": rest * 1000,
    }


def _traffic(sql: psycopg.Connection, rate: int, seconds: float) -> int:
    """Transactions of 10 rows on a beat of their own; how many rows."""
    statement = (
        "INSERT INTO wide SELECT i, i, 'status', 1.5, 2, true, now(), now(), 'note of a row',"
        ' \'{"row": 1, "tags": ["red", "green"]}\' FROM generate_series(%s::bigint, %s::bigint) i'
    )
    begun, count = time.monotonic(), 0
    while (due := begun + count * 10 / rate) < begun + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        sql.execute(statement, (count * 10 + 1, count * 10 + 10))
        count += 1
    return count * 10


def starting(tree: Path, backlog: Backlog, settings: dict[str, str]) -> float:
    """CPU seconds of a reader that has been greeted and has read nothing; part of every drain's figure otherwise."""
    with psycopg.connect(backlog.url, autocommit=True) as sql:
        from dbmazz.lsn import Lsn

        row = sql.execute("SELECT lsn FROM pg_create_logical_replication_slot('starting', 'pgoutput')").fetchone()
        with ring(tree, backlog, "starting", Lsn.parse(row[0]), settings) as (reader, _):
            spent = cpu_s(reader.process.pid)
    drop_slot(backlog, "starting")
    return spent


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def table(title: str, results: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Prints one, and gives the medians."""
    found = {name: medians(runs) for name, runs in results.items()}
    keys = list(dict.fromkeys(key for row in found.values() for key in row))
    print(f"\n{title}\n  {'':16}" + "".join(f"{key:>22}" for key in keys))
    for name, row in found.items():
        cells = [f"{row[key]:>22,.{0 if row[key] > 1000 else 2}f}" if key in row else f"{'-':>22}" for key in keys]
        print(f"  {name:16}" + "".join(cells))
    sys.stdout.flush()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="The reader's bench.")
    parser.add_argument("--against", type=Path, help="another source tree, with generated protos and built kernels")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="W1,W2,W3,live")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=value", help="a setting of this tree")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = options.only.split(",")
    settings = dict(word.split("=", 1) for word in options.set)
    trees = {"here": (ROOT, settings)}
    if options.against:
        trees = {"before": (options.against.resolve(), {}), **trees}
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as directory:
        server = start_server(Path(directory))
        try:
            for workload in WORKLOADS:
                if workload.name in wanted:
                    backlog = write_backlog(server, workload, options.rows)
                    spent = {name: starting(tree, backlog, more) for name, (tree, more) in trees.items()}
                    results: dict[str, list] = {"pg_recvlogical": [], **{name: [] for name in trees}}
                    for _ in range(options.runs):
                        results["pg_recvlogical"].append(recvlogical(workload, backlog))
                        for name, (tree, more) in trees.items():
                            run = drain(tree, workload, backlog, more)
                            run["reader_us"] -= spent[name] / backlog.rows * 1e6
                            run["ratio"] = run["rows_per_second"] / results["pg_recvlogical"][-1]["rows_per_second"]
                            results[name].append(run)
                    found[workload.name] = table(f"{workload.name}: {workload.what}, {backlog.rows:,} rows", results)
            if "live" in wanted:
                backlog = write_backlog(server, Workload("live", "", WORKLOADS[0].statements, 500), 500)
                results = {name: [] for name in trees}
                for _ in range(options.runs):
                    for name, (tree, more) in trees.items():
                        results[name].append(live(tree, backlog, more))
                found["live"] = table(
                    f"live: {LIVE_EVENTS_PER_SECOND} events/s in 10-row transactions, then rest", results
                )
        finally:
            server.stop("immediate")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
