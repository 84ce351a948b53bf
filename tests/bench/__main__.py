"""`make bench`: the ring against PostgreSQL's own client, on this machine, in one go.

Everything is measured as ratios within one run, because machines differ and are noisy; absolute figures are for reading.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import drains, kernels, report, steady
from tests.bench.stack import Stack, running
from tests.bench.workloads import WORKLOADS

# name → (row events per second, settings of the ring)
STEADY: dict[str, tuple[float, dict[str, str]]] = {
    "steady_3000": (3_000, {}),
    "steady_3000_flush_200ms": (3_000, {"FLUSH_INTERVAL_MS": "200"}),
    "steady_20000": (20_000, {}),
    "steady_10": (10, {}),
    "rest": (0, {}),
}
KERNELS = "kernels"
NAMES = (*WORKLOADS, *STEADY, KERNELS)


def main() -> int:
    """Exit code 1 when something fell behind the kept baseline."""
    options = _options()
    names = options.only.split(",") if options.only else list(NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no bench is called {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if sys.platform != "linux":
        print("the bench reads CPU times from /proc, which only Linux has", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="dbmazz-bench-") as directory:
        results = asyncio.run(_run(Path(directory), names, options))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    options.output.with_suffix(".html").write_text(report.page(results))
    print(report.table(results))
    print(f"\n{options.output}, {options.output.with_suffix('.html')}", file=sys.stderr)
    return _compared(results, options.baseline) if options.baseline else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="names, separated by commas: " + ", ".join(NAMES))
    parser.add_argument("--repeats", type=int, default=3, help="drains of each workload; medians are shown")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the backlogs")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each steady load")
    parser.add_argument("--target", choices=("null", "sandbox"), default="null", help="what the loader loads into")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--baseline", type=Path, help="a kept bench.json: fail when a ratio is more than 15 %% worse")
    return parser.parse_args()


async def _run(directory: Path, names: list[str], options: argparse.Namespace) -> dict:
    started = time.time()
    results: dict = {"machine": _machine(), "target": options.target}
    with running(directory, null_target=options.target == "null") as stack:
        results["postgres"] = stack.postgres.major
        for name in names:
            if name == KERNELS:
                results[name] = await kernels.bench(directory, _progress)
                continue
            results[name] = await _bench(stack, name, options)
            print(report.line(name, results[name]), flush=True)
    results["seconds"] = round(time.time() - started)
    return results


async def _bench(stack: Stack, name: str, options: argparse.Namespace) -> dict:
    if name in WORKLOADS:
        return await drains.bench(stack, WORKLOADS[name], options.repeats, options.scale, _progress)
    rate, settings = STEADY[name]
    return await steady.bench(stack, name, rate, options.seconds, settings, _progress)


def _progress(text: str) -> None:
    """What runs now, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}


def _compared(results: dict, path: Path) -> int:
    worse = report.fallen(results, json.loads(path.read_text()))
    for line in worse:
        print(line, file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
