"""The kernels alone, by pytest-benchmark in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

_FILE = Path(__file__).parent / "bench_kernels.py"
_SECONDS = 300.0


async def bench(directory: Path, progress) -> dict:
    """µs per row by service and workload, the plain reference's beside it, as build/bench.json has them."""
    progress("kernels: bench_kernels.py")
    written = directory / "kernels.json"
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", f"--benchmark-json={written}", str(_FILE)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    if process.returncode:
        raise RuntimeError(f"the bench of the kernels fails:\n{output.decode()}")
    return summary(json.loads(written.read_text()))


def summary(document: dict) -> dict:
    """What pytest-benchmark has written, as medians per row."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in document["benchmarks"]:
        info = one["extra_info"]
        side = "reference_us_per_row" if "reference" in one["name"] else "us_per_row"
        per_row = round(one["stats"]["median"] / info["rows"] * 1e6, 3)
        found.setdefault(info["of"], {}).setdefault(info["workload"], {})[side] = per_row
    for workloads in found.values():
        for figures in workloads.values():
            figures["ratio_to_reference"] = round(figures["reference_us_per_row"] / figures["us_per_row"], 1)
    return found
