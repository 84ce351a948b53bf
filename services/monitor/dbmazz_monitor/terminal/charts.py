"""Throughput and lag over the last minutes."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.text import Text

from dbmazz_monitor.terminal import wording
from dbmazz_monitor.terminal.look import Look
from dbmazz_monitor.terminal.section import Section, joined, lines
from dbmazz_monitor.terminal.spark import bars, resample

# One line: the title, the bars, the figures. Several: title and figures beside the bars.
_LABEL, _VALUE, _FIGURES = 11, 30, 17


def charts(points: list[dict[str, Any]], width: int, height: int, look: Look) -> Section:
    """Two of them, of `height` lines each; with what is now, and the most."""
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
    # The line's joined values have lost the peaks that the figures beside it have not.
    known = [point[key] for point in points if point.get(key) is not None]
    now = say(points[-1].get(key)) if points else wording.UNKNOWN
    most = f"most {say(max(known) if known else None)}"
    if height == 1:
        row = bars(resample(points, key, max(width - _LABEL - _VALUE, 8), join), 1, look.bars)[0]
        beside = wording.together(now, most) if known else wording.UNKNOWN
        return [joined([(f"{title:<{_LABEL}}", "dim"), (row, style), f" {look.text(beside)}"], look)]
    minutes = wording.span((points[-1]["t"] - points[0]["t"]) / 1000) if points else wording.UNKNOWN
    labels = [title, now, *([most, f"last {minutes}"] if known else [])]
    rows = bars(resample(points, key, max(width - _FIGURES, 8), join), height, look.bars)
    labels += [""] * (height - len(labels))
    return [
        joined([(look.text(label)[: _FIGURES - 1].ljust(_FIGURES), "" if label == now else "dim"), (row, style)], look)
        for label, row in zip(labels, rows, strict=False)
    ]
