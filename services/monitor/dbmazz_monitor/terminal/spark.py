"""The charts' points as rows of characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Values = list[float | None]

# Younger histories are drawn on as much time as this, so that the first points do not fill the line.
SPAN_MS = 60_000


def resample(points: Sequence[dict[str, Any]], key: str, columns: int, join: Callable[[list[float]], float]) -> Values:
    """One value per column over the time of all points, `join` of those that fall into it; None where nothing is known."""
    if not points or columns < 1:
        return [None] * max(columns, 0)
    end = points[-1]["t"]
    width = max(end - points[0]["t"], SPAN_MS) / columns
    found: list[list[float]] = [[] for _ in range(columns)]
    for point in points:
        value = point.get(key)
        if value is not None:
            back = min(int((end - point["t"]) / width), columns - 1)
            found[columns - 1 - back].append(value)
    # A second of samples can be wider than a column: what is known on both sides is drawn through.
    return _bridged([join(values) if values else None for values in found], width)


def _bridged(values: Values, width_ms: float) -> Values:
    """Fills gaps that are shorter than three seconds with the value before."""
    gap = int(3000 / width_ms)
    last, since = None, 0
    bridged: Values = []
    for value in values:
        last, since = (value, 0) if value is not None else (last, since + 1)
        bridged.append(value if value is not None or since > gap else last)
    known = next((index for index in range(len(values) - 1, -1, -1) if values[index] is not None), -1)
    return bridged[: known + 1] + [None] * (len(values) - known - 1)


def bars(values: Values, height: int, characters: str) -> list[str]:
    """`height` lines, top first; `characters` are nine from empty to full. A known 0 is the lowest bar, unknown is empty."""
    ceiling = max((value for value in values if value is not None), default=0) or 1
    lines = []
    for row in range(height - 1, -1, -1):
        line = ""
        for value in values:
            if value is None:
                line += characters[0]
                continue
            eighths = round(value / ceiling * height * 8) - row * 8
            line += characters[max(1 if row == 0 else 0, min(8, eighths))]
        lines.append(line)
    return lines
