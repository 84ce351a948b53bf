"""Throughput and lag over the last minutes."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.text import Text

from dbmazz_monitor.terminal import wording
from dbmazz_monitor.terminal.look import Look
from dbmazz_monitor.terminal.section import Section, joined, lines
from dbmazz_monitor.terminal.spark import bars, resample

_LABEL, _VALUE = 11, 30


def charts(points: list[dict[str, Any]], width: int, height: int, look: Look) -> Section:
    """Two of them, of `height` lines each; beside it what is now, and the most."""
    lag = "lag_ms" if any(point.get("lag_ms") is not None for point in points) else "lag"
    inverse = wording.millis if lag == "lag_ms" else wording.size
    return lines(
        [
            *_chart("throughput", points, "events", fmean, _per_second, "green", width, height, look),
            *_chart("lag", points, lag, max, inverse, "cyan", width, height, look),
        ]
    )


def _per_second(value: float | None) -> str:
    return wording.UNKNOWN if value is None else f"{wording.rate(value)}/s"


def _chart(title, points, key, join, say, style, width: int, height: int, look: Look) -> list[Text]:
    values = resample(points, key, max(width - _LABEL - _VALUE, 8), join)
    # The line's joined values have lost the peaks that the figures beside it have not.
    known = [point[key] for point in points if point.get(key) is not None]
    now = points[-1].get(key) if points else None
    minutes = wording.span((points[-1]["t"] - points[0]["t"]) / 1000) if points else wording.UNKNOWN
    beside = [say(now), f"most {say(max(known) if known else None)}", f"last {minutes}"]
    if height == 1:
        beside = [wording.together(say(now), beside[1]) if known else wording.UNKNOWN]
    rows = bars(values, height, look.bars)
    labels = [title] + [""] * (height - 1)
    beside += [""] * (height - len(beside))
    return [
        joined([(f"{label:<{_LABEL}}", "dim"), (row, style), f" {look.text(text)}"], look)
        for label, row, text in zip(labels, rows, beside, strict=False)
    ]
