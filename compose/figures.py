"""What the containers cost: `python compose/figures.py`, or `make figures`. Processor and memory, by the engine's counters.

Millicores are the processor time over the whole while, health checks included; memory is what `docker stats` shows (without
the page cache that the kernel may take back), at the end. Replicas are added up.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

import docker

RING = ("reader", "transformer", "loader", "checkpoint")


@dataclass(frozen=True)
class Counters:
    """One container's processor time, in ns, at a moment (ns), and its memory in bytes."""

    time_ns: int
    cpu_ns: int
    memory: int


def counters(container: docker.models.containers.Container) -> Counters:
    """As the engine has them now."""
    found = container.stats(stream=False, one_shot=True)
    memory = found["memory_stats"]
    idle = memory["stats"].get("inactive_file", memory["stats"].get("total_inactive_file", 0))
    return Counters(time.monotonic_ns(), found["cpu_stats"]["cpu_usage"]["total_usage"], memory["usage"] - idle)


def measure(project: str, seconds: float) -> dict[str, tuple[float, float]]:
    """Millicores and MB by service, over this time."""
    engine = docker.from_env()
    containers = engine.containers.list(filters={"label": f"com.docker.compose.project={project}"})
    before = {one: counters(one) for one in containers}
    time.sleep(seconds)
    figures: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for one, first in before.items():
        last = counters(one)
        millicores, memory = figures[one.labels["com.docker.compose.service"]]
        figures[one.labels["com.docker.compose.service"]] = (
            millicores + (last.cpu_ns - first.cpu_ns) / (last.time_ns - first.time_ns) * 1e3,
            memory + last.memory / 1e6,
        )
    return dict(figures)


def table(figures: dict[str, tuple[float, float]]) -> str:
    """Markdown: the ring, its sum, and whatever else runs."""
    lines = ["| container | millicores | MB |", "|---|---|---|"]
    names = [name for name in RING if name in figures]
    rows = [(name, *figures[name]) for name in names]
    rows.append(("the ring", *(sum(figures[name][index] for name in names) for index in (0, 1))))
    rows += [(name, *figures[name]) for name in sorted(figures) if name not in RING]
    return "\n".join([*lines, *(f"| {name} | {cpu:.0f} | {memory:.0f} |" for name, cpu, memory in rows)]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long to look (default: %(default)s)")
    parser.add_argument("--project", default="dbmazz", help="the project's name (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        figures = measure(arguments.project, arguments.seconds)
    except docker.errors.DockerException as error:
        sys.stderr.write(f"the engine does not tell: {error}\n")
        return 1
    if not figures:
        sys.stderr.write(f"no container of project {arguments.project} runs: make up\n")
        return 1
    sys.stdout.write(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
